"""What an encoder can do wrong: each ends as one clip's failure, or as one error of the run, and never in an unbounded wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.contracts import EncoderRequest, EncoderSpec
from lusfx.engine.extraction import pipeline, watched_threads
from lusfx.engine.extraction.opening import open_encoder
from lusfx.engine.extraction.sources import Source
from lusfx.engine.extraction.watched_threads import WatchedThreads
from lusfx.errors import CacheError, EncoderError
from lusfx.plugins import build_registry
from lusfx.site_key import SiteKey
from lusfx.types import Clip, ClipEmbeddings
from tests.engine.extraction.test_pipeline import FakeReader, MeanEncoder, run

Images = NDArray[np.uint8]
MakeSources = Callable[..., list[Source]]


@pytest.fixture
def make_sources(tmp_path: Path) -> MakeSources:
    def make(*contents: str) -> list[Source]:
        paths = [tmp_path / f"{number}.fake" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_text(content)
        return [Source(path, f"file {number + 1}", FakeReader()) for number, path in enumerate(paths)]

    return make


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lusfx-")]


class Inverse(MeanEncoder):
    """Divides by the level: what it gives for black is not finite."""

    def encode(self, images: Images) -> NDArray[np.float32]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 / super().encode(images)


def test_a_clip_with_a_frame_that_comes_to_no_number_fails_and_no_other(make_sources: MakeSources) -> None:
    contents = ["1 2 3 4 5", "6 0 7 8", "9 x", "6 0 7 8", "0", *(str(n) for n in range(10, 40)), "6 0 7 8"]
    written: dict[str, ClipEmbeddings] = {}
    settlements = {
        settlement.source.where: settlement for settlement in run(make_sources(*contents), Inverse(), written)
    }
    for number, content in enumerate(contents, start=1):
        settlement = settlements[f"file {number}"]
        if "0" in content.split():
            assert (settlement.status, settlement.code) == ("failed", "not-finite")
            n_frames = len(content.split())
            assert settlement.detail == f"the encoder gives no finite values for 1 of its {n_frames} frames"
            assert settlement.patient_key == ("p-1" if number in (2, 5) else None)  # a copy's patient is its own
        else:
            assert settlement.status == "encoded"
            assert settlement.key in written
    assert len(written) == len(contents) - 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_where_no_value_ever_is_finite_each_clip_says_so(make_sources: MakeSources, value: float) -> None:
    """A run that ended at the first ones would end there each time, where these are black and the others are not."""

    class Never(MeanEncoder):
        def encode(self, images: Images) -> NDArray[np.float32]:
            return np.full((len(images), 2), value, np.float32)

    settlements = run(make_sources(*(f"{n} {n}" for n in range(20))), Never(), {})
    assert [settlement.code for settlement in settlements] == ["not-finite"] * 20


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError


class Fatal(BaseException):
    pass


def failing(error: BaseException) -> Callable[[Images], object]:
    def fail(images: Images) -> object:
        raise error

    return fail


DEEDS: dict[str, Callable[[Images], object]] = {
    **{
        type(error).__name__: failing(error)
        for error in (
            ValueError("SECRET"), AssertionError("SECRET"), OSError("SECRET"), RecursionError(), StopIteration(),
            UnprintableError(), SystemExit(0), KeyboardInterrupt(), GeneratorExit(), Fatal("SECRET"),
        )
    },
    "nothing": lambda images: None,
    "a list": lambda images: [[1.0, 2.0]] * len(images),
    "objects": lambda images: np.full((len(images), 2), None),
    "text": lambda images: np.full((len(images), 2), "SECRET"),
    "complex": lambda images: np.ones((len(images), 2), np.complex64),
    "double": lambda images: np.ones((len(images), 2)),
    "a row too few": lambda images: np.ones((len(images) - 1, 2), np.float32),
    "a row too many": lambda images: np.ones((len(images) + 1, 2), np.float32),
    "a column too many": lambda images: np.ones((len(images), 3), np.float32),
    "an axis too many": lambda images: np.ones((len(images), 2, 1), np.float32),
    "a number": lambda images: np.float32(1),
}  # fmt: skip


@pytest.mark.parametrize("deed", DEEDS)
def test_whatever_an_encoder_gives_or_raises_is_one_error(make_sources: MakeSources, deed: str) -> None:
    """Its second batch is the bad one."""

    class Bad(MeanEncoder):
        def encode(self, images: Images) -> Any:
            return super().encode(images) if not self.batches else DEEDS[deed](images)

    with pytest.raises(EncoderError, match=r"^encoder mean ") as raised:
        run(make_sources("1 2 3 4", "5 6 7 8", "9 10 11 12"), Bad(), {})
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("error", [OSError("SECRET"), SystemExit(3), MemoryError()])
def test_whatever_is_raised_while_it_is_loaded_is_one_error(make_sources: MakeSources, error: BaseException) -> None:
    class Bad(MeanEncoder):
        def warm_up(self) -> None:
            raise error

    with pytest.raises(EncoderError, match=r"^encoder mean failed while it was loaded"):
        run(make_sources("1"), Bad(), {})


@pytest.mark.parametrize("opened", [None, object(), ValueError("SECRET"), SystemExit(1)])
def test_what_a_plugin_opens_is_an_encoder(opened: object) -> None:
    def open_it(request: EncoderRequest) -> Any:
        if isinstance(opened, BaseException):
            raise opened
        return opened

    registry = build_registry([])
    registry.encoders.add("odd", EncoderSpec("odd", "", "", open_it), "a test")
    with pytest.raises(EncoderError) as raised:
        open_encoder(EncoderRequest("odd"), registry)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("streams", [0, -1, "2", None])
def test_the_number_of_streams_is_a_number(make_sources: MakeSources, streams: Any) -> None:
    encoder = MeanEncoder()
    encoder.streams = streams
    with pytest.raises(EncoderError, match="'streams'"):
        run(make_sources("1"), encoder, {})


class Stuck(MeanEncoder):
    """Does not return for black, or from loading, until it is let go."""

    def __init__(self, on_loading: bool) -> None:
        super().__init__()
        self.on_loading = on_loading
        self.begun, self.let_go = threading.Event(), threading.Event()

    def warm_up(self) -> None:
        if self.on_loading:
            self._hang()

    def encode(self, images: Images) -> NDArray[np.float32]:
        if (images == 0).any():
            self._hang()
        return super().encode(images)

    def _hang(self) -> None:
        self.begun.set()
        assert self.let_go.wait(120)


@contextmanager
def stuck(on_loading: bool) -> Iterator[Stuck]:
    encoder = Stuck(on_loading)
    try:
        yield encoder
    finally:
        encoder.let_go.set()
        for thread in threading.enumerate():
            if thread.name.startswith("lusfx-encode"):
                thread.join(120)


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the end nothing is waited for long."""
    monkeypatch.setattr(watched_threads, "END_S", 0.1)
    monkeypatch.setattr(pipeline, "WRITTEN_S", 0.2)


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("on_loading", [False, True])
def test_an_encoder_that_does_not_return_ends_the_run_in_time(make_sources: MakeSources, on_loading: bool) -> None:
    with (
        stuck(on_loading) as encoder,
        pytest.raises(EncoderError, match=r"has not answered for 0.3 s.*LUSFX_ENCODER_TIMEOUT_S"),
    ):
        run(make_sources("1 2 3 4", *["0 0 0 0"] * 9, *(f"{n} 0 0 0" for n in range(9))), encoder, {}, batch_s=0.3)


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("on_loading", [False, True])
def test_a_run_with_such_an_encoder_can_be_stopped(make_sources: MakeSources, on_loading: bool) -> None:
    stop, written = threading.Event(), {}
    with stuck(on_loading) as encoder:
        stopper = threading.Thread(target=lambda: encoder.begun.wait(120) and stop.set())
        stopper.start()
        settlements = run(make_sources("1 2 3 4", "0 0 0 0", "5 6"), encoder, written, stop=stop)
        stopper.join()
    assert {settlement.key for settlement in settlements} == set(written)
    assert len(settlements) < 3


