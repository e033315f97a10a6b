"""How a lecture is executed: for a page, so with figures in place of widgets."""

import os
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_tools.build.lecture import headline, run_lecture
from course_tools.build.notebooks import read

SLIDER = """from course_lib.show import interact
interact(lambda axes, size: axes.plot([0, size]), size=[1, 2, 3])"""


def execute(folder: Path, *cells: str, cell_timeout: int = 60) -> tuple[nbformat.NotebookNode, str]:
    """The executed notebook and what went wrong."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "week9_tiny.ipynb")
    executed = folder / "executed.ipynb"
    outcome = run_lecture(
        folder / "week9_tiny.ipynb", executed, folder / "report", {}, cell_timeout=cell_timeout
    )
    return read(executed), outcome.problem


def test_a_widget_becomes_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    executed, problem = execute(tmp_path, SLIDER)
    assert problem == ""
    (output,) = [output for cell in executed.cells for output in cell.outputs if "data" in output]
    assert "image/png" in output.data
    assert "application/vnd.jupyter.widget-view+json" not in output.data
    assert "COURSE_STATIC" not in os.environ, "the caller's own environment is left as it was"


def test_an_endless_cell_is_named(tmp_path: Path) -> None:
    executed, problem = execute(tmp_path, "print('begun')", "while True: pass", cell_timeout=3)
    assert "3 seconds" in problem
    printed = [
        output.text for cell in executed.cells for output in cell.get("outputs", []) if "text" in output
    ]
    assert "begun\n" in printed, "what ran before is kept"
    assert headline(tmp_path / "executed.ipynb") == ""
