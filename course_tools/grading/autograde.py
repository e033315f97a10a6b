"""Grade submissions of a lab with nbgrader, one at a time, and read what came of it.

A course folder here is an ordinary nbgrader course: `nbgrader formgrader` can be opened on it.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_tools.grading.release import converter, nbgrader_config, start

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_MARKER = re.compile(r"^.*\b(BEGIN|END) SOLUTION\b.*\n?", re.M)


@dataclass(frozen=True)
class Item:
    """One graded cell of one submission.

    Attributes:
        score: points; None while a written answer waits for a person.
        line: what the student is told in one line: the cell's error, else what was shown last or, where
            nothing was, the last line that it printed.
        error: the name of the error that the cell ended with, "" if none.
        basis: a hash of what the score was given for; while it stays, a score given by hand stands.
    """

    name: str
    score: float | None
    points: float
    line: str = ""
    error: str = ""
    basis: str = ""


@dataclass(frozen=True)
class Course:
    """A folder in which nbgrader grades one lab, with the settings of `config_file`."""

    folder: Path
    lab: str
    config_file: Path

    def path(self, step: str, student: str, suffix: str = ".ipynb") -> Path:
        """A student's notebook (or feedback page) at a step: submitted, autograded or feedback."""
        return self.folder / step / student / self.lab / f"{self.lab}{suffix}"

    @property
    def solution(self) -> Path:
        return self.path("solutions", ".")

    @property
    def released(self) -> Path:
        return self.path("assignments", ".")

    def config(self) -> Any:
        return nbgrader_config(self.config_file, self.folder)

    def gradebook(self) -> Any:
        from nbgrader.api import Gradebook
        from nbgrader.coursedir import CourseDirectory

        directory = CourseDirectory(config=self.config())
        return Gradebook(directory.db_url, directory.course_id)


def open_course(folder: Path, lab: str, solution: Path, config_file: Path) -> Course:
    """A fresh course in `folder` (emptied first) with one lab, released and known to the gradebook."""
    from nbgrader.converters import GenerateAssignment

    shutil.rmtree(folder, ignore_errors=True)
    course = Course(folder, lab, config_file)
    course.solution.parent.mkdir(parents=True)
    shutil.copy(solution, course.solution)
    start(converter(GenerateAssignment, course.config(), assignment_id=lab))
    return course


def submit(course: Course, student: str, notebook: Path) -> None:
    """Hand in `notebook` for `student`, in place of what they handed in before."""
    path = course.path("submitted", student)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(notebook, path)


def autograde(
    course: Course,
    student: str,
    *,
    seed: str | None = None,
    cell_timeout: int | None = None,
    on_cell: Callable[..., None] | None = None,
) -> None:
    """Execute and score a student's submission; what it scored before is replaced.

    Args:
        seed: of the hidden tests; if not given, the environment's COURSE_SECRET_SEED, or else drawn.
        cell_timeout: seconds a cell may take, if not as in the settings.
        on_cell: called before every cell with keywords `cell` and `cell_index`.

    Raises:
        RuntimeError: with nbgrader's log, when the submission could not be graded at all.
    """
    from nbgrader.converters import Autograde

    config = course.config()
    if seed is not None:
        config.ExecuteLab.seed = seed
    if cell_timeout is not None:
        config.Execute.timeout = cell_timeout
    if on_cell is not None:
        config.Execute.on_cell_start = on_cell
    app = converter(Autograde, config, assignment_id=course.lab, student_id=student)
    app.force = True
    start(app)


def credit_model_answers(course: Course, student: str) -> int:
    """Give full marks to written answers that are word for word the solution's; returns how many.

    Those need no reader; every other written answer waits for one.
    """
    model = {name: _answer(cell) for name, cell in _graded(course.solution)}
    given = [
        name
        for name, cell in _graded(course.path("autograded", student))
        if cell.cell_type == "markdown" and _answer(cell) == model.get(name)
    ]
    with course.gradebook() as gradebook:
        for name in given:
            grade = gradebook.find_grade(name, course.lab, course.lab, student)
            grade.manual_score = grade.max_score
            grade.needs_manual_grade = False
        gradebook.db.commit()
    return len(given)


def write_feedback(course: Course, student: str) -> Path:
    """The student's feedback page, written by nbgrader."""
    from nbgrader.converters import GenerateFeedback

    app = converter(GenerateFeedback, course.config(), assignment_id=course.lab, student_id=student)
    app.force = True
    start(app)
    return course.path("feedback", student, ".html")


def items(course: Course, student: str) -> list[Item]:
    """Every graded cell of an autograded submission, in the notebook's order."""
    found = []
    with course.gradebook() as gradebook:
        for name, cell in _graded(course.path("autograded", student)):
            grade = gradebook.find_grade(name, course.lab, course.lab, student)
            score = None if grade.needs_manual_grade else float(grade.score)
            found.append(Item(name, score, float(grade.max_score), *_said(cell)))
    return found


def errors(course: Course, student: str) -> list[str]:
    """The names of all errors in an autograded notebook, graded cell or not, in order."""
    outputs = [
        output for cell in _cells(course.path("autograded", student)) for output in cell.get("outputs", [])
    ]
    return [output.ename for output in outputs if output.output_type == "error"]


def _cells(path: Path) -> list[Any]:
    import nbformat

    return list(nbformat.read(path, as_version=4).cells)


def _graded(path: Path) -> Iterator[tuple[str, Any]]:
    for cell in _cells(path):
        if cell.metadata.get("nbgrader", {}).get("grade"):
            yield cell.metadata.nbgrader["grade_id"], cell


def _answer(cell: Any) -> str:
    return _MARKER.sub("", cell.source + "\n").strip()


def _said(cell: Any) -> tuple[str, str]:
    """(line, error name) of a cell."""
    outputs = cell.get("outputs", [])
    for output in outputs:
        if output.output_type == "error":
            # A checker's error renders itself as one sentence; for any other, name and message say most.
            rendered = _ANSI.sub("", "\n".join(output.traceback)).strip()
            own_words = "Traceback" not in rendered and 0 < len(rendered) < 1000
            return (rendered if own_words else f"{output.ename}: {output.evalue}".rstrip(": ")), output.ename
    for output in reversed(outputs):
        shown, printed = output.get("data", {}).get("text/plain", ""), output.get("text", "")
        if (shown or printed).strip():  # what the referee shows is a whole; of what was printed the end tells
            return " ".join(shown.split()) or printed.strip().splitlines()[-1], ""
    return "", ""
