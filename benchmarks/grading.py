"""Submissions a minute: plain `nbgrader autograde` beside `course autograde`, on the same class.

    python benchmarks/grading.py [--submissions 40] [--jobs 2]

The lab imports torch and torchvision. Both commands grade the same generated submissions, one after the other
on the same machine, from a cold start; the scores must be equal to the last point. Writes results/grading.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_tools.build.notebooks import KERNEL
from course_tools.build.project import prepare_jupyter
from course_tools.grading.autograde import Course

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "grading.md"
LAB = "lab9_benchmark"
PLAIN = """c = get_config()
c.CourseDirectory.course_id = "benchmark"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "assignments"
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.Execute.timeout = 90
"""
# The benchmark's tests are plain asserts, which both graders can run.
OWN_TESTS = "\nc.ExecuteLab.own_tests = True\n"
ITEMS = {
    "cosine": (
        "def cosine(a, b):\n    return (a @ b) / (a.norm() * b.norm())",
        "assert abs(cosine(torch.tensor([3.0, 4.0]), torch.tensor([4.0, 3.0])).item() - 0.96) < 1e-6",
    ),
    "boxes": (
        "def boxes(b):\n    return torchvision.ops.box_area(b)",
        "assert boxes(torch.tensor([[0.0, 0.0, 2.0, 3.0]])).item() == 6",
    ),
    "centre": (
        "def centre(x):\n    return x - x.mean(dim=0)",
        "assert centre(torch.rand(8, 3)).mean(dim=0).abs().max() < 1e-6",
    ),
}
KINDS = ("right", "wrong", "blank", "crash")


def cell(kind: str, grade_id: str, source: str, points: int | None) -> Any:
    own = {"grade": points is not None, "grade_id": grade_id, "locked": points is not None}
    own |= {"schema_version": 3, "solution": points is None, "task": False}
    own |= {} if points is None else {"points": points}
    return new_code_cell(source, metadata={"nbgrader": own}, id=f"{grade_id}-{kind}")


def lab(answers: dict[str, str], marks: bool) -> Any:
    """The lab's notebook with these answers; `marks` wraps them as a solution's."""
    cells = [new_markdown_cell("# A lab", id="top")]
    cells.append(new_code_cell("import torch\nimport torchvision", id="imports"))
    for name, (_, test) in ITEMS.items():
        source = f"### BEGIN SOLUTION\n{answers[name]}\n### END SOLUTION" if marks else answers[name]
        cells += [cell("answer", f"{name}-answer", source, None), cell("test", name, test, 4)]
    return new_notebook(cells=cells, metadata=KERNEL)


def answer(name: str, kind: str) -> str:
    right = ITEMS[name][0]
    if kind == "wrong":
        return right.replace("return ", "return 2 * ") + " + 1"
    if kind == "blank":
        return "raise NotImplementedError"
    return right.replace("return ", "return nowhere + ") if kind == "crash" else right


def make_course(folder: Path, config: str, submissions: int) -> Course:
    """The course with its class, each student with another mixture of kinds of answers."""
    course = Course(folder, LAB, folder / "nbgrader_config.py")
    course.solution.parent.mkdir(parents=True)
    course.config_file.write_text(config)
    shutil.copy(ROOT / "pyproject.toml", folder)
    nbformat.write(lab({name: right for name, (right, _) in ITEMS.items()}, marks=True), course.solution)
    subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_assignment", LAB],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    for number in range(submissions):
        kinds = [KINDS[(number // 4**place) % 4] for place in range(len(ITEMS))]
        answers = {n: f"# student {number}\n{answer(n, k)}" for n, k in zip(ITEMS, kinds, strict=True)}
        path = course.path("submitted", f"student{number:03}")
        path.parent.mkdir(parents=True)
        nbformat.write(lab(answers, marks=False), path)
    return course


def timed(course: Course, *command: str) -> float:
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *command], cwd=course.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.perf_counter() - begin


def scores(course: Course) -> dict[str, dict[str, float]]:
    with course.gradebook() as book:
        return {
            each.student.id: {grade.name: grade.auto_score for grade in each.notebooks[0].grades}
            for each in book.assignment_submissions(LAB)
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    prepare_jupyter()  # nbgrader finds alembic even where the environment is not activated
    with tempfile.TemporaryDirectory() as folder:
        plain = make_course(Path(folder) / "plain", PLAIN, options.submissions)
        ours_config = (ROOT / "nbgrader_config.py").read_text() + OWN_TESTS
        ours = make_course(Path(folder) / "ours", ours_config, options.submissions)
        seconds = {
            "`nbgrader autograde`": timed(plain, "nbgrader", "autograde", LAB),
            "`course autograde`": timed(
                ours, "course_tools.cli", "autograde", LAB, "--jobs", str(options.jobs)
            ),
        }
        expected, found = scores(plain), scores(ours)
    assert len(found) == options.submissions
    assert found == expected, "the two graders disagree"
    first, second = seconds.values()
    lines = ["| | seconds | submissions a minute |", "|---|---|---|"]
    lines += [f"| {name} | {s:.0f} | {60 * options.submissions / s:.1f} |" for name, s in seconds.items()]
    versions = ", ".join(f"{name} {version(name)}" for name in ("nbgrader", "torch", "torchvision"))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    text = "\n".join(
        [
            "# Grading a lab that imports torch and torchvision",
            "",
            f"{options.submissions} submissions, {options.jobs} workers; {machine}. All scores are equal.",
            "",
            *lines,
            "",
            f"Ratio in this run: {first / second:.1f}.",
        ]
    )
    print(text)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
