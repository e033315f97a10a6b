"""Whose file it is, from the names that learning platforms, instructors and students give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from course_tools.grading.collect.roster import Owner, Roster, key

# Both platforms write a name without underscores first and what the student chose last: whatever that is, a
# name of one platform does not look like one of the other.
# "Ada Lovelace_12345_assignsubmission_file_", and with a file's name behind it
_MOODLE = re.compile(r"^(?P<name>[^_]+)_(?P<number>\d+)_assignsubmission_[a-z]+(_|$)")
# "lovelaceada_LATE_123_456_lab1-2.ipynb"
_CANVAS = re.compile(r"^(?P<name>[^_]+)_(?:LATE_)?(?P<number>\d+)_\d+_.+$", re.I)
_GENERIC = re.compile(
    r"^(sub(missions?|mitted)|downloads?|archive|files?|tmp|moodle|canvas|students?|handed[ _-]?in"
    r"|(week|lab|class|section)[ _-]*\d*|.*assignment.*)$",
    re.I,
)
_LONGEST = 300  # letters of a name that are looked at: the patterns' time grows with the square


class Names:
    """How the downloads of a lab call its students."""

    def __init__(self, lab: str, roster: Roster | None = None) -> None:
        short = re.escape(lab.split("_")[0])
        self.roster = roster
        # "alice_lab1_contrastive_losses", also "alice_lab1"
        self._of_the_lab = re.compile(rf"^(?P<name>[\w.@-]+?)[_ -]+{short}(?![0-9])", re.I)
        self._lab = re.compile(rf"^(copy of )?{short}(?![0-9])", re.I)

    def owner(self, names: Sequence[str], *, on_disk: int, is_file: bool) -> Owner | None:
        """Whose a file or an archive is; None if nothing tells.

        The first name that is somebody's decides, whatever stands below it: in a student's folder or archive
        the student chose the names. Only folders on disk may be the instructor's, called monday: there a name
        that is somebody's beyond doubt comes before one that may be.

        Args:
            names: of the folders and archives that it lies in, below what belongs to the class, the outermost
                first; then its own.
            on_disk: how many of them are not in an archive.
            is_file: no archive: then its own name must be one that says whose it is.
        """
        folders = names[:-1] if is_file else names
        sure = map(self._in_folder, filter(self._is_somebody, names[:on_disk]))
        found = chain(map(self._in_folder, folders), map(self._by_pattern, names[len(folders) :]))
        owners: list[Owner] = next(filter(None, chain(sure, found)), [])
        return next((owner for owner in owners if self._ids(owner)), owners[0] if owners else None)

    def stranger(self, owner: Owner, names: Sequence[str]) -> Owner | None:
        """Somebody else, whose name a platform seems to have given to one of a student's files."""
        for other in filter(None, map(self._by_platform, names)):
            if key(other.name) != key(owner.name) and not self._ids(other) & self._ids(owner):
                return other
        return None

    def of_the_class(self, place: Sequence[str], work: Sequence[Sequence[str]], *, given: bool) -> int | None:
        """How many folders at the top of an archive on disk are the class's; None if it is a student's own.

        Args:
            place: the folders it lies in and its name, below what belongs to the class.
            work: paths of the notebooks and archives in it, of all files if there are none.
            given: whether the instructor named this very archive.
        """
        *folders, name = place
        own = self._is_known(name) if self.roster and given else self._is_somebody(name)
        return None if own or any(map(self._is_somebody, folders)) else self._class_folders(work)

    def _class_folders(self, work: Sequence[Sequence[str]]) -> int | None:
        """Several things at the top are several people's; so is what is named after people further down."""
        if len({path[0] for path in work}) > 1:
            return 0
        for depth in range(min(map(len, work), default=0)):
            tops = {path[depth] for path in work}
            if all(map(self._is_somebody, tops)):
                return depth
            if len(tops) > 1:
                people = {owner.name for top in tops for owner in self._by_pattern(top)}
                return depth if len(people) > 1 and all(map(self._by_pattern, tops)) else None
        return None

    def _is_somebody(self, name: str) -> bool:
        """Beyond doubt: a platform's name for a student, or somebody on the roster."""
        return self._by_platform(name) is not None or self._is_known(name)

    def _is_known(self, name: str) -> bool:
        return any(map(self._ids, self._in_folder(name)))

    def _ids(self, owner: Owner) -> set[str]:
        return self.roster.find(owner) if self.roster else set()

    def _in_folder(self, name: str) -> list[Owner]:
        """Whom the name of a folder or an archive may mean: it may be nothing but the student's name."""
        if platforms := self._by_platform(name):
            return [platforms]
        stem = re.sub(r"\.zip$", "", name[:_LONGEST], flags=re.I)
        return [*self._by_pattern(name), *([] if self._says_nothing(stem) else [Owner(stem)])]

    def _by_pattern(self, name: str) -> list[Owner]:
        if platforms := self._by_platform(name):
            return [platforms]
        match = self._of_the_lab.match(name[:_LONGEST])
        return [Owner(match["name"])] if match and not self._says_nothing(match["name"]) else []

    def _by_platform(self, name: str) -> Owner | None:
        name = name[:_LONGEST]
        if match := _MOODLE.match(name):
            return Owner(match["name"], match["number"])
        if (match := _CANVAS.match(name)) and not self._says_nothing(match["name"]):
            return Owner(match["name"], match["number"], last_first=True)
        return None

    def _says_nothing(self, stem: str) -> bool:
        """Whether a name is the lab's or a word for anything handed in."""
        return bool(_GENERIC.match(stem) or self._lab.match(stem))
