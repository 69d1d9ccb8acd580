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

from lusfx.cache import clip_key
from lusfx.config import EncoderIdentity, FeatureSpec, PreprocessSpec
from lusfx.contracts import Encoder, Reader
from lusfx.encoders import BUNDLED, DEFAULT_ENCODER
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.encoders.torch_runtime import load_torch
from lusfx.engine.extraction.decoding.limits import MAX_FRAMES, Limits
from lusfx.engine.extraction.encoding import BATCH_S
from lusfx.engine.extraction.intake import Settlement
from lusfx.engine.extraction.pipeline import Pipeline
from lusfx.engine.extraction.sources import Source
from lusfx.errors import CacheError, EncoderError, EncoderMemoryError, SkippedClipError
from lusfx.preprocess import prepare
from lusfx.readers.video import VideoReader
from lusfx.site_key import SiteKey
from lusfx.synth import write_video
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
) -> list[Settlement]:
    pipeline = Pipeline(
        FeatureSpec(encoder=encoder.identity, preprocess=encoder.preprocess),
        encoder,
        SiteKey(bytes(32)),
        lambda key: key in written,
        options.get("write", written.__setitem__),
        options.get("stop", threading.Event()),
        batch_size=options.get("batch_size", 4),
        workers=options.get("workers", 0),
        limits=Limits(max_frames=options.get("max_frames", MAX_FRAMES)),
        batch_s=options.get("batch_s", BATCH_S),
    )
    return list(pipeline.run(sources))


def test_every_frame_gets_the_embedding_of_its_own_image(make_sources: object) -> None:
    contents = ["1 2 3", "9", "20 21 22 23 24 25 26", "x 5 x 6"]
    encoder, written = MeanEncoder(), {}
    settlements = run(make_sources(*contents), encoder, written)
    assert [settlement.status for settlement in settlements] == ["encoded"] * 4
    for settlement, content in zip(sorted(settlements, key=lambda o: o.source.where), contents, strict=True):
        clip = written[settlement.key]
        levels = [np.nan if word == "x" else float(word) for word in content.split()]
        np.testing.assert_array_equal(clip.embeddings[:, 0], levels)
        np.testing.assert_array_equal(clip.status, [int(np.isnan(level)) for level in levels])
        np.testing.assert_allclose(clip.times_s, np.arange(len(levels)) / 10)


def test_batches_are_filled_across_clips(make_sources: object) -> None:
    encoder = MeanEncoder()
    run(make_sources("1 2 3", "4", "5 6", "7 8 9"), encoder, {})
    assert encoder.batches == [4, 4, 1]


def test_a_clip_that_fails_half_way_leaves_the_others_right(make_sources: object) -> None:
    written: dict[str, ClipEmbeddings] = {}
    settlements = run(make_sources("1 2", "3 -2 4", "5 -1", "6 7 8"), MeanEncoder(), written)
    by_file = {settlement.source.where: settlement for settlement in settlements}
    assert [by_file[f"file {n}"].status for n in (1, 2, 3, 4)] == ["encoded", "failed", "skipped", "encoded"]
    assert by_file["file 2"].code == "reader-error"
    assert "SECRET" not in str(by_file["file 2"].detail)
    np.testing.assert_array_equal(written[by_file["file 4"].key].embeddings[:, 0], [6, 7, 8])
    assert len(written) == 2


def test_the_same_content_is_encoded_once(make_sources: object) -> None:
    settlements = run(make_sources("1 2", "1 2"), MeanEncoder(), {})
    assert sorted(settlement.status for settlement in settlements) == ["cached", "encoded"]


def test_a_clip_that_is_too_long_fails(make_sources: object) -> None:
    settlements = run(make_sources("1 2 3 4 5", "1 2 3 4 5 6"), MeanEncoder(), {}, max_frames=5)
    assert {settlement.code for settlement in settlements} == {None, "too-long"}


def test_a_clip_without_a_readable_frame_fails(make_sources: object) -> None:
    (settlement,) = run(make_sources("x x x"), MeanEncoder(), {})
    assert (settlement.status, settlement.code) == ("failed", "no-frames")


