"""``evidence.json``: what the report was drawn from. What of it is read again is checked, by writing and by loading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lusfx.errors import TaskModelError

EVIDENCE_FILE = "evidence.json"
AUC = "roc_auc"
MAX_UNITS = 1 << 21
"""And clips, and patients: more than a label table has rows."""
MOST_STRINGS = 1 << 23
OTHER_STRINGS = 1 << 17
"""Names of figures, what was chosen in each fold, warnings, the history of a training."""

Keys = Annotated[list[str], Field(max_length=MAX_UNITS)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)  # other fields may be there: they are for people


class _Figure(_Part):
    value: float
    low: float
    high: float


class _Judged(_Part):
    """What a model that only orders units reached on a data set of patients, whose table is called ``data``."""

    data: str
    n_units: int
    n_events: int
    n_patients: int
    roc_auc: _Figure


class _Outcome(_Part):
    metrics: dict[str, _Figure]
    judged: list[_Judged] = []


class _Evidence(_Part):
    patients: Keys
    clips: Keys
    pseudonyms: Keys = []  # of the patients, all that are known; models of before have those of ``patients`` alone
    site_keys: Keys = []  # checks of the keys that these are made with; models of before do not say
    outcomes: dict[str, _Outcome]


def most_strings(n_clips: int, n_units: Iterable[int]) -> int:
    """How many strings the evidence of a training may hold: patients and clips, and of each outcome's units these again.

    :param n_units: of each outcome.
    """
    return min(OTHER_STRINGS + 4 * (n_clips + sum(n_units)), MOST_STRINGS)


def check_evidence(evidence: Mapping[str, Any], outcomes: Iterable[str], *, orders_only: bool) -> None:
    """Refuse evidence without the patients and clips of training, which no evaluation may judge the model on, or without
    the figures of each outcome.

    :param outcomes: their names.
    :param orders_only: whether no patient's label went into the model: figures of its training would be of simulated
        patients, so it has none.
    :raises TaskModelError: which repeats nothing of it, because it holds patient keys.
    """
    try:
        found = _Evidence.model_validate(dict(evidence)).outcomes
        sound = set(found) == set(outcomes) and all(
            not outcome.metrics if orders_only else AUC in outcome.metrics for outcome in found.values()
        )
    except ValidationError:
        sound = False
    if not sound:
        raise TaskModelError(f"{EVIDENCE_FILE} must name the patients, the clips, and the figures of each outcome")
