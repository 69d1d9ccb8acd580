"""Scoring: from a cache alone or from sources, several models in one pass, and a table that tells of everything."""

from __future__ import annotations

import csv
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from lusfx.cache import Cache, Store, pack
from lusfx.cli.cache import command as cache_command
from lusfx.cli.score import command
from lusfx.contracts import Abstention, EncoderRequest, Gate, Task, Youden, ZoneSummary
from lusfx.encoders import BUNDLED, DEFAULT_ENCODER
from lusfx.engine.extraction.opening import open_encoder
from lusfx.engine.samples.features import FeatureMaker, features_of_clips
from lusfx.engine.scoring.score import score
from lusfx.errors import (
    CacheError,
    EncoderError,
    FingerprintMismatchError,
    RunInterruptedError,
    TableError,
    UsageError,
)
from lusfx.heads.linear import LogisticHead
from lusfx.heads.standardiser import Standardiser
from lusfx.hookspecs import hookimpl
from lusfx.plugins import build_registry, load_registry
from lusfx.task_model import (
    FeaturesCard,
    HeadCard,
    OperatingPointCard,
    OutcomeCard,
    RuleCard,
    TaskCard,
    TaskModelFacts,
    TrainingCard,
    head_file,
    save_task_model,
)
from lusfx.testing.small_cache import SmallCache, make_small_cache


class Sign(Task):
    """Is it there?"""

    name = "sign"
    label_columns = ("sign",)
    pooling = "mean"


class Severity(Task):
    """How severe?"""

    name, kind = "severity", "ordinal"
    classes = ("0", "1", "2")
    label_columns = ("severity",)
    pooling = "mean"
    exam_summary = ZoneSummary(("L1", "L2", "R1"))


class Gated(Sign):
    """Is it there, where there is a sign?"""

    name = "gated"
    requires = Gate(task="sign", is_="yes")


class Longer(Sign):
    """Is it there, in clips of more than one frame?"""

    name = "longer"
    abstain = Abstention(min_frames=2)


class OfExam(Sign):
    """Is it there, anywhere in the exam?"""

    name, unit = "of-exam", "exam"


class OfFrame(Sign):
    """Is it there, in a frame?"""

    name, unit = "of-frame", "frame"


Save = Callable[..., Path]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallCache:
    """Six patients with three clips each: a long one, a short one and a still. Not to be changed."""
    return make_small_cache(tmp_path_factory.mktemp("small") / "made", Severity(), n_patients=6)


@pytest.fixture
def fresh(tmp_path: Path) -> SmallCache:
    """A cache like it that the test may change."""
    return make_small_cache(tmp_path / "made", Severity(), n_patients=2)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes a model whose outcomes are answered by the first columns of an embedding."""

    def write(task: Task, store: Store | SimpleNamespace, encoder: str = "made-up") -> Path:
        card, dim = TaskCard.of(task), store.spec.encoder.dim
        point = OperatingPointCard(rule=RuleCard.of(Youden()), threshold=0.5)
        training: dict[str, Any] = {"n_units": 2, "n_clips": 2, "n_patients": 2, "weak_labels": False, "seed": 0}
        facts = TaskModelFacts(
            task=card,
            features=FeaturesCard(fingerprint=store.fingerprint, encoder=encoder, dim=dim, n_features=dim),
            outcomes=tuple(
                OutcomeCard(
                    name=name,
                    head=HeadCard(name="logistic", settings={}),
                    calibration=None,
                    operating_points={"balanced": point},
                    decides="balanced",
                    n_units=2,
                    n_events=1,
                )
                for name in card.outcomes
            ),
            novelty=None,
            training=TrainingCard(**training, lusfx_version="0", created=datetime.now(UTC)),
        )
        files = {}
        for number in range(len(card.outcomes)):
            head = LogisticHead(Standardiser(np.zeros(dim), np.ones(dim)), np.eye(dim)[number], np.zeros(1))
            files |= {head_file(number, name): content for name, content in head.files().items()}
        auc = {"roc_auc": {"value": 0.8, "low": 0.7, "high": 0.9}}
        evidence = {"patients": [], "clips": [], "outcomes": {name: {"metrics": auc} for name in card.outcomes}}
        place = tmp_path / "models" / f"{task.name} {encoder}"
        save_task_model(place, facts, files, evidence, "")
        return place

    return write


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where an encoder or the site's key is asked for."""

    for name in ("open_encoder", "SiteKey.load"):
        monkeypatch.setattr(f"lusfx.engine.scoring.score.{name}", lambda *_arguments: pytest.fail("none is needed"))


