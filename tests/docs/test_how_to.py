"""What the how-to guides say of plugins, site keys and workers is so."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner

import lusfx
from lusfx.cache import Cache
from lusfx.cli import group
from lusfx.engine.new_plugin import PluginKind, new_plugin
from lusfx.plugins import build_registry
from lusfx.site_key import SECRET_BYTES, SiteKey, SiteKeyError
from lusfx.synth import write_archive

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_hospitals_own_wiring_loads_and_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (block for block in python_blocks("how-to-write-a-plugin.md") if "LUSFX_API_VERSION" in block)
    (tmp_path / "hospital_wiring.py").write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    registry = build_registry([EntryPoint("hospital", "hospital_wiring", "lusfx")])
    assert registry.failures == []

    wiring = sys.modules["hospital_wiring"]
    monkeypatch.setattr(wiring, "MIRROR", tmp_path)
    monkeypatch.setattr(wiring, "INBOX", tmp_path / "inbox")
    assert registry.resolve_weights("timm/net") is None
    (tmp_path / "net.safetensors").touch()
    assert registry.resolve_weights("timm/net") == tmp_path / "net.safetensors"
    (tmp_path / "inbox").mkdir()
    tables = [tmp_path / name for name in ("scores.csv", "scores-exams.csv")]
    for table in tables:
        table.write_text("unit\n")
    assert registry.scores_written(tables, ["b-lines@1a2b3c4d5e6f"]) == []
    assert sorted(path.name for path in (tmp_path / "inbox").iterdir()) == ["scores-exams.csv", "scores.csv"]


def test_whoever_has_the_key_finds_a_patients_rows(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = python_blocks("how-to-score-an-archive.md")
    exec(block, {})
    assert capsys.readouterr().out.strip() == SiteKey.load().patient("4711")


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that was made with one key: of three patients by a manifest, half of it DICOM."""
    folder = tmp_path_factory.mktemp("moved")
    labels = write_archive(folder / "exams", n_patients=3, clips_per_patient=1, n_frames=2, clip_format="mixed")
    lusfx.extract([labels], folder / "first", site_key=SiteKey(bytes(SECRET_BYTES)))
    shutil.copytree(folder / "first", folder / "second")
    return folder


def patients(cache: Path) -> set[str | None]:
    return {member.patient for member in Cache.open(cache).memberships().values()}


def test_a_cache_that_moves_without_its_key_is_used_and_loses_the_link(moved: Path) -> None:
    """The table of docs/how-to-deploy.md: nothing is encoded; a manifest puts new pseudonyms on record, DICOM files do not."""
    cache, old, new = moved / "second", SiteKey(bytes(SECRET_BYTES)), SiteKey(bytes(range(SECRET_BYTES)))
    names = [f"synthetic-{number:04}" for number in (1, 2, 3)]
    assert patients(cache) == {old.patient(name) for name in names}

    with pytest.raises(SiteKeyError, match="Moving a cache"):
        lusfx.extract([moved / "exams" / "clips"], cache, site_key=new)
    result = lusfx.extract([moved / "exams" / "clips"], cache, site_key=new, other_site_key=True)
    assert (result.counts["cached"], result.counts["encoded"]) == (3, 0)
    assert patients(cache) == {old.patient(name) for name in names}

    result = lusfx.extract([moved / "exams" / "labels.csv"], cache, site_key=new)
    assert (result.counts["cached"], result.counts["encoded"]) == (3, 0)
    assert patients(cache) == {new.patient(name) for name in names}


def test_workers_share_a_cache(tmp_path: Path) -> None:
    """As the SLURM array runs them: a process a folder, at once, on a cache that none of them has made before."""
    for number in (1, 2, 3):
        write_archive(
            tmp_path / "archive" / str(number), n_patients=2, clips_per_patient=1, n_frames=4, first_patient=10 * number
        )
    environment = os.environ | {"LUSFX_SITE_KEY": str(tmp_path / "site.key")}
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "lusfx",
        "extract",
        "--cache",
        str(tmp_path / "cache"),
        "--threads",
        "1",
    ]
    workers = [
        subprocess.Popen([*command, str(folder)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for folder in sorted((tmp_path / "archive").iterdir())
    ]
    for worker in workers:
        said = worker.communicate(timeout=120)
        assert worker.returncode == 0, said
    (store,) = Cache.open(tmp_path / "cache").stores()
    assert len(store.keys()) == 6


def test_the_recipe_of_the_page_imports_what_a_training_script_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe and the command as they stand; clips are then extracted with the encoder that they make."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    timm = pytest.importorskip("timm", reason="timm is not installed")
    text = (DOCS / "how-to-bring-an-encoder.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (line,) = re.findall(r"^    lusfx (encoders import my-vit\.toml .*)$", text, re.MULTILINE)
    (tmp_path / "my-vit.toml").write_text(recipe, encoding="utf-8")
    network = timm.create_model("test_vit", pretrained=False, num_classes=0)
    content = {f"encoder.{key}": value for key, value in network.state_dict().items()}
    content |= {"decoder_pred.bias": torch.zeros(2), "mask_token": torch.zeros(1, 1, 2)}
    torch.save({"model": content, "epoch": 3}, tmp_path / "my-vit.pth")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(group, shlex.split(line))
    assert done.exit_code == 0, done.output
    assert "decoder_* (1 tensor); mask_token (1 tensor)" in done.output

    labels = write_archive(tmp_path / "exams", n_patients=1, clips_per_patient=1, n_frames=2)
    result = lusfx.extract([labels], tmp_path / "cache", encoder="encoders/my-vit")
    assert result.counts == {"encoded": 1}
    (store,) = Cache.open(tmp_path / "cache").stores()
    assert (store.spec.encoder.pooling, store.spec.encoder.input_size) == ("tokens-mean", 64)


@pytest.mark.parametrize(("name", "kind", "number"), [("class-means", "head", 0), ("greycine", "reader", 1)])
def test_the_examples_of_heads_and_readers_are_what_is_written(
    tmp_path: Path, name: str, kind: PluginKind, number: int
) -> None:
    """The written ones pass the kit, by the tests of ``lusfx new-plugin``."""
    plugin = new_plugin(name, tmp_path, kind=kind)
    (module,) = plugin.path.glob("src/*/__init__.py")
    assert python_blocks("plugins.md")[number] == module.read_text(encoding="utf-8")
