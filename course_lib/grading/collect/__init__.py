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

from course_lib.grading.collect.archives import Found, Refused, files_in
from course_lib.grading.collect.roster import Owner, Roster
from course_lib.grading.collect.whose import owners_of, student_id

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
        return _collect(root, lab, downloads, roster, Path(spool))


def _collect(
    root: Path, lab: str, downloads: Sequence[Path], roster: Roster | None, spool: Path
) -> list[Collected]:
    outcomes: list[Collected] = []
    files: dict[str, list[Found]] = defaultdict(list)
    numbers: dict[str, str] = {}
    for download in downloads:
        for found in files_in(download, spool):
            if isinstance(found, Refused):
                outcomes.append(Collected("", [f"{found.place}: refused, {found.why}"]))
                continue
            owners = owners_of(found, lab)
            if not owners:
                why = "it is not clear whose it is: name it <student>_<lab>.ipynb"
                outcomes.append(Collected("", [f"{found.place}: left out, {why}"]))
                continue
            known = _known(owners, roster)
            if len(known) > 1:
                why = f"{owners[0]} may be {' or '.join(sorted(known))} on the roster"
                outcomes.append(Collected("", [f"{found.place}: left out, {why}"]))
                continue
            files[known.pop() if known else _made_up(owners[0], numbers)].append(found)
    for student in sorted(files):
        own = Collected(student)
        if roster and student not in roster.ids:
            own.lines.append("is not on the roster")
        own.taken = _take(root / "submitted" / student / lab, lab, files[student], own.lines)
        outcomes.append(own)
    return outcomes


def _known(owners: list[Owner], roster: Roster | None) -> set[str]:
    """The ids on the roster that may be meant; more than one if nothing decides between them."""
    found = (roster.find(owner) for owner in owners) if roster else iter(())
    return next((set(ids) for ids in found if ids), set())


def _made_up(owner: Owner, numbers: dict[str, str]) -> str:
    """An id for somebody who is on no roster; people of one name are told apart by the platform's number."""
    name = student_id(owner)
    if owner.number and numbers.setdefault(name, owner.number) != owner.number:
        return f"{name}-{owner.number}"
    return name


def _take(target: Path, lab: str, files: list[Found], lines: list[str]) -> bool:
    """Write one student's files; whether anything was written."""
    notebooks = [found for found in files if found.name.lower().endswith(".ipynb")]
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


def _latest(numbered: tuple[int, Found]) -> tuple[float, int]:
    number, found = numbered
    return (found.time.timestamp() if found.time else 0.0, number)


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