def read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    return rows


def expected(small: SmallCache) -> dict[str, float]:
    """What a model's first outcome gives for each clip."""
    made = {}
    for key, clip in small.clips().items():
        vector = clip.embeddings[clip.status == 0].astype(np.float32).mean(axis=0)
        made[key] = float(1 / (1 + np.exp(-vector[0])))
    return made


# ---- from the cache -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_encoder")
def test_what_the_cache_holds_is_scored_without_sources(small: SmallCache, save: Save, tmp_path: Path) -> None:
    result = score([], [save(Sign(), small.store)], small.cache, tmp_path / "scores.parquet")
    rows = read(tmp_path / "scores.parquet")
    assert {row["clip"]: row["probability"] for row in rows} == pytest.approx(expected(small))
    members = Cache.open(small.cache).memberships()
    for row in rows:
        member = members[row["clip"]]
        assert (row["patient"], row["exam"], row["zone"]) == (member.patient, member.exam, member.zone)
        assert row["at_balanced"] is (row["probability"] >= 0.5)
        assert row["answer"] == ("yes" if row["at_balanced"] else "no")
    assert result.models == [rows[0]["model"]]
    assert (result.rows, result.reasons, result.extraction, result.exams) == ({"scored": 18}, {}, None, None)
    assert result.summary() == "18 rows = 18 scored + 0 not assessable, of 1 model"
    told = result.as_dict()
    assert (told["rows"], told["by_status"], told["extraction"]) == (18, {"scored": 18}, None)


@pytest.mark.usefixtures("no_encoder")
def test_each_clip_is_read_once_for_all_models(
    small: SmallCache, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [save(task, small.store) for task in (Sign(), Severity(), Gated(), OfExam(), OfFrame())]
    keys: list[str] = []
    inner = Store.read

    def counted(self: Store, key: str) -> Any:
        keys.append(key)
        return inner(self, key)

    monkeypatch.setattr(Store, "read", counted)
    score([], models, small.cache, tmp_path / "scores.parquet")
    assert sorted(keys) == sorted(small.store.keys())
    rows = read(tmp_path / "scores.parquet")
    counts = {name: sum(row["task"] == name for row in rows) for name in {row["task"] for row in rows}}
    n_frames = sum(int((clip.status == 0).sum()) for clip in small.clips().values())
    n_gated = counts.pop("gated")
    assert counts == {"sign": 18, "severity": 36, "of-exam": 6, "of-frame": n_frames}
    assert n_gated == 18


@pytest.mark.usefixtures("no_encoder")
def test_rows_come_exam_by_exam_and_the_same_each_time(small: SmallCache, save: Save, tmp_path: Path) -> None:
    models = [save(Sign(), small.store), save(OfExam(), small.store)]
    for name in ("one.csv", "two.csv"):
        score([], models, small.cache, tmp_path / name)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    with (tmp_path / "one.csv").open() as stream:
        exams = [row["exam"] for row in csv.DictReader(stream)]
    assert len([exam for exam, before in zip(exams, [None, *exams], strict=False) if exam != before]) == 6


@pytest.mark.usefixtures("no_encoder")
def test_csv_and_parquet_say_the_same(small: SmallCache, save: Save, tmp_path: Path) -> None:
    models = [save(task, small.store) for task in (Longer(), OfFrame())]
    for ending in ("csv", "parquet"):
        score([], models, small.cache, tmp_path / f"scores.{ending}")
    with (tmp_path / "scores.csv").open() as stream:
        told = list(csv.DictReader(stream))

    def text(value: Any) -> str:
        return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)

    assert told == [{name: text(value) for name, value in row.items()} for row in read(tmp_path / "scores.parquet")]


