"""The class report, its CSV and the students' pages, on a small class."""

import csv
from pathlib import Path

import pytest
from tiny_lab import LAB as SOURCE
from tiny_lab import hand_in, make_clone

from course_tools.build.sync import sync
from course_tools.cli import main
from course_tools.grading import autograde as nbgrading
from course_tools.grading.autograde import Course
from course_tools.grading.batch import Options, grade_class
from course_tools.grading.report import ClassReport, class_report

LAB = "lab1_tiny"
HIDDEN = """### BEGIN HIDDEN TESTS
assert double(10**6) == 2 * 10**6, "your double is wrong for large numbers"
### END HIDDEN TESTS"""
MISTAKE = "raise ValueError('Your numbers are exactly what you get when the two is forgotten. Look again.')"
ANSWERS = {
    "ann": {},
    "bob": {"halve-answer": f"def halve(x): {MISTAKE}", "q1": "Because."},
    "cleo": {"halve-answer": f"def halve(x):\n    {MISTAKE}", "q1": "So."},
    "dan": {
        "double-answer": "def double(x): return min(2 * x, 100)",
        "halve-answer": "def halve(x): return 0",
    },
}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A class of five, graded: dan is late, eve's file cannot be read, and the lab has a hidden test."""
    root = make_clone(tmp_path_factory.mktemp("report") / "clone")
    lab = root / "solutions" / LAB / f"{LAB}.py"
    visible = 'assert double(3) == 6, "double(3) should be 6"'
    assert visible in SOURCE
    lab.write_text(SOURCE.replace(visible, f"{visible}\n{HIDDEN}"))
    sync(root)
    course = Course(root, LAB, root / "nbgrader_config.py")
    for student in (*ANSWERS, "eve"):
        path = course.path("submitted", student)
        path.parent.mkdir(parents=True)
        path.write_text(hand_in(course.solution, ANSWERS[student]) if student in ANSWERS else "nothing")
    (course.path("submitted", "dan").parent / "timestamp.txt").write_text("2025-03-04 10:00:00 UTC")
    list(grade_class(root, LAB, Options(jobs=2)))
    with course.gradebook() as book:
        book.update_or_create_assignment(LAB, duedate="2025-03-02 12:00:00 UTC")
        book.update_or_create_student("ann", first_name="Ann", last_name="=1+1", email="ann@uni.edu")
        mark = book.find_grade("q1", LAB, LAB, "bob")
        mark.manual_score, mark.needs_manual_grade = 2, False
        book.db.commit()
    return course


@pytest.fixture(scope="module")
def report(course: Course) -> ClassReport:
    return class_report(course.folder, LAB)


def test_scores_late_days_and_who_waits(report: ClassReport) -> None:
    found = {each.id: (each.score, each.waiting, each.days_late, each.status) for each in report.students}
    assert found == {
        "ann": (8, 1, 0, "graded"),
        "bob": (7, 0, 0, "graded"),  # two of them by hand
        "cleo": (5, 1, 0, "graded"),
        "dan": (0, 1, 2, "graded"),
        "eve": (0, 0, 0, "unreadable"),
    }


def test_items_and_shared_misconceptions(report: ClassReport) -> None:
    items = {item.name: item for item in report.items}
    assert items["double"].shares == [3, 0, 2, 0]
    assert items["halve"].shares == [1, 0, 4, 0]
    assert items["halve"].misconceptions == {"the two is forgotten": ["bob", "cleo"]}
    assert items["q1"].shares == [1, 0, 1, 3]
    assert not items["halve"].solved_by_nobody


def test_the_page_and_the_csv(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(course.folder)
    assert main(["report", LAB]) == 0
    folder = Path("grades") / LAB
    page = (folder / "report.html").read_text()
    assert "the two is forgotten" in page
    assert page.count("data:image/png;base64,") == 2
    assert "not valid JSON" in page
    rows = {row["student_id"]: row for row in csv.DictReader((folder / "grades.csv").open())}
    assert (rows["bob"]["score"], rows["bob"]["complete"], rows["dan"]["days_late"]) == ("7", "yes", "2")
    assert rows["ann"]["last_name"] == "'=1+1", "a spreadsheet must not compute it"
    assert rows["cleo"]["complete"] == "no"


def test_students_see_the_sentence_and_no_hidden_test(course: Course) -> None:
    page = nbgrading.write_feedback(course, "dan").read_text()
    assert "your double is wrong for large numbers" in page
    assert "10**6" not in page
    assert "HIDDEN TESTS" not in page
    assert "halve(3) should be 1.5" in page
    assert "damaged" in nbgrading.write_feedback(course, "eve").read_text()


def test_a_class_that_is_not_graded_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_clone(tmp_path / "clone"))
    sync(tmp_path / "clone")
    assert main(["report", LAB]) == 2
