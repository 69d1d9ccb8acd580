"""Pooling: how the frames of a clip become one vector, and which ways go with which task and head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Pooling, Task
from lusfx.engine.samples.readable_frames import ReadableFrames
from lusfx.errors import PluginError, UsageError
from lusfx.task_model import TaskCard


def pool(frames: ReadableFrames, card: TaskCard, task: Task | None) -> NDArray[np.float32]:
    """One vector of a clip's readable frames, ``(n_features,)``.

    :param card: says how the task pools; not by attention, which a head does by itself.
    :param task: the plugin's task, needed where it pools by code of its own.
    :raises PluginError: if that code is not installed, fails, or returns anything but one vector.
    """
    if card.pooling == "custom":
        return _custom_vector(frames, card, task)
    return pooled_frames(frames, card.pooling)


def pooled_frames(frames: ReadableFrames, pooling: Pooling) -> NDArray[np.float32]:
    """One vector of a clip's readable frames, ``(n_features,)``.

    :param pooling: none that a head or a plugin does by itself, and none that needs times which are not known.
    """
    parts = [getattr(frames, part) for part in pooled_parts(pooling)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def pooled_parts(pooling: Pooling) -> list[str]:
    """What a pooling puts end to end: attributes of :class:`~lusfx.engine.samples.readable_frames.ReadableFrames`."""
    return pooling.split("+")


def pooled_stills(rows: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """Each frame pooled by itself, as a clip of one frame is: ``(n, n_features)`` of ``(n, dim)``.

    :param pooling: none that a head or a plugin does by itself.
    """
    nothing = np.zeros_like(rows)
    of_still = {"mean": rows, "max": rows, "std": nothing, "change": nothing}
    return np.concatenate([of_still[part] for part in pooled_parts(pooling)], axis=1)


def needs_times(pooling: Pooling) -> bool:
    """Whether frames must have known times; a still always does."""
    return "change" in pooled_parts(pooling)


def joined(vectors: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """One vector of an exam's clips: the largest of their maxima, and the mean of everything else.

    :param vectors: ``(n_clips, n_features)``.
    """
    parts = pooled_parts(pooling)
    columns = np.split(vectors, len(parts), axis=1) if len(parts) > 1 else [vectors]
    return np.concatenate(
        [of.max(axis=0) if part == "max" else of.mean(axis=0) for part, of in zip(parts, columns, strict=True)]
    )


def _custom_vector(frames: ReadableFrames, card: TaskCard, task: Task | None) -> NDArray[np.float32]:
    """Call the plugin's own pooling, on arrays that it cannot change."""
    if task is None:
        raise PluginError(f"the task '{card.name}' pools by itself, and its plugin is not installed")
    embeddings, times_s = frames.rows.copy(), frames.times_s.copy()
    embeddings.flags.writeable = times_s.flags.writeable = False
    try:
        vector = np.asarray(task.pool(embeddings, times_s), dtype=np.float32)
    except Exception as error:
        raise PluginError(f"the method 'pool' of task '{card.name}' failed: {type(error).__name__}") from error
    if vector.ndim != 1 or not len(vector):
        raise PluginError(f"the method 'pool' of task '{card.name}' must return one vector")
    return vector


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