def test_a_file_that_changes_while_it_is_read_is_not_stored(make_sources: object) -> None:
    sources = make_sources("1 2 3", "4 5 6")

    class Changing(FakeReader):
        @contextmanager
        def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
            with super().open(path, site_key) as clip:
                path.write_text("7 8 9 10")
                yield clip

    written: dict[str, ClipEmbeddings] = {}
    settlements = run([replace(sources[0], reader=Changing()), sources[1]], MeanEncoder(), written)
    assert sorted(str(settlement.code) for settlement in settlements) == ["None", "changed-while-read"]
    assert len(written) == 1


def test_a_file_that_nobody_claims_fails(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    sources = [Source(tmp_path / "a.txt", "file 1", None), Source(tmp_path / "b.txt", "file 2", None)]
    assert [o.code for o in run(sources, MeanEncoder(), {})] == ["unknown-format", "cannot-open"]


def test_when_writing_fails_the_run_ends_with_its_error(make_sources: object) -> None:
    def write(key: str, clip: ClipEmbeddings) -> None:
        raise CacheError("No space left on device")

    with pytest.raises(CacheError, match="No space left"):
        run(make_sources(*(f"{n} {n}" for n in range(40))), MeanEncoder(), {}, write=write)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lusfx-")]


def test_when_encoding_fails_the_run_ends_with_its_error(make_sources: object) -> None:
    class Broken(MeanEncoder):
        def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            raise EncoderError("the graph failed")

    with pytest.raises(EncoderError):
        run(make_sources("1 2 3 4 5 6 7 8 9"), Broken(), {})
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lusfx-")]


def test_a_run_that_is_asked_to_stop_drops_the_clip_in_hand(make_sources: object) -> None:
    stop, written = threading.Event(), {}

    def write(key: str, clip: ClipEmbeddings) -> None:
        written[key] = clip
        stop.set()

    contents = [" ".join(str(n % 200) for _ in range(30)) for n in range(60)]
    settlements = run(make_sources(*contents), MeanEncoder(), written, write=write, stop=stop)
    assert 1 <= len(settlements) < 60
    assert {settlement.key for settlement in settlements if settlement.status == "encoded"} == set(written)
    assert all(clip.n_frames == 30 for clip in written.values())


def test_a_copy_of_a_clip_that_fails_is_tried_itself(make_sources: object) -> None:
    sources = make_sources("1 2", "1 2", "1 2", "3")

    class Failing(FakeReader):
        @contextmanager
        def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
            raise OSError
            yield

    written: dict[str, ClipEmbeddings] = {}
    settlements = run([replace(sources[0], reader=Failing()), *sources[1:]], MeanEncoder(), written)
    by_file = {settlement.source.where: settlement.status for settlement in settlements}
    assert by_file == {"file 1": "failed", "file 2": "encoded", "file 3": "cached", "file 4": "encoded"}
    assert len(written) == 2


class SmallMemory(MeanEncoder):
    """Runs out of memory on batches of more than so many images."""

    def __init__(self, most: int, error: Exception) -> None:
        super().__init__()
        self.most, self.error = most, error

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(images) > self.most:
            raise self.error
        return super().encode(images)


@pytest.mark.parametrize("error", [EncoderMemoryError("x"), RuntimeError("CUDA out of memory. Tried"), MemoryError()])
def test_an_encoder_that_is_out_of_memory_is_given_half(make_sources: object, error: Exception) -> None:
    encoder, written = SmallMemory(1, error), {}
    contents = ["1 2 3 4 5 6 7", "8 9 10"]
    settlements = run(make_sources(*contents), encoder, written)
    assert encoder.batches == [1] * 10
    for settlement in settlements:
        levels = [float(word) for word in contents[int(settlement.source.where[-1]) - 1].split()]
        np.testing.assert_array_equal(written[settlement.key].embeddings[:, 0], levels)


def test_a_batch_is_halved_once_and_not_each_time_anew(make_sources: object) -> None:
    class Counting(SmallMemory):
        refused = 0

        def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            self.refused += len(images) > self.most
            return super().encode(images)

    encoder = Counting(2, EncoderMemoryError("x"))
    run(make_sources(" ".join(map(str, range(16)))), encoder, {})
    assert (encoder.refused, encoder.batches) == (1, [2] * 8)


def test_too_little_memory_for_one_frame_ends_the_run(make_sources: object) -> None:
    with pytest.raises(EncoderMemoryError, match="a single frame"):
        run(make_sources("1 2 3"), SmallMemory(0, EncoderMemoryError("x")), {})


def test_another_failure_of_the_encoder_is_not_taken_for_want_of_memory(make_sources: object) -> None:
    with pytest.raises(EncoderError, match="RuntimeError"):
        run(make_sources("1 2 3"), SmallMemory(0, RuntimeError("shape")), {})


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clips of one to eleven frames."""
    folder = tmp_path_factory.mktemp("videos")
    for number, n_frames in enumerate((3, 11, 1, 8, 5)):
        frames = np.random.default_rng(number).integers(0, 255, (n_frames, 80, 96)).astype(np.uint8)
        write_video(folder / f"{number}.mp4", frames, 20)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def eager(videos: list[Path], site_key: SiteKey) -> dict[str, NDArray[np.float32]]:
    """Embeddings of these clips by eager torch, a frame at a time, in float32."""
    pytest.importorskip("torch")
    encoder = open_bundled()
    compute = load_torch(encoder.directory, encoder.card, "cpu", "float32")
    embeddings = {}
    for path in videos:
        with VideoReader().open(path, site_key) as clip:
            images = [frame.image for frame in prepare(clip, encoder.preprocess).frames()]
        embeddings[clip_key(path)] = np.concatenate([compute(image[None]) for image in images if image is not None])
    return embeddings


def open_bundled(threads: int = 0) -> DirectoryEncoder:
    return DirectoryEncoder(BUNDLED / DEFAULT_ENCODER, threads=threads)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "batch_size", "threads", "order"),
    [(0, 1, 1, 0), (0, 7, 2, 1), (0, 64, 3, 2), (1, 8, 2, 3), (2, 3, 9, 4), (3, 8, 1, 5)],
)
def test_embeddings_are_the_same_whatever_the_batch_the_decoders_the_threads_and_the_order(
    videos: list[Path], eager: dict[str, NDArray[np.float32]], workers: int, batch_size: int, threads: int, order: int
) -> None:
    encoder, written = open_bundled(threads), {}
    shuffled = [videos[index] for index in np.random.default_rng(order).permutation(len(videos))]
    sources = [Source(path, f"file {number}", VideoReader()) for number, path in enumerate(shuffled)]
    settlements = run(sources, encoder, written, batch_size=batch_size, workers=workers)
    assert (
        {settlement.key for settlement in settlements if settlement.status == "encoded"} == set(eager) == set(written)
    )
    for key, expected in eager.items():
        np.testing.assert_allclose(written[key].embeddings, expected, atol=1e-4, rtol=0)
        np.testing.assert_array_equal(written[key].source_frame, range(len(expected)))


def test_stages_are_timed(make_sources: object) -> None:
    encoder = MeanEncoder()
    pipeline = Pipeline(
        encoder.feature_spec,
        encoder,
        SiteKey(bytes(32)),
        lambda key: False,
        lambda key, clip: None,
        threading.Event(),
        4,
    )
    list(pipeline.run(make_sources("1 2 3", "4 5")))
    seconds = pipeline.profile.seconds
    assert all(seconds[stage] > 0 for stage in seconds if stage != "ledger")
    facts = pipeline.profile.as_dict(sum(seconds.values()), 5, 2)
    assert sum(stage["share"] or 0 for stage in facts["stages"].values()) == pytest.approx(1, abs=1e-3)
    assert facts["bottleneck"] == max(facts["busy"], key=facts["busy"].__getitem__)
