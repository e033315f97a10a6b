"""Grade one submission in a scratch course: the function that workers run, here or on a cluster."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

from course_tools.grading import autograde as nbgrading
from course_tools.grading.autograde import Item
from course_tools.grading.batch.task import (
    FAILED,
    GRADED,
    UNREADABLE,
    VERDICTS,
    Lab,
    Result,
    Settings,
    Task,
)
from course_tools.grading.release import nbgrader_config
from course_tools.grading.repair import Unreadable, mend

# One submission at a time in a process: nbgrader changes the working directory and the environment.
_ONE_AT_A_TIME = Lock()
_scratches: dict[str, _Scratch] = {}

_SETTINGS = """
load_subconfig("course_config.py", path={folder!r})
c = get_config()
c.CourseDirectory.pop("db_url", None)  # the class's gradebook has one writer, and it is not this process
c.Autograde.autograde_preprocessors = [
    "course_tools.grading.batch.within.ExecuteWithin" if str(step).endswith(".ExecuteLab") else step
    for step in c.Autograde.autograde_preprocessors
]
c.ExecuteWithin.total = {seconds}
c.ExecuteWithin.device = {device!r}
"""


def grade(task: Task) -> Result:
    """Everything that came of a submission; whatever is wrong with it, this returns."""
    begin = perf_counter()
    with _ONE_AT_A_TIME:
        try:
            scratch = _scratch(task.lab, task.settings)
            if task.failure:
                return ungraded(task, FAILED, task.failure)
            if task.notebook is None:
                return ungraded(task, UNREADABLE, task.problem)
            mended = mend(task.notebook, scratch.release())
        except Unreadable as error:
            return ungraded(task, UNREADABLE, str(error))
        except Exception as error:
            return ungraded(task, FAILED, _broke_down(error), log=str(error))
        try:
            remarks = [*task.remarks, *mended.remarks]
            return scratch.grade(task, mended.notebook, remarks, begin)
        except Exception as error:
            return ungraded(task, FAILED, _broke_down(error), log=str(error))


def ungraded(task: Task, status: str, sentence: str, *, log: str = "") -> Result:
    """The result of a submission that was not executed: every graded cell says why."""
    import nbformat

    from course_tools.grading.repair.mend import is_written

    notebook = nbformat.reads(task.lab.solution, as_version=4)
    items, cells = [], []
    for cell in notebook.cells:
        if not cell.metadata.get("nbgrader", {}).get("grade"):
            continue
        points = float(cell.metadata.nbgrader["points"])
        name = cell.metadata.nbgrader["grade_id"]
        score = 0.0 if status == UNREADABLE else None
        items.append(Item(name, score, points, sentence, "NotGraded", status))
        if is_written(cell):
            cell.source = "*Nothing could be read.*"
        else:
            cell.source = ""
            trace = {"ename": "NotGraded", "evalue": sentence, "traceback": [f"NotGraded: {sentence}"]}
            cell.outputs = [nbformat.v4.new_output("error", **trace)]
        cells.append(cell)
    notebook.cells = cells
    remarks = list(dict.fromkeys([*task.remarks, sentence]))
    text = _finished(notebook, remarks, task.settings.seed)
    return Result(task.student, status, remarks, items, {}, 0.0, text, log=log)


def _broke_down(error: Exception) -> str:
    return (
        f"Your submission could not be graded ({type(error).__name__}); that is not a mark. "
        "The course's staff see this line and will look at it."
    )


class _Scratch:
    """A course folder with a released lab and an empty gradebook, used for one submission after the other."""

    def __init__(self, lab: Lab, settings: Settings) -> None:
        parent = os.environ.get("COURSE_SCRATCH")
        self.folder = Path(tempfile.mkdtemp(prefix="grading-", dir=parent))
        own = self.folder / "settings"
        own.mkdir()
        (own / "course_config.py").write_text(lab.config, encoding="utf-8")
        overrides = _SETTINGS.format(folder=str(own), seconds=settings.seconds, device=settings.device)
        (own / "nbgrader_config.py").write_text(overrides, encoding="utf-8")
        solution = self.folder / f"{lab.name}.ipynb"
        solution.write_text(lab.solution, encoding="utf-8")
        _environment(settings)
        # The settings are read before nbgrader is imported: they say how it starts quickly.
        nbgrader_config(own / "nbgrader_config.py", self.folder)
        self.course = nbgrading.open_course(
            self.folder / "course", lab.name, solution, own / "nbgrader_config.py"
        )
        _write_files(self.course.solution.parent, lab.files)
        self.empty_gradebook = (self.course.folder / "gradebook.db").read_bytes()

    def release(self) -> Any:
        import nbformat

        return nbformat.read(self.course.released, as_version=4)

    def grade(self, task: Task, notebook: Any, remarks: list[str], begin: float) -> Result:
        import nbformat

        self._forget()
        submitted = self.course.path("submitted", task.student)
        _write_files(submitted.parent, task.files)
        submitted.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, submitted)
        if task.timestamp:
            (submitted.parent / "timestamp.txt").write_text(f"{task.timestamp.isoformat()} UTC")
        self._set_deadline(task)
        nbgrading.autograde(self.course, task.student, seed=task.settings.seed)
        executed = nbformat.read(self.course.path("autograded", task.student), as_version=4)
        penalty, comments = self._remarks_of_nbgrader(task)
        bases, seed = _bases(executed), task.settings.seed
        items = [
            replace(item, line=_without(seed, item.line), basis=bases[item.name])
            for item in nbgrading.items(self.course, task.student)
        ]
        text = _finished(executed, remarks, task.settings.seed)
        seconds = perf_counter() - begin
        noted = self.course.path("autograded", task.student).with_name(VERDICTS)
        verdicts = noted.read_text(encoding="utf-8") if noted.is_file() else ""
        return Result(
            task.student, GRADED, remarks, items, comments, seconds, text, penalty, verdicts=verdicts
        )

    def _forget(self) -> None:
        for step in ("submitted", "autograded"):
            shutil.rmtree(self.course.folder / step, ignore_errors=True)
        (self.course.folder / "gradebook.db").write_bytes(self.empty_gradebook)

    def _set_deadline(self, task: Task) -> None:
        if task.due:
            with self.course.gradebook() as gradebook:
                gradebook.update_or_create_assignment(task.lab.name, duedate=task.due)

    def _remarks_of_nbgrader(self, task: Task) -> tuple[float | None, dict[str, str | None]]:
        name = task.lab.name
        with self.course.gradebook() as gradebook:
            notebook = gradebook.find_submission_notebook(name, name, task.student)
            comments = {comment.name: comment.auto_comment for comment in notebook.comments}
            return notebook.late_submission_penalty, comments


def _scratch(lab: Lab, settings: Settings) -> _Scratch:
    parts = (lab.name, lab.solution, lab.config, repr(sorted(lab.files.items())), repr(settings))
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    if key not in _scratches:
        clean_up()
        _scratches[key] = _Scratch(lab, settings)
    return _scratches[key]


def clean_up() -> None:
    """Remove this process's scratch courses."""
    for scratch in _scratches.values():
        shutil.rmtree(scratch.folder, ignore_errors=True)
    _scratches.clear()


