"""The files that a study's results are written to, for programs and for people."""

from __future__ import annotations

from lusfx.durable import write_whole
from lusfx.messages import system_reason
from lusfx.report import markdown, write_page
from lusfx.studies.figures import COLUMNS
from lusfx.studies.page import study_page
from lusfx.studies.result import StudyResult
from lusfx.studies.run_store import StudyError
from lusfx.tables import ColumnType, write_table

RESULTS_CSV, RESULTS_MD, REPORT = "results.csv", "results.md", "report.html"
TEXTS = {"encoder", "way", "task", "test_set"}
FRACTIONAL = {"fraction", "auc", "auc_low", "auc_high", "difference", "difference_low", "difference_high", "delong_p"}


def write_outputs(result: StudyResult) -> None:
    """Write the results as CSV, Markdown and a page.

    :raises StudyError, TableError, UsageError: if the disk refuses.
    """
    types = {column: _type(column) for column in COLUMNS}
    write_table(result.out / RESULTS_CSV, types, (row.cells() for row in result.rows))
    page = study_page(result)
    try:
        write_whole(result.out / RESULTS_MD, markdown(page).encode("utf-8"))
    except OSError as error:
        raise StudyError(f"the study's directory cannot be written: {system_reason(error)}") from None
    write_page(page, result.out / REPORT)


def _type(column: str) -> ColumnType:
    return "text" if column in TEXTS else "number" if column in FRACTIONAL else "integer"
