"""The commands that look and list, and what the command line imports."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from lusfx.cli import COMMANDS, LazyGroup, group

Lusfx = Callable[..., Any]
HEAVY = (
    "torch",
    "timm",
    "lightgbm",
    "sklearn",
    "scipy",
    "h5py",
    "matplotlib",
    "numpy",
    "pydantic",
    "av",
    "pydicom",
    "onnxruntime",
)


def imported_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_help_imports_nothing_heavy() -> None:
    """Imports are what a command line takes long for; seconds would depend on the machine and on what else it does."""
    code = "sys.argv = ['lusfx', '--help']\nimport lusfx.cli\ntry:\n    lusfx.cli.main()\nexcept SystemExit:\n    pass"
    assert not imported_by(code) & {*HEAVY, "pluggy", "lusfx.plugins"}


def test_ctrl_c_before_a_command_listens_has_the_exit_code_of_an_interrupted_run(
    lusfx_here: Lusfx, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_given: object, **_options: object) -> None:
        raise KeyboardInterrupt

    for owner, name in ((importlib, "import_module"), (LazyGroup, "make_context")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted)
            told = lusfx_here("extract", "exams", "--cache", "cache")
        assert (told.code, told.out, told.err) == (130, "", "\nError: interrupted\n"), name


def test_every_public_function_is_found_and_no_room_has_its_name() -> None:
    import lusfx

    for name in set(lusfx.__all__) - {"__version__"}:
        assert callable(getattr(lusfx, name)), name
        assert importlib.util.find_spec(f"lusfx.{name}") is None, (
            f"a room of this name would replace the function {name}"
        )


@pytest.mark.slow
def test_extracting_needs_neither_torch_nor_what_trains(archive: Any) -> None:
    call = f"extract([{str(archive.folder)!r}], {str(archive.folder / 'c')!r})"
    code = f"from lusfx.engine.extraction.extract import extract\n{call}"
    assert not imported_by(code) & {"torch", "timm", "onnx", "lightgbm", "sklearn", "matplotlib"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_name_and_help(name: str) -> None:
    command = importlib.import_module(f"lusfx.cli.{name.replace('-', '_')}").command
    assert command.name == name
    for item in command.commands.values() if isinstance(command, click.Group) else [command]:
        assert item.help
        for parameter in item.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name}: {parameter.name} has no help"


def test_an_unknown_command_is_a_usage_error(lusfx: Lusfx) -> None:
    assert isinstance(group, LazyGroup)
    run = lusfx("nonsense")
    assert run.code == 2
    assert "there is no command 'nonsense'" in run.err


@pytest.mark.parametrize("name", ["encoders", "heads", "plugins", "tasks"])
def test_lists_are_for_people_and_for_programs(lusfx_here: Lusfx, name: str) -> None:
    assert lusfx_here(name).code == 0
    assert lusfx_here(name, "--json").json


@pytest.mark.slow
def test_doctor_finds_this_installation_sound(lusfx: Lusfx, archive: Any) -> None:
    run = lusfx("doctor", "--cache", archive.cache, "--json")
    assert run.code == 0, run.out
    states = {check["name"]: check["state"] for check in run.json}
    assert states["encoder"] == "ok"
    assert states["cache"] == "ok"


def test_doctor_finds_what_is_wrong(lusfx: Lusfx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("nonsense")
    monkeypatch.setenv("LUSFX_SITE_KEY", str(tmp_path / "key"))
    (tmp_path / "no-cache").mkdir()
    (tmp_path / "no-cache" / "mine").touch()
    run = lusfx("doctor", "--cache", tmp_path / "no-cache", "--json")
    assert run.code == 1
    assert {check["name"] for check in run.json if check["state"] == "wrong"} == {"site key", "cache"}


def test_doctor_knows_a_cache_of_another_key_and_one_that_is_not_begun(
    lusfx_here: Lusfx, archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state_of(name: str, cache: Path) -> str:
        return {check["name"]: check["state"] for check in lusfx_here("doctor", "--cache", cache, "--json").json}[name]

    assert state_of("cache", tmp_path / "new") == "absent"
    assert state_of("cache's site key", archive.cache) == "ok"
    for file in ("other.key", "absent.key"):
        monkeypatch.setenv("LUSFX_SITE_KEY", str(tmp_path / file))
        if file == "other.key":
            made = lusfx_here("site-key", "--make")
            assert made.err.startswith(f"note: a site key was made, {tmp_path / file}: back it up")
            assert "note" not in lusfx_here("site-key").err
        assert state_of("cache's site key", archive.cache) == "wrong"
    assert not (tmp_path / "absent.key").exists()


def test_a_source_that_is_not_there_begins_nothing(lusfx_here: Lusfx, archive: Any, tmp_path: Path) -> None:
    """Nor does a manifest that cannot be used; and of a cache that is there no run is begun."""
    (tmp_path / "m.csv").write_text("file\na.mp4\n")
    for words in (["nowhere"], [archive.folder, "nowhere"], ["m.csv"], []):
        assert lusfx_here("extract", *words, "--cache", "new").code != 0
        assert not (tmp_path / "new").exists()
    n_runs = len(list((archive.cache / "runs").iterdir()))
    told = lusfx_here("extract", "nowhere", "--cache", archive.cache)
    assert told.err == "Error: source 1 of 1 does not exist. Run again with --show-paths to see which\n"
    assert lusfx_here("extract", "nowhere", "--cache", archive.cache, "--show-paths").err.endswith("exist: nowhere\n")
    assert len(list((archive.cache / "runs").iterdir())) == n_runs


def test_nothing_found_and_nothing_done_are_errors(lusfx_here: Lusfx, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    told = lusfx_here("extract", "empty", "--cache", "cache")
    assert told.code == 1
    assert "Error: no clip was found in the sources" in told.err
    (tmp_path / "bad").mkdir()
    for number in range(30):
        (tmp_path / "bad" / f"{number}.mp4").write_text(f"no video {number}")
    told = lusfx_here("extract", "bad", "--cache", "cache")
    assert told.code == 1
    assert "Error: none of 30 sources could be encoded" in told.err
    assert len([line for line in told.err.splitlines() if line.startswith("failed: ")]) == 20
    assert "and 10 more: not-a-video 10" in told.err


def test_errors_are_json_where_json_was_asked_for(lusfx_here: Lusfx) -> None:
    for words, code in ((["cache", "info", "--cache", "nowhere"], 1), (["extract", "--frames"], 2)):
        told = lusfx_here(*words, "--json")
        assert told.code == told.json["error"]["exit_code"] == code
        assert told.json["error"]["message"] in told.err


def test_the_cache_may_be_named_by_the_environment(
    lusfx_here: Lusfx, archive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUSFX_CACHE", str(archive.cache))
    assert lusfx_here("cache", "info", "--json").json["stores"][0]["n_clips"] == 24


def test_what_was_meant_is_said(lusfx_here: Lusfx, tmp_path: Path) -> None:
    assert "Did you mean pretrain or train-task?" in lusfx_here("train").err
    (tmp_path / "a.png").touch()
    told = lusfx_here("extract", "a.png", "--cache", "new", "--encoder", "lung_lite0")
    assert "Did you mean lung-lite0?" in told.err
    assert "timm/..." in told.err
    assert ".png" in lusfx_here("inspect", "a.png", "--out", "a.jpg").err


def test_inspect_draws(lusfx_here: Lusfx, archive: Any, tmp_path: Path) -> None:
    clip = sorted((archive.folder / "clips").iterdir())[0]
    run = lusfx_here("inspect", clip, "--out", "picture.png", "--json")
    assert run.code == 0, run.err
    assert run.json["beam_shape"] in ("sector", "linear")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.width == 1440
    assert lusfx_here("inspect", clip, "--out", "other.png", "--frame", 900).code == 1


def test_cache_commands(lusfx_here: Lusfx, archive: Any) -> None:
    info = lusfx_here("cache", "info", "--cache", archive.cache, "--json").json
    assert (info["stores"][0]["n_clips"], info["n_patients"]) == (24, 12)
    assert lusfx_here("cache", "verify", "--cache", archive.cache).code == 0
    clip = sorted((archive.folder / "clips").iterdir())[0]
    assert lusfx_here("cache", "explain", clip, "--cache", archive.cache, "--json").json["verdict"] == "hit"

    victim = sorted(archive.cache.rglob("*.h5"))[0]
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    found = lusfx_here("cache", "verify", "--cache", archive.cache, "--json")
    assert found.code == 1
    assert [finding["code"] for finding in found.json["findings"]] == ["damaged-clip"]
    assert "1 damaged file set aside" in lusfx_here("cache", "repair", "--cache", archive.cache).out
    assert lusfx_here("extract", archive.folder, "--cache", archive.cache, "--json").json["encoded"] == 1
    assert lusfx_here("cache", "gc", "--cache", archive.cache, "--json").json["removed"]
    (store,) = lusfx_here("cache", "info", "--cache", archive.cache, "--json").json["stores"]
    named = lusfx_here("cache", "gc", "--cache", archive.cache, "--fingerprint", store["fingerprint"], "--dry-run").out
    assert f"features of {store['encoder']}, {store['fingerprint'][:12]}: would be removed" in named
    assert lusfx_here("cache", "verify", "--cache", archive.cache).code == 0


def test_a_packed_cache_is_extracted_into_and_explained_as_before(lusfx_here: Lusfx, archive: Any) -> None:
    held = lusfx_here("cache", "info", "--cache", archive.cache, "--json").json["stores"][0]
    n_clips = held["n_clips"]
    packing = lusfx_here("cache", "pack", "--cache", archive.cache)
    assert f"{n_clips} loose clips = {n_clips} packed + 0 damaged; packs written: 1, of" in packing.out
    assert lusfx_here("cache", "pack", "--cache", archive.cache, "--json").json["clips"] == 0
    held = lusfx_here("cache", "info", "--cache", archive.cache, "--json").json["stores"][0]
    assert (held["n_clips"], held["n_packed"], held["n_packs"]) == (n_clips, n_clips, 1)
    assert lusfx_here("extract", archive.folder, "--cache", archive.cache, "--json").json["encoded"] == 0
    clip = sorted((archive.folder / "clips").iterdir())[0]
    explained = ("cache", "explain", clip, "--cache", archive.cache, "--json")
    assert lusfx_here(*explained).json["verdict"] == "hit"
    (victim,) = (archive.cache / held["fingerprint"] / "packs").iterdir()
    content = bytearray(victim.read_bytes())
    content[0] ^= 1
    victim.write_bytes(content)
    assert lusfx_here("cache", "verify", "--cache", archive.cache).code == 1
    assert lusfx_here(*explained).json["verdict"] == "never-encoded"
    lusfx_here("cache", "repair", "--cache", archive.cache)
    assert lusfx_here("extract", archive.folder, "--cache", archive.cache, "--json").json["encoded"] == n_clips
    damaged = sorted((archive.cache / held["fingerprint"] / "clips").rglob("*.h5"))[0]
    damaged.write_bytes(b"")
    packing = lusfx_here("cache", "pack", "--cache", archive.cache, "--json")
    assert (packing.code, packing.json["damaged"]) == (3, [damaged.stem])


@pytest.mark.slow
def test_a_model_is_shown_and_verified(lusfx_here: Lusfx, exams: Any, tmp_path: Path) -> None:
    pytest.importorskip("lusfx_ab_lines", reason="the plugin lusfx-ab-lines is not installed")
    trained = lusfx_here(
        "train-task", "ab-lines", "--labels", exams.labels, "--cache", exams.cache, "--out", "m",
        "--head", "lightgbm", "--set", "rounds=5", "--folds", 2, "--repeats", 1, "--json",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    (result,) = trained.json
    shown = lusfx_here("model", "show", "m").out.splitlines()
    assert shown[0].startswith(f"{result['model']}: A-lines and B-lines")
    assert shown[1] == "multi-label, one answer a clip: A-lines, B-lines"
    assert shown[2].endswith(f", {result['fingerprint'][:12]}, mean+max")
    assert shown[3] == "answered only where view is parenchymal"
    assert shown[4] == f"not answered farther than {result['familiar_limit']:.2f} from the training set"
    assert shown[5].startswith("trained on 32 clips of 16 patients, ")
    assert shown[6].startswith("A-lines: 16 of 32; cross-validated AUC ")
    assert shown[6].endswith("; head lightgbm rounds=5, calibration platt")
    assert shown[7].startswith("  screen: yes from ")
    assert shown[-1] == "the answer is every label that is a yes at 'balanced'"

    told = lusfx_here("model", "show", "m", "--json").json
    assert told["digest"] == result["digest"]
    assert told["metrics"] == {o["outcome"]: o["cross_validated"] for o in result["outcomes"]}
    assert lusfx_here("model", "verify", "m").out == "the task model is sound\n"
    assert lusfx_here("model", "verify", "m", "--json").json == {"sound": True, "problems": []}

    report, head = tmp_path / "m" / "report.html", tmp_path / "m" / "2-head.lightgbm.txt"
    report.write_bytes(report.read_bytes()[:-1])
    head.unlink()
    told = lusfx_here("model", "verify", "m", "--json")
    assert told.code == 1
    assert told.json["sound"] is False
    assert [problem.partition(" ")[0] for problem in told.json["problems"]] == ["2-head.lightgbm.txt", "report.html"]
    assert lusfx_here("model", "verify", "m").out.splitlines()[-1] == "the task model cannot be used"
    assert lusfx_here("model", "show", "m").code == 1


def test_a_model_of_the_first_format_is_to_be_trained_again(lusfx_here: Lusfx, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "task_model.json").write_text('{"format": "lusfx-task-model", "format_version": 1}')
    shown = lusfx_here("model", "show", "old")
    assert shown.code == 1
    assert shown.err.startswith("Error: the task model has format version 1, and this lusfx reads 2. Train it again")
    assert lusfx_here("model", "verify", "old").code == 1


def test_the_python_functions_have_the_commands_names() -> None:
    import lusfx as package

    for name in ("extract", "train_task", "score", "evaluate"):
        assert callable(getattr(package, name))
    with pytest.raises(AttributeError):
        _ = package.nonsense


def test_json_has_no_nan(lusfx_here: Lusfx, archive: Any) -> None:
    run = lusfx_here("cache", "info", "--cache", archive.cache, "--json")
    json.loads(run.out, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))
