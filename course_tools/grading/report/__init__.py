"""How a class did, for its instructor: from the records of `course autograde` and the gradebook."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_tools.grading.autograde import Course
from course_tools.grading.batch import FAILED, Item, records_of
from course_tools.grading.report.similar import Pair, similar_pairs

__all__ = ["ClassReport", "ItemReport", "Student", "class_report"]

_MISCONCEPTION = re.compile(r"exactly what you get when (?P<when>.+?)\.(?:\s|$)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


@dataclass(frozen=True)
class Student:
    """One row of the report and of the CSV.

    Attributes:
        score: with marks by hand, less what being late costs; None if grading broke down.
        waiting: answers that wait for a reader.
        days_late: begun days after the deadline, with the student's extension.
    """

    id: str
    first_name: str
    last_name: str
    email: str
    status: str
    score: float | None
    points: float
    waiting: int
    days_late: int
    remarks: list[str]


@dataclass
class ItemReport:
    """One graded item over the class.

    Attributes:
        shares: students who solved it, partly, not at all, and whose answer waits.
        misconceptions: named mistake -> students who made it.
        other: other lines, numbers left out -> students who got it.
    """

    name: str
    points: float
    shares: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    misconceptions: dict[str, list[str]] = field(default_factory=dict)
    other: dict[str, list[str]] = field(default_factory=dict)

    @property
    def solved_by_nobody(self) -> bool:
        return self.shares[0] == 0 and sum(self.shares[:3]) > 0

    def add(self, student: str, item: Item, score: float | None) -> None:
        part = 3 if score is None else 0 if score >= item.points else 1 if score > 0 else 2
        self.shares[part] += 1
        if part in (1, 2) and item.line:
            kind, what = _kind(item)
            getattr(self, kind).setdefault(what, []).append(student)


@dataclass(frozen=True)
class ClassReport:
    """Everything on the instructor's page."""

    lab: str
    students: list[Student]
    items: list[ItemReport]
    pairs: list[Pair]

    @property
    def scores(self) -> list[float]:
        return [student.score for student in self.students if student.score is not None]

    @property
    def points(self) -> float:
        return max((student.points for student in self.students), default=0.0)


def class_report(root: Path, lab: str) -> ClassReport:
    """Read what is known of a class, one student at a time.

    Raises:
        ValueError: nobody has been graded.
    """
    course = Course(root, lab, root / "nbgrader_config.py")
    records = records_of(root, lab)
    students: list[Student] = []
    items: dict[str, ItemReport] = {}
    answers: dict[str, dict[str, str]] = defaultdict(dict)
    with course.gradebook() as gradebook:
        for name in records.students():
            result = records.find(name)
            if result is None:
                continue
            submission = gradebook.find_submission(lab, name)
            marks = {grade.name: _mark(grade) for book in submission.notebooks for grade in book.grades}
            for item in result.items if result.status != FAILED else []:
                own = items.setdefault(item.name, ItemReport(item.name, item.points))
                own.add(name, item, marks.get(item.name))
            for answer, source in _answers(course.path("autograded", name)):
                answers[answer][name] = source
            students.append(_student(submission, result.status, result.points, result.remarks, marks))
            gradebook.db.expunge_all()
    if not students:
        raise ValueError(f"nobody has been graded yet: run `course autograde {lab}`")
    pairs = similar_pairs(answers, _known(course))
    return ClassReport(lab, students, list(items.values()), pairs)


def _mark(grade: Any) -> float | None:
    return None if grade.needs_manual_grade else float(grade.score)


def _student(
    submission: Any, status: str, points: float, remarks: list[str], marks: dict[str, float | None]
) -> Student:
    penalty = sum(book.late_submission_penalty or 0 for book in submission.notebooks)
    late = submission.total_seconds_late if submission.timestamp and submission.assignment.duedate else 0
    person = submission.student
    return Student(
        person.id,
        person.first_name or "",
        person.last_name or "",
        person.email or "",
        status,
        None if status == FAILED else max(0.0, float(submission.score) - penalty),
        points,
        sum(mark is None for mark in marks.values()),
        math.ceil(late / 86400),
        remarks,
    )


def _kind(item: Item) -> tuple[str, str]:
    """Whether a line names a misconception, and the words that students with the same one have in common."""
    line = " ".join(item.line.split())
    if match := _MISCONCEPTION.search(line):
        return "misconceptions", match["when"]
    if item.error == "NotImplementedError":
        return "other", "left blank"
    first = re.split(r"(?<=[.?!:])\s+Your line \d+", line)[0]
    return "other", _NUMBER.sub("#", first)[:160]


def _answers(notebook: Path) -> list[tuple[str, str]]:
    """(grade id, source) of the answers in code."""
    import nbformat

    if not notebook.is_file():
        return []
    cells = nbformat.read(notebook, as_version=4).cells
    return [
        (cell.metadata.nbgrader["grade_id"], cell.source)
        for cell in cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
    ]


def _known(course: Course) -> dict[str, Iterable[str]]:
    """What everybody has from the release, and what an answer after the book looks like."""
    known: dict[str, list[str]] = defaultdict(list)
    for notebook in (course.solution, course.released):
        for name, source in _answers(notebook):
            known[name].append(source)
    return dict(known)
