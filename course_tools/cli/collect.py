"""`course submissions collect`: downloads of a learning platform into submitted/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from course_tools.build.project import prepare_jupyter


def collect_downloads(root: Path, lab: str, downloads: Sequence[Path], roster: Path | None, due: str) -> int:
    """Collect, print a line for everything remarkable; the exit status is 1 if something was not taken."""
    prepare_jupyter()
    from course_tools.grading.autograde import Course
    from course_tools.grading.collect import Roster, collect

    course = Course(root, lab, root / "nbgrader_config.py")
    if not course.solution.is_file():
        raise ValueError(f"there is no {course.solution.relative_to(root)}: which lab is {lab!r}?")
    known = Roster.read(roster) if roster else None
    if due:
        with course.gradebook() as gradebook:
            gradebook.update_or_create_assignment(lab, duedate=_deadline(due))
    outcomes = collect(root, lab, downloads, known)
    for outcome in outcomes:
        for line in outcome.lines:
            print(f"{outcome.student}: {line}" if outcome.student else line)
    taken = [outcome.student for outcome in outcomes if outcome.taken]
    print(f"{len(taken)} submissions of {lab} collected into submitted/")
    if known and (absent := sorted(known.ids - _present(root, lab))):
        print(f"{len(absent)} on the roster have handed in nothing: {', '.join(absent)}")
    return int(any(outcome.failed or not outcome.student for outcome in outcomes))


def _present(root: Path, lab: str) -> set[str]:
    return {path.parent.name for path in root.glob(f"submitted/*/{lab}")}


def _deadline(text: str) -> str:
    from nbgrader.utils import parse_utc

    try:
        parse_utc(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"--due {text!r} is no date; write 2026-03-02 23:59 UTC") from error
    return text
