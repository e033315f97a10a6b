"""The last of three hints stays with the instructor, unless the setting says otherwise."""

from pathlib import Path

import pytest
from nbformat import NotebookNode
from tiny_lab import ROOT

from course_tools.grading.release import released_notebook

LABS = sorted((ROOT / "solutions").glob("lab*/*.ipynb"))


def release(solution: Path, settings: Path) -> NotebookNode:
    return released_notebook(solution.stem, solution.read_text(encoding="utf-8"), settings)


def hints(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if "<summary>Hint</summary>" in cell.source]


@pytest.mark.parametrize("solution", LABS, ids=lambda path: path.stem)
def test_a_release_has_no_way(solution: Path) -> None:
    notebook = release(solution, ROOT / "nbgrader_config.py")
    assert len(hints(notebook)) == 9
    for text in hints(notebook):
        assert text.count("<details>") == text.count("</details>") == 2
        assert text.endswith("</details>")
    assert not any("The way" in cell.source or "```python" in cell.source for cell in notebook.cells)


def test_for_self_study_it_has(tmp_path: Path) -> None:
    settings = tmp_path / "nbgrader_config.py"
    own = "c.LeaveOutWays.enabled = False\n"
    settings.write_text((ROOT / "nbgrader_config.py").read_text(encoding="utf-8") + own, encoding="utf-8")
    for text in hints(release(LABS[0], settings)):
        assert text.count("<details>") == 3
        assert "```python" in text