@pytest.mark.usefixtures("no_encoder")
def test_packed_clips_have_the_scores_that_they_had(fresh: SmallCache, save: Save, tmp_path: Path) -> None:
    """To the last digit, whatever the form of the task; and training is given the same features."""
    models = [save(task, fresh.store) for task in (Sign(), Severity(), Longer(), OfExam(), OfFrame())]
    makers = {model.name: FeatureMaker(TaskCard.of(model)) for model in (Sign(), Longer(), OfFrame())}
    before = features_of_clips(fresh.store, fresh.store.keys(), makers)
    score([], models, fresh.cache, tmp_path / "loose.csv")
    assert pack(Cache.open(fresh.cache)).clips == len(fresh.clips())
    score([], models, fresh.cache, tmp_path / "packed.csv")
    assert (tmp_path / "packed.csv").read_bytes() == (tmp_path / "loose.csv").read_bytes()
    store = Cache.open(fresh.cache).stores()[0]
    after = features_of_clips(store, store.keys(), makers)
    for name, clips in before.items():
        assert clips.keys() == after[name].keys()
        for key, made in clips.items():
            for field in fields(made):
                np.testing.assert_array_equal(getattr(after[name][key], field.name), getattr(made, field.name))


@pytest.mark.usefixtures("no_encoder")
def test_exams_are_summed_up_beside_the_scores(small: SmallCache, save: Save, tmp_path: Path) -> None:
    result = score([], [save(Severity(), small.store)], small.cache, tmp_path / "scores.parquet")
    assert result.exams == tmp_path / "scores-exams.parquet"
    summaries = read(tmp_path / "scores-exams.parquet")
    assert [row["zone"] for row in summaries] == ["L1", "L2", "R1", "all"] * 6
    levels: dict[str, int] = {}
    for row in read(tmp_path / "scores.parquet"):
        levels[row["exam"]] = levels.get(row["exam"], 0) + int(row["answer"]) * (row["outcome"] == "at least 1")
    assert {row["exam"]: row["sum"] for row in summaries if row["zone"] == "all"} == levels


# ---- gates and reasons --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_encoder")
def test_a_model_that_is_named_twice_answers_once(small: SmallCache, save: Save, tmp_path: Path) -> None:
    """Also where it is a gate, which must be one, and where a copy of it has another name."""
    gated, sign, out = save(Gated(), small.store), save(Sign(), small.store), tmp_path / "scores.parquet"
    score([], [gated, sign], small.cache, out)
    once = read(out)
    copy = shutil.copytree(sign, tmp_path / "models" / "copy")
    result = score([], [gated, sign, copy, gated], small.cache, out, force=True)
    assert read(out) == once
    assert result.summary().endswith("of 2 models")


@pytest.mark.usefixtures("no_encoder")
def test_a_gate_asks_for_its_model_or_for_no_gates(small: SmallCache, save: Save, tmp_path: Path) -> None:
    gated, sign, out = save(Gated(), small.store), save(Sign(), small.store), tmp_path / "scores.parquet"
    with pytest.raises(UsageError, match="--no-gates"):
        score([], [gated], small.cache, out)
    assert not out.exists()
    score([], [gated], small.cache, out, with_gates=False)
    assert {row["status"] for row in read(out)} == {"scored"}
    result = score([], [gated, sign], small.cache, out, force=True)
    no = sum(probability < 0.5 for probability in expected(small).values())
    assert 0 < no < 18
    assert result.rows == {"scored": 36 - no, "not assessable": no}
    assert result.reasons == {"gate": no}
    assert result.summary() == f"36 rows = {36 - no} scored + {no} not assessable, of 2 models"


# ---- the command --------------------------------------------------------------------------------------------------


def run(models: Sequence[Path], cache: Path, out: Path, *more: str) -> Any:
    options = [text for model in models for text in ("--model", str(model))]
    return CliRunner().invoke(command, [*options, "--cache", str(cache), "--out", str(out), *more])


