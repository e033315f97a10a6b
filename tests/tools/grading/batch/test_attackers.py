"""A class in which some attack: each loses that item, is told why, and nobody else's grade changes."""

from pathlib import Path
from typing import Any

import pytest
from attackers import ATTACKS, LAB
from tiny_lab import hand_in, make_clone

from course_tools.build.sync import sync
from course_tools.grading.autograde import Course
from course_tools.grading.batch import Options, Result, grade_class
from course_tools.grading.jail import missing

pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(bool(missing()), reason=f"no jail on this machine: {missing()}"),
]

SEED = "918273645"
HONEST = {"alice": {}, "zoe": {"n_pair_loss-answer": "def n_pair_loss(a, p, n):\n    return (a * p).sum()"}}
ANSWER = {"q1": "The first has."}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Everybody has handed in; attackers lie between the two who did nothing."""
    root = make_clone(tmp_path_factory.mktemp("attacked") / "clone", LAB)
    with (root / "nbgrader_config.py").open("a") as config:
        config.write("c.Execute.timeout = 60\n")  # no attack is to reach it, on a busy machine either
    sync(root)
    course = Course(root, "lab1_tiny", root / "nbgrader_config.py")
    for student, answers in HONEST.items():
        put(course, student, answers)
    return course


def put(course: Course, student: str, answers: dict[str, str]) -> None:
    path = course.path("submitted", student)
    path.parent.mkdir(parents=True)
    path.write_text(hand_in(course.solution, answers | ANSWER))


def gradebook(course: Course) -> dict[str, dict[str, Any]]:
    with course.gradebook() as book:
        return {
            each.student.id: {grade.name: grade.auto_score for grade in each.notebooks[0].grades}
            for each in book.assignment_submissions(course.lab)
        }


@pytest.fixture(scope="module")
def alone(course: Course) -> dict[str, dict[str, Any]]:
    """The gradebook before anybody has attacked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_SECRET_SEED", SEED)
        list(grade_class(course.folder, course.lab, Options(jobs=2)))
    return gradebook(course)


@pytest.fixture(scope="module")
def results(course: Course, alone: dict[str, dict[str, Any]]) -> dict[str, Result]:
    for student, attack in ATTACKS.items():
        put(course, student, {"n_pair_loss-answer": attack.source(str(course.folder))})
    for student in HONEST:  # graded again, beside them
        notebook = course.path("submitted", student)
        notebook.write_text(notebook.read_text() + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_SECRET_SEED", SEED)
        found = list(grade_class(course.folder, course.lab, Options(jobs=2)))
    assert all(now for _, now in found)
    return {result.student: result for result, _ in found}


def test_nobody_else_notices_and_nothing_is_lost(
    course: Course, alone: dict[str, dict[str, Any]], results: dict[str, Result]
) -> None:
    recorded = gradebook(course)
    assert alone["alice"] == {"n_pair_loss": 5, "info_nce_accuracy": 3, "q1": None}
    assert alone["zoe"] == {"n_pair_loss": 0, "info_nce_accuracy": 3, "q1": None}
    assert {student: recorded[student] for student in HONEST} == alone
    assert set(recorded) == set(results) == {*HONEST, *ATTACKS}
    assert all(result.status == "graded" for result in results.values())


@pytest.mark.parametrize("student", ATTACKS)
def test_it_costs_its_item_and_gets_a_clear_line(
    course: Course, results: dict[str, Result], student: str
) -> None:
    attack = ATTACKS[student]
    loss, accuracy, _ = results[student].items
    assert (loss.score, accuracy.score) == (0, 3 if attack.survives else 0), results[student]
    assert attack.says in " ".join(loss.line.split())
    assert SEED not in course.path("autograded", student).read_text()


def test_nothing_is_left_behind(course: Course, results: dict[str, Result]) -> None:
    assert not (course.folder / "left_behind").exists()
    assert {path.name for path in Path(course.folder, "submitted").iterdir()} == {*HONEST, *ATTACKS}
