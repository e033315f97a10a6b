"""`course times`: what a week may take, what it took in the last run, and who exceeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from course_tools.build.outcome import Outcome
from course_tools.build.state import State

# Seconds on two cores that are otherwise free, so that eight weeks stay within what people wait for. A
# lecture's are processor seconds. A submission counts by the clock: it is graded by one thread, and nobody
# waits for a kernel that was forked in a jail, so that its processor time is not known here.
LECTURE, SOLUTION, SAMPLES = 240, 45, 60


def times(root: Path) -> int:
    """Print each part of each week beside its budget; exit status 1 if one exceeds it.

    Raises:
        ValueError: nothing has been run yet.
    """
    rows = rows_of(State(root / "build").outcomes())
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
            rows.append((outcome.name, outcome.seconds, SOLUTION))
        else:
            samples[lab] = samples.get(lab, 0.0) + outcome.seconds
    rows += [(f"{lab}, blank and samples", seconds, SAMPLES) for lab, seconds in samples.items()]
    return sorted(rows)
