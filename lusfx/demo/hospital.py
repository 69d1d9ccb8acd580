"""The demo's patients: a training set and a test set of one synthetic site, and a test set of another.

A patient is a folder of its own and is whole once its label table is, so that an interrupted run goes on with the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lusfx.errors import TableError
from lusfx.synth import write_archive
from lusfx.tables import read_table, write_table

CLIPS_A_PATIENT = 6
N_FRAMES = 16
LABELS = "labels.csv"
LUNG_COLUMNS = ("a_lines", "b_lines")


@dataclass(frozen=True, slots=True)
class PatientSet:
    """Patients of one synthetic site.

    :param name: of its folder; ``title`` is for people.
    :param first_patient: the numbers of two sets of one site do not overlap; another site's patients are others anyway.
    """

    name: str
    title: str
    site: str
    first_patient: int
    n_patients: int

    @property
    def n_clips(self) -> int:
        return self.n_patients * CLIPS_A_PATIENT


def patient_sets(n_patients: int) -> tuple[PatientSet, PatientSet, PatientSet]:
    """Training, local and external set.

    :param n_patients: to train on; half as many are in each test set.
    """
    n_test = max(1, n_patients // 2)
    return (
        PatientSet("training", "training", "local", 1, n_patients),
        PatientSet("local", "local test", "local", 10_001, n_test),
        PatientSet("external", "external test", "external", 1, n_test),
    )


def simulate_set(folder: Path, patients: PatientSet, seed: int, on_patient: Callable[[], None]) -> int:
    """Draw the patients that are not there yet, and write the label table of the set.

    :param on_patient: called before each patient is drawn; what it raises ends the work between two patients.
    :returns: number of patients drawn.
    """
    drawn = 0
    rows: list[dict[str, str]] = []
    for number in range(patients.first_patient, patients.first_patient + patients.n_patients):
        place = folder / f"synthetic-{number:06}"
        found = _whole_rows(place)
        if not found:
            on_patient()
            write_archive(
                place,
                n_patients=1,
                clips_per_patient=CLIPS_A_PATIENT,
                n_frames=N_FRAMES,
                seed=seed,
                first_patient=number,
                site=patients.site,
                clip_format="mixed",
                force=True,
            )
            found = _whole_rows(place)
            drawn += 1
        rows += [_as_asked(row) | {"path": f"{place.name}/{row['path']}"} for row in found]
    write_table(folder / LABELS, dict.fromkeys(rows[0], "text"), rows)
    return drawn


def _whole_rows(place: Path) -> list[dict[str, str]]:
    """The patient's label rows; none where a row or a clip is missing. The simulator writes the table last."""
    try:
        rows = [dict(row.cells) for row in read_table(place / LABELS)]
    except (TableError, OSError):
        return []
    whole = len(rows) == CLIPS_A_PATIENT and all((place / row["path"]).is_file() for row in rows)
    return rows if whole else []


def _as_asked(row: dict[str, str]) -> dict[str, str]:
    """A label row with A-lines and B-lines in parenchymal views only, which is where the demo asks about them."""
    return row if row["view"] == "parenchymal" else row | dict.fromkeys(LUNG_COLUMNS, "")
