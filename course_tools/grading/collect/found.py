"""A file in a download, and where it lay there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from course_tools.grading.collect.roster import Owner
from course_tools.grading.collect.whose import Names


@dataclass(frozen=True)
class Found:
    """A file in a download.

    Attributes:
        parts: where it was found: the archive's name, its folders, an inner archive's name, the file's name.
        nobodys: how many of the first parts belong to the class, not to a student.
        on_disk: how many of the first parts are not in an archive.
        path: where its contents lie.
        time: when it was handed in, with time zone; None if that is not known.
        changed: when it was last changed. In a student's own archive that is the student's word for it.
    """

    parts: tuple[str, ...]
    nobodys: int
    on_disk: int
    path: Path
    time: datetime | None
    changed: datetime | None

    @property
    def name(self) -> str:
        return self.parts[-1]

    @property
    def place(self) -> str:
        return "/".join(self.parts)

    @property
    def students_parts(self) -> tuple[str, ...]:
        return self.parts[self.nobodys :]

    @property
    def is_archive(self) -> bool:
        return self.name.lower().endswith(".zip")

    @property
    def is_notebook(self) -> bool:
        return self.name.lower().endswith(".ipynb")

    def owner(self, names: Names) -> Owner | None:
        own = self.students_parts or (() if self.is_archive else self.parts[-1:])
        on_disk = max(0, self.on_disk - self.nobodys)
        return names.owner(own, on_disk=on_disk, is_file=not self.is_archive)


@dataclass(frozen=True)
class Refused:
    """Something that was not read, and why."""

    place: str
    why: str


def readable(name: str) -> str:
    """A name that can be printed and encoded: not every name on a disk or in an archive can."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", name)
