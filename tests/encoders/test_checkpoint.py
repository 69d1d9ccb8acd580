"""Checkpoints of strangers: tensors come out, or one plain error, and nothing is run."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from safetensors.torch import save_file  # noqa: E402 - after the skip

from lusfx.encoders import checkpoint  # noqa: E402
from lusfx.encoders.checkpoint import read_checkpoint  # noqa: E402
from lusfx.errors import EncoderError  # noqa: E402

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16), "n": torch.tensor(3)}


def saved(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def test_tensors_of_each_kind_of_file(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "bare.safetensors")
    files = {
        tmp_path / "bare.safetensors": None,
        saved(tmp_path / "bare.pth", TENSORS): None,
        saved(
            tmp_path / "nested.pt", {"model": TENSORS, "epoch": 3, "args": argparse.Namespace(lr=0.1, blr=None)}
        ): "model",
    }
    for file, under in files.items():
        read = read_checkpoint(file, under)
        assert read.tensors.keys() == TENSORS.keys()
        assert all(torch.equal(read.tensors[key], value) for key, value in TENSORS.items())
        assert len(read.sha256) == 64
    parameters = {"w": torch.nn.Parameter(torch.ones(2))}
    assert not read_checkpoint(saved(tmp_path / "p.pth", parameters)).tensors["w"].requires_grad


class Runs:
    """On unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("nested", [False, True])
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path, nested: bool) -> None:
    target = tmp_path / "ran"
    hostile = {**TENSORS, "x": Runs(target)}
    file = saved(tmp_path / "hostile.pth", {"model": TENSORS, "optimizer": hostile} if nested else hostile)
    with pytest.raises(EncoderError, match=r"holds more than tensors and would run code \(\w+\.mkdir\)") as refused:
        read_checkpoint(file, "model" if nested else None)
    assert not target.exists()
    assert str(tmp_path) not in str(refused.value)
    torch.load(file, weights_only=False)
    assert target.exists()  # it would have


def zipped(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_what_only_looks_like_a_checkpoint_is_refused(tmp_path: Path) -> None:
    sound = pickle.dumps({}, protocol=2)
    bomb = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x7f\x85R."
    by_stack = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."
    cases = {
        "neither a safetensors file": [b"", b"\x00" * 64, b"no weights", pickle.dumps(Runs(tmp_path / "ran"))],
        "damaged": [b"PK\x03\x04 and no zip"],
    }
    for message, contents in cases.items():
        for content in contents:
            (tmp_path / "x").write_bytes(content)
            with pytest.raises(EncoderError, match=message):
                read_checkpoint(tmp_path / "x")
    for entries, message in [
        ({"a": b""}, "none of torch.save"),
        ({"a/data.pkl": sound, "b/data.pkl": sound}, "none of torch.save"),
        ({"a/data.pkl": bomb}, r"builtins\.bytearray"),
        ({"a/data.pkl": by_stack}, "STACK_GLOBAL"),
        ({"a/data.pkl": b"\x80\x02}"}, "damaged"),
        ({"a/data.pkl": sound, "a/version": b"3\n"}, "holds no tensors by name"),
    ]:
        with pytest.raises(EncoderError, match=message):
            read_checkpoint(zipped(tmp_path / "z", entries))
    with pytest.raises(EncoderError, match="a compressed zip"):
        read_checkpoint(zipped(tmp_path / "z", {"a/data.pkl": sound}, zipfile.ZIP_DEFLATED))
    assert not (tmp_path / "ran").exists()


def rewritten(file: Path, change: Callable[[bytes], bytes]) -> Path:
    """The same archive with another pickle."""
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    return zipped(file, {n: change(c) if n.endswith("data.pkl") else c for n, c in entries.items()})


def test_a_tensor_that_claims_more_than_its_storage_is_refused(tmp_path: Path) -> None:
    """A size of 6 becomes one of billions; no memory is taken for it."""
    file = saved(tmp_path / "t.pth", {"w": torch.arange(200.0)})
    size = b"K\xc8\x85"  # the tuple (200,)
    rewritten(file, lambda content: content.replace(size, b"J\xff\xff\xff\x7f\x85", 1))
    with pytest.raises(EncoderError, match="torch cannot read tensors"):
        read_checkpoint(file)


def test_a_view_that_is_larger_than_all_memory_is_counted(tmp_path: Path) -> None:
    file = saved(tmp_path / "t.pth", {"w": torch.zeros(1).expand(1 << 20, 1 << 20)})
    with pytest.raises(EncoderError, match="tensors are larger than 4 GiB"):
        read_checkpoint(file)


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(tmp_path / "t.pth", TENSORS)
    monkeypatch.setattr(checkpoint, "MAX_PICKLE_BYTES", 10)
    with pytest.raises(EncoderError, match="says that it holds more"):
        read_checkpoint(file)
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 100)
    with pytest.raises(EncoderError, match="the checkpoint is larger than"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    ("content", "under", "message"),
    [
        ({"state": TENSORS}, "model", "has no 'model', where its tensors should be; it has: state"),
        ({"model": TENSORS}, None, "has 'model', which is no tensor"),
        ([1, 2], None, "holds no tensors by name"),
        ({3: torch.ones(1)}, None, "a key that is no name"),
        ({"a" * 501: torch.ones(1)}, None, "a key that is no name"),
    ],
)
def test_what_holds_something_else_is_told(tmp_path: Path, content: object, under: str | None, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        read_checkpoint(saved(tmp_path / "t.pth", content), under)


def test_no_file_and_no_plain_file(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="cannot be read: No such file"):
        read_checkpoint(tmp_path / "none")
    with pytest.raises(EncoderError, match="cannot be read: it is not a plain file"):
        read_checkpoint(tmp_path)


def test_a_file_of_an_old_torch_is_told(tmp_path: Path) -> None:
    file = saved(tmp_path / "old.pth", TENSORS, _use_new_zipfile_serialization=False)
    with pytest.raises(EncoderError, match=r"nor one of torch.save since torch 1\.6|neither"):
        read_checkpoint(file)


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(tmp_path / "t.pth", TENSORS)
    load = torch.load

    def changing(*arguments: Any, **options: Any) -> object:
        loaded = load(*arguments, **options)
        os.utime(file, (1, 1))
        return loaded

    monkeypatch.setattr(torch, "load", changing)
    with pytest.raises(EncoderError, match="changed while it was read"):
        read_checkpoint(file)


def test_the_pickle_is_looked_at_before_torch_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("unpickled"))
    buffer = io.BytesIO()
    torch.save({"x": Runs(tmp_path / "ran")}, buffer)
    (tmp_path / "t.pth").write_bytes(buffer.getvalue())
    with pytest.raises(EncoderError, match="would run code"):
        read_checkpoint(tmp_path / "t.pth")
