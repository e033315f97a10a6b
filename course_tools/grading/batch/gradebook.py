"""The one writer of the class's gradebook: results go in whole or not at all, marks given by hand stay."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from course_tools.grading.autograde import Course
from course_tools.grading.batch.task import FAILED, Result
from course_tools.grading.release import converter, start


def register(course: Course, scratch: Path) -> None:
    """Make the lab's graded cells known to the gradebook, as `nbgrader generate_assignment` does.

    The release that comes with it goes to `scratch`, a folder in the course: the real one stays as it is.
    """
    config = course.config()
    config.CourseDirectory.release_directory = scratch.relative_to(course.folder).as_posix()
    from nbgrader.converters import GenerateAssignment

    app = converter(GenerateAssignment, config, assignment_id=course.lab)
    app.force = True
    start(app)


def is_registered(gradebook: Any, lab: str) -> bool:
    from nbgrader.api import MissingEntry

    try:
        gradebook.find_notebook(lab, lab)
    except MissingEntry:
        return False
    return True


def due(gradebook: Any, lab: str, student: str) -> datetime | None:
    """The student's deadline in UTC, with the extension they were given; None if there is none."""
    from nbgrader.api import MissingEntry

    date: datetime | None
    try:
        date = gradebook.find_submission(lab, student).duedate
    except MissingEntry:
        date = gradebook.find_assignment(lab).duedate
    except TypeError:  # an extension of a deadline that was never set
        date = None
    return date


def has_grades(gradebook: Any, lab: str, student: str) -> bool:
    from nbgrader.api import MissingEntry

    try:
        gradebook.find_submission(lab, student)
    except MissingEntry:
        return False
    return True


def record(
    gradebook: Any, lab: str, result: Result, timestamp: datetime | None, bases: dict[str, str]
) -> None:
    """Write a result into the gradebook, in one transaction.

    A score given by hand stands. It stays settled if what it was given for is still what `bases` says
    (item -> basis, the last time); otherwise the item waits for a person again, as with nbgrader.
    """
    items = {item.name: item for item in result.items}
    with _one_transaction(gradebook):
        gradebook.update_or_create_student(result.student)
        submission = gradebook.update_or_create_submission(lab, result.student)
        submission.timestamp = timestamp
        for notebook in submission.notebooks:
            notebook.late_submission_penalty = result.penalty
            for grade in notebook.grades:
                item = items[grade.name]
                unchanged = bool(item.basis) and item.basis == bases.get(item.name)
                settled = grade.manual_score is not None and not grade.needs_manual_grade and unchanged
                grade.auto_score = item.score
                by_hand = item.score is None or grade.manual_score is not None or result.status == FAILED
                grade.needs_manual_grade = by_hand and not settled
            for comment in notebook.comments:
                comment.auto_comment = result.comments.get(comment.name)


@contextmanager
def _one_transaction(gradebook: Any) -> Iterator[None]:
    """nbgrader's methods commit after every step: let them only flush, and commit once, at the end."""
    from sqlalchemy.exc import SAWarning

    session = gradebook.db
    commit = session.commit
    session.commit = session.flush
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader's own queries
            yield
            commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.commit = commit
