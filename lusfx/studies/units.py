"""The units that a question is judged on: those that every encoder has something of, so that all are compared on the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lusfx.config import canonical_json
from lusfx.engine.samples.samples import Samples, U
from lusfx.errors import LeakError, TableError, TrainingRefusedError
from lusfx.splits import some_keys


@dataclass(frozen=True, slots=True)
class AskedUnits:
    """Units of one table whose answer to a question is known.

    :param keys: ``(n,)`` names of the units.
    :param groups: ``(n,)`` patient keys.
    :param targets: ``(n,)`` 0 or 1.
    :param pseudonyms: all that are known of each patient, by patient key; they decide no answer, and are not kept.
    """

    keys: NDArray[np.str_]
    groups: NDArray[np.str_]
    targets: NDArray[np.int64]
    pseudonyms: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def n_patients(self) -> int:
        return len(np.unique(self.groups))

    @property
    def n_positive(self) -> int:
        return int(self.targets.sum())

    def take(self, rows: NDArray[np.intp]) -> AskedUnits:
        """The named units, in the order given."""
        return AskedUnits(self.keys[rows], self.groups[rows], self.targets[rows], self.pseudonyms)

    @property
    def patients(self) -> NDArray[np.str_]:
        """All by which any of the patients is known."""
        groups = np.unique(self.groups).tolist()
        return np.array(sorted({*groups, *chain.from_iterable(self.pseudonyms.get(group, ()) for group in groups)}))

    def as_dict(self) -> dict[str, list[object]]:
        """For the file that keeps them."""
        return {"keys": self.keys.tolist(), "patients": self.groups.tolist(), "targets": self.targets.tolist()}

    def digest(self) -> str:
        """SHA-256 of keys, patients and answers in their order, 64 hexadecimal digits."""
        return hashlib.sha256(canonical_json(self.as_dict()).encode("ascii")).hexdigest()


def asked_units(samples: Samples[U], outcome: int) -> AskedUnits:
    """Those of the samples that answer an outcome."""
    rows = samples.known(outcome)
    return AskedUnits(samples.keys[rows], samples.groups[rows], samples.targets[rows, outcome], samples.pseudonyms)


def shared_units(found: Sequence[AskedUnits]) -> AskedUnits:
    """The units that stand in all of several, in the order of the first."""
    first, *others = found
    kept = np.ones(len(first), np.bool_)
    for other in others:
        kept &= np.isin(first.keys, other.keys)
    return first.take(np.flatnonzero(kept))


def rows_of(samples: Samples[U], units: AskedUnits) -> NDArray[np.intp]:
    """Where the units stand among the samples, ``(n,)``."""
    position = {key: row for row, key in enumerate(samples.keys.tolist())}
    return np.array([position[key] for key in units.keys.tolist()], np.intp)


def check_apart(training: AskedUnits, tests: Mapping[str, AskedUnits], question: str) -> None:
    """Refuse test sets that no figure could be given of, or that training has seen.

    :raises TableError: if a unit has no patient, or nothing is left to be tested.
    :raises LeakError: if a patient or a unit is on both sides.
    """
    for name, units in tests.items():
        if not len(units):
            raise TableError(
                f"'{question}', test set '{name}': no labelled unit is left that all encoders can be asked of"
            )
        without = units.keys[units.groups == ""]
        if len(without):
            raise TableError(
                f"'{question}', test set '{name}': {len(without)} units have no patient ({some_keys(without)}). Give the "
                "label table a column patient_id"
            )
        for noun, seen, here in (("patients", training.patients, units.patients), ("units", training.keys, units.keys)):
            shared = np.intersect1d(seen, here)
            if len(shared):
                raise LeakError(
                    f"'{question}': {len(shared)} {noun} of the test set '{name}' are in the training table, too "
                    f"({some_keys(shared)})"
                )


def require_units(training: AskedUnits, question: str) -> None:
    """Refuse a training table of which nothing is left.

    :raises TrainingRefusedError: saying so.
    """
    if not len(training):
        raise TrainingRefusedError(f"'{question}': no labelled unit is left that all encoders can be asked of")
