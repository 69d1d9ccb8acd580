"""From cached embeddings, a row a frame, to the features of a task's units: frames, clips or exams."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Store
from lusfx.contracts import Bags, Task
from lusfx.engine.samples.half_precision import as_float32
from lusfx.engine.samples.pooling import joined, needs_times, pool
from lusfx.engine.samples.readable_frames import ReadableFrames
from lusfx.errors import PluginError
from lusfx.messages import counted
from lusfx.spacing import evenly_spaced
from lusfx.task_model import TaskCard, UnitFeatures
from lusfx.types import ClipEmbeddings, NotAssessable

UNKNOWN_TIMES = NotAssessable("frame-times-unknown", "frame times are not known, and the task aggregates in seconds")
CHANGE_UNKNOWN = NotAssessable(
    "frame-times-unknown", "frame times are not known, and the task asks for change a second"
)
CONFIDENCE_UNKNOWN = NotAssessable(
    "beam-confidence-unknown",
    "the clip's record does not say how probably its beam is right, and the task asks for that",
)


@dataclass(frozen=True, slots=True)
class PooledClip:
    """A clip whose frames were pooled to one vector.

    :param vector: ``(n_features,)``.
    :param centre: ``(dim,)`` mean embedding.
    """

    vector: NDArray[np.float32]
    centre: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FrameBag:
    """A clip whose frames a head weighs by itself.

    :param rows: ``(n, dim)`` frames, as they are stored.
    :param centre: ``(dim,)`` mean embedding of all readable frames.
    """

    rows: NDArray[np.floating]
    centre: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TimedBag(FrameBag):
    """A clip whose frames are scored one by one and then aggregated.

    :param durations_s: ``(n,)`` seconds that each of ``rows`` lasts.
    """

    durations_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FrameRows:
    """A clip whose frames are units themselves.

    :param rows: ``(n, dim)`` frames, as they are stored.
    :param source_frame: ``(n,)`` position of each in the source.
    :param times_s: ``(n,)`` seconds after the clip's first frame; NaN where unknown.
    """

    rows: NDArray[np.floating]
    source_frame: NDArray[np.int64]
    times_s: NDArray[np.float64]


ClipFeatures = PooledClip | FrameBag | FrameRows | NotAssessable
"""What one clip gives to one task: features in the task's form, the same for all clips, or the reason why there are none."""

F = TypeVar("F", PooledClip, FrameBag, TimedBag, FrameRows)


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

    def of_clip(self, embeddings: ClipEmbeddings) -> ClipFeatures:
        """Features of a clip, or the reason why there are none.

        :raises PluginError: if the task pools by code of its own, which is not there or fails.
        """
        return self.of_frames(ReadableFrames(embeddings))

    def of_frames(self, frames: ReadableFrames) -> ClipFeatures:
        """:meth:`of_clip` of a clip whose frames other makers look at, too."""
        reason = self._unassessable(frames)
        if reason is not None:
            return reason
        if self.card.unit == "frame":
            return FrameRows(frames.embeddings, frames.source_frame, frames.times_s)
        if self.card.aggregate is not None:
            durations_s = frames.durations_s
            if durations_s is None:
                if self._needs_times:
                    return UNKNOWN_TIMES
                durations_s = np.ones(len(frames))
            return TimedBag(frames.embeddings, frames.mean, durations_s)
        if self.card.pooling == "attention":
            return FrameBag(frames.embeddings[evenly_spaced(len(frames), self.card.frames_per_clip)], frames.mean)
        return PooledClip(pool(frames, self.card, self._task), frames.mean)

    def of_units(self, units: Sequence[Sequence[ClipFeatures]]) -> UnitFeatures:
        """Put units together, each from its clips, of which at least one can be assessed.

        A clip's unit has one clip, an exam's all its clips; what cannot be assessed is left out. Of a ``frame`` task the
        rows of all clips are units, in order.

        :param units: features that this maker, or one of the same recipe, has made.
        :raises PluginError: if the task pools by itself, and not to one length.
        """
        if self.card.unit == "frame":
            rows = as_float32(np.concatenate([clip.rows for unit in _those(FrameRows, units) for clip in unit]))
            return UnitFeatures(rows, rows)
        if self.card.aggregate is not None:
            timed = _those(TimedBag, units)
            durations_s = [np.concatenate([clip.durations_s for clip in unit]) for unit in timed]
            return UnitFeatures(_bags(timed), _centres(timed), durations_s)
        if self.card.pooling == "attention":
            bags = _those(FrameBag, units)
            return UnitFeatures(_bags(bags), _centres(bags))
        return self._of_pooled(_those(PooledClip, units))

    def _of_pooled(self, units: Sequence[Sequence[PooledClip]]) -> UnitFeatures:
        lengths = {len(clip.vector) for unit in units for clip in unit}
        if len(lengths) > 1:
            raise PluginError(
                f"the method 'pool' of task '{self.card.name}' must return vectors of one length, and returned some of "
                f"{' and '.join(map(str, sorted(lengths)))}"
            )
        centres = _centres(units)
        if self.card.pooling == "mean" and all(len(unit) == 1 for unit in units):
            return UnitFeatures(centres, centres)
        vectors = [[clip.vector for clip in unit] for unit in units]
        return UnitFeatures(_joined(lambda of: joined(of, self.card.pooling), vectors), centres)

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
            return NotAssessable(
                "too-few-frames", f"{counted(len(frames), 'readable frame')}, fewer than {abstain.min_frames}"
            )
        least = abstain.min_beam_confidence
        if least > 0:
            confidence = _probability(frames.provenance.get("beam_confidence"))
            if confidence is None:
                return CONFIDENCE_UNKNOWN
            if confidence < least:
                return NotAssessable("low-beam-confidence", f"beam confidence {confidence:.2f}, below {least:.2f}")
        pools = self.card.aggregate is None and self.card.unit != "frame"
        return CHANGE_UNKNOWN if pools and needs_times(self.card.pooling) and frames.change is None else None


def _probability(value: object) -> float | None:
    """A number from 0 to 1; None for anything else, which is no reason to answer."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1 else None


def _those(form: type[F], units: Sequence[Sequence[ClipFeatures]]) -> list[list[F]]:
    """The clips of each unit that can be assessed, which all have the task's form."""
    return [[clip for clip in unit if isinstance(clip, form)] for unit in units]


def _bags(units: Sequence[Sequence[FrameBag]]) -> Bags:
    return Bags.of([np.concatenate([clip.rows for clip in unit]) for unit in units])


def _centres(units: Sequence[Sequence[PooledClip | FrameBag]]) -> NDArray[np.float32]:
    return _joined(lambda of: of.mean(axis=0), [[clip.centre for clip in unit] for unit in units])


def _joined(
    join: Callable[[NDArray[np.float32]], NDArray[np.float32]], units: Sequence[Sequence[NDArray[np.float32]]]
) -> NDArray[np.float32]:
    """A row a unit: that of its only clip, or what the rows of its clips are joined to."""
    return np.stack([unit[0] if len(unit) == 1 else join(np.stack(unit)) for unit in units])


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
    for key, embeddings in store.read_all(keys):
        frames = ReadableFrames(embeddings)
        for name, maker in makers.items():
            made[name][key] = maker.of_frames(frames)
    return made
