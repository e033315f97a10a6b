"""Whose file it is, from the names that learning platforms give to downloads, and from a roster."""

from __future__ import annotations

import csv
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from course_lib.grading.collect.archives import Found

# "Ada Lovelace_12345_assignsubmission_file_"
_MOODLE = re.compile(r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+_?$")
_MOODLE_FLAT = re.compile(r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+_.+$")
# "lovelaceada_LATE_123_456_lab1-2.ipynb"
_CANVAS = re.compile(r"^(?P<name>[^_]+)_(?:LATE_)?(?P<number>\d+)_\d+_.+$", re.I)
_GENERIC = re.compile(r"^(sub(missions?|mitted)|downloads?|archive|files?|tmp|.*assignment.*)$", re.I)


@dataclass(frozen=True)
class Owner:
    """A student as a download names them: words, and the platform's number if there is one."""

    name: str
    number: str = ""


@dataclass
class Roster:
    """Student ids by all that a download may call them.

    Read from a CSV file with a column `id`, and any of `name`, `first_name`, `last_name`, `email`, `lms_id`.
    """

    ids: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Roster:
        """
        Raises:
            ValueError: the file has no column `id`, or an id that is no folder name.
        """
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        roster = cls()
        for row in rows:
            own = {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if key}
            if not re.fullmatch(r"[\w@-][\w.@-]*", own.get("id", "")):
                raise ValueError(
                    f"{path}: every row needs an `id` that can name a folder, got {own.get('id')!r}"
                )
            first, last = own.get("first_name", ""), own.get("last_name", "")
            email = own.get("email", "")
            names = [own.get("name", ""), f"{first} {last}", f"{last} {first}", email, email.split("@")[0]]
            for name in (own["id"], own.get("lms_id", ""), *names):
                if key := _key(name):
                    roster.ids.setdefault(key, own["id"])
        return roster

    def find(self, owner: Owner) -> str:
        """The student's id, "" if they are not on the roster."""
        return self.ids.get(_key(owner.number)) or self.ids.get(_key(owner.name)) or ""


def owners_of(found: Found, lab: str) -> list[Owner]:
    """Who may have handed in a file, the likeliest first; empty if its place does not tell.

    A folder or file as Moodle names it, a file as Canvas names it, a file called <student>_<lab>, then the
    archive and the folders that are called neither after the lab nor by a generic word, the outermost first.
    """
    for part in found.parts:
        if match := _MOODLE.match(part) or _MOODLE_FLAT.match(part):
            return [Owner(match["name"], match["number"])]
    own = found.parts[found.nobodys :]
    for part in reversed(own):
        if match := _CANVAS.match(part):
            return [Owner(match["name"], match["number"])]
    # "alice_lab1_contrastive_losses", also "alice_lab1"
    named = re.compile(rf"^(?P<name>[\w.@-]+?)[_ -]+{re.escape(lab.split('_')[0])}(?![0-9])", re.I)
    for part in reversed(own):
        if match := named.match(part):
            return [Owner(match["name"])]
    stems = [part.removesuffix(".zip") for part in own[:-1]]
    return [Owner(stem) for stem in stems if not _GENERIC.match(stem) and not _names_the_lab(stem, lab)]


def student_id(owner: Owner) -> str:
    """A folder name for somebody who is on no roster: ada-lovelace."""
    words = re.sub(r"[^\w.@-]+", "-", _plain(owner.name).lower()).strip("-._")
    return words or f"student-{owner.number}"


def _names_the_lab(stem: str, lab: str) -> bool:
    short = lab.split("_")[0]
    return bool(re.match(rf"^(copy of )?{re.escape(short)}(?![0-9])", stem, re.I))


def _plain(text: str) -> str:
    """Without accents: é -> e."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)
    )


def _key(text: str) -> str:
    return re.sub(r"[^\w@]+|_", "", _plain(text).casefold())
