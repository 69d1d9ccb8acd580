"""From cached embeddings, a row a frame, to the features of a task's units: frames, clips or exams."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Cache, Store
from lusfx.contracts import Bags, Pooling, Task, frame_durations
from lusfx.engine.samples.half_precision import as_float32
from lusfx.errors import CacheError, PluginError, UsageError
from lusfx.task_model import TaskCard, TaskModel, UnitFeatures
from lusfx.types import ClipEmbeddings, FrameStatus, NotAssessable

UNKNOWN_TIMES = NotAssessable("frame-times-unknown", "frame times are not known, and the task aggregates in seconds")


@dataclass(frozen=True, slots=True)
class ClipFeatures:
    """What one clip gives to one task.

    :param reason: why it gives nothing; None where it does.
    :param vector: ``(n_features,)`` where frames are pooled; else None.
    :param rows: ``(n, dim)`` single frames where they are not; else None.
    :param durations_s: ``(n,)`` seconds that each of ``rows`` lasts, where the task aggregates; else None.
    :param source_frame: ``(n,)`` position in the source of each of ``rows``.
    :param times_s: ``(n,)`` seconds after the clip's first frame; NaN where unknown.
    :param centre: ``(dim,)`` mean embedding.
    """

    reason: NotAssessable | None = None
    vector: NDArray[np.float32] | None = None
    rows: NDArray[np.floating] | None = None
    durations_s: NDArray[np.float64] | None = None
    source_frame: NDArray[np.int64] | None = None
    times_s: NDArray[np.float64] | None = None
    centre: NDArray[np.float32] | None = None


class ReadableFrames:
    """The frames of a clip that could be read, pooled at most once in each way, however many tasks ask.

    :param clip: not to be changed.
    """

    def __init__(self, clip: ClipEmbeddings) -> None:
        self.clip = clip
        self._readable = clip.status == FrameStatus.OK
        self._n = int(np.count_nonzero(self._readable))

    def __len__(self) -> int:
        return self._n

    def _those(self, column: NDArray[Any]) -> NDArray[Any]:
        return column if self._n == len(column) else column[self._readable]

    @cached_property
    def embeddings(self) -> NDArray[np.floating]:
        """``(n, dim)`` as they are stored."""
        return self._those(self.clip.embeddings)

    @cached_property
    def rows(self) -> NDArray[np.float32]:
        """``(n, dim)``."""
        return as_float32(self.embeddings)

    @cached_property
    def source_frame(self) -> NDArray[np.int64]:
        """``(n,)`` position in the source."""
        return self._those(self.clip.source_frame)

    @cached_property
    def times_s(self) -> NDArray[np.float64]:
        """``(n,)`` seconds after the clip's first frame; NaN where unknown."""
        return self._those(self.clip.times_s)

    @cached_property
    def durations_s(self) -> NDArray[np.float64] | None:
        """``(n,)`` seconds that each lasts; None where times are unknown."""
        return frame_durations(self.clip.times_s, self._readable)

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        """``(dim,)``."""
        # To the bit what numpy.mean gives, in half the time for clips of seconds.
        mean: NDArray[np.float32] = np.add.reduce(self.rows, axis=0) / np.float32(self._n)
        return mean

    @cached_property
    def max(self) -> NDArray[np.float32]:
        """``(dim,)``."""
        largest: NDArray[np.float32] = self.rows.max(axis=0)
        return largest

    @cached_property
    def mean_and_std(self) -> NDArray[np.float32]:
        """``(2 * dim,)``."""
        return np.concatenate([self.mean, self.rows.std(axis=0)])


