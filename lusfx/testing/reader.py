"""Conformance of a reader: what it says of a clip is so, and a damaged file ends in one kind of error that names nothing."""

from __future__ import annotations

import math
import os
import re
import stat
import sys
import traceback
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from lusfx.contracts import HEAD_BYTES, Reader, check_reader, ending_of
from lusfx.errors import ClipError, SkippedClipError, UnreadableClipError
from lusfx.plugins import load_registry
from lusfx.site_key import SECRET_BYTES, SiteKey
from lusfx.testing.conformance import Conformance
from lusfx.types import ClipInfo, Frame, FrameStatus, TimeSource

CANARY = "DOE^JANE-19470101"
"""Names the folder and the file that are read; it must come back in no message."""
N_CUTS = 24
CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
PSEUDONYM = re.compile(r"[pe]-[0-9a-f]{20}(\.[0-9a-f]{20})?")
DESCRIPTORS = Path("/proc/self/fd")
"""Where Linux lists what this process has open."""


class ReaderConformance(Conformance):
    """Checks of one reader. The author writes :meth:`example`.

    Example::

        class TestMyReader(ReaderConformance):
            reader = MyReader()

            def example(self, folder: Path) -> Path:
                return write_clip(folder / "clip.mine", n_frames=3)
    """

    reader: ClassVar[Reader]

    def example(self, folder: Path) -> Path:
        """Write a small sound source file with at least two frames if the format can have them.

        :param folder: empty, and the test's own.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method 'example' that writes a file for the reader")

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """The example, under a name that must come back in no message."""
        return self.write(tmp_path)

    # ---- what it says of itself ---------------------------------------------------------------------------------------

    def test_attributes(self) -> None:
        """Every attribute is of the kind that the contract asks for."""
        check_reader(self.reader)

    def test_is_registered(self) -> None:
        """An installed plugin provides the reader for each of its endings: ``pip install --editable .`` in its folder."""
        for suffix in self.reader.suffixes:
            provided = load_registry().readers.get(suffix)
            assert type(provided).__qualname__ == type(self.reader).__qualname__, f"'{suffix}' is another reader's"

    def test_claims_its_own(self, source: Path) -> None:
        """The example is the reader's by its ending or by its content; plain text without an ending is not."""
        by_content = self.reader.claims_content(source.read_bytes()[:HEAD_BYTES])
        assert isinstance(by_content, bool), "'claims_content' must say True or False"
        assert self._ending(source) in self.reader.suffixes or by_content, "nobody would give this reader its example"
        for leading in (b"", b"\0", b"Dear Sir or Madam,\n" * 100):
            assert not self.reader.claims_content(leading), (
                f"the reader claims a file that begins with {leading[:20]!r}"
            )

    # ---- a sound file -------------------------------------------------------------------------------------------------

    def test_info(self, source: Path) -> None:
        """Size, declared frames and time source are sound; identifiers are pseudonyms of the site key or None."""
        with self.reader.open(source, _site_key()) as clip:
            info = clip.info
        assert isinstance(info, ClipInfo)
        assert info.reader == self.reader.name, f"'reader' is '{info.reader}', where the name is '{self.reader.name}'"
        assert info.height >= 1
        assert info.width >= 1
        assert info.n_frames_declared is None or info.n_frames_declared >= 1
        assert isinstance(info.time_source, TimeSource)
        for key in (info.patient_key, info.exam_key):
            assert key is None or PSEUDONYM.fullmatch(key), "an identifier leaves the reader as it stands in the file"

    def test_frames_are_grey_images(self, source: Path) -> None:
        """Frames are uint8 of the stated height and width; one that cannot be read has no pixels and says so."""
        info, frames = self.read(source)
        assert any(frame.status == FrameStatus.OK for frame in frames), "not one frame of the example can be read"
        for frame in frames:
            assert (frame.pixels is None) == (frame.status != FrameStatus.OK)
            if frame.pixels is not None:
                stated = (info.height, info.width)
                assert frame.pixels.shape == stated, f"a frame of shape {frame.pixels.shape}, where {stated} is stated"
                assert frame.pixels.dtype == np.uint8

    def test_frames_are_counted_from_0(self, source: Path) -> None:
        """Frames come in order, the first with index 0 and none twice."""
        _, frames = self.read(source)
        assert [frame.index for frame in frames] == list(range(len(frames)))

    def test_times_rise(self, source: Path) -> None:
        """Times are seconds after the first frame and rise; a time that is not known is NaN."""
        _, frames = self.read(source)
        known = [frame.time_s for frame in frames if not math.isnan(frame.time_s)]
        assert all(map(math.isfinite, known))
        assert all(later > earlier for earlier, later in pairwise(known)), f"times are {known}"
        assert math.isnan(frames[0].time_s) or frames[0].time_s == 0, f"the first frame is at {frames[0].time_s} s"

    def test_reads_the_same_twice(self, source: Path) -> None:
        """The same file gives the same clip again, and is left as it was."""
        before = source.read_bytes()
        (first_info, first), (second_info, second) = self.read(source), self.read(source)
        assert source.read_bytes() == before, "reading changes the file"
        assert first_info == second_info
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert (one.index, one.status) == (other.index, other.status)
            np.testing.assert_array_equal(one.time_s, other.time_s)
            assert (one.pixels is None) == (other.pixels is None)
            if one.pixels is not None and other.pixels is not None:
                np.testing.assert_array_equal(one.pixels, other.pixels)

    def test_frames_are_the_callers_own(self, source: Path) -> None:
        """A later frame does not overwrite the pixels of an earlier one."""
        kept: list[Frame] = []
        copies = []
        with self.reader.open(source, _site_key()) as clip:
            for frame in clip.frames():
                kept.append(frame)
                copies.append(None if frame.pixels is None else frame.pixels.copy())
        for frame, copy in zip(kept, copies, strict=True):
            if frame.pixels is not None and copy is not None:
                np.testing.assert_array_equal(frame.pixels, copy)

    def test_closing_frees_the_file(self, source: Path) -> None:
        """Once closed, read whole or not, sound or not, the file is not open any more and can be deleted."""
        self.read(source)  # what a library opens once for good is open from here on
        before = _open_files()
        for _ in range(3):
            with self.reader.open(source, _site_key()):
                pass
            with self.reader.open(source, _site_key()) as clip:
                next(iter(clip.frames()))
            self.read(source)
        content = source.read_bytes()
        source.write_bytes(content[: len(content) // 2])
        self._attempt(source)
        assert _open_files() == before, "a file is still open after the reader was closed"
        source.unlink()

    # ---- a damaged file -----------------------------------------------------------------------------------------------

    def test_survives_cut_files(self, source: Path) -> None:
        """Cut anywhere, the file gives frames or a ClipError, and nothing else escapes."""
        content = source.read_bytes()
        cuts = {1, 2, 3, 4, 8, 16, 128, 132, *np.linspace(1, len(content) - 1, N_CUTS).astype(int).tolist()}
        for n in sorted(cut for cut in cuts if cut < len(content)):
            source.write_bytes(content[:n])
            self._tolerates(source, f"cut after {n} of {len(content)} bytes")

    def test_survives_noise(self, source: Path) -> None:
        """Noise, from the start or within a sound file, gives frames or a ClipError, and nothing else escapes."""
        content = source.read_bytes()
        generator = np.random.default_rng(0)
        source.write_bytes(generator.bytes(len(content)))
        self._tolerates(source, "filled with noise")
        for start in np.linspace(0, len(content) * 0.9, 12).astype(int).tolist():
            noise = generator.bytes(max(len(content) // 20, 4))
            source.write_bytes(content[:start] + noise + content[start + len(noise) :])
            self._tolerates(source, f"with {len(noise)} bytes of noise from byte {start}")

    def test_refuses_empty_and_missing_files(self, source: Path) -> None:
        """A file of no bytes, one that is not there, and a folder raise UnreadableClipError."""
        folder = source.with_name(f"{CANARY}-folder{self._ending(source)}")
        folder.mkdir()
        source.write_bytes(b"")
        for path, what in (
            (source, "empty"),
            (source.with_name(f"{CANARY}-gone{self._ending(source)}"), "missing"),
            (folder, "a folder"),
        ):
            error = self._attempt(path)
            assert isinstance(error, UnreadableClipError), (
                f"{what}: {_kind(error)}, where UnreadableClipError is wanted"
            )

    def test_messages_name_no_file(self, source: Path) -> None:
        """No message holds the file's name or its folder's: both can name a patient."""
        content = source.read_bytes()
        missing = source.with_stem(f"{CANARY}-gone")
        damaged = (b"", content[:1], content[: len(content) // 2], content[:-1], b"\xff" * len(content), b"text" * 99)
        errors = [self._attempt(missing)]
        for bytes_ in damaged:
            source.write_bytes(bytes_)
            errors.append(self._attempt(source))
        for error in errors:
            said = "" if error is None else _said(error)
            assert CANARY not in said, f"a message names the file: {said.replace(CANARY, '(its name)')}"

    # ---- what the checks share ----------------------------------------------------------------------------------------

    def _ending(self, path: Path) -> str:
        return ending_of(path, self.reader.suffixes)

    def write(self, folder: Path) -> Path:
        """Write the example, and give it and its folder a patient's name; what the fixture ``source`` gives."""
        made, named = folder / "made", folder / CANARY
        made.mkdir()
        example = self.example(made)
        named.mkdir()
        return example.rename(named / f"{CANARY}{self._ending(example)}")

    def read(self, path: Path) -> tuple[ClipInfo, list[Frame]]:
        """A whole clip."""
        with self.reader.open(path, _site_key()) as clip:
            return clip.info, list(clip.frames())

    def _attempt(self, path: Path) -> Exception | None:
        """Read a file; returns what was raised. A clip without a frame that can be read must raise."""
        try:
            _, frames = self.read(path)
        except Exception as error:
            return error
        if all(frame.pixels is None for frame in frames):
            return AssertionError(f"{len(frames)} frames, none of which can be read, and no UnreadableClipError")
        return None

    def _tolerates(self, path: Path, how: str) -> None:
        """Frames, or an error with a stable code."""
        error = self._attempt(path)
        if error is None:
            return
        expected = isinstance(error, (UnreadableClipError, SkippedClipError))
        if not expected:
            what = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__} is raised"
            raise AssertionError(f"{how}: {what}; a ClipError is wanted") from error
        assert isinstance(error, ClipError)
        assert CODE.fullmatch(error.code), f"{how}: the code '{error.code}' is not lower-case and hyphenated"


def _site_key() -> SiteKey:
    return SiteKey(bytes(range(SECRET_BYTES)))


def _kind(error: Exception | None) -> str:
    return "nothing is raised" if error is None else f"{type(error).__name__} is raised"


def _said(error: BaseException) -> str:
    """All that a traceback would show of an error and of those that led to it, without the places in the code."""
    said = "".join(traceback.format_exception_only(error))
    led_to_it = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return said if led_to_it is None else said + _said(led_to_it)


def _open_files() -> list[str]:
    """Files that this process has open, where Linux tells; elsewhere that the source can be deleted must do."""
    if not sys.platform.startswith("linux"):
        return []
    found = []
    for entry in DESCRIPTORS.iterdir():
        try:
            if stat.S_ISREG(os.fstat(int(entry.name)).st_mode):
                found.append(str(entry.readlink()))
        except OSError:  # the descriptor of this listing
            continue
    return sorted(found)
