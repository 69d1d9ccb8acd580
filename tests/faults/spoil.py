"""Ways to spoil a directory of plain files that hold no secret of their format: bytes, names and kinds of files."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

Random = np.random.Generator


def flip(content: bytes, random: Random) -> bytes:
    """Turn one to eight bits over."""
    if not content:
        return b"\x01"
    spoilt = bytearray(content)
    for _ in range(int(random.integers(1, 9))):
        spoilt[int(random.integers(len(spoilt)))] ^= 1 << int(random.integers(8))
    return bytes(spoilt)


def cut(content: bytes, random: Random) -> bytes:
    """Keep the beginning."""
    return content[: int(random.integers(len(content) + 1))]


def extend(content: bytes, random: Random) -> bytes:
    """Put something behind the end."""
    return content + random.bytes(int(random.integers(1, 64)))


def blank(content: bytes, random: Random) -> bytes:
    """Overwrite a block with zeros, as a lost sector does."""
    start = int(random.integers(len(content) + 1))
    length = int(random.integers(1, 513))
    return content[:start] + b"\0" * len(content[start : start + length]) + content[start + length :]


def move_block(content: bytes, random: Random) -> bytes:
    """Exchange two parts of the content."""
    if len(content) < 3:
        return content[::-1]
    first, second = sorted(random.choice(len(content) - 1, 2, replace=False) + 1)
    return content[second:] + content[first:second] + content[:first]


BYTES: tuple[Callable[[bytes, Random], bytes], ...] = (flip, flip, cut, extend, blank, move_block)


class Payload:
    """What runs when a pickle of it is loaded."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def pickled(canary: Path, random: Random) -> bytes:
    """A pickle that makes the canary file, bare or in the archive that torch writes."""
    content = pickle.dumps(Payload(f"touch '{canary}'"), protocol=int(random.choice([0, 2, 4, 5])))
    if random.random() < 0.5:
        return content
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as torch_file:
        torch_file.writestr("archive/data.pkl", content)
        torch_file.writestr("archive/version", "3\n")
    return archive.getvalue()


def to_pipe(file: Path) -> None:
    """A named pipe in its place, which nobody writes to."""
    file.unlink()
    os.mkfifo(file)


def to_directory(file: Path) -> None:
    """A directory in its place."""
    file.unlink()
    file.mkdir()


def to_link(file: Path, target: Path) -> None:
    """A link in its place."""
    file.unlink()
    file.symlink_to(target)


def files_below(directory: Path) -> list[Path]:
    """All files, in order."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


def swap(directory: Path, random: Random) -> None:
    """Exchange the contents of two files."""
    files = files_below(directory)
    first, second = (files[int(number)] for number in random.choice(len(files), 2, replace=False))
    content = first.read_bytes()
    shutil.copyfile(second, first)
    second.write_bytes(content)
