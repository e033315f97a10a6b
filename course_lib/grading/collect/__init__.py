"""From a learning platform's download to submitted/<student>/<lab>, where nbgrader looks."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from course_lib.grading.collect.archives import Found, Reader, Refused
from course_lib.grading.collect.roster import Owner, Roster
from course_lib.grading.collect.whose import Names, student_id

__all__ = ["Collected", "Roster", "collect"]

MAX_OTHER = 50 * 2**20


@dataclass
class Collected:
    """What was done with one student's files, or with a file of nobody's (`student` is "" then)."""

    student: str
    lines: list[str] = field(default_factory=list)
    taken: bool = False


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
    result.taken = _take(target, target.name, everything, result.lines)
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


def _take(target: Path, lab: str, files: list[Found], lines: list[str]) -> bool:
    """Write one student's files; whether anything was written."""
    notebooks = [found for found in files if found.is_notebook]
    others = [found for found in files if found not in notebooks]
    chosen = max(enumerate(notebooks), key=_latest)[1] if notebooks else None
    if chosen is None:
        lines.append(f"handed in no notebook, only {', '.join(found.name for found in others[:5])}")
    elif len(notebooks) > 1:
        lines.append(f"handed in {len(notebooks)} notebooks: the latest is taken, {chosen.place}")
    elif chosen.name != f"{lab}.ipynb":
        lines.append(f"{chosen.name} is taken for {lab}.ipynb")
    time = chosen.time if chosen else max((found.time for found in others if found.time), default=None)
    if (before := _time_of(target)) and time and time < before:
        lines.append(f"what is there already is later ({before:%d %b %Y %H:%M} UTC) and stays")
        return False
    contents = {f"{lab}.ipynb": chosen.path.read_bytes()} if chosen else {}
    contents |= dict(_data(others, lines))
    if time:
        contents["timestamp.txt"] = f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode()
    _replace(target, contents)
    return True


def _latest(numbered: tuple[int, Found]) -> tuple[float, ...]:
    """By the time of handing in; of files that came together the one that was changed last."""
    number, found = numbered
    seconds = (time.timestamp() if time else 0.0 for time in (found.time, found.changed))
    return (*seconds, number)


def _data(others: list[Found], lines: list[str]) -> Iterator[tuple[str, bytes]]:
    """The other files, under their own names, as far as there is room."""
    total = 0
    for found in others:
        contents = found.path.read_bytes()
        if found.name == "timestamp.txt" or found.name.startswith("."):
            continue
        if total + len(contents) > MAX_OTHER:
            lines.append(
                f"{found.name} is left out: more than {MAX_OTHER // 2**20} MB came with the notebook"
            )
            continue
        total += len(contents)
        yield found.name, contents


def _time_of(target: Path) -> datetime | None:
    """When what stands in submitted/ was handed in."""
    try:
        text = (target / "timestamp.txt").read_text(encoding="utf-8").strip().removesuffix(" UTC")
        time = datetime.fromisoformat(text)
    except (OSError, ValueError):
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _replace(target: Path, contents: dict[str, bytes]) -> None:
    """Write the folder beside its place, then move it there: it is never seen half written."""
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, data in contents.items():
        (new / name).write_bytes(data)
    if target.is_symlink():
        target.unlink()
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