def damage(store: Store) -> str:
    """Flip a bit of the first clip."""
    key = min(store.keys())
    content = bytearray(store.path_of(key).read_bytes())
    content[-1] ^= 1
    store.path_of(key).write_bytes(content)
    return key


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize("task", [Sign(), OfExam()])
def test_a_damaged_clip_stops_nothing_and_is_told_by_the_exit_code(
    fresh: SmallCache, save: Save, tmp_path: Path, task: Task
) -> None:
    models, out = [save(task, fresh.store)], tmp_path / "scores.parquet"
    assert run(models, fresh.cache, out).exit_code == 0
    n_sound = len(read(out))
    key = damage(fresh.store)
    told = run(models, fresh.cache, out, "--force")
    assert told.exit_code == 3
    assert "note: 1 row without an answer: damaged-in-cache" in told.stderr
    assert "1 without features, of 1 model" in told.stdout
    (row,) = [row for row in read(out) if row["status"] == "failed"]
    assert (row["clip"], row["code"], row["probability"]) == (key, "damaged-in-cache", None)
    assert len(read(out)) == (n_sound if task.unit == "clip" else n_sound + 1)


def test_a_plugin_that_fails_on_the_scores_is_told_of(
    small: SmallCache, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sender:
        seen: Path | None = None

        @hookimpl
        def lusfx_scores_written(self, scores: Path) -> None:
            Sender.seen = scores
            raise ConnectionError("DOE^JANE")

    registry = build_registry([])
    registry.manager.register(Sender(), name="sender")
    monkeypatch.setattr("lusfx.engine.scoring.score.load_registry", lambda: registry)
    told = run([save(Sign(), small.store)], small.cache, tmp_path / "scores.csv")
    assert told.exit_code == 4
    assert "warning: plugin 'sender' failed on lusfx_scores_written: ConnectionError" in told.stderr
    assert "DOE" not in told.output
    assert Sender.seen == tmp_path / "scores.csv"
    assert Sender.seen.exists()


# ---- refusals -----------------------------------------------------------------------------------------------------


def test_a_model_of_an_earlier_preprocessing_is_refused_with_what_to_do(save: Save, tmp_path: Path) -> None:
    spec = open_encoder(EncoderRequest(DEFAULT_ENCODER, device="cpu"), load_registry()).feature_spec
    before = SimpleNamespace(fingerprint=spec.as_prepared_by(1).fingerprint, spec=spec)
    (tmp_path / "clips").mkdir()
    with pytest.raises(
        FingerprintMismatchError, match=r"version 1 of the preprocessing, .* version 2.*lusfx train-task"
    ):
        score(
            [tmp_path / "clips"], [save(Sign(), before, DEFAULT_ENCODER)], tmp_path / "cache", tmp_path / "scores.csv"
        )


def test_models_of_other_features_are_refused(small: SmallCache, save: Save, tmp_path: Path) -> None:
    other = make_small_cache(tmp_path / "other", Sign(), n_patients=2, dim=20)
    models = [save(Sign(), small.store), save(Severity(), other.store)]
    with pytest.raises(UsageError, match="the models are bound to different features: sign@") as error:
        score([], models, small.cache, tmp_path / "scores.csv")
    for store in (small.store, other.store):
        assert f"needs {store.fingerprint[:12]}" in str(error.value)
    with pytest.raises(CacheError, match=r"the cache holds no features that .* takes .*Run: lusfx extract"):
        score([], models[1:], small.cache, tmp_path / "scores.csv")
    assert not (tmp_path / "scores.csv").exists()


def test_a_wrong_name_is_refused_before_any_work(small: SmallCache, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        score([], [tmp_path / "no model"], small.cache, tmp_path / "scores.xlsx")
    with pytest.raises(UsageError, match="name at least one task model"):
        score([], [], small.cache, tmp_path / "scores.csv")


# ---- from sources -------------------------------------------------------------------------------------------------


@pytest.fixture
def effusion(archive: Any, save: Save) -> Mapping[str, Any]:
    """A model of the default encoder's features, and a folder of two sound clips and what is none."""
    clips = sorted((archive.folder / "clips").iterdir())
    for place in clips[2:]:
        place.unlink()
    (archive.folder / "clips" / "text.mp4").write_text("not a video")
    store = Cache.open(archive.cache).stores()[0]
    return {"model": save(Sign(), store, DEFAULT_ENCODER), "folder": clips[0].parent, "store": store}


def test_every_source_has_a_row_whatever_became_of_it(
    archive: Any, effusion: Mapping[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"
    result = score([effusion["folder"]], [effusion["model"]], archive.cache, out, show_paths=True)
    rows = {Path(row["path"]).name: row for row in read(out)}
    assert [row["status"] for row in rows.values()] == ["scored", "scored", "failed"]
    assert (rows["text.mp4"]["code"], rows["text.mp4"]["probability"]) == ("not-a-video", None)
    assert result.extraction is not None
    assert result.extraction.counts == {"cached": 2, "failed": 1}
    assert result.summary() == "3 rows = 2 scored + 0 not assessable + 1 without features, of 1 model"
    assert run([effusion["model"]], archive.cache, out, str(effusion["folder"]), "--force").exit_code == 3
    assert "path" not in read(out)[0]


def test_an_interrupted_run_tells_what_was_not_reached(
    archive: Any, effusion: Mapping[str, Any], tmp_path: Path
) -> None:
    stop = threading.Event()
    stop.set()
    result = score([effusion["folder"]], [effusion["model"]], tmp_path / "fresh", tmp_path / "s.parquet", stop=stop)
    rows = read(tmp_path / "s.parquet")
    assert {row["status"] for row in rows} <= {"not reached", "failed"}
    assert result.rows["not reached"] >= 2
    assert len(rows) == 3


def test_an_interrupted_run_leaves_a_table_that_is_there_as_it_is(
    archive: Any, effusion: Mapping[str, Any], tmp_path: Path
) -> None:
    """With ``--force`` too: a table of what was not reached is worse than yesterday's."""
    out, stop = tmp_path / "scores.csv", threading.Event()
    score([effusion["folder"]], [effusion["model"]], archive.cache, out)
    before = out.read_bytes()
    stop.set()
    with pytest.raises(RunInterruptedError, match="the table that is there was left as it is"):
        score([effusion["folder"]], [effusion["model"]], tmp_path / "fresh", out, force=True, stop=stop)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.glob("*scores*")] == ["scores.csv"]


def test_the_encoder_is_the_first_models_by_its_name_there(
    archive: Any, effusion: Mapping[str, Any], save: Save, tmp_path: Path
) -> None:
    """Models of the same features may know their encoder by different names, one of which is nobody's here."""
    models = [effusion["model"], save(Severity(), effusion["store"], "my/encoder")]
    for _ in range(3):
        score([effusion["folder"]], models, archive.cache, tmp_path / "scores.csv", force=True)
    with pytest.raises(UsageError, match="unknown encoder 'my/encoder'"):
        score([effusion["folder"]], models[::-1], archive.cache, tmp_path / "scores.csv", force=True)
    score([effusion["folder"]], models[::-1], archive.cache, tmp_path / "new.csv", encoder=DEFAULT_ENCODER)


@pytest.mark.parametrize("here", [True, False])
def test_a_converted_encoder_is_found_by_its_fingerprint_and_no_hub_is_asked(
    archive: Any, effusion: Mapping[str, Any], save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    monkeypatch.setenv("LUSFX_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("lusfx.encoders.timm_family._from_hub", lambda name: pytest.fail("a network was asked"))
    model = save(Severity(), effusion["store"], "timm/resnet18")
    if here:
        shutil.copytree(BUNDLED / DEFAULT_ENCODER, tmp_path / "home" / "encoders" / "timm-resnet18@0123456789ab")
        result = score([effusion["folder"]], [model], archive.cache, tmp_path / "s.csv")
        assert result.extraction is not None
        assert result.extraction.counts["cached"] == 2
    else:
        with pytest.raises(EncoderError, match="Name its directory with --encoder"):
            score([effusion["folder"]], [model], archive.cache, tmp_path / "s.csv")


def test_sources_are_not_encoded_for_models_of_other_features(
    small: SmallCache, effusion: Mapping[str, Any], save: Save, tmp_path: Path
) -> None:
    model = save(Sign(), small.store, DEFAULT_ENCODER)
    with pytest.raises(FingerprintMismatchError, match="Run: lusfx extract"):
        score([effusion["folder"]], [model], tmp_path / "fresh", tmp_path / "scores.csv")
    assert not (tmp_path / "fresh").exists()


# ---- night after night --------------------------------------------------------------------------------------------


def test_an_empty_folder_and_a_lost_disk_replace_no_good_table(
    archive: Any, effusion: Mapping[str, Any], tmp_path: Path
) -> None:
    model, out, folder = [effusion["model"]], tmp_path / "scores.csv", effusion["folder"]
    assert run(model, archive.cache, out, str(folder), "--force").exit_code == 3
    good = out.read_bytes()
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path\nlost/a.mp4\nlost/b.mp4\n")
    (tmp_path / "empty").mkdir()
    for source, message in (
        (tmp_path / "empty", "no clip was found"),
        (manifest, "none of 2 sources could be encoded"),
    ):
        for force in ((), ("--force",)):
            told = run(model, archive.cache, out, str(source), *force)
            assert told.exit_code != 0
            assert out.read_bytes() == good
        assert message in str(told.exception)
    told = run(model, archive.cache, out, str(folder), str(tmp_path / "empty"), "--force")
    assert "no clip is in source 2" in str(told.exception)
    assert out.read_bytes() == good
    new = tmp_path / "new.csv"
    assert run(model, archive.cache, new, str(manifest)).exit_code == 1
    assert {row["status"] for row in csv.DictReader(new.read_text().splitlines())} == {"failed"}


def test_a_file_that_is_known_to_be_bad_ends_no_night_with_3(
    archive: Any, effusion: Mapping[str, Any], tmp_path: Path
) -> None:
    model, known, folder = [effusion["model"]], tmp_path / "known.csv", effusion["folder"]
    assert run(model, archive.cache, tmp_path / "a.csv", str(folder)).exit_code == 3
    told = CliRunner().invoke(cache_command, ["troubles", "--cache", str(archive.cache), "--accept", str(known)])
    assert "1 source failed; taken as known" in told.stdout
    told = run(model, archive.cache, tmp_path / "b.csv", str(folder), "--known-bad", str(known))
    assert told.exit_code == 0
    assert "1 failed (1 known)" in told.stdout
    assert "text.mp4" not in known.read_text()
    known.write_text(known.read_text().replace("not-a-video", "damaged"))  # which would be news
    assert run(model, archive.cache, tmp_path / "c.csv", str(folder), "--known-bad", str(known)).exit_code == 3
    known.write_text("source,code\ntext.mp4,not-a-video\n")
    told = run(model, archive.cache, tmp_path / "d.csv", str(folder), "--known-bad", str(known))
    assert isinstance(told.exception, TableError)


# ---- answers without a table --------------------------------------------------------------------------------------


def test_one_clip_has_its_answer_in_words_and_a_table_on_standard_output(
    archive: Any, effusion: Mapping[str, Any], tmp_path: Path
) -> None:
    clip = sorted(effusion["folder"].glob("synthetic*"))[0]
    options = ["--model", str(effusion["model"].parent), "--cache", str(archive.cache), str(clip)]
    told = CliRunner().invoke(command, options)
    assert told.exit_code == 0
    *_, said = told.stdout.splitlines()
    assert re.fullmatch(r"\S+@[0-9a-f]{12}: (yes|no) \(probability: yes 0\.\d{3}\)", said)
    told = CliRunner().invoke(command, [*options, "--out", "-"])
    (row,) = csv.DictReader(told.stdout.splitlines())
    assert row["status"] == "scored"
    assert row["answer"] in said
    assert said in told.stderr
    assert list(tmp_path.glob("-*")) == []
