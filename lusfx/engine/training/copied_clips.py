"""Clips that seem to stand under several patients: whatever is judged across patients is then judged on what it has seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Store
from lusfx.engine.samples.features import ClipFeatures, FrameBag, FrameRows, PooledClip
from lusfx.engine.samples.labels import LabelledUnits
from lusfx.engine.samples.near_duplicates import NearDuplicate, near_duplicates_within
from lusfx.errors import TrainingRefusedError
from lusfx.messages import first_few, short
from lusfx.types import NotAssessable

MAX_SHARE = 0.1
"""Of a training's clips that may seem copied; more raise an AUC by about as much as its interval is wide."""
FEWEST_PAIRS = 2
"""For a refusal. One pair is a tenth of twenty clips, and may be chance."""


@dataclass(frozen=True, slots=True)
class CopiedClips:
    """What looks copied among the clips of one training.

    :param pairs: clips of different patients that look like each other.
    :param n_patients: patients who have any of them.
    :param n_clips: clips of the training, copied or not.
    """

    pairs: tuple[NearDuplicate, ...]
    n_patients: int
    n_clips: int

    @property
    def share(self) -> float:
        """Of the clips that are in a pair; 0 to 1."""
        return len({key for pair in self.pairs for key in (pair.key, pair.seen)}) / max(self.n_clips, 1)

    def check(self, max_share: float) -> None:
        """Refuse a training of too many of them.

        :param max_share: of all clips, 0 to 1.
        :raises TrainingRefusedError: naming no patient.
        """
        if len(self.pairs) >= FEWEST_PAIRS and self.share > max_share:
            raise TrainingRefusedError(
                f"{self._said}: {self.share:.0%} of the {self.n_clips} clips, more than {max_share:.0%}. A cross-validation "
                "by patient would judge on clips that it has seen. Give copies one patient_id or leave them out; if they "
                "are no copies, raise --max-near-duplicates"
            )

    def warnings(self) -> list[str]:
        """What whoever reads a result must know of them."""
        if not self.pairs:
            return []
        pairs = first_few([f"{short(pair.key)} like {short(pair.seen)}" for pair in self.pairs])
        return [f"{self._said} ({pairs}). If they are copies, encoded again or trimmed, the figures are too good"]

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"pairs": len(self.pairs), "patients": self.n_patients, "share_of_clips": round(self.share, 6)}

    @property
    def _said(self) -> str:
        n = len(self.pairs)
        return (
            f"{n} {'pair' if n == 1 else 'pairs'} of clips between {self.n_patients} patients look like the same clip"
        )


NONE_COPIED = CopiedClips((), 0, 0)
"""Where nobody looked, or none was found."""


class PatientsOfClips:
    """Looks for copies among all clips that several trainings use, once.

    :param features: what each clip gives, by task and clip key.
    """

    def __init__(
        self, store: Store, labelled: Iterable[LabelledUnits], features: Iterable[Mapping[str, ClipFeatures]]
    ) -> None:
        self._patient_of = {
            key: str(patient)
            for units in labelled
            for clips, patient in zip(units.clips, units.groups, strict=True)
            for key in clips
        }
        centres: dict[str, NDArray[np.float32]] = {}
        for of_task in features:
            for key, clip in of_task.items():
                if key not in centres and not isinstance(clip, NotAssessable):
                    centres[key] = _centre(clip)
        self._pairs = near_duplicates_within(store, centres, self._patient_of)

    def copied(self, clips: Iterable[str]) -> CopiedClips:
        """What looks copied among some of the clips."""
        among = set(clips)
        pairs = tuple(pair for pair in self._pairs if pair.key in among and pair.seen in among)
        patients = {self._patient_of[key] for pair in pairs for key in (pair.key, pair.seen)}
        return CopiedClips(pairs, len(patients), len(among))


def _centre(clip: PooledClip | FrameBag | FrameRows) -> NDArray[np.float32]:
    if isinstance(clip, FrameRows):
        return np.asarray(clip.rows.mean(axis=0, dtype=np.float32))
    return clip.centre
