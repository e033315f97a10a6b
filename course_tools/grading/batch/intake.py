"""What a student handed in: which notebook, which other files, when. Links are never followed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from course_tools.grading.batch.task import VERDICTS
from course_tools.grading.repair.reading import MAX_BYTES, too_large

MAX_OTHER_BYTES = 50 * 2**20
TIMESTAMP = "timestamp.txt"
_IGNORED = {".ipynb_checkpoints", "__pycache__", "__MACOSX", "feedback"}
_BREAKS_NBGRADER = re.compile(r"[*?\[\]+\s/\\]|^\.")


@dataclass
class HandedIn:
    """The files of one submission, as they travel to a worker; see `Task` for the attributes."""

    notebook: bytes | None = None
    problem: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    timestamp: datetime | None = None


def read_submission(folder: Path, lab: str, student: str) -> HandedIn:
    """Read what lies in submitted/<student>/<lab>, and say in the remarks what was not read and why.

    The notebook is <lab>.ipynb; if that is missing, the only other one, else the latest.
    """
    handed_in = HandedIn()
    if _BREAKS_NBGRADER.search(student):
        handed_in.problem = f"The folder name {student!r} holds characters that nbgrader cannot use."
        return handed_in
    regular = list(_regular_files(folder, handed_in.remarks))
    handed_in.timestamp = _timestamp(folder / TIMESTAMP, handed_in.remarks)
    chosen = _choose_notebook(folder, regular, lab, handed_in.remarks)
    if chosen is None:
        handed_in.problem = "No notebook was handed in: there is no .ipynb file."
    elif (size := chosen.stat().st_size) > MAX_BYTES:
        handed_in.problem = too_large(size)
    else:
        handed_in.notebook = chosen.read_bytes()
    _read_others(folder, regular, handed_in)
    return handed_in


def _regular_files(folder: Path, remarks: list[str]) -> Iterator[Path]:
    """Ordinary files under `folder`, sorted; of links, sockets and devices only a remark is left."""
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(set(folders) - _IGNORED)
        linked = [name for name in folders if (Path(here) / name).is_symlink()]
        for name in sorted([*names, *linked]):
            path = Path(here) / name
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path
            elif stat.S_ISLNK(mode):
                remarks.append(f"`{_name(path, folder)}` is a link: links are not followed.")


def _name(path: Path, folder: Path) -> str:
    """The path in `folder`, fit to be printed and stored: what is not UTF-8 in it becomes a question mark."""
    return path.relative_to(folder).as_posix().encode(errors="replace").decode()


def _choose_notebook(folder: Path, regular: list[Path], lab: str, remarks: list[str]) -> Path | None:
    notebooks = [path for path in regular if path.suffix.lower() == ".ipynb"]
    if not notebooks:
        return None
    exact = [path for path in notebooks if path == folder / f"{lab}.ipynb"]
    chosen = exact[0] if exact else max(notebooks, key=lambda path: (path.stat().st_mtime, str(path)))
    name = _name(chosen, folder)
    if len(notebooks) > 1:
        why = "it has the lab's name" if exact else "it is the latest"
        remarks.append(f"You handed in {len(notebooks)} notebooks; `{name}` was graded because {why}.")
    elif not exact:
        remarks.append(f"Your notebook is called `{name}`, not `{lab}.ipynb`: it was graded all the same.")
    return chosen


def _read_others(folder: Path, regular: list[Path], handed_in: HandedIn) -> None:
    """Read the data files: not notebooks, nor what the grader itself writes beside them."""
    total = 0
    for path in regular:
        if path.suffix.lower() == ".ipynb" or path.name in (TIMESTAMP, VERDICTS):
            continue
        total += path.stat().st_size
        if total > MAX_OTHER_BYTES:
            limit = f"more than {MAX_OTHER_BYTES // 2**20} MB came with the notebook"
            handed_in.remarks.append(f"`{_name(path, folder)}` was left out: {limit}.")
            total -= path.stat().st_size
        else:
            handed_in.files[_name(path, folder)] = path.read_bytes()


def _timestamp(path: Path, remarks: list[str]) -> datetime | None:
    """When it was handed in, as nbgrader reads it, in UTC without time zone."""
    from nbgrader.utils import parse_utc

    if not path.is_file() or path.is_symlink():
        return None
    text = path.read_text(encoding="utf-8", errors="replace").strip()[:100]
    if not text:
        return None
    try:
        stamp: datetime = parse_utc(text)
    except (ValueError, OverflowError):
        remarks.append(f"The time of handing in could not be read: {TIMESTAMP} says {text!r}.")
        return None
    return stamp
