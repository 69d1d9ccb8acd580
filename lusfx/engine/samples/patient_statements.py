"""Who a row's patient is, by all that say so: the label table, the run's manifest, and the file itself.

Each may be wrong or spell otherwise, and each is made by other people. What two of them say is compared, because a patient who
is two by one of them stands on both sides of a split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import TrainingRefusedError
from lusfx.site_key import same_patient, spellings

SOURCES = {"table": "the label table", "run": "the extraction", "file": "the file itself"}
"""Who says it, in the order in which they are believed."""


@dataclass(frozen=True, slots=True)
class PatientStatements:
    """What is said of one row's patient: patient keys, None where nothing is.

    :param said: the row as messages call it, by its number.
    :param table: by the label table.
    :param run: by the ledger of the run that encoded the clip: its manifest, or else the file.
    :param file: by the file itself.
    """

    said: str
    table: str | None = None
    run: str | None = None
    file: str | None = None

    def by_source(self) -> Iterator[tuple[str, str]]:
        """Who says something, and what."""
        for source in SOURCES:
            patient_key = getattr(self, source)
            if patient_key:
                yield source, patient_key


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient.

    :param key: pseudonym by which patients are told apart.
    :param pseudonyms: all that are known of the patient; one of them may stand in another cache or task model.
    """

    key: str
    pseudonyms: frozenset[str]


def patients_of(rows: Sequence[PatientStatements], *, trust_table: bool = False) -> list[Patient | None]:
    """The patient of each row; None where nobody says.

    Rows of which any source says the same are one patient's.

    :param trust_table: believe the label table where it names a patient, whatever else is said.
    :raises TrainingRefusedError: if one source says that rows are one patient's, and another that they are two's.
    """
    stated = [tuple(row.by_source())[: 1 if trust_table and row.table else None] for row in rows]
    patient_of = _joined([[key for _, key in said] for said in stated])
    _check(rows, stated, patient_of)
    names: dict[int, str] = {}
    pseudonyms: dict[int, set[str]] = {}
    for source in SOURCES:
        for key in (key for said in stated for which, key in said if which == source):
            names.setdefault(patient_of[key], same_patient(key))
            pseudonyms.setdefault(patient_of[key], set()).update(spellings(key))
    patients = {number: Patient(name, frozenset(pseudonyms[number])) for number, name in names.items()}
    return [patients[patient_of[said[0][1]]] if said else None for said in stated]


def _joined(together: Sequence[Sequence[str]]) -> dict[str, int]:
    """Number of the patient of each key, where keys that stand together are one patient's, and so are those of one spelling."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    keys = dict.fromkeys(chain.from_iterable(together))
    number_of = {name: n for n, name in enumerate(dict.fromkeys(chain.from_iterable(map(spellings, keys))))}
    if not number_of:
        return {}
    links = [[number_of[name] for key in group for name in spellings(key)] for group in together]
    pairs: NDArray[np.intp] = np.array([(group[0], other) for group in links for other in group], np.intp)
    graph = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(len(number_of),) * 2)
    _, labels = connected_components(graph, directed=False)
    return {key: int(labels[number_of[spellings(key)[0]]]) for key in keys}


def _check(
    rows: Sequence[PatientStatements], stated: Sequence[Sequence[tuple[str, str]]], patient_of: Mapping[str, int]
) -> None:
    """Refuse rows that are one patient's, of whom one source has two names."""
    spelt = _joined([[key] for said in stated for _, key in said])  # two spellings are one name
    first: dict[tuple[str, int], tuple[int, str]] = {}
    for row, said in zip(rows, stated, strict=True):
        for source, key in said:
            name, number = first.setdefault((source, patient_of[key]), (spelt[key], row.said))
            if name != spelt[key]:
                raise TrainingRefusedError(
                    f"rows {number} and {row.said} are of one patient by "
                    f"{_others(source, rows, patient_of, patient_of[key])}, and of two by {SOURCES[source]}. A patient in two "
                    "would stand on both sides of a split. Mend the one that is wrong; if the label table is right, say "
                    "--trust-table"
                )


def _others(source: str, rows: Sequence[PatientStatements], patient_of: Mapping[str, int], patient: int) -> str:
    """The other sources that speak of a patient."""
    found = {
        which for row in rows for which, key in row.by_source() if patient_of.get(key) == patient and which != source
    }
    return " and ".join(SOURCES[which] for which in SOURCES if which in found)
