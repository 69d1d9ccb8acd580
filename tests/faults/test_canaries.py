"""No patient data leak: canaries in every element, name and cell are looked for in all that lusfx writes and says."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import shutil
import stat
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lusfx.cli import main
from tests.faults.archive import plain_encoder, write_site_key
from tests.faults.canaries import DATE, DIGITS, WORD, found_in, hits_below, write_bad_files, write_exams

pytestmark = pytest.mark.slow

ROW = "no patient data leak"
CAN_TRAIN = all(importlib.util.find_spec(package) for package in ("torch", "timm"))
"""Elsewhere ``pretrain``, ``fine-tune`` and ``study`` are left out."""
TRAINING = ("study", "pretrain", "fine-tune") if CAN_TRAIN else ()
"""In the short form only the first is done to its end; the others are stopped or fail."""
WRITTEN = ("study/report.html",) if CAN_TRAIN else ()
TRAINED = ("pretrained-0/encoder/encoder.json", "tuned/report.html") if CAN_TRAIN else ()
"""Only in the full form."""
NETWORK = ("--architecture", "test_efficientnet", "--size", 32, "--epochs", 1, "--batch-size", 4, "--device", "cpu",
           "--threads", 1)  # fmt: skip
STUDY = """
train = "{train}"
tests = {{ external = "{test}" }}
baseline = {{ encoder = "plain", way = "linear" }}
fractions = [1.0, 0.5]
draws = 1
folds = 2
repeats = 1
resamples = 20
tasks = [{{ task = "b-lines" }}]
encoders = [{{ name = "plain", encoder = "{encoder}" }}]
ways = [{{ name = "linear", kind = "head" }}]
"""


@dataclass
class Session:
    """Commands that were run one after the other, and what they said.

    :param out: the folder that they wrote to.
    """

    out: Path
    codes: dict[str, list[int]] = field(default_factory=dict)
    said: list[tuple[str, str]] = field(default_factory=list)
    records: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def session(
    tmp_path_factory: pytest.TempPathFactory, trials: Callable[[int, int], int], few_resamples: None
) -> Session:
    """Everything that is asked of the canaries, once for all tests; errors of every kind among it."""
    root, full = tmp_path_factory.mktemp("canaries"), trials(0, 1) == 1
    out = root / "out"
    out.mkdir()
    write_site_key(root)
    encoder = plain_encoder(root)
    labels = write_exams(root / "exams", 0, trials(6, 16))
    others = write_exams(root / "others", 100, 4)
    write_bad_files(labels.parent)
    done = Session(out)
    run = _runner(root, done)
    cache = ("--cache", out / "cache")
    clip = next(labels.parent.glob("*.dcm"))
    run("extract", labels.parent, *cache, "--encoder", encoder)
    run("extract", labels.parent, *cache, "--encoder", encoder, "--json")
    run("extract", others, clip, *cache, "--encoder", encoder)
    run("train-task", "b-lines", "--labels", labels, *cache, "--out", out / "model", "--folds", 3, "--repeats", 1)
    if full:
        run("train-task", "b-lines", "ab", "--labels", labels, *cache, "--out", out / "models", "--folds", 3, "--repeats", 1,
            "--head", "lightgbm", "--json")  # fmt: skip
    model = ("--model", out / "model")
    run(
        "score",
        others,
        *model,
        *cache,
        "--out",
        out / "scores.csv",
        "--encoder",
        encoder,
        "--report",
        out / "scores.html",
    )
    run("score", *model, *cache, "--out", out / "scores.parquet", "--json")
    run("evaluate", *model, "--labels", others, *cache, "--report", out / "evaluation.html")
    run("evaluate", *model, "--labels", others, *cache, "--json")
    run("evaluate", *model, "--labels", labels, *cache)  # refused: these patients were in training
    run("inspect", clip, "--out", out / "picture.png", "--encoder", encoder)
    run("inspect", labels.parent / f"{WORD} text.dcm", "--out", out / "none.png", "--encoder", encoder)
    run("doctor", *cache)
    for action in (
        ("info",),
        ("verify",),
        ("explain", clip, "--encoder", encoder),
        ("explain", labels, "--encoder", encoder),
    ):
        run("cache", *action, *cache)
        run("cache", *action, *cache, "--json")
    run("cache", "pack", *cache)
    run("model", "show", out / "model", "--json")
    run("model", "verify", out / "model")
    _errors(run, root, labels, others, encoder, trials(5, 100))
    if CAN_TRAIN:
        _training(run, root, labels, others, encoder, full=full)
    run("cache", "repair", *cache)
    run("cache", "gc", *cache)
    return done


def _errors(run: Callable[..., None], root: Path, labels: Path, others: Path, encoder: Path, n_tables: int) -> None:
    """Commands that fail, each on something that holds a canary."""
    cache, out = ("--cache", root / "out" / "cache"), root / "out"
    rows = labels.read_text().splitlines()
    place = labels.parent
    tables = {
        "no-path": rows[0].replace("path", WORD) + "\n" + rows[1],
        "bad-label": rows[0] + "\n" + rows[1].replace(",1,0,", f",{WORD},{DATE},").replace(",0,1,", f",{WORD},{DATE},"),
        "two-patients": "\n".join([*rows[:3], rows[1].replace(f"{WORD}-{DIGITS}-0", f"{WORD}-other")]),
        "two-labels": "\n".join([*rows[:3], rows[1].replace(",0,1,", ",1,0,")]),
        "no-patient": "\n".join(row.replace("patient_id", WORD) for row in rows),
        "short-row": rows[0] + f"\n{WORD}\n",
        "one-class": "\n".join([rows[0], *rows[1:3]]),
        "no-file": rows[0] + f"\n{WORD}-gone.dcm,{WORD},{WORD},1,0,{WORD}\n",
        "twice": f"{WORD},{WORD}\n1,2\n",
        "empty": rows[0],
        "zone": f"path,zone\n{rows[1].split(',')[0]},{WORD} {WORD} {WORD}\n",
        "escape": f'path\n"{WORD}\n',
    }
    for name, content in [*tables.items()][:n_tables]:
        table = place / f"{WORD}-{name}.csv"
        table.write_text(content)
        run("train-task", "b-lines", "--labels", table, *cache, "--out", out / "none", "--folds", 2)
        run("evaluate", "--model", out / "model", "--labels", table, *cache)
        if name in ("no-path", "zone", "twice", "escape", "no-file"):
            run("extract", table, *cache, "--encoder", encoder)
    for broken in [place / f"{WORD} text.mp4", root / f"{WORD}-missing", place][: n_tables // 2]:
        run("extract", broken, "--cache", place / f"{WORD} text.mp4", "--encoder", encoder)
        run("extract", place, *cache, "--encoder", broken)
        run("score", broken, "--model", broken, *cache, "--out", out / "none.csv")
        run("model", "verify", broken)
        run("evaluate", "--model", out / "model", "--labels", broken, *cache)
        run("train-task", "nothing", "--labels", others, *cache, "--out", broken)
        run("train-task", "b-lines", "--labels", others, "--cache", broken, "--out", out / "none", "--set", "depth=x")
        run("inspect", broken, "--out", out / "none.png")
        run("cache", "verify", "--cache", broken)
    victim = next((out / "cache").rglob("*.h5"))
    content = victim.read_bytes()
    victim.write_bytes(content[:-9])
    run("cache", "verify", *cache)
    run("evaluate", "--model", out / "model", "--labels", others, *cache)
    victim.write_bytes(content)
    copied = Path(shutil.copytree(out / "model", root / f"{WORD}-model"))
    (copied / "evidence.json").write_text(f'{{"patients": ["{WORD}"]}}')
    run("model", "verify", copied)
    run("evaluate", "--model", copied, "--labels", others, *cache)


def _training(run: Callable[..., None], root: Path, labels: Path, others: Path, encoder: Path, *, full: bool) -> None:
    """The commands that train networks, or with several encoders, on what they can do and on what they cannot.

    To write an encoder takes ten seconds, so only the full form has networks trained to the end.
    """
    cache, out, place, study = ("--cache", root / "out" / "cache"), root / "out", labels.parent, root / "study.toml"
    numbers = itertools.count()

    def pretrain(sources: Path, *more: object) -> None:
        run("pretrain", sources, "--out", out / f"pretrained-{next(numbers)}", *NETWORK, "--frames-per-clip", 4,
            "--pairs-per-clip", 1, *more)  # fmt: skip

    def compare(train: Path, test: Path, to: Path, *more: object) -> None:
        study.write_text(STUDY.format(train=train, test=test, encoder=encoder))
        run("study", study, "--out", to, *cache, *more)

    to_the_end = () if full else ("--minutes", 0)
    pretrain(labels, "--probe", labels, "--probe-task", "b-lines", "--json", *to_the_end)
    if full:
        pretrain(place, "--minutes", 0)  # the bad files are there
        run("fine-tune", "b-lines", "--labels", labels, "--out", out / "tuned", *NETWORK, "--frames-per-clip", 4, "--folds", 2,
            "--work", out / "frames")  # fmt: skip
    for more in ((), ("--dry-run",), ("--json",)):
        compare(labels, others, out / "study", *more)
    compare(labels, labels, out / "no study")  # these patients are in training
    broken = [
        place / f"{WORD}-{name}.csv" for name in ("bad-label", "two-patients", "two-labels", "no-path", "no-file")
    ]
    for table in [*broken, place / f"{WORD} text.mp4", root / f"{WORD}-missing"][: 7 if full else 2]:
        pretrain(table, "--minutes", 0)
        pretrain(others, "--probe", table, "--probe-task", "b-lines", "--minutes", 0)
        run("fine-tune", "b-lines", "--labels", table, "--out", out / f"tuned-{next(numbers)}", *NETWORK, "--folds", 2)
        compare(table, others, out / f"study-{next(numbers)}")
        run("study", table, "--out", out / "no study", *cache)
    for command in (("pretrain", labels), ("fine-tune", "b-lines", "--labels", labels)):
        run(*command, "--out", out / f"none-{next(numbers)}", "--encoder", place)


def _runner(root: Path, done: Session) -> Callable[..., None]:
    """Runs a command in this process, where all that it writes to either stream, logs or warns of is caught."""

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            done.records.append(record.getMessage())

    def run(*arguments: object) -> None:
        words = ["lusfx", *map(str, arguments)]
        with (
            pytest.MonkeyPatch.context() as patch,
            (root / "stdout").open("w+") as out,
            (root / "stderr").open("w+") as err,
        ):
            patch.setenv("LUSFX_SITE_KEY", str(root / "site.key"))
            patch.setenv("LUSFX_HOME", str(root / "home"))
            patch.setattr(sys, "argv", words)
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            handler = Keeping(logging.DEBUG)
            logging.getLogger().addHandler(handler)
            try:
                with (
                    warnings.catch_warnings(record=True, action="always") as warned,
                    pytest.raises(SystemExit) as ended,
                ):
                    main()
            finally:
                logging.getLogger().removeHandler(handler)
            done.records += [str(warning.message) for warning in warned]
            for stream in (out, err):
                stream.seek(0)
                done.said.append((" ".join(words[1:3]), stream.read()))
        done.codes.setdefault(str(arguments[0]), []).append(int(ended.value.code or 0))

    return run


def test_the_session_did_what_it_should(session: Session, trials: Callable[[int, int], int]) -> None:
    """Each command did its work at least once and failed at least once: else nothing could have leaked."""
    for command in (
        "extract",
        "train-task",
        "score",
        "evaluate",
        "inspect",
        "cache",
        "model",
        *TRAINING[: trials(1, 3)],
    ):
        codes = session.codes[command]
        assert 0 in codes or 3 in codes, (command, codes)
        assert 1 in codes or 2 in codes, (command, codes)
    for name in (
        "scores.csv",
        "scores.parquet",
        "scores.html",
        "evaluation.html",
        "model/report.html",
        *WRITTEN,
        *TRAINED[: trials(0, 9)],
    ):
        assert (session.out / name).stat().st_size > 0, name


def test_nothing_that_is_said_holds_a_canary(session: Session) -> None:
    """What the user typed may come back in a usage error; what lies in files may not."""
    told = [(command, text) for command, text in session.said if found_in(text.encode())]
    assert not told, told
    assert not [record for record in session.records if found_in(record.encode())]


def test_nothing_that_is_written_holds_a_canary(session: Session, measured: Callable[..., None]) -> None:
    hits = hits_below(session.out)
    assert not hits
    n_files = sum(path.is_file() for path in session.out.rglob("*"))
    n_commands = sum(map(len, session.codes.values()))
    measured(ROW, {"commands": n_commands, "files written": n_files, "hits": len(hits)})


def test_the_search_finds_canaries() -> None:
    for text in (WORD, DIGITS, DATE):
        for hidden in (f"x{text}y".encode(), f"{text} ".encode("utf-16"), b"--" + text.encode().hex().encode()):
            assert found_in(hidden), hidden


def test_only_their_owner_reads_what_is_written(session: Session) -> None:
    """Others can enter no directory of it; an encoder, which is made to be passed on, lies in one that is closed."""

    def is_closed(path: Path) -> bool:
        return stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0

    for path in session.out.rglob("*"):
        parts = path.relative_to(session.out).parts
        shown = parts[: parts.index("encoder")] if "encoder" in parts[1:] else parts
        assert is_closed(session.out.joinpath(*shown)), shown
