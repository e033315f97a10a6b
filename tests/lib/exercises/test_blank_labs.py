"""A lab as it is handed out: "Run all" runs all, and says of each item that it is open."""

import os
from pathlib import Path

import labs
import nbformat
import papermill
import pytest

ASSIGNMENTS = labs.SOLUTIONS.parent / "assignments"


@pytest.mark.parametrize("path", sorted(ASSIGNMENTS.glob("*/*.ipynb")), ids=lambda path: path.stem)
def test_run_all_stops_nowhere(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    notebook = papermill.execute_notebook(
        path, tmp_path / path.name, progress_bar=False, cwd=tmp_path, kernel_name="python3"
    )
    assert os.listdir(tmp_path) == [path.name]
    outputs = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    assert not any(output.output_type == "error" for cell in outputs.values() for output in cell)
    checks = {source: cell for source, cell in outputs.items() if source.startswith("check(")}
    assert len(checks) == 9
    for source, (shown,) in checks.items():
        name = source.split('"')[1]
        assert shown.data["text/plain"] == f"{name}: still open."
    assert sum("is still open. Run this cell again" in text(cell) for cell in outputs.values()) >= 9


def text(outputs: list[nbformat.NotebookNode]) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream")
