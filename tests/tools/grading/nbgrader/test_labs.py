"""Every lab through nbgrader: the solution earns all, the blank lab nothing, each sample what it declares."""

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from course_lib.exercises import names
from course_tools.build.notebooks import read
from course_tools.build.outcome import Outcome
from course_tools.build.project import find_root, labs, samples
from course_tools.build.submission import declared

ROOT = find_root(Path(__file__))
STUDENTS = [
    pytest.param(lab.stem, student, id=f"{lab.stem}-{student}")
    for lab in labs(ROOT)
    for student in ("solution", "blank", *(path.stem for path in samples(ROOT, lab.stem)))
]


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(("lab", "student"), STUDENTS)
def test_a_submission_scores_what_it_should(
    lab: str, student: str, outcome_of: Callable[[str], Outcome]
) -> None:
    outcome = outcome_of(f"{lab}/{student}")
    assert outcome.problem == ""

    page = (ROOT / "build" / "report" / outcome.pages[0]).read_text(encoding="utf-8")
    assert "BEGIN HIDDEN" not in page
    if student not in ("solution", "blank"):
        shown = words(html.unescape(re.sub(r"<[^>]*>", "", page)))
        for said in declared(ROOT / "tests" / "samples" / lab / f"{student}.py").words:
            assert said in shown, "the student's page names the mistake"


@pytest.mark.parametrize("lab", [pytest.param(path, id=path.stem) for path in labs(ROOT)])
def test_every_graded_code_cell_is_the_check_of_an_exercise(lab: Path) -> None:
    for cell in read(lab.with_suffix(".ipynb")).cells:
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade"):
            name = cell.metadata.nbgrader["grade_id"]
            assert re.fullmatch(rf'check\("{name}", \w+\)', cell.source)
            assert name in names()


@pytest.mark.parametrize("lab", [pytest.param(path, id=path.stem) for path in labs(ROOT)])
def test_a_lab_has_a_hundred_points_and_enough_items(lab: Path) -> None:
    graded = [
        (cell.cell_type, cell.metadata.nbgrader["points"])
        for cell in read(lab.with_suffix(".ipynb")).cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    assert sum(points for _, points in graded) == 100
    assert sum(kind == "code" for kind, _ in graded) >= 8
    assert sum(kind == "markdown" for kind, _ in graded) >= 5
