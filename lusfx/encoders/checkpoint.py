"""The tensors of a checkpoint from elsewhere: read without running anything, and within bounds.

A file of ``torch.save`` is a zip with a pickle in it. What that pickle names is looked at before torch unpickles anything: the
parts of tensors, containers, and the plain record of settings that training scripts put beside them. Torch then reads it with
``weights_only=True``.
"""

from __future__ import annotations

import argparse
import hashlib
import pickletools
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from lusfx.errors import EncoderError, MissingExtraError
from lusfx.messages import first_few, one_line, system_reason
from lusfx.plain_file import NotPlainError, Stamp, open_plain_file

if TYPE_CHECKING:
    import torch

MAX_BYTES: Final = 1 << 32
"""Of a file, and of all its tensors; a ViT-B with the state of its optimiser takes a quarter."""
MAX_PICKLE_BYTES: Final = 1 << 25
MAX_ENTRIES: Final = 100_000
MAX_KEY: Final = 500
TO_SAFETENSORS: Final = "Have its tensors saved as safetensors by somebody who trusts it, and import that"
STORAGES: Final = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
HARMLESS: Final = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch Size",
        "argparse Namespace",
        *(f"torch {kind}Storage" for kind in STORAGES),
    }
)
"""What a checkpoint's pickle may name. A namespace is attributes by name, and torch is told that it may make one."""
NAMING: Final = ("GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file's tensors by key, on the CPU.

    :param sha256: of the file.
    """

    tensors: Mapping[str, torch.Tensor]
    sha256: str


def read_checkpoint(file: Path, under: str | None = None) -> Checkpoint:
    """Read a safetensors file, or one of ``torch.save``.

    :param under: key of the file that holds the tensors; None where the file is them. A safetensors file has none.
    :raises EncoderError: if it is none, is too large, names anything but tensors, or holds what is no dense tensor of
        numbers.
    :raises MissingExtraError: without torch.
    """
    try:
        import torch  # noqa: F401 - what the readers below need
    except ImportError:
        raise MissingExtraError("importing an encoder", "timm") from None
    before = Stamp.of(file)
    try:
        with open_plain_file(file, follow_links=True) as stream:
            if before is not None and before.size > MAX_BYTES:
                raise EncoderError(f"the checkpoint is larger than {MAX_BYTES >> 30} GiB")
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            is_zip = stream.read(4) == b"PK\x03\x04"
            if is_zip:
                _require_harmless(stream)
        found = _unpickled(file, under) if is_zip else _safetensors(file)
    except NotPlainError as error:
        raise EncoderError(f"the checkpoint cannot be read: {error.strerror}") from None
    except OSError as error:
        raise EncoderError(f"the checkpoint cannot be read: {system_reason(error)}") from None
    if Stamp.of(file) != before:
        raise EncoderError("the checkpoint changed while it was read. Import it again")
    return Checkpoint(_tensors(found), digest)


def _require_harmless(stream: IO[bytes]) -> None:
    """Look at the parts of a zip and at what its pickle names.

    :raises EncoderError: if it is no plain archive of ``torch.save``, or names what a tensor is not made of.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
            pickles = [entry for entry in entries if entry.filename.rpartition("/")[2] == "data.pkl"]
            if len(pickles) != 1 or len(entries) > MAX_ENTRIES or len(set(archive.namelist())) != len(entries):
                raise EncoderError("the checkpoint is a zip, but none of torch.save")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise EncoderError("the checkpoint is a compressed zip, which torch.save does not write")
            if sum(entry.file_size for entry in entries) > MAX_BYTES or pickles[0].file_size > MAX_PICKLE_BYTES:
                raise EncoderError("the checkpoint says that it holds more than its file could")
            content = archive.read(pickles[0])
        foreign = sorted(set(_named(content)) - HARMLESS)
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError) as error:  # NotImplementedError among them
        raise EncoderError(f"the checkpoint is damaged ({type(error).__name__})") from None
    if foreign:
        names = first_few([one_line(name.replace(" ", "."))[:100] for name in foreign])
        raise EncoderError(
            f"the checkpoint is refused: it holds more than tensors and would run code ({names}). {TO_SAFETENSORS}"
        )


def _named(content: bytes) -> Iterator[str]:
    """The modules and names that a pickle has looked up."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in NAMING:
            yield str(argument) if isinstance(argument, str) else opcode.name


def _unpickled(file: Path, under: str | None) -> object:
    import torch

    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old kinds of storage
            found = torch.load(file, weights_only=True, map_location="cpu", mmap=True)
    except Exception as error:  # a hostile file may raise anything
        raise EncoderError(
            f"the checkpoint is refused: torch cannot read tensors from it ({type(error).__name__}). {TO_SAFETENSORS}"
        ) from None
    if under is None:
        return found
    if not isinstance(found, dict) or under not in found:
        names = [key for key in found if isinstance(key, str)] if isinstance(found, dict) else []
        keys = first_few([one_line(key)[:100] for key in names]) or "none"
        raise EncoderError(f"the checkpoint has no '{under}', where its tensors should be; it has: {keys}")
    return found[under]


def _safetensors(file: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
        raise EncoderError(
            f"the checkpoint is neither a safetensors file nor one of torch.save since torch 1.6 ({type(error).__name__})"
        ) from None


def _tensors(found: object) -> dict[str, torch.Tensor]:
    """What was found, if it is tensors by name."""
    import torch

    if not isinstance(found, dict) or not found:
        raise EncoderError("the checkpoint holds no tensors by name")
    n_bytes = 0
    for key, value in found.items():
        if not isinstance(key, str) or len(key) > MAX_KEY:
            raise EncoderError("the checkpoint has a key that is no name")
        if not isinstance(value, torch.Tensor):
            raise EncoderError(
                f"the checkpoint has '{one_line(key)}', which is no tensor. Do its tensors lie under a key?"
            )
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
            raise EncoderError(f"the checkpoint: {one_line(key)} is no dense tensor of numbers")
        n_bytes += value.numel() * value.element_size()
    if n_bytes > MAX_BYTES:
        raise EncoderError(f"the checkpoint's tensors are larger than {MAX_BYTES >> 30} GiB")
    return {key: value.detach() for key, value in found.items()}
