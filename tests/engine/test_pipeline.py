"""The pipeline: batches across clips, failures beside successes, and what happens when writing fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.config import EncoderIdentity, FeatureSpec, PreprocessSpec
from lusfx.contracts import Encoder, Reader
from lusfx.engine import pipeline as module
from lusfx.engine.pipeline import Outcome, Pipeline
from lusfx.engine.sources import Source
from lusfx.errors import CacheError, EncoderError, SkippedClipError
from lusfx.site_key import SiteKey
from lusfx.types import Clip, ClipEmbeddings, ClipInfo, Frame, FrameStatus, Note, TimeSource

SIZE = 16


class MeanEncoder(Encoder):
    """The embedding of an image is its mean and its first pixel; it remembers the batches it was given."""

    name, runtime = "mean", "numpy"
    preprocess = PreprocessSpec(size=SIZE, beam="off")
    identity = EncoderIdentity(
        architecture="mean", weights_sha256="00" * 32, layer="x", pooling="none", dim=2, channels=1, mean=(0,), std=(1,)
    )

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(images))
        return np.stack([images.mean(axis=(1, 2)), images[:, 0, 0]], axis=1).astype(np.float32)


class FakeClip:
    def __init__(self, levels: list[int | None]) -> None:
        self.levels = levels
        self.info = ClipInfo("fake", SIZE, SIZE, len(levels), TimeSource.CONTAINER, patient_key="p-1")
        self.notes: frozenset[Note] = frozenset()

    def frames(self) -> Iterator[Frame]:
        for index, level in enumerate(self.levels):
            if level is None:
                yield Frame(index, index / 10, None, FrameStatus.UNREADABLE)
            elif level < 0:
                raise SkippedClipError("stop", "asked to") if level == -1 else ZeroDivisionError("SECRET")
            else:
                yield Frame(index, index / 10, np.full((SIZE, SIZE), level, np.uint8))


class FakeReader(Reader):
    """Opens text files that list grey levels, a frame each."""

    name, suffixes = "fake", (".fake",)

    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        yield FakeClip([None if word == "x" else int(word) for word in path.read_text().split()])


@pytest.fixture
def make_sources(tmp_path: Path) -> object:
    def make(*contents: str) -> list[Source]:
        sources = []
        for number, content in enumerate(contents):
            path = tmp_path / f"{number}.fake"
            path.write_text(content)
            sources.append(Source(path, f"file {number + 1}", FakeReader()))
        return sources

    return make


def run(
    sources: list[Source], encoder: Encoder, written: dict[str, ClipEmbeddings], **options: object
) -> list[Outcome]:
    pipeline = Pipeline(
        FeatureSpec(encoder=encoder.identity, preprocess=encoder.preprocess),
        encoder,
        SiteKey(bytes(32)),
        lambda key: key in written,
        options.get("write", written.__setitem__),  # type: ignore[arg-type]
        options.get("stop", threading.Event()),  # type: ignore[arg-type]
        batch_size=4,
    )
    return list(pipeline.run(sources))


def test_every_frame_gets_the_embedding_of_its_own_image(make_sources: object) -> None:
    contents = ["1 2 3", "9", "20 21 22 23 24 25 26", "x 5 x 6"]
    encoder, written = MeanEncoder(), {}
    outcomes = run(make_sources(*contents), encoder, written)  # type: ignore[operator]
    assert [outcome.outcome for outcome in outcomes] == ["encoded"] * 4
    for outcome, content in zip(sorted(outcomes, key=lambda o: o.source.where), contents, strict=True):
        clip = written[outcome.key]
        levels = [np.nan if word == "x" else float(word) for word in content.split()]
        np.testing.assert_array_equal(clip.embeddings[:, 0], levels)
        np.testing.assert_array_equal(clip.status, [int(np.isnan(level)) for level in levels])
        np.testing.assert_allclose(clip.times_s, np.arange(len(levels)) / 10)


def test_batches_are_filled_across_clips(make_sources: object) -> None:
    encoder = MeanEncoder()
    run(make_sources("1 2 3", "4", "5 6", "7 8 9"), encoder, {})  # type: ignore[operator]
    assert encoder.batches == [4, 4, 1]


def test_a_clip_that_fails_half_way_leaves_the_others_right(make_sources: object) -> None:
    written: dict[str, ClipEmbeddings] = {}
    outcomes = run(make_sources("1 2", "3 -2 4", "5 -1", "6 7 8"), MeanEncoder(), written)  # type: ignore[operator]
    by_file = {outcome.source.where: outcome for outcome in outcomes}
    assert [by_file[f"file {n}"].outcome for n in (1, 2, 3, 4)] == ["encoded", "failed", "skipped", "encoded"]
    assert by_file["file 2"].code == "reader-error"
    assert "SECRET" not in str(by_file["file 2"].detail)
    np.testing.assert_array_equal(written[by_file["file 4"].key].embeddings[:, 0], [6, 7, 8])  # type: ignore[index]
    assert len(written) == 2


def test_the_same_content_is_encoded_once(make_sources: object) -> None:
    outcomes = run(make_sources("1 2", "1 2"), MeanEncoder(), {})  # type: ignore[operator]
    assert sorted(outcome.outcome for outcome in outcomes) == ["cached", "encoded"]


def test_a_clip_that_is_too_long_fails(make_sources: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FRAMES", 5)
    outcomes = run(make_sources("1 2 3 4 5", "1 2 3 4 5 6"), MeanEncoder(), {})  # type: ignore[operator]
    assert {outcome.code for outcome in outcomes} == {None, "too-long"}


def test_a_clip_without_a_readable_frame_fails(make_sources: object) -> None:
    (outcome,) = run(make_sources("x x x"), MeanEncoder(), {})  # type: ignore[operator]
    assert (outcome.outcome, outcome.code) == ("failed", "no-frames")


def test_a_file_that_changes_while_it_is_read_is_not_stored(make_sources: object) -> None:
    sources = make_sources("1 2 3", "4 5 6")  # type: ignore[operator]

    class Changing(FakeReader):
        @contextmanager
        def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
            with super().open(path, site_key) as clip:
                path.write_text("7 8 9 10")
                yield clip

    written: dict[str, ClipEmbeddings] = {}
    outcomes = run([replace(sources[0], reader=Changing()), sources[1]], MeanEncoder(), written)
    assert sorted(str(outcome.code) for outcome in outcomes) == ["None", "changed-while-read"]
    assert len(written) == 1


def test_a_file_that_nobody_claims_fails(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    sources = [Source(tmp_path / "a.txt", "file 1", None), Source(tmp_path / "b.txt", "file 2", None)]
    assert [o.code for o in run(sources, MeanEncoder(), {})] == ["unknown-format", "cannot-open"]


def test_when_writing_fails_the_run_ends_with_its_error(make_sources: object) -> None:
    def write(key: str, clip: ClipEmbeddings) -> None:
        raise CacheError("No space left on device")

    with pytest.raises(CacheError, match="No space left"):
        run(make_sources(*(f"{n} {n}" for n in range(40))), MeanEncoder(), {}, write=write)  # type: ignore[operator]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lusfx-")]


def test_when_encoding_fails_the_run_ends_with_its_error(make_sources: object) -> None:
    class Broken(MeanEncoder):
        def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            raise EncoderError("the graph failed")

    with pytest.raises(EncoderError):
        run(make_sources("1 2 3 4 5 6 7 8 9"), Broken(), {})  # type: ignore[operator]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lusfx-")]


def test_a_run_that_is_asked_to_stop_drops_the_clip_in_hand(make_sources: object) -> None:
    stop, written = threading.Event(), {}

    def write(key: str, clip: ClipEmbeddings) -> None:
        written[key] = clip
        stop.set()

    contents = [" ".join(str(n % 200) for _ in range(30)) for n in range(60)]
    outcomes = run(make_sources(*contents), MeanEncoder(), written, write=write, stop=stop)  # type: ignore[operator]
    assert 1 <= len(outcomes) < 60
    assert {outcome.key for outcome in outcomes if outcome.outcome == "encoded"} == set(written)
    assert all(clip.n_frames == 30 for clip in written.values())
