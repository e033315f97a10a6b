"""`course run`, the main job: every lecture executed, every lab's samples graded, one report."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from tqdm.auto import tqdm

from course_tools.build import project
from course_tools.build.lanes import Job, in_lanes, threads_each
from course_tools.build.lecture import run_lecture
from course_tools.build.outcome import Outcome, table
from course_tools.build.processor import processor_seconds
from course_tools.build.report import write_report
from course_tools.build.state import State, fingerprint, hash_files
from course_tools.build.submission import BLANK, SOLUTION, Expectation, grade
from course_tools.build.sync import sync

if TYPE_CHECKING:
    from course_tools.grading.autograde import Course


def _secret_seed() -> str:
    return os.environ.get("COURSE_SECRET_SEED", str(secrets.randbelow(2**31)))


@dataclass(frozen=True)
class Options:
    """What `course run` was asked for.

    Attributes:
        only: keep the parts whose name holds one of these words.
        seed: of the hidden tests; a new one each time, so that more and more cases are tried.
        threads: that a part works with; by default all cores are shared between the jobs.
    """

    profile: str = "fast"
    dataset: str = "shapes"
    only: tuple[str, ...] = ()
    force: bool = False
    jobs: int = 2
    seed: str = field(default_factory=_secret_seed)
    threads: int = 0

    @property
    def threads_each(self) -> int:
        return self.threads or threads_each(self.jobs)


@dataclass(frozen=True)
class Part:
    """A job, what its result depends on, and what must be done before it."""

    job: Job
    fingerprint: str
    prepare: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        return self.job.name


def run(root: Path, options: Options) -> int:
    """Do everything that is not up to date; returns the exit status, 0 if every part came out as expected."""
    project.prepare_jupyter()
    isolation = _isolation()
    print(f"Samples of students' work run in {isolation}.")
    build = root / "build"
    state = State(build)
    outcomes = {"sync": _synchronise(root)}
    parts = {part.name: part for part in all_parts(root, options)}
    outcomes |= {name: outcomes.get(name, Outcome(name, 0)) for name in parts}  # the table's order
    todo = []
    for name, part in parts.items():
        known = None if options.force else state.recall(name, part.fingerprint)
        if known:
            outcomes[name] = known
        else:
            todo.append(Job(name, make, {"part": part, "state": state, "afresh": options.force}))
    for job, outcome in in_lanes(todo, options.jobs):
        outcomes[job.name] = outcome
        tqdm.write(
            f"{outcome.status}  {job.name}  {outcome.seconds:.0f} s  {outcome.problem or outcome.headline}"
        )
    index = write_report(build / "report", list(outcomes.values()), _facts(options, isolation))
    print(f"\n{table(list(outcomes.values()))}\n\nReport: {index}")
    return int(any(outcome.problem for outcome in outcomes.values()))


def make(part: Part, state: State, *, afresh: bool = False, bar: dict[str, Any] | None = None) -> Outcome:
    """What comes of one part: an earlier outcome if nothing has changed since, else made in this process.

    Args:
        afresh: make it in any case.
        bar: keywords for the job's tqdm bar.
    """
    with state.lock(part.name):
        known = None if afresh else state.recall(part.name, part.fingerprint)
        if known:
            return known
        state.forget(part.name)
        begin = processor_seconds()
        if part.prepare:
            part.prepare()
        outcome = part.job.work(**part.job.arguments, bar=bar)
        outcome = replace(outcome, cpu=processor_seconds() - begin)
        state.remember(outcome, part.fingerprint)
    return outcome


def _synchronise(root: Path) -> Outcome:
    begin = perf_counter()
    try:
        changed = sync(root)
    except Exception as error:
        return Outcome("sync", perf_counter() - begin, problem=f"{type(error).__name__}: {error}")
    names = ", ".join(path.name for path in changed)
    said = names if len(changed) < 3 else f"{len(changed)} files"
    return Outcome("sync", perf_counter() - begin, f"rewrote {said}" if changed else "all up to date")


def all_parts(root: Path, options: Options) -> list[Part]:
    """The parts asked for, lectures (which take longest) first; what they make lies in `root`/build."""
    build = root / "build"
    parts = [
        _lecture(root, build, source.with_suffix(".ipynb"), options) for source in project.lectures(root)
    ]
    for source in project.labs(root):
        parts += _submissions(root, build, source.stem, options)
    return [part for part in parts if not options.only or any(word in part.name for word in options.only)]


def _lecture(root: Path, build: Path, notebook: Path, options: Options) -> Part:
    folders = [Path(options.dataset).resolve()] if Path(options.dataset).is_dir() else []
    parameters = {"PROFILE": options.profile, "DATASET": str(folders[0]) if folders else options.dataset}
    (root / "data").mkdir(exist_ok=True)
    arguments = {
        "notebook": notebook,
        "executed": build / "executed" / notebook.name,
        "report": build / "report",
        "parameters": parameters,
        "data": root / "data",
        "cell_timeout": 900 if options.profile == "fast" else None,
    }
    ingredients = fingerprint(notebook, str(parameters), *folders, threads=options.threads_each)
    return Part(Job(notebook.stem, run_lecture, arguments), ingredients)


def _submissions(root: Path, build: Path, lab: str, options: Options) -> Iterator[Part]:
    """The lab's solution, its blank release and its samples, handed in and graded under `build`."""
    from course_tools.grading.autograde import Course

    solution = root / "solutions" / lab / f"{lab}.ipynb"
    released = root / "assignments" / lab / f"{lab}.ipynb"
    course = Course(build / "grading" / lab, lab, root / "nbgrader_config.py")
    kinds: dict[str, Expectation | Path] = {"solution": SOLUTION, "blank": BLANK}
    kinds |= {path.stem: path for path in project.samples(root, lab)}
    for student, expected in kinds.items():
        own = [expected] if isinstance(expected, Path) else []
        arguments = {
            "course": course,
            "student": student,
            "expected": expected,
            "report": build / "report",
            "seed": options.seed,
        }
        yield Part(
            Job(f"{lab}/{student}", grade, arguments),
            fingerprint(student, solution, released, course.config_file, *own, threads=options.threads_each),
            partial(_hand_in, course, solution, student, expected),
        )


