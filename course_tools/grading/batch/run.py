"""Grade a class: find what is to be done, hand it to workers, write down what comes back."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from course_tools.grading.autograde import Course
from course_tools.grading.batch import gradebook as books
from course_tools.grading.batch.intake import TIMESTAMP, HandedIn, read_submission
from course_tools.grading.batch.records import Records, common_fingerprint, fingerprint, write_whole
from course_tools.grading.batch.task import FAILED, VERDICTS, Lab, Result, Settings, Task
from course_tools.grading.jail import JailMissing, missing, unsafe


@dataclass(frozen=True)
class Options:
    """What `course autograde` was asked for.

    Attributes:
        jobs: worker processes; 0 for one a core, or one a GPU with device "cuda".
        scheduler: address of a Dask scheduler, "" for processes on this machine.
        student: grade this one alone, changed or not; "" for all that need it.
        seconds: for one notebook as a whole.
    """

    jobs: int = 0
    scheduler: str = ""
    device: str = "cpu"
    student: str = ""
    unsafe: bool = False
    seconds: int = 1200


def records_of(root: Path, lab: str) -> Records:
    """Where a lab's results, seed and lock are kept; git ignores it, and `make clean` leaves it alone."""
    return Records(root / "grades" / lab)


def grade_class(root: Path, lab: str, options: Options) -> Iterator[tuple[Result, bool]]:
    """Grade what has been handed in to submitted/ and has changed; (result, graded now) of every student.

    All grading is done before the first result is returned; results are read from disk one by one.

    Args:
        root: of the course: it holds nbgrader_config.py, solutions/, submitted/.

    Raises:
        ValueError: no such lab or student, nothing handed in, or the lab is being graded already.
        JailMissing: no jail can be built here, and `unsafe` was not asked for.
    """
    if not (options.scheduler or options.unsafe or unsafe()) and (why := missing()):
        raise JailMissing(why)
    course = Course(root, lab, root / "nbgrader_config.py")
    if not course.solution.is_file():
        raise ValueError(f"there is no {course.solution.relative_to(root)}: which lab is {lab!r}?")
    students = submitted(root, lab)
    if options.student and options.student not in students:
        raise ValueError(f"{options.student} has handed in nothing: no submitted/{options.student}/{lab}")
    if not students:
        raise ValueError(f"nothing has been handed in: there is no submitted/<student>/{lab}")
    if unreadable := [name for name in students if not _is_text(name)]:
        raise ValueError(f"rename these folders in submitted/, their names are not UTF-8: {unreadable}")
    records = records_of(root, lab)
    with records.locked():
        shutil.rmtree(records.scratch, ignore_errors=True)  # what a killed run has left
        records.scratch.mkdir()
        graded = _Run(course, records, options).grade_changed(students)
        shutil.rmtree(records.scratch, ignore_errors=True)
    return _results(records, [options.student] if options.student else students, graded)


def submitted(root: Path, lab: str) -> list[str]:
    """The students who have handed in the lab."""
    return sorted(path.parent.name for path in root.glob(f"submitted/*/{lab}"))


def _is_text(name: str) -> bool:
    """Whether a name of the file system is UTF-8: others can be stored nowhere."""
    return name == name.encode(errors="replace").decode()


def _results(records: Records, students: list[str], graded: set[str]) -> Iterator[tuple[Result, bool]]:
    for student in students:
        if (result := records.find(student)) is not None:
            yield result, student in graded


