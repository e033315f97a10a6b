"""`course times`: what a week may take, what it took in the last run, and who exceeds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from course_tools.build.outcome import Outcome
from course_tools.build.state import State

# Processor seconds, so that eight weeks stay within what people wait for.
LECTURE, SOLUTION, SAMPLES, TESTS = 240, 45, 60, 60

TESTS_TOOK = "tests_took.json"  # test -> processor seconds
_WEEK = re.compile(r"(?:week|lab)(\d)(?!_tiny)")
_PARTS = re.compile(r"test_the_lecture_runs|test_a_submission_scores")  # have budgets of their own


def times(root: Path) -> int:
    """Print each part of each week beside its budget; exit status 1 if one exceeds it.

    Raises:
        ValueError: nothing has been run yet.
    """
    rows = sorted(rows_of(State(root / "build").outcomes()) + rows_of_tests(root / "build" / TESTS_TOOK))
    if not rows:
        raise ValueError("nothing has been run yet: `make course` records what each part takes")
    width = max(len(name) for name, _, _ in rows)
    print(f"{'part':<{width}}  seconds  budget")
    for name, seconds, budget in rows:
        print(f"{name:<{width}}  {seconds:>7.0f}  {budget:>6}{'  too long' if seconds > budget else ''}")
    return int(any(seconds > budget for _, seconds, budget in rows))


def rows_of(outcomes: Sequence[Outcome]) -> list[tuple[str, float, int]]:
    """(part, seconds, budget) from what the main job remembers: lectures, solved labs, a lab's samples."""
    rows: list[tuple[str, float, int]] = []
    samples: dict[str, float] = {}
    for outcome in outcomes:
        lab, _, student = outcome.name.partition("/")
        if not student:
            rows.append((lab, outcome.cpu, LECTURE))
        elif student == "solution":
            rows.append((outcome.name, outcome.cpu, SOLUTION))
        else:
            samples[lab] = samples.get(lab, 0.0) + outcome.cpu
    rows += [(f"{lab}, blank and samples", seconds, SAMPLES) for lab, seconds in samples.items()]
    return sorted(rows)


def rows_of_tests(took: Path) -> list[tuple[str, float, int]]:
    """(a week's unit tests, seconds, budget) from what tests/conftest.py writes."""
    weeks: dict[str, float] = {}
    known = json.loads(took.read_text(encoding="utf-8")) if took.is_file() else {}
    for test, seconds in known.items():
        if week := week_of(test):
            name = f"week{week}, unit tests"
            weeks[name] = weeks.get(name, 0.0) + seconds
    return [(name, seconds, TESTS) for name, seconds in weeks.items()]


def week_of(test: str) -> str:
    """The week whose unit test this is, by its name or its file's; "" if it is none."""
    week = None if _PARTS.search(test) else _WEEK.search(test)
    return week[1] if week else ""
