"""What a task model knows of the units that it was trained on, so that nobody takes its answers about them for evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lusfx.site_key import spellings


@dataclass(frozen=True, slots=True)
class TrainingUnits:
    """The clips and patients of a training, and what heads that had not seen a patient said of his units.

    :param clips: clip keys.
    :param patients: every pseudonym that is known of one.
    :param out_of_fold: by outcome and name of the unit, the mean probability over the repeats of the cross-validation; an
        outcome whose evidence does not tell it has none.
    """

    clips: frozenset[str]
    patients: frozenset[str]
    out_of_fold: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, evidence: Mapping[str, Any]) -> Self:
        """Read them from a model's evidence."""
        return cls(
            clips=frozenset(evidence.get("clips", ())),
            patients=frozenset((*evidence.get("patients", ()), *evidence.get("pseudonyms", ()))),
            out_of_fold={
                name: _out_of_fold(outcome.get("cross_validation"))
                for name, outcome in evidence.get("outcomes", {}).items()
            },
        )

    def hold(self, clips: Iterable[str | None], patient: str | None) -> bool:
        """Whether one of the clips, or another clip of the patient, was in the training.

        :param patient: patient key; None where nobody knows.
        """
        return not self.clips.isdisjoint(clips) or (
            patient is not None and not self.patients.isdisjoint(spellings(patient))
        )


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Repeat(_Part):
    probability: list[Annotated[float, Field(ge=0, le=1)]]


class _CrossValidation(_Part):
    unit: list[str]
    repeats: list[_Repeat] = Field(min_length=1)


def _out_of_fold(cross_validation: Any) -> dict[str, float]:
    """Mean probability by unit; nothing where the evidence has another form: it is no part of what a model must have."""
    try:
        found = _CrossValidation.model_validate(cross_validation)
        means = np.mean([repeat.probability for repeat in found.repeats], axis=0)
        return dict(zip(found.unit, means.tolist(), strict=True))
    except (ValidationError, ValueError):
        return {}
