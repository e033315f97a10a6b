"""Whose file it is, from the names that learning platforms give to downloads."""

from __future__ import annotations

import re

from course_lib.grading.collect.archives import Found
from course_lib.grading.collect.roster import Owner, plain

# "Ada Lovelace_12345_assignsubmission_file_"
_MOODLE = re.compile(r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+_?$")
_MOODLE_FLAT = re.compile(r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+_.+$")
# "lovelaceada_LATE_123_456_lab1-2.ipynb"
_CANVAS = re.compile(r"^(?P<name>[^_]+)_(?:LATE_)?(?P<number>\d+)_\d+_.+$", re.I)
_GENERIC = re.compile(r"^(sub(missions?|mitted)|downloads?|archive|files?|tmp|.*assignment.*)$", re.I)


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
            return [Owner(match["name"], match["number"], last_first=True)]
    # "alice_lab1_contrastive_losses", also "alice_lab1"
    named = re.compile(rf"^(?P<name>[\w.@-]+?)[_ -]+{re.escape(lab.split('_')[0])}(?![0-9])", re.I)
    for part in reversed(own):
        if match := named.match(part):
            return [Owner(match["name"])]
    stems = [part.removesuffix(".zip") for part in own[:-1]]
    return [Owner(stem) for stem in stems if not _GENERIC.match(stem) and not _names_the_lab(stem, lab)]


def student_id(owner: Owner) -> str:
    """A folder name for somebody who is on no roster: ada-lovelace."""
    words = re.sub(r"[^\w.@-]+", "-", plain(owner.name).lower()).strip("-._")
    return words or f"student-{owner.number}"


def _names_the_lab(stem: str, lab: str) -> bool:
    short = lab.split("_")[0]
    return bool(re.match(rf"^(copy of )?{re.escape(short)}(?![0-9])", stem, re.I))