class FeatureMaker:
    """Makes one task's features of cached clips.

    :param card: the task as it is trained or was trained.
    :param task: the plugin's task, needed where it brings code of its own.
    """

    def __init__(self, card: TaskCard, task: Task | None = None) -> None:
        self.card = card
        self._task = task

    @property
    def recipe(self) -> Hashable:
        """What decides the features: makers with one recipe make the same of every clip."""
        card = self.card
        own_code = (card.name, card.version) if card.pooling == "custom" else None
        aggregates = card.aggregate is not None
        return card.unit, card.pooling, card.frames_per_clip, card.abstain, aggregates, self._needs_times, own_code

    def of_clip(self, clip: ClipEmbeddings, frames: NDArray[np.int64] | None = None) -> ClipFeatures:
        """Features of a clip, or the reason why there are none.

        :param frames: source positions of the frames that are wanted, where the unit is the frame; None for all.
        """
        return self.of_frames(ReadableFrames(clip), frames)

    def of_frames(self, frames: ReadableFrames, wanted: NDArray[np.int64] | None = None) -> ClipFeatures:
        """:meth:`of_clip` of a clip whose frames other makers look at, too.

        :param wanted: as ``frames`` of :meth:`of_clip`.
        """
        reason = self._unassessable(frames)
        if reason is not None:
            return ClipFeatures(reason=reason)
        if self.card.unit == "frame":
            source_frame, times_s, rows = frames.source_frame, frames.times_s, frames.embeddings
            if wanted is not None:
                held = np.flatnonzero(np.isin(source_frame, wanted))
                source_frame, times_s, rows = source_frame[held], times_s[held], rows[held]
            return ClipFeatures(rows=rows, source_frame=source_frame, times_s=times_s, centre=frames.mean)
        if self.card.aggregate is not None:
            durations_s = frames.durations_s
            if durations_s is None:
                if self._needs_times:
                    return ClipFeatures(reason=UNKNOWN_TIMES)
                durations_s = np.ones(len(frames))
            return ClipFeatures(rows=frames.embeddings, durations_s=durations_s, centre=frames.mean)
        if self.card.pooling == "attention":
            rows = frames.embeddings[evenly(len(frames), self.card.frames_per_clip)]
            return ClipFeatures(rows=rows, centre=frames.mean)
        return ClipFeatures(vector=self._pool(frames), centre=frames.mean)

    def of_units(self, units: Sequence[Sequence[ClipFeatures]]) -> UnitFeatures:
        """Put units together, each from its clips, of which at least one has no ``reason``.

        A clip's unit has one clip, an exam's all its clips; what cannot be assessed is left out. Of a ``frame`` task the
        rows of all clips are units, in order.

        :raises PluginError: if the task pools by itself, and not to one length.
        """
        whole = [[clip for clip in unit if clip.reason is None] for unit in units]
        if self.card.unit == "frame":
            rows = as_float32(np.concatenate([_given(clip.rows) for unit in whole for clip in unit]))
            return UnitFeatures(rows, rows)
        centres = _joined(np.mean, [[_given(clip.centre) for clip in unit] for unit in whole])
        if self.card.takes_bags:
            bags = Bags.of([np.concatenate([_given(clip.rows) for clip in unit]) for unit in whole])
            durations = None
            if self.card.aggregate is not None:
                durations = [np.concatenate([_given(clip.durations_s) for clip in unit]) for unit in whole]
            return UnitFeatures(bags, centres, durations)
        lengths = {len(_given(clip.vector)) for unit in whole for clip in unit}
        if len(lengths) > 1:
            raise PluginError(
                f"the method 'pool' of task '{self.card.name}' must return vectors of one length, and returned some of "
                f"{' and '.join(map(str, sorted(lengths)))}"
            )
        if self.card.pooling == "mean" and all(len(unit) == 1 for unit in whole):
            return UnitFeatures(centres, centres)
        join = np.max if self.card.pooling == "max" else np.mean
        return UnitFeatures(_joined(join, [[_given(clip.vector) for clip in unit] for unit in whole]), centres)

    @property
    def _needs_times(self) -> bool:
        aggregate = self.card.aggregate
        if aggregate is None:
            return False
        if self._task is not None and self._task.aggregate is not None:
            return self._task.aggregate.needs_times
        return aggregate.make().needs_times

    def _unassessable(self, frames: ReadableFrames) -> NotAssessable | None:
        abstain = self.card.abstain
        if len(frames) < abstain.min_frames:
            return NotAssessable("too-few-frames", f"{len(frames)} readable frames, fewer than {abstain.min_frames}")
        if abstain.min_beam_confidence == 0:
            return None
        confidence = frames.clip.provenance.get("beam_confidence")
        if isinstance(confidence, (int, float)) and confidence < abstain.min_beam_confidence:
            detail = f"beam confidence {confidence:.2f}, below {abstain.min_beam_confidence:.2f}"
            return NotAssessable("low-beam-confidence", detail)
        return None

    def _pool(self, frames: ReadableFrames) -> NDArray[np.float32]:
        if self.card.pooling == "custom":
            return self._custom_pool(frames.rows.copy(), frames.times_s.copy())
        if self.card.pooling == "mean":
            return frames.mean
        return frames.max if self.card.pooling == "max" else frames.mean_and_std

    def _custom_pool(self, embeddings: NDArray[np.float32], times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Call the plugin's own pooling, on arrays that it cannot change."""
        if self._task is None:
            raise PluginError(f"the task '{self.card.name}' pools by itself, and its plugin is not installed")
        embeddings.flags.writeable = times_s.flags.writeable = False
        try:
            vector = np.asarray(self._task.pool(embeddings, times_s), dtype=np.float32)
        except Exception as error:
            raise PluginError(f"the method 'pool' of task '{self.card.name}' failed: {type(error).__name__}") from error
        if vector.ndim != 1 or not len(vector):
            raise PluginError(f"the method 'pool' of task '{self.card.name}' must return one vector")
        return vector


def _joined(join: Callable[..., Any], units: Sequence[Sequence[NDArray[np.floating]]]) -> NDArray[np.float32]:
    """A row a unit: that of its only clip, or what the rows of its clips are joined to."""
    return np.stack([unit[0] if len(unit) == 1 else join(unit, axis=0) for unit in units])


def evenly(n: int, wanted: int) -> NDArray[np.intp]:
    """Positions of at most ``wanted`` of ``n`` frames, evenly spaced, the first and the last among them."""
    if n <= wanted:
        return np.arange(n)
    return np.unique(np.linspace(0, n - 1, wanted).round().astype(np.intp))


def features_of_clips(
    store: Store, keys: Iterable[str], makers: Mapping[str, FeatureMaker]
) -> dict[str, dict[str, ClipFeatures]]:
    """What each clip gives to each task. Every clip is read once, whatever the number of tasks.

    :param keys: clip keys, all of them in the store.
    :param makers: by a name of the caller's.
    :returns: by the maker's name and the clip's key.
    :raises ClipNotCachedError, CorruptRecordError: if a clip is missing or damaged.
    """
    made: dict[str, dict[str, ClipFeatures]] = {name: {} for name in makers}
    for key, clip in store.read_all(keys):
        frames = ReadableFrames(clip)
        for name, maker in makers.items():
            made[name][key] = maker.of_frames(frames)
    return made


def resolve_pooling(task: Task, pooling: Pooling | None, takes: str, head: str) -> Pooling:
    """How a task's frames become features for a head: as the user or the task says, so that the head can take it.

    :param takes: ``vectors`` or ``bags``, what the head takes.
    :raises UsageError: if the three do not go together.
    """
    wanted = pooling or task.pooling
    if task.aggregate is not None or task.unit == "frame":
        what = "aggregates the probabilities of frames" if task.aggregate is not None else "is asked of single frames"
        if takes == "bags" or pooling is not None:
            raise UsageError(
                f"task '{task.name}' {what}: nothing is pooled. Choose a head that takes vectors, no --pooling"
            )
        return task.pooling
    if takes == "bags":
        if pooling not in (None, "attention"):
            raise UsageError(f"head '{head}' weighs frames by itself; it goes with --pooling attention only")
        return "attention"
    if wanted == "attention":
        raise UsageError(f"head '{head}' takes pooled vectors. Choose --head attention, or --pooling mean")
    if wanted == "custom" and task.pooling != "custom":
        raise UsageError(f"task '{task.name}' has no pooling of its own")
    return wanted


def choose_store(cache: Cache, fingerprint: str | None) -> Store:
    """The features to work on: those named, or the only ones that the cache holds.

    :param fingerprint: a fingerprint or the beginning of one.
    :raises CacheError: if the cache holds none.
    :raises UsageError: if it holds several and none was named.
    """
    if fingerprint is not None:
        return cache.find(fingerprint)
    stores = cache.stores()
    if not stores:
        raise CacheError("the cache holds no features yet. Run: lusfx extract SOURCES... --cache DIR")
    if len(stores) > 1:
        held = ", ".join(f"{store.fingerprint[:12]} ({store.spec.encoder.architecture})" for store in stores)
        raise UsageError(f"the cache holds features of several fingerprints: {held}. Name one with --fingerprint")
    return stores[0]


def store_for(cache: Cache, model: TaskModel) -> Store:
    """The features that a task model takes.

    :raises CacheError: if the cache holds none of them, or they cannot be read.
    """
    fingerprint = model.card.features.fingerprint
    if not any(path.name == fingerprint for path in cache.store_directories()):
        raise CacheError(
            f"the cache holds no features that {model.name} takes ({fingerprint[:12]}). Run: lusfx extract SOURCES... "
            f"--cache DIR --encoder {model.encoder_argument}"
        )
    return cache.find(fingerprint)


def _given(array: NDArray[np.floating] | None) -> NDArray[np.floating]:
    """An array that the task's form has; its absence would be a mistake of this module."""
    if array is None:
        raise TypeError("these clip features were made for another form of task")
    return array
