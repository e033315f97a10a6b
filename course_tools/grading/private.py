"""Folders for sockets."""

import tempfile
from pathlib import Path

_LONGEST_PATH = 107  # of a Unix socket; the system refuses longer ones
_LONGEST_NAME = 30  # of a socket in such a folder


def private_folder(prefix: str) -> Path:
    """A new folder that only this user can enter, with a path short enough for sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    if len(str(folder)) + _LONGEST_NAME > _LONGEST_PATH:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    return folder
