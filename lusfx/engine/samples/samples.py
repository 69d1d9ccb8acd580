"""Samples: a task's labelled units with their features, ready to be learnt from or judged on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import UNKNOWN
from lusfx.engine.samples.features import ClipFeatures, FeatureMaker, FrameRows
from lusfx.engine.samples.labels import LabelledUnits
from lusfx.errors import TrainingRefusedError
from lusfx.messages import are, counted, short
from lusfx.spacing import evenly_spaced
from lusfx.task_model import UnitFeatures
from lusfx.types import NotAssessable


class Units(Protocol):
    """What is known of units: their features, or the frames that a network is yet to see."""

    def __len__(self) -> int: ...

    def take(self, units: NDArray[np.intp]) -> Self:
        """The named units, in the order given."""
        ...

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which units have finite values only, ``(n,)``."""
        ...


U = TypeVar("U", bound=Units)
V = TypeVar("V", bound=Units)
U_contra = TypeVar("U_contra", bound=Units, contravariant=True)


@dataclass(frozen=True, slots=True)
class Samples(Generic[U]):
    """Labelled units that can be assessed. Arrays have one element a unit.

    :param keys: names of the units.
    :param groups: patient keys.
    :param targets: ``(n, n_outcomes)`` 0, 1 or UNKNOWN.
    :param classes: number of the class; UNKNOWN of a multi-label task.
    :param weights: how much each unit counts in training: the frames of a clip share the weight of one.
    :param clips: keys of all clips that the units are made from.
    :param pseudonyms: all that are known of each patient, by patient key.
    :param reasons: codes of why labelled units are missing here, with their number.
    :param weak_labels: whether frames have the labels of their clips.
    """

    keys: NDArray[np.str_]
    groups: NDArray[np.str_]
    targets: NDArray[np.int64]
    classes: NDArray[np.int64]
    weights: NDArray[np.float64]
    units: U
    clips: Sequence[str]
    reasons: Mapping[str, int]
    weak_labels: bool = False
    pseudonyms: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.intp]) -> Self:
        """The named units, in the order given."""
        return replace(
            self,
            keys=self.keys[rows],
            groups=self.groups[rows],
            targets=self.targets[rows],
            classes=self.classes[rows],
            weights=self.weights[rows],
            units=self.units.take(rows),
        )

    def with_units(self, units: V) -> Samples[V]:
        """The same labels of units of which something else is known."""
        return Samples(
            keys=self.keys,
            groups=self.groups,
            targets=self.targets,
            classes=self.classes,
            weights=self.weights,
            units=units,
            clips=self.clips,
            reasons=self.reasons,
            weak_labels=self.weak_labels,
            pseudonyms=self.pseudonyms,
        )

    def known(self, outcome: int) -> NDArray[np.intp]:
        """Positions of the units whose answer to an outcome is known."""
        return np.flatnonzero(self.targets[:, outcome] != UNKNOWN)

    @property
    def n_patients(self) -> int:
        return len(np.unique(self.groups))

    @property
    def known_pseudonyms(self) -> frozenset[str]:
        """All by which any of the patients may be known elsewhere."""
        groups = np.unique(self.groups).tolist()
        return frozenset(groups).union(*(self.pseudonyms.get(group, frozenset()) for group in groups)) - {""}

    def warnings(self) -> list[str]:
        """What whoever reads a result must know of what is missing."""
        said = [
            f"{counted(count, 'labelled unit')} {are(count)} not assessable: {reason}"
            for reason, count in sorted(self.reasons.items())
        ]
        if self.weak_labels:
            said.append("the frames have the labels of their clips: weak labels, against which they are also judged")
        return said


def make_samples(
    labelled: LabelledUnits, clips: Mapping[str, ClipFeatures], maker: FeatureMaker
) -> Samples[UnitFeatures]:
    """Join labels and features.

    :param clips: features by clip key; a unit none of whose clips can be assessed is left out and its reason kept.
    :raises TrainingRefusedError: if nothing is left, or a labelled frame is not among the clip's readable ones.
    """
    reasons: Counter[str] = Counter()
    kept = []
    for number, members in enumerate(labelled.clips):
        missing = [clip for clip in (clips[key] for key in members) if isinstance(clip, NotAssessable)]
        if len(missing) == len(members):
            reasons[missing[0].code] += 1
        else:
            kept.append(number)
    if not kept:
        raise TrainingRefusedError(
            f"none of the {counted(len(labelled), 'labelled unit')} is assessable: {next(iter(reasons))}"
        )
    if maker.card.unit == "frame":
        frames = {key: clip for key, clip in clips.items() if isinstance(clip, FrameRows)}
        return _frame_samples(labelled, kept, frames, maker.card.frames_per_clip, reasons)
    rows = np.array(kept)
    units = maker.of_units([[clips[key] for key in labelled.clips[number]] for number in kept])
    return Samples(
        keys=labelled.keys[rows],
        groups=labelled.groups[rows],
        targets=labelled.targets[rows],
        classes=labelled.classes[rows],
        weights=np.ones(len(rows)),
        units=units,
        clips=sorted({key for number in kept for key in labelled.clips[number]}),
        reasons=reasons,
        pseudonyms=labelled.pseudonyms,
    )


def _frame_samples(
    labelled: LabelledUnits,
    kept: Sequence[int],
    clips: Mapping[str, FrameRows],
    frames_per_clip: int,
    reasons: Mapping[str, int],
) -> Samples[UnitFeatures]:
    """A unit a frame: the labelled ones, or of clips with weak labels some that are evenly spaced."""
    weak = labelled.unit == "clip"
    names, owners, rows = [], [], []
    for number in kept:
        (key,) = labelled.clips[number]
        clip = clips[key]
        if weak:
            chosen = evenly_spaced(len(clip.rows), frames_per_clip)
        else:
            chosen = np.flatnonzero(clip.source_frame == labelled.frames[number])
            if not len(chosen):
                raise TrainingRefusedError(
                    f"frame {labelled.frames[number]} of clip {short(key)} has a label and no embedding: it is beyond the "
                    "clip's end, could not be read, or was passed over by the encoder's stride or by --fps"
                )
        names += [f"{key}#{frame}" for frame in clip.source_frame[chosen].tolist()]
        owners += [number] * len(chosen)
        rows.append(clip.rows[chosen].astype(np.float32))
    owner, features = np.array(owners), np.concatenate(rows)
    _, clip_of, count = np.unique([name.partition("#")[0] for name in names], return_inverse=True, return_counts=True)
    return Samples(
        keys=np.array(names),
        groups=labelled.groups[owner],
        targets=labelled.targets[owner],
        classes=labelled.classes[owner],
        weights=1.0 / count[clip_of],
        units=UnitFeatures(features, features),
        clips=sorted({labelled.clips[number][0] for number in kept}),
        reasons=reasons,
        weak_labels=weak,
        pseudonyms=labelled.pseudonyms,
    )
