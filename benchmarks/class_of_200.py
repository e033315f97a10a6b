"""A class of 200 for lab 1: graded, killed half-way, resumed, and compared with an uninterrupted run.

    python benchmarks/class_of_200.py [--students 200] [--jobs 2] [--note "tests ran beside it"]

Every student has a mixture of right, wrong, blank and crashing answers, each written a little differently.
Memory is that of the command and all its workers and kernels together (pages that they share counted once),
and of the command alone, watched while it runs: neither may grow with the submissions already graded.
Writes results/class_of_200.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import nbformat
import psutil

from course_tools.build.project import prepare_jupyter
from course_tools.grading.autograde import Course
from course_tools.grading.batch import records_of
from course_tools.grading.samples import answers_of_a_sample

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "class_of_200.md"
LAB = "lab1_contrastive_losses"
SEED = "161803398"
KINDS = {"right": 0.5, "solution": 0.2, "wrong": 0.2, "blank": 0.1}


class Memory(NamedTuple):
    """MB, when so many submissions were done."""

    done: int
    all: float
    command: float


def make_class(folder: Path, students: int) -> Course:
    """A copy of the course with its class handed in."""
    for name in ("nbgrader_config.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("solutions", "assignments"):
        shutil.copytree(ROOT / name / LAB, folder / name / LAB)
    course = Course(folder, LAB, folder / "nbgrader_config.py")
    samples = ROOT / "tests" / "samples" / LAB
    pool = {path.stem: answers_of_a_sample(path) for path in samples.glob("*.py")}
    pool["solution"] = solution(course)
    release = nbformat.read(course.released, as_version=4)
    for number in range(students):
        dice = random.Random(number)
        notebook = release.copy()
        notebook.cells = [each.copy() for each in release.cells]
        for each in notebook.cells:
            own = each.metadata.get("nbgrader", {})
            if own.get("solution"):
                kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
                name = own["grade_id"].removesuffix("-answer")
                each.source = varied(pool, kind, name, each, dice)
        path = course.path("submitted", f"student{number:03}")
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    return course


def solution(course: Course) -> dict[str, str]:
    cells = nbformat.read(course.solution, as_version=4).cells
    own = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("solution")]
    return {cell.metadata.nbgrader["grade_id"].removesuffix("-answer"): cell.source for cell in own}


def varied(pool: dict[str, dict[str, str]], kind: str, name: str, cell: dict, dice: random.Random) -> str:
    """An answer of this kind with a mark of its own; the release's text where the kind has none, or blank."""
    if cell["cell_type"] == "markdown":
        return (
            str(cell["source"]) if kind == "blank" else f"Because of the {dice.choice('abcdefgh')} argument."
        )
    if kind == "blank":
        return str(cell["source"])
    source = pool[kind].get(name) or pool["right"].get(name) or pool["solution"][name]
    return f"{source}\n# {dice.random()}"


def command(jobs: int) -> list[str]:
    return [sys.executable, "-m", "course_tools.cli", "autograde", LAB, "--jobs", str(jobs)]


def run(course: Course, jobs: int, stop: Callable[[], bool]) -> tuple[float, list[Memory]]:
    """Seconds the command took, and its memory all along; killed with SIGKILL as soon as `stop` says so."""
    environment = {**os.environ, "COURSE_SECRET_SEED": SEED}
    begin, watched = time.perf_counter(), []
    records = records_of(course.folder, LAB)
    process = subprocess.Popen(
        command(jobs),
        cwd=course.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        watched.append(Memory(len(records.students()), *resident(process.pid)))
        if stop():
            process.send_signal(signal.SIGKILL)
        time.sleep(0.5)
    return time.perf_counter() - begin, watched


def resident(pid: int) -> tuple[float, float]:
    """MB of a process with its descendants, and of it alone; a page shared by n counts as one nth in each."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    sizes = []
    for process in family:
        try:
            sizes.append(process.memory_full_info().pss / 2**20)
        except (psutil.Error, AttributeError):
            sizes.append(0.0)
    return sum(sizes), sizes[0]


def peaks(watched: list[Memory], students: int) -> str:
    """A table: the largest memory while each quarter of the class was graded."""
    lines = ["| submissions done | all processes, peak | the command alone, peak |", "|---|---|---|"]
    for quarter in range(4):
        first, last = quarter * students // 4, (quarter + 1) * students // 4
        part = [each for each in watched if first <= each.done < last]
        everything, alone = max(m.all for m in part), max(m.command for m in part)
        lines.append(f"| {first} to {last} | {everything:.0f} MB | {alone:.0f} MB |")
    return "\n".join(lines)


def gradebook(course: Course) -> dict[str, dict[str, tuple[float | None, bool]]]:
    with course.gradebook() as book:
        return {
            each.student.id: {
                grade.name: (grade.auto_score, grade.needs_manual_grade) for grade in each.notebooks[0].grades
            }
            for each in book.assignment_submissions(LAB)
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--note", default="the machine was otherwise idle", help="what else was running")
    options = parser.parse_args()
    prepare_jupyter()  # nbgrader finds alembic even where the environment is not activated
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / name for name in ("killed", "whole")]
        for place in places:
            place.mkdir()
        killed, whole = (make_class(place, options.students) for place in places)
        records = records_of(killed.folder, LAB)
        half = options.students // 2
        before, _ = run(killed, options.jobs, lambda: len(records.students()) >= half)
        done = len(records.students())
        after, _ = run(killed, options.jobs, lambda: False)
        seconds, watched = run(whole, options.jobs, lambda: False)
        resumed, expected = gradebook(killed), gradebook(whole)
    assert half <= done < options.students, f"killed too late: {done} were done"
    assert len(expected) == options.students
    differing = [student for student in expected if resumed.get(student) != expected[student]]
    assert not differing, f"the gradebooks differ: {differing}"
    mean = sum(score or 0 for items in expected.values() for score, _ in items.values()) / len(expected)
    versions = ", ".join(f"{name} {version(name)}" for name in ("nbgrader", "torch", "torchvision"))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    text = f"""# A class of {options.students} for lab 1

{options.jobs} worker processes; {machine}; {options.note}.

| | |
|---|---|
| graded without interruption | {seconds / 60:.1f} minutes |
| submissions a minute | {60 * options.students / seconds:.1f} |
| killed after {done} of {options.students}, then resumed | {(before + after) / 60:.1f} minutes together |
| gradebook after the resumed run | equal to the uninterrupted one, item by item |
| mean automatic score | {mean:.1f} |

Memory of the uninterrupted run:

{peaks(watched, options.students)}
"""
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
