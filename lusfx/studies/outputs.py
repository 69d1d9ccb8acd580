"""The files that a study's results are written to, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterable

from lusfx.durable import write_whole
from lusfx.messages import system_reason
from lusfx.report import markdown, write_page
from lusfx.studies.costs import COST_COLUMNS
from lusfx.studies.figures import COLUMNS
from lusfx.studies.page import study_page
from lusfx.studies.result import StudyResult
from lusfx.studies.run_store import StudyError
from lusfx.tables import ColumnType, write_table

RESULTS_CSV, RESULTS_MD, REPORT, CHOICE_CSV = "results.csv", "results.md", "report.html", "choice.csv"
TEXTS = {"encoder", "way", "task", "test_set", "best_encoder", "best_way"}
COUNT = "n_"
COUNTS = {"training_patients_min", "training_patients_max"}


def write_outputs(result: StudyResult) -> None:
    """Write the results as CSV, Markdown and a page.

    :raises StudyError, TableError, UsageError: if the disk refuses.
    """
    write_table(result.out / RESULTS_CSV, _types(COLUMNS), (row.cells() for row in result.rows))
    if result.config.choice is not None:
        write_table(result.out / CHOICE_CSV, _types(COST_COLUMNS), (row.cells() for row in result.costs))
    page = study_page(result)
    try:
        if result.config.choice is None:  # one of before would be of another study
            (result.out / CHOICE_CSV).unlink(missing_ok=True)
        write_whole(result.out / RESULTS_MD, markdown(page).encode("utf-8"))
    except OSError as error:
        raise StudyError(f"the study's directory cannot be written: {system_reason(error)}") from None
    write_page(page, result.out / REPORT)


def _types(columns: Iterable[str]) -> dict[str, ColumnType]:
    return {column: _type(column) for column in columns}


def _type(column: str) -> ColumnType:
    if column in TEXTS:
        return "text"
    return "integer" if column.startswith(COUNT) or column in COUNTS else "number"
