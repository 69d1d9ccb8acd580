"""Decoded frames on disk, once for all epochs: prepared frames of many clips in one file that is mapped into memory.

``frames.u8`` holds the frames one after another; ``clips.jsonl`` says in its first line how they were prepared and then, a
line a clip, which are whose. A line is written only when its frames are durable, begins with a digest of itself, and holds
the digest of its frames: what a crash or a bad disk left behind is found on opening, and made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.durable import FILE_MODE, sync_directory
from lusfx.messages import system_reason
from lusfx.networks.errors import NetworkError
from lusfx.networks.files import cannot_write, make_private_directory

FRAMES_FILE = "frames.u8"
INDEX_FILE = "clips.jsonl"
FORMAT = "lusfx-frame-store/1"
DIGEST_DIGITS = 16
COMMIT_BYTES = 64 << 20
COMMIT_S = 5.0
"""A crash costs so many bytes or seconds of decoding at most; to sync every clip would cost more than to decode it."""

Images = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class StoredClip:
    """One clip of the store.

    :param key: clip key, the digest of the source's content.
    :param patient_key: pseudonym; None where nobody knows the patient.
    :param file_patient_key: what the file itself says, where ``patient_key`` may be a manifest's.
    :param first: position of its first frame among all frames.
    :param times_s: seconds after the clip's first frame, one a stored frame; NaN where unknown.
    :param sha256: of the stored frames' bytes.
    """

    key: str
    patient_key: str | None
    first: int
    times_s: tuple[float, ...]
    sha256: str
    file_patient_key: str | None = None

    @property
    def n_frames(self) -> int:
        return len(self.times_s)

    @property
    def rows(self) -> slice:
        return slice(self.first, self.first + self.n_frames)


class FrameStore:
    """The frames of a run.

    :param directory: made if it does not exist.
    :param spec: how frames are prepared and chosen, JSON values; a store of another spec is refused.
    :param size: side of each frame in pixels.
    :param check: whether each clip's digest is checked. From the first that is not what was written, the store is cut off, to
        be filled again: it is a cache.
    :raises NetworkError: if the store is one of another spec, or the disk refuses.
    """

    def __init__(self, directory: Path, spec: Mapping[str, Any], size: int, *, check: bool = True) -> None:
        self.directory = directory
        self.size = size
        self.clips: list[StoredClip] = []
        self.report: dict[str, Any] | None = None
        """What was taken and left out, once the store is complete."""
        self.n_dropped = 0
        """Clips that opening found damaged and dropped."""
        self._spec = dict(spec)
        self._pending: list[StoredClip] = []
        self._pending_bytes = 0
        self._synced = time.monotonic()
        make_private_directory(directory)
        self._read_index(check)

    @property
    def complete(self) -> bool:
        """Whether all sources were gone through."""
        return self.report is not None

    @property
    def n_frames(self) -> int:
        clips = self._pending or self.clips
        return clips[-1].first + clips[-1].n_frames if clips else 0

    def keys(self) -> set[str]:
        return {clip.key for clip in [*self.clips, *self._pending]}

    def frames(self) -> Images:
        """All frames, ``(n, size, size)`` uint8, mapped and not read.

        :raises NetworkError: if there is none.
        """
        if self.n_frames == 0:
            raise NetworkError("no frame of the sources could be decoded, so that there is nothing to learn from")
        return np.memmap(self._frames_path, np.uint8, "r", shape=(self.n_frames, self.size, self.size))

    def add(
        self,
        key: str,
        patient_key: str | None,
        frames: Images,
        times_s: NDArray[np.float64],
        file_patient_key: str | None = None,
    ) -> None:
        """Append a clip; durable after :meth:`commit`, which follows by itself now and then.

        :param frames: ``(n, size, size)``, at least one.
        :param times_s: ``(n,)``.
        """
        if frames.shape[1:] != (self.size, self.size) or len(frames) != len(times_s) or not len(frames):
            raise ValueError(f"frames must be (n, {self.size}, {self.size}) with a time each, not {frames.shape}")
        content = np.ascontiguousarray(frames, np.uint8).tobytes()
        clip = StoredClip(
            key,
            patient_key,
            self.n_frames,
            tuple(map(float, times_s)),
            hashlib.sha256(content).hexdigest(),
            file_patient_key,
        )
        try:
            with self._open(self._frames_path) as stream:
                stream.seek(clip.first * self.size**2)
                stream.write(content)
        except OSError as error:
            raise cannot_write(error) from None
        self._pending.append(clip)
        self._pending_bytes += len(content)
        if self._pending_bytes >= COMMIT_BYTES or time.monotonic() - self._synced >= COMMIT_S:
            self.commit()

    def commit(self) -> None:
        """Make what was added durable: the frames first, then the lines that speak of them."""
        try:
            with self._open(self._frames_path) as stream:
                os.fsync(stream.fileno())
            self._append("".join(_line(_as_dict(clip)) for clip in self._pending))
        except OSError as error:
            raise cannot_write(error) from None
        self.clips += self._pending
        self._pending = []
        self._pending_bytes = 0
        self._synced = time.monotonic()

    def finish(self, report: Mapping[str, Any]) -> None:
        """Say that all sources were gone through.

        :param report: counts of what was taken and left out.
        """
        self.commit()
        try:
            self._append(_line({"complete": dict(report)}))
        except OSError as error:
            raise cannot_write(error) from None
        self.report = dict(report)

    @property
    def _frames_path(self) -> Path:
        return self.directory / FRAMES_FILE

    @property
    def _index_path(self) -> Path:
        return self.directory / INDEX_FILE

    def _open(self, path: Path) -> Any:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), FILE_MODE), "r+b")

    def _append(self, text: str) -> None:
        with self._open(self._index_path) as stream:
            stream.seek(0, os.SEEK_END)
            stream.write(text.encode("ascii"))
            stream.flush()
            os.fsync(stream.fileno())

    def _read_index(self, check: bool) -> None:
        """Take the lines up to the first that is torn, or whose frames are not those that were written; cut off the rest."""
        try:
            text = self._index_path.read_bytes() if self._index_path.exists() else b""
            head, *lines = text.splitlines(keepends=True) or [b""]
            stated = _parsed(head)
            if stated is None:
                self._start_anew()
                return
            if stated != self._head():
                raise NetworkError(
                    "the frame store was made with another size, preprocessing or bound. Take another --out, or remove its "
                    "folder 'frames'"
                )
            kept = len(head)
            for line in lines:
                if not self._take(_parsed(line), check):
                    break
                kept += len(line)
            self.n_dropped = sum(1 for line in text[kept:].splitlines() if line.strip())
            if check:  # else another process may be adding
                self._cut(kept)
        except OSError as error:
            raise cannot_write(error) from None

    def _take(self, record: dict[str, Any] | None, check: bool) -> bool:
        if record is None or self.complete:
            return False
        if "complete" in record:
            self.report = record["complete"]
            return True
        times_s = tuple(float("nan") if time_s is None else time_s for time_s in record["times_s"])
        clip = StoredClip(
            record["key"], record["patient"], record["first"], times_s, record["sha256"], record.get("file_patient")
        )
        if clip.first != self.n_frames or (check and self._digest_on_disk(clip) != clip.sha256):
            return False
        self.clips.append(clip)
        return True

    def _digest_on_disk(self, clip: StoredClip) -> str:
        if not self._frames_path.exists():
            return ""
        with self._frames_path.open("rb") as stream:
            stream.seek(clip.first * self.size**2)
            return hashlib.sha256(stream.read(clip.n_frames * self.size**2)).hexdigest()

    def _start_anew(self) -> None:
        self._index_path.unlink(missing_ok=True)
        with self._open(self._frames_path) as stream:
            stream.truncate(0)
        self._append(_line(self._head()))
        sync_directory(self.directory)

    def _cut(self, kept: int) -> None:
        """Drop what lies behind the last good line, in both files."""
        with self._open(self._index_path) as stream:
            stream.truncate(kept)
        with self._open(self._frames_path) as stream:
            stream.truncate(self.n_frames * self.size**2)

    def _head(self) -> dict[str, Any]:
        head: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, "size": self.size, "spec": self._spec}))
        return head


def stored_keys(directory: Path) -> list[str]:
    """Keys of the clips that a store holds, sorted, however their frames were prepared.

    :raises NetworkError: if a line of its index is not as it was written.
    """
    try:
        records = [_parsed(line) for line in (directory / INDEX_FILE).read_bytes().splitlines(keepends=True)]
    except OSError as error:
        raise NetworkError(f"the frame store cannot be read: {system_reason(error)}") from None
    if not all(records):
        raise NetworkError("the frame store's index is damaged")
    return sorted({record["key"] for record in records if record is not None and "key" in record})


def _as_dict(clip: StoredClip) -> dict[str, Any]:
    times_s = [None if time_s != time_s else time_s for time_s in clip.times_s]  # noqa: PLR0124 - the test for NaN
    return {
        "key": clip.key,
        "patient": clip.patient_key,
        "first": clip.first,
        "times_s": times_s,
        "sha256": clip.sha256,
        "file_patient": clip.file_patient_key,
    }


def _line(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return f"{_digest(text)} {text}\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is not as it was written."""
    digest, _, text = line.decode("latin-1").partition(" ")
    if not text.endswith("\n") or digest != _digest(text[:-1]):
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("latin-1")).hexdigest()[:DIGEST_DIGITS]