@pytest.mark.usefixtures("no_patience")
def test_a_disk_that_does_not_answer_holds_up_no_run_that_is_to_stop(make_sources: MakeSources) -> None:
    stop, let_go = threading.Event(), threading.Event()

    def write(key: str, clip: ClipEmbeddings) -> None:
        stop.set()
        assert let_go.wait(120)

    try:
        with pytest.raises(CacheError, match="does not answer"):
            run(make_sources("1 2 3 4", "5 6"), MeanEncoder(), {}, write=write, stop=stop)
    finally:
        let_go.set()
        for thread in threading.enumerate():
            if thread.name == "lusfx-write":
                thread.join(120)


def test_a_clip_that_cannot_be_a_record_costs_itself_only(make_sources: MakeSources) -> None:
    written: dict[str, ClipEmbeddings] = {}

    def write(key: str, clip: ClipEmbeddings) -> None:
        if clip.n_frames == 3:
            raise ValueError("SECRET")
        written[key] = clip

    settlements = run(make_sources("1 2", "3 4 5", "6", "7 8"), MeanEncoder(), {}, write=write)
    codes = {settlement.source.where: settlement.code for settlement in settlements}
    assert codes == {"file 1": None, "file 2": "not-storable", "file 3": None, "file 4": None}
    assert len(written) == 3
    assert not any("SECRET" in str(settlement.detail) for settlement in settlements)


def test_a_reader_that_ends_the_program_costs_its_clip_only(make_sources: MakeSources) -> None:
    class Exiting(FakeReader):
        @contextmanager
        def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
            raise SystemExit(0)
            yield

    first, *others = make_sources("1", "2", "3")
    settlements = run([Source(first.path, first.where, Exiting()), *others], MeanEncoder(), {})
    assert sorted(str(settlement.code) for settlement in settlements) == ["None", "None", "reader-error"]


def test_a_run_without_work_begins_no_thread(tmp_path: Path) -> None:
    WatchedThreads(3, "lusfx-encode", limit_s=1)
    assert run([Source(tmp_path / "missing.fake", "file 1", FakeReader())], MeanEncoder(), {})[0].code == "cannot-open"


def test_time_in_which_nobody_looked_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process was stopped for an hour, and goes on."""
    now_s, let_go, begun = [0.0], threading.Event(), threading.Event()
    threads = WatchedThreads(1, "lusfx-encode", limit_s=10)
    try:
        monkeypatch.setattr(watched_threads.time, "monotonic", lambda: now_s[0])
        threads.is_overdue()
        threads.submit(lambda: begun.set() or let_go.wait(120))
        assert begun.wait(120)
        now_s[0] += 3600
        assert not threads.is_overdue()
        for _ in range(200):
            now_s[0] += 0.1
            overdue = threads.is_overdue()
        assert overdue
    finally:
        monkeypatch.undo()
        let_go.set()
        threads.close()