class _Run:
    """One run of the command over one lab."""

    def __init__(self, course: Course, records: Records, options: Options) -> None:
        self.course, self.records, self.options = course, records, options
        self.lab = _read_lab(course)
        isolation = options.unsafe or unsafe()
        self.settings = Settings(records.seed(), options.device, isolation, options.seconds)
        self.common = common_fingerprint(self.lab, self.settings)
        self.prints: dict[str, str] = {}

    def grade_changed(self, students: list[str]) -> set[str]:
        """Grade and record; returns whom."""
        with self.course.gradebook() as gradebook:
            self._register(gradebook)
            todo = [student for student in students if self._is_due(gradebook, student)]
            runner = self._runner(len(todo))
            tasks = (self._task(gradebook, student) for student in todo)
            bar = tqdm(total=len(todo), desc=self.lab.name, unit="submission", smoothing=0.05)
            with bar:
                for task, result in runner(tasks):
                    self._store(gradebook, task, result)
                    bar.update()
        return set(todo)

    def _register(self, gradebook: Any) -> None:
        """Tell the gradebook about the lab if it is new or has changed."""
        known = self.records.folder / "registered"
        basis = hashlib.sha256((self.lab.solution + self.lab.config).encode()).hexdigest()
        same = known.is_file() and known.read_text() == basis
        if not (same and books.is_registered(gradebook, self.lab.name)):
            try:
                books.register(self.course, self.records.scratch / "release")
            except RuntimeError as error:
                if "Cannot add or remove cells" not in str(error):
                    raise
                raise ValueError(_OTHER_CELLS.format(lab=self.lab.name)) from None
            write_whole(known, basis)
            gradebook.db.expire_all()

    def _is_due(self, gradebook: Any, student: str) -> bool:
        if self.options.student not in ("", student):
            return False
        due = books.due(gradebook, self.lab.name, student)
        try:
            self.prints[student] = fingerprint(self.common, self._folder(student), due)
        except OSError:  # told when it is read
            self.prints[student] = ""
        done = (
            self.records.is_done(student, self.prints[student], self.options.seconds)
            and self.course.path("autograded", student).is_file()
            and books.has_grades(gradebook, self.lab.name, student)
        )
        return bool(self.options.student) or not done

    def _folder(self, student: str) -> Path:
        return self.course.path("submitted", student).parent

    def _task(self, gradebook: Any, student: str) -> Task:
        found, failure = HandedIn(), ""
        folder = self._folder(student)
        if folder.is_symlink() or folder.parent.is_symlink():
            found.problem = "The submission is a link to another place: links are not followed."
        elif not folder.is_dir():
            failure = "Your submission was not in its place when it was to be read; that is not a mark."
        else:
            try:
                found = read_submission(folder, self.lab.name, student)
            except OSError as error:
                failure = f"Your submission could not be read ({error.strerror}); that is not a mark."
        return Task(
            student,
            self.lab,
            self.settings,
            found.notebook,
            found.problem,
            failure,
            found.files,
            tuple(found.remarks),
            found.timestamp,
            books.due(gradebook, self.lab.name, student),
        )

    def _runner(self, count: int) -> Callable[[Iterator[Task]], Iterator[tuple[Task, Result]]]:
        options = self.options
        if options.scheduler:
            from course_tools.grading.batch.cluster import grade_on_cluster

            return lambda tasks: grade_on_cluster(tasks, options.scheduler, options.device)
        from course_tools.grading.batch.processes import core_count, gpu_count, grade_in_processes

        slots = gpu_count() if options.device == "cuda" else core_count()
        if not slots:
            raise ValueError("--device cuda: no GPU is visible to this process")
        jobs = min(options.jobs or slots, count)
        return lambda tasks: grade_in_processes(tasks, jobs, self.records.scratch)

    def _store(self, gradebook: Any, task: Task, result: Result) -> None:
        """The executed notebook, then the gradebook, then the record that says all is there.

        Where grading broke down, an earlier grade stands: only the record says what happened.
        """
        student, lab, seconds = task.student, self.lab.name, self.options.seconds
        if result.status != FAILED or not books.has_grades(gradebook, lab, student):
            self.records.outdate(student)
            self._put_in_place(task, result)
            books.record(gradebook, lab, result, task.timestamp, self.records.bases(student))
        self.records.write(result, self.prints[student], seconds)
        gradebook.db.expunge_all()  # or the session would keep every student in memory

    def _put_in_place(self, task: Task, result: Result) -> None:
        """The executed notebook and what belongs to it, into autograded/."""
        finished = self.records.scratch / "finished"
        shutil.rmtree(finished, ignore_errors=True)
        finished.mkdir()
        (finished / f"{self.lab.name}.ipynb").write_text(result.notebook, encoding="utf-8")
        if result.verdicts:
            (finished / VERDICTS).write_text(result.verdicts, encoding="utf-8")
        if task.timestamp:
            (finished / TIMESTAMP).write_text(f"{task.timestamp.isoformat()} UTC\n")
        target = self.course.path("autograded", task.student).parent
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        finished.rename(target)


_OTHER_CELLS = (
    "the gradebook holds submissions of another version of {lab}, with other graded or locked cells. Grade"
    " with the version that was handed out; or give the new one another name; or forget the old grades:"
    " nbgrader db assignment remove {lab} --force"
)


def _read_lab(course: Course) -> Lab:
    folder = course.solution.parent
    ignored = {".ipynb", ".py", ".pyc"}
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in ignored and ".ipynb_checkpoints" not in path.parts
    }
    solution = course.solution.read_text(encoding="utf-8")
    return Lab(course.lab, solution, course.config_file.read_text(encoding="utf-8"), files)
