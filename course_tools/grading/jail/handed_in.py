"""The data files of a submission, opened so that no link leads out of its folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MAX_FILES = 200  # each is handed over as an open file; one message carries 253
MAX_DEPTH = 8
_NOT_DATA = (".ipynb", ".db", ".sqlite", ".sqlite3", ".pyc")


def open_files(folder: Path | None, max_bytes: int) -> list[tuple[str, int]]:
    """Open a submission's data files for reading.

    Left out: links (symbolic, and files with a second name), devices and pipes, notebooks, databases, hidden
    files and folders, and whatever goes beyond `MAX_FILES`, `MAX_DEPTH` or `max_bytes` in all. A folder with
    nbgrader_config.py in it is a course and not a submission: nothing of it is handed in.

    Returns:
        (path inside the folder, file descriptor) pairs in the order of the names; the caller closes them.
    """
    if folder is None or not folder.is_dir() or (folder / "nbgrader_config.py").exists():
        return []
    opened: list[tuple[str, int]] = []
    room = max_bytes
    for top, folders, names, descriptor in os.fwalk(folder, follow_symlinks=False):
        inside = Path(top).relative_to(folder)
        folders[:] = (
            sorted(name for name in folders if _wanted(name)) if len(inside.parts) < MAX_DEPTH else []
        )
        for name in sorted(filter(_wanted, names)):
            if len(opened) == MAX_FILES:
                return opened
            if (file := _open_regular(name, descriptor)) is None:
                continue
            size = os.fstat(file).st_size
            if size > room:
                os.close(file)
                continue
            room -= size
            opened.append((str(inside / name), file))
    return opened


def _wanted(name: str) -> bool:
    return not name.startswith(".") and name != "__pycache__" and not name.lower().endswith(_NOT_DATA)


def _open_regular(name: str, folder: int) -> int | None:
    # NONBLOCK: opening a pipe would wait for a writer. The checks are made on what is open, not on the name.
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    status = os.fstat(file)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return file
    os.close(file)
    return None
