"""From a learning platform's download to submitted/<student>/<lab>, where nbgrader looks."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from course_tools.grading.collect.archives import Reader
from course_tools.grading.collect.found import Found, Refused
from course_tools.grading.collect.ids import Ids
from course_tools.grading.collect.roster import Owner, Roster
from course_tools.grading.collect.taking import take
from course_tools.grading.collect.whose import Names

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
        ids = Ids(root / "submitted", lab)
        students: dict[str, list[Owner]] = defaultdict(list)
        for owner, student in _identify(files, roster, ids, outcomes).items():
            students[student].append(owner)
        for student in sorted(students):
            theirs = {owner: files[owner] for owner in students[student]}
            outcomes.append(_of_one(ids, student, theirs, names))
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


def _identify(
    files: dict[Owner, list[Found]], roster: Roster | None, ids: Ids, outcomes: list[Collected]
) -> dict[Owner, str]:
    """The owners' ids: from the roster, or made from their names; who may be several people has none."""
    known = {owner: roster.find(owner) if roster else set() for owner in files}
    for owner, claimants in known.items():
        if len(claimants) > 1:
            why = f"{owner} may be {' or '.join(sorted(claimants))} on the roster"
            outcomes += [_left_out(found, why) for found in files[owner]]
    made_up = ids.of(owner for owner, claimants in known.items() if not claimants)
    return made_up | {owner: min(claimants) for owner, claimants in known.items() if len(claimants) == 1}


def _of_one(ids: Ids, student: str, files: dict[Owner, list[Found]], names: Names) -> Collected:
    """Write what one student has handed in, under whatever names of theirs."""
    result = Collected(student)
    is_known = names.roster is not None and student in names.roster.ids
    if names.roster and not is_known:
        result.lines.append("is not on the roster")
    for owner, own in files.items():
        result.lines += _strangers(owner, own, names)
    everything = [found for own in files.values() for found in own]
    try:
        result.taken = take(ids.submitted / student / ids.lab, everything, result.lines)
        for owner in files if result.taken and not is_known else ():
            ids.keep(student, owner)
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
