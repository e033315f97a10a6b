"""From a learning platform's download to submitted/<student>/<lab>, where nbgrader looks."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from course_lib.grading.collect.archives import Reader
from course_lib.grading.collect.found import Found, Refused
from course_lib.grading.collect.roster import Owner, Roster
from course_lib.grading.collect.taking import take
from course_lib.grading.collect.whose import Names, student_id

__all__ = ["Collected", "Roster", "collect"]


@dataclass
class Collected:
    """What was done with one student's files, or with a file of nobody's (`student` is "" then).

    Attributes:
        taken: something was written.
        failed: something should have been written, and could not be.
    """

    student: str
    lines: list[str] = field(default_factory=list)
    taken: bool = False
    failed: bool = False


def collect(root: Path, lab: str, downloads: Sequence[Path], roster: Roster | None = None) -> list[Collected]:
    """Put what the downloads hold into submitted/, the latest notebook of each student.

    What stands in submitted/ already is replaced only by something later. The time goes to timestamp.txt, as
    nbgrader reads it. Whatever cannot be used is named with a reason, and stops nothing else.

    Args:
        root: of the course.
        downloads: .zip and .ipynb files, or folders of them.
        roster: to find ids; without one, ids are made from the names.
    """
    with tempfile.TemporaryDirectory() as spool:
        names = Names(lab, roster)
        outcomes, files = _sort(Reader(Path(spool), names), downloads)
        students: dict[str, list[Owner]] = defaultdict(list)
        numbers: dict[str, str] = {}
        for owner, own in files.items():
            known = roster.find(owner) if roster else set()
            if len(known) > 1:
                why = f"{owner} may be {' or '.join(sorted(known))} on the roster"
                outcomes += [_left_out(found, why) for found in own]
            else:
                students[next(iter(known), "") or _made_up(owner, numbers)].append(owner)
        for student in sorted(students):
            theirs = {owner: files[owner] for owner in students[student]}
            outcomes.append(_of_one(root / "submitted" / student / lab, theirs, names))
        return outcomes


def _sort(reader: Reader, downloads: Sequence[Path]) -> tuple[list[Collected], dict[Owner, list[Found]]]:
    """What is nobody's or was refused, and the files of each owner."""
    nobodys: list[Collected] = []
    files: dict[Owner, list[Found]] = defaultdict(list)
    for found in (found for download in downloads for found in reader.files_in(download)):
        if isinstance(found, Refused):
            nobodys.append(Collected("", [f"{found.place}: refused, {found.why}"]))
        elif owner := found.owner(reader.names):
            files[owner].append(found)
        else:
            nobodys.append(_left_out(found, "it is not clear whose it is: name it <student>_<lab>.ipynb"))
    return nobodys, files


def _left_out(found: Found, why: str) -> Collected:
    return Collected("", [f"{found.place}: left out, {why}"])


def _of_one(target: Path, files: dict[Owner, list[Found]], names: Names) -> Collected:
    """Write what one student has handed in, under whatever names of theirs."""
    result = Collected(target.parent.name)
    if names.roster and result.student not in names.roster.ids:
        result.lines.append("is not on the roster")
    for owner, own in files.items():
        result.lines += _strangers(owner, own, names)
    everything = [found for own in files.values() for found in own]
    try:
        result.taken = take(target, target.name, everything, result.lines)
    except (OSError, ValueError) as error:  # one student's trouble is not the others'
        result.lines.append(f"could not be collected: {getattr(error, 'strerror', None) or error}")
        result.failed = True
    return result


def _strangers(owner: Owner, files: list[Found], names: Names) -> Iterator[str]:
    """A line for what a student handed in under somebody else's name: it counts for who handed it in."""
    pairs = [(found, other) for found in files if (other := names.stranger(owner, found.students_parts))]
    for found, other in pairs[:1]:
        more = f", as did {len(pairs) - 1} more" if len(pairs) > 1 else ""
        yield f"{found.place} bears the name of {other}, but came with {owner}'s files{more}"


def _made_up(owner: Owner, numbers: dict[str, str]) -> str:
    """An id for somebody who is on no roster; people of one name are told apart by the platform's number."""
    name = student_id(owner)
    if owner.number and numbers.setdefault(name, owner.number) != owner.number:
        return f"{name}-{owner.number}"
    return name
