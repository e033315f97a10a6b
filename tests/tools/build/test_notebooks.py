"""The committed notebooks: in step with their sources, without leaks, and each lecture runs."""

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from course_tools.build.notebooks import has_tag, read
from course_tools.build.outcome import Outcome
from course_tools.build.project import find_root, labs, lectures, samples
from course_tools.build.submission import declared
from course_tools.build.sync import strays, sync

ROOT = find_root(Path(__file__))
LECTURES = [pytest.param(path.with_suffix(".ipynb"), id=path.stem) for path in lectures(ROOT)]
LABS = [pytest.param(path, id=path.stem) for path in labs(ROOT)]
SOLUTION = re.compile(r"BEGIN SOLUTION[^\n]*\n(.*?)[^\n]*END SOLUTION", re.S)
HIDDEN = re.compile(r"BEGIN HIDDEN TESTS[^\n]*\n(.*?)[^\n]*END HIDDEN TESTS", re.S)


def test_there_is_something_to_test() -> None:
    assert LECTURES
    assert LABS


def test_notebooks_and_releases_are_in_step_with_their_sources() -> None:
    assert sync(ROOT, check=True) == [], "run `make sync`"


def test_nothing_but_generated_notebooks_is_released() -> None:
    assert strays(ROOT) == []


@pytest.mark.parametrize("lab", LABS)
def test_no_solution_reaches_the_release(lab: Path) -> None:
    """No line of an answer, a rubric or a hidden test that is not also meant for the student."""
    solution = read(lab.with_suffix(".ipynb"))
    released = (ROOT / "assignments" / lab.stem / f"{lab.stem}.ipynb").read_text(encoding="utf-8")
    text = "\n".join(cell.source for cell in nbformat.reads(released, as_version=4).cells)
    shown = "\n".join(
        HIDDEN.sub("", SOLUTION.sub("", cell.source)) for cell in solution.cells
    )  # the task, its hints and its tests
    secrets = [
        line.strip()
        for cell in solution.cells
        for part in [*SOLUTION.findall(cell.source), *HIDDEN.findall(cell.source)]
        for line in part.splitlines()
    ]
    assert len(secrets) > 20, "the lab has answers"
    leaked = [line for line in secrets if len(line) > 12 and line in text and line not in shown]
    assert leaked == []
    for word in ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS", "MARK SCHEME", "rubric"):
        assert word.lower() not in text.lower()


@pytest.mark.parametrize("lab", LABS)
def test_answers_have_nowhere_else_to_leak_from(lab: Path) -> None:
    """Every answer cell is cleared, and no output was kept."""
    released = read(ROOT / "assignments" / lab.stem / f"{lab.stem}.ipynb")
    for cell in released.cells:
        nbgrader = cell.metadata.get("nbgrader", {})
        if nbgrader.get("solution"):
            stub = "raise NotImplementedError" if cell.cell_type == "code" else "Your answer here"
            assert stub in cell.source, nbgrader["grade_id"]
        assert not cell.get("outputs")
        assert not cell.get("attachments")


@pytest.mark.parametrize("lab", LABS)
def test_samples_are_kept_apart(lab: Path) -> None:
    assert {"right", "wrong"} <= {path.stem for path in samples(ROOT, lab.stem)}


def test_one_lab_shows_what_an_endless_loop_comes_to() -> None:
    """One, since it takes as long as it may."""
    words = [said for lab in labs(ROOT) for path in samples(ROOT, lab.stem) for said in declared(path).words]
    assert sum("endless loop" in said for said in words) == 1


@pytest.mark.parametrize("notebook", LECTURES)
def test_the_lecture_runs_anywhere_in_minutes(notebook: Path, outcome_of: Callable[[str], Outcome]) -> None:
    outcome = outcome_of(notebook.stem)
    assert outcome.problem == ""
    assert outcome.headline, "one cell is tagged `headline` and prints a number"
    cells = read(ROOT / "build" / "executed" / notebook.name).cells
    assert any(has_tag(cell, "parameters") for cell in cells)
    pictures = [
        output
        for cell in cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 5, "a number or a picture after nearly every cell"
    page = (ROOT / "build" / "report" / outcome.pages[0]).read_text(encoding="utf-8")
    assert 'src="data:image/png;base64' in page