atexit.register(clean_up)  # a cluster's workers are ended by others


def _environment(settings: Settings) -> None:
    """Set for every lab anew: a worker of a cluster lives on, and meets labs with other settings."""
    given = _given()
    os.environ["COURSE_STATIC"] = "1"
    wanted = {
        "CUDA_VISIBLE_DEVICES": "" if settings.device == "cpu" else given["CUDA_VISIBLE_DEVICES"],
        "COURSE_UNSAFE": "1" if settings.unsafe else given["COURSE_UNSAFE"],
    }
    for name, value in wanted.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@cache
def _given() -> dict[str, str | None]:
    """The environment as it was when the first lab came."""
    return {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "COURSE_UNSAFE")}


def _write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, contents in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)


def _bases(executed: Any) -> dict[str, str]:
    """Grade id -> hash of what its score was given for: a written answer's text, for a test all code."""
    code = "\0".join(cell.source for cell in executed.cells if cell.cell_type == "code")
    bases = {}
    for cell in executed.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            judged = cell.source if cell.cell_type == "markdown" else code
            bases[cell.metadata.nbgrader["grade_id"]] = hashlib.sha256(judged.encode()).hexdigest()[:16]
    return bases


def _finished(notebook: Any, remarks: list[str], seed: str) -> str:
    """The .ipynb text to keep: remarks on top, the seed of the hidden tests nowhere.

    The notebook is harmless already; the remarks quote the names that a student gave to things.
    """
    import nbformat

    from course_tools.grading.harmless import make_harmless

    if remarks:
        lines = "\n".join(f"- {remark}" for remark in remarks)
        about = nbformat.v4.new_markdown_cell(
            f"**About the file you handed in**\n\n{lines}", id="about-the-file"
        )
        notebook.cells.insert(0, about)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            _hide(output, seed)
    return str(nbformat.writes(make_harmless(notebook)))


def _hide(output: Any, seed: str) -> None:
    """Replace the seed in an output, should student code have printed it."""
    for key, value in output.items():
        if isinstance(value, str):
            output[key] = _without(seed, value)
        elif isinstance(value, list):
            output[key] = [_without(seed, each) if isinstance(each, str) else each for each in value]
        elif isinstance(value, dict):
            _hide(value, seed)


def _without(seed: str, text: str) -> str:
    return text.replace(seed, "•••") if len(seed) >= 5 else text  # shorter ones are common numbers
