"""What is decoded is what was hashed, though a folder in the path is a link that leads elsewhere in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmwrite

from lusfx.cache import Stamp, clip_key, keys
from lusfx.contracts import Reader
from lusfx.engine.extraction.intake import Settlement
from lusfx.engine.extraction.sources import Source
from lusfx.readers.dicom import DicomReader
from lusfx.readers.image import ImageReader
from lusfx.readers.video import VideoReader
from lusfx.site_key import SiteKey
from lusfx.synth import write_video
from lusfx.types import Clip, ClipEmbeddings
from tests.engine.extraction.test_pipeline import FakeReader, MeanEncoder, run
from tests.readers.make import make_dataset

LEVELS = {"a": 60, "b": 180}


class Place:
    """Folders ``a`` and ``b`` with a clip of one name and size, and a link that leads to one of them."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder = folder
        for name, level in LEVELS.items():
            (folder / name).mkdir()
            write(folder / name / f"clip{suffix}", level)
        self.path = folder / "link" / f"clip{suffix}"
        self.keys = {clip_key(folder / name / f"clip{suffix}"): level for name, level in LEVELS.items()}
        self.lead_to("a")

    def lead_to(self, name: str) -> None:
        new = self.folder / "new-link"
        new.symlink_to(name)
        new.replace(self.folder / "link")


def write(path: Path, level: int) -> None:
    frames = np.full((6, 64, 64), level, np.uint8)
    if path.suffix == ".mp4":
        write_video(path, frames, 25)
    elif path.suffix == ".dcm":
        dcmwrite(path, make_dataset(frames), enforce_file_format=True)
    elif path.suffix == ".png":
        Image.fromarray(frames[0]).save(path)
    else:
        path.write_text(f"{level} " * 6)


@pytest.fixture
def place_of(tmp_path: Path) -> Callable[[str], Place]:
    return lambda suffix: Place(tmp_path, suffix)


def exchanging(kind: type[Reader], place: Place, before: str | None, after: str | None) -> Reader:
    """A reader that has the link exchanged before it opens the path, and after it has read the clip."""

    class Exchanging(kind):  # type: ignore[misc, valid-type]
        @contextmanager
        def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
            if before is not None:
                place.lead_to(before)
            with super().open(path, site_key) as clip:
                yield clip
            if after is not None:
                place.lead_to(after)

    return Exchanging()


def check(place: Place, settlement: Settlement, written: dict[str, ClipEmbeddings]) -> None:
    """Either it was refused, or its frames are those of its key."""
    if settlement.status == "encoded":
        assert settlement.key is not None
        np.testing.assert_allclose(written[settlement.key].embeddings[:, 0], place.keys[settlement.key], atol=3)
        name = {level: name for name, level in LEVELS.items()}[place.keys[settlement.key]]
        assert settlement.stamp == Stamp.of(place.folder / name / place.path.name)
    else:
        assert (settlement.code, written) == ("changed-while-read", {})


READERS = {".mp4": VideoReader, ".dcm": DicomReader, ".png": ImageReader}


@pytest.mark.parametrize("suffix", READERS)
def test_an_exchange_there_and_back_while_it_is_decoded_changes_nothing(
    place_of: Callable[[str], Place], suffix: str
) -> None:
    place, written = place_of(suffix), {}
    reader = exchanging(READERS[suffix], place, before="b", after="a")
    (settlement,) = run([Source(place.path, "file 1", reader)], MeanEncoder(), written)
    assert settlement.status == "encoded"
    check(place, settlement, written)


@pytest.mark.parametrize("after", ["a", None])
@pytest.mark.parametrize("suffix", [*READERS, ".fake"])
def test_a_file_that_took_the_place_of_the_hashed_one_is_refused(
    place_of: Callable[[str], Place], suffix: str, after: str | None
) -> None:
    place = place_of(suffix)
    reader = exchanging(READERS.get(suffix, FakeReader), place, before=None, after=after)

    class Exchanged(dict[str, ClipEmbeddings]):
        """Is asked for the key when the content has been hashed, and before it is decoded."""

        def __contains__(self, key: object) -> bool:
            place.lead_to("b")
            return False

    written = Exchanged()
    (settlement,) = run([Source(place.path, "file 1", reader)], MeanEncoder(), written)
    assert settlement.code == "changed-while-read"
    check(place, settlement, written)


def test_a_reader_that_opens_the_path_itself_must_find_the_hashed_file_there(place_of: Callable[[str], Place]) -> None:
    place, written = place_of(".fake"), {}
    (settlement,) = run(
        [Source(place.path, "file 1", exchanging(FakeReader, place, "b", None))], MeanEncoder(), written
    )
    assert settlement.code == "changed-while-read"
    check(place, settlement, written)


def test_key_and_stamp_are_of_one_file(place_of: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the stat index would say for ever that the one file has the other one's content."""
    place, opened = place_of(".mp4"), keys.open_plain_file

    def exchanged(path: Path, **options: bool) -> object:
        place.lead_to("b")  # and to "a" again when the clip has been read
        return opened(path, **options)

    monkeypatch.setattr(keys, "open_plain_file", exchanged)
    written: dict[str, ClipEmbeddings] = {}
    reader = exchanging(VideoReader, place, before=None, after="a")
    (settlement,) = run([Source(place.path, "file 1", reader)], MeanEncoder(), written)
    assert settlement.status == "encoded"
    check(place, settlement, written)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="decoding processes are POSIX")
def test_a_link_that_is_exchanged_all_the_time_never_mixes_two_clips(place_of: Callable[[str], Place]) -> None:
    place, done = place_of(".mp4"), threading.Event()

    def exchange() -> None:
        while not done.is_set():
            for name in ("b", "a"):
                place.lead_to(name)

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        for number in range(8):
            written: dict[str, ClipEmbeddings] = {}
            (settlement,) = run(
                [Source(place.path, "file 1", VideoReader())], MeanEncoder(), written, workers=number % 2
            )
            check(place, settlement, written)
    finally:
        done.set()
        thread.join()