def _hand_in(course: Course, solution: Path, student: str, expected: Expectation | Path) -> None:
    """Put a submission where nbgrader looks for it, in a course made anew if the lab has changed."""
    from course_tools.grading.autograde import submit
    from course_tools.grading.samples import make_submission

    course.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(course.folder.with_suffix(".lock")):  # tests hand in from several processes
        _open(course, solution)
    if isinstance(expected, Path):
        notebook = course.folder / "samples" / f"{student}.ipynb"
        notebook.parent.mkdir(exist_ok=True)
        make_submission(solution, expected, notebook)
    else:
        notebook = course.solution if expected == SOLUTION else course.released
    submit(course, student, notebook)


def _open(course: Course, solution: Path) -> None:
    """Make the course, unless it is there and made from this lab."""
    from course_tools.grading.autograde import open_course

    made_from = course.folder / "made_from.txt"
    basis = hash_files(solution, course.config_file)
    if not made_from.is_file() or made_from.read_text() != basis:
        open_course(course.folder, course.lab, solution, course.config_file)
        made_from.write_text(basis)


def _isolation() -> str:
    """Where student code runs. The samples are the course's own: without a jail they run all the same."""
    from course_tools.grading.jail import missing, unsafe

    if unsafe():
        return "ordinary kernels, as COURSE_UNSAFE asks"
    if why := missing():
        os.environ["COURSE_UNSAFE"] = "1"
        return f"ordinary kernels, without a jail ({why})"
    return "a jail each (bubblewrap), and a referee outside it reaches the verdicts"


def _facts(options: Options, isolation: str) -> dict[str, str]:
    """What the report says about how it was made."""
    packages = " · ".join(f"{name} {metadata.version(name)}" for name in ("torch", "torchvision", "nbgrader"))
    return {
        "profile": options.profile,
        "data set": options.dataset,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "Python": platform.python_version(),
        "packages": packages,
        "students' code ran in": isolation,
        "seed of the hidden tests": options.seed,
    }
