"""What one student has handed in, into submitted/<student>/<lab>."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from course_tools.grading.batch.intake import MAX_OTHER_BYTES, TIMESTAMP
from course_tools.grading.collect.found import Found

MAX_NAME = 255  # bytes that file systems take
# Formgrader runs the settings of any folder that it is sent to: no student's may lie in one.
_SETTINGS = re.compile(r"(nbgrader|jupyter|ipython)\w*_config\.(py|json)", re.I)


def take(target: Path, files: list[Found], lines: list[str]) -> bool:
    """Write one student's files; whether anything was written.

    Args:
        target: the folder, called after the lab.
        lines: gets a sentence for all that is not as it should be.

    Raises:
        OSError: the folder cannot be written; what was there before stays.
    """
    notebook = f"{target.name}.ipynb"
    notebooks = [found for found in files if found.is_notebook]
    others = [found for found in files if not found.is_notebook]
    chosen = max(enumerate(notebooks), key=_latest)[1] if notebooks else None
    if chosen is None:
        lines.append(f"handed in no notebook, only {', '.join(found.name for found in others[:5])}")
        if any(target.glob("*.ipynb")):
            lines.append("the notebook that is there already stays, with the files that came with it")
            return False
    elif len(notebooks) > 1:
        lines.append(f"handed in {len(notebooks)} notebooks: the latest is taken, {chosen.place}")
    elif chosen.name != notebook:
        lines.append(f"{chosen.name} is taken for {notebook}")
    time = chosen.time if chosen else max((found.time for found in others if found.time), default=None)
    if (before := _time_of(target)) and time and time < before:
        lines.append(f"what is there already is later ({before:%d %b %Y %H:%M} UTC) and stays")
        return False
    contents = {notebook: chosen.path.read_bytes()} if chosen else {}
    contents |= dict(_data(others, lines))
    if time:
        contents[TIMESTAMP] = f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode()
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
        if found.name == TIMESTAMP or found.name.startswith("."):
            continue
        if _SETTINGS.fullmatch(found.name):
            lines.append(f"{found.name} is left out: Jupyter would run it as settings")
            continue
        contents = found.path.read_bytes()
        if total + len(contents) > MAX_OTHER_BYTES:
            limit = f"more than {MAX_OTHER_BYTES // 2**20} MB came with the notebook"
            lines.append(f"{found.name} is left out: {limit}")
            continue
        total += len(contents)
        if (name := _short(found.name)) != found.name:
            lines.append(f"a name of {len(found.name)} letters is too long: the file is now called {name}")
        yield name, contents


def _short(name: str) -> str:
    """A name that a file system takes, with the suffix if that is not what is long."""
    suffix = Path(name).suffix
    room = MAX_NAME - len(suffix.encode())
    if len(name.encode()) <= MAX_NAME or room < 1:
        return name.encode()[:MAX_NAME].decode(errors="ignore")
    return name.encode()[:room].decode(errors="ignore") + suffix


def _time_of(target: Path) -> datetime | None:
    """When what stands in submitted/ was handed in."""
    try:
        text = (target / TIMESTAMP).read_text(encoding="utf-8").strip().removesuffix(" UTC")
        time = datetime.fromisoformat(text)
    except (OSError, ValueError):
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _replace(target: Path, contents: dict[str, bytes]) -> None:
    """Write the folder beside its place, then move it there: it is never seen half written."""
    new, old = (target.with_name(f".{target.name}.{os.getpid()}.{which}") for which in ("new", "old"))
    _remove(new)
    try:
        new.mkdir(parents=True)
        for name, data in contents.items():
            (new / name).write_bytes(data)
        _swap(new, target, old)
    finally:
        _remove(new)


def _swap(new: Path, target: Path, old: Path) -> None:
    """Put one folder in another's place, which is empty only between two renames."""
    _remove(old)
    if os.path.lexists(target):
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if os.path.lexists(old):
            old.rename(target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    """Delete a folder, a file or a link, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
