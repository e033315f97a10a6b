"""Damaged submissions in one class: each gets a clear line and what is fair, and nobody else notices."""

import json
from pathlib import Path

import nbformat
import pytest
from accidents import ACCIDENTS, LAB, NAME, right, write
from tiny_lab import make_clone

from course_tools.build.sync import sync
from course_tools.grading import autograde as nbgrading
from course_tools.grading.autograde import Course
from course_tools.grading.batch import Options, Result, grade_class


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    root = make_clone(tmp_path_factory.mktemp("accidents") / "clone")
    sync(root)
    return Course(root, LAB, root / "nbgrader_config.py")


@pytest.fixture(scope="module")
def results(course: Course) -> dict[str, Result]:
    """Everything that came of a class in which each student had one of the accidents, alice and zoe none."""
    solution = nbformat.read(course.solution, as_version=4)
    for student in ("alice", *ACCIDENTS, "zoe"):
        folder = course.path("submitted", student).parent
        folder.mkdir(parents=True)
        damage = ACCIDENTS[student].damage if student in ACCIDENTS else write
        damage(folder, right(solution))
    return {result.student: result for result, _ in grade_class(course.folder, LAB, Options(jobs=2))}


def test_nobody_is_lost_and_nobody_else_notices(results: dict[str, Result]) -> None:
    assert set(results) == {"alice", *ACCIDENTS, "zoe"}
    for student in ("alice", "zoe"):
        assert (results[student].score, results[student].waiting, results[student].remarks) == (8, 1, [])


@pytest.mark.parametrize("student", ACCIDENTS)
def test_each_gets_what_is_fair_and_a_clear_line(
    student: str, results: dict[str, Result], course: Course
) -> None:
    expected, result = ACCIDENTS[student], results[student]
    assert result.status == ("graded" if expected.score else "unreadable")
    assert (result.score, result.waiting) == (expected.score, expected.waiting), result
    remarks = " ".join(result.remarks)
    assert expected.says in remarks
    if not expected.says:
        assert remarks == ""
    with course.gradebook() as gradebook:
        recorded = gradebook.find_submission(LAB, student)
        assert (recorded.score, recorded.needs_manual_grade) == (expected.score, expected.waiting > 0)


@pytest.mark.parametrize("student", ["broken_json", "copied_cells", "link_to_another_submission"])
def test_the_line_is_on_the_students_page(student: str, results: dict[str, Result], course: Course) -> None:
    page = nbgrading.write_feedback(course, student).read_text()
    assert ACCIDENTS[student].says.replace("`double-answer` was", "").strip() in page.replace("&#39;", "'")


def test_a_long_line_of_output_is_cut(results: dict[str, Result], course: Course) -> None:
    executed = course.path("autograded", "one_long_line")
    assert executed.stat().st_size < 1_000_000
    assert "rest of the output was dropped" in executed.read_text()


def test_another_students_answers_never_get_in(results: dict[str, Result], course: Course) -> None:
    page = course.path("autograded", "link_to_another_submission").read_text()
    assert "secret_of_the_solution" not in page
    assert json.loads(page)["nbformat"] == 4
    assert not (course.path("autograded", "data_through_a_link").parent / "gradebook.db").exists()


def test_what_was_handed_in_stays_as_it_was(results: dict[str, Result], course: Course) -> None:
    assert course.path("submitted", "empty_file").read_text() == ""
    assert course.path("submitted", "link_to_another_submission").is_symlink()
    assert [path.name for path in (Path(course.folder) / "submitted" / "renamed_file" / LAB).iterdir()] != [
        NAME
    ]
