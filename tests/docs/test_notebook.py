"""The notebook runs as it stands, in a kernel of its own, and is kept without what it printed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

nbformat = pytest.importorskip("nbformat", reason="nbformat, which reads notebooks, is not installed")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_it_runs(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient, which runs notebooks, is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel, in which notebooks run, is not installed")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=280, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert [output for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []
    assert "72 found = 72 encoded" in said
    assert "72 found = 0 encoded + 72 cached" in said
    assert "b-lines-here: cross-validated AUC" in said
    assert "24 rows = 24 scored" in said
    assert any("image/png" in output.get("data", {}) for output in outputs), "no curve was drawn"
    assert (tmp_path / "quickstart" / "evaluation.html").is_file()
