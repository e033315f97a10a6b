"""Ids for students who are on no roster, made from their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from course_tools.grading.collect.roster import Owner, plain


def student_id(owner: Owner) -> str:
    """A folder name for a student: ada-lovelace."""
    words = re.sub(r"[^\w.@-]+", "-", plain(owner.name).lower()).strip("-._")
    return words or f"student-{owner.number}"


class Ids:
    """The ids of one lab's students; people of one name are told apart by the platform's number.

    One of them has the name without it. Whose number that is stays in a file beside the lab's folder, so that
    ids do not depend on who else is in a download.
    """

    def __init__(self, submitted: Path, lab: str) -> None:
        self.submitted, self.lab = submitted, lab

    def of(self, owners: Iterable[Owner]) -> dict[Owner, str]:
        """Their ids, in whatever order the owners come."""
        holders: dict[str, str] = {}
        ordered = sorted(owners, key=lambda owner: (int(owner.number or 0), owner.name))
        return {owner: self._id(owner, holders) for owner in ordered}

    def keep(self, student: str, owner: Owner) -> None:
        """Remember whose number goes without saying."""
        if owner.number and student == student_id(owner):
            self._file(student).write_text(owner.number, encoding="utf-8")

    def _id(self, owner: Owner, holders: dict[str, str]) -> str:
        name = student_id(owner)
        numbered = f"{name}-{owner.number}"
        if not owner.number:
            return name
        if os.path.isdir(self.submitted / numbered):  # since an earlier lab, perhaps
            return numbered
        holder = holders.setdefault(name, self._kept(name) or owner.number)
        return name if holder == owner.number else numbered

    def _kept(self, student: str) -> str:
        try:
            return self._file(student).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return ""

    def _file(self, student: str) -> Path:
        return self.submitted / student / f".{self.lab}.number"
