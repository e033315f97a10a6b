"""Files out of what an LMS lets one download, read without trusting any of it.

Nothing is unpacked under a name that an archive gives: members are copied to numbered files.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from course_tools.grading.collect.found import Found, Refused, readable
from course_tools.grading.collect.roster import Owner
from course_tools.grading.collect.whose import Names

MAX_FILE = 256 * 2**20
MAX_STUDENT = 256 * 2**20  # unpacked notebooks of one, and other files; grading reads 64 and 50 MB of them
MAX_ARCHIVE = 4 * 2**30  # unpacked, of a class
MAX_FILES = 20_000
MAX_RATIO = 200  # what text compresses to; zeros compress 1000 times
MAX_DEPTH = 2  # an archive of students' archives
MAX_PATH = 1024  # letters


class Reader:
    """Reads downloads; what is dangerous or broken is refused with a reason.

    No student gets more room in the spool than MAX_STUDENT, so that none fills the disk for the others.

    Args:
        spool: a folder for the members of archives; it must outlive what is found.
        names: to tell a student's own archive from one of the class.
    """

    def __init__(self, spool: Path, names: Names) -> None:
        self.spool, self.names = spool, names
        self._unpacked: dict[tuple[Owner | None, bool], int] = defaultdict(int)  # bytes, by whether notebooks
        self._told: set[Owner | None] = set()  # that they handed in too much

    def files_in(self, path: Path) -> Iterator[Found | Refused]:
        """The files of a download: a file, or all in a folder, archives looked into."""
        if path.is_dir():
            for inner in sorted(path.rglob("*")):
                if inner.is_symlink():
                    yield Refused(readable(str(inner)), "a link: links are not followed")
                elif inner.is_file():
                    parts = (path.name, *inner.relative_to(path).parts)
                    yield from self._with_inner(_on_disk(inner, parts, 1), 0)
        elif path.is_file():
            yield from self._with_inner(_on_disk(path, (path.name,), 0), 0)
        else:
            yield Refused(readable(str(path)), "there is no such file")

    def _with_inner(self, found: Found, depth: int) -> Iterator[Found | Refused]:
        """A file, or what is in it if it is an archive.

        Args:
            depth: how many archives it lies in.
        """
        if not found.is_archive:
            yield found
            return
        if depth >= MAX_DEPTH:
            yield Refused(found.place, "an archive in an archive in an archive")
            return
        try:
            with zipfile.ZipFile(found.path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                if reason := _dangerous(members):
                    yield Refused(found.place, reason)
                    return
                if depth == 0:
                    found = self._less_the_class(found, members)
                sealed = depth > 0 or self._came_on_disk(found)
                for member in members:
                    yield from self._member(found, archive, member, depth, sealed)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            yield Refused(found.place, f"not a readable zip archive ({error})")

    def _less_the_class(self, found: Found, members: list[zipfile.ZipInfo]) -> Found:
        """Mark what belongs to the class of an archive on disk: within it all archives are students'."""
        paths = [path for path in map(_path, members) if path.name and not _is_systems(path)]
        work = [path for path in paths if path.suffix.lower() in (".ipynb", ".zip")]
        places = [path.parts for path in work or paths]
        given = len(found.parts) == 1
        folders = self.names.of_the_class(found.students_parts, places, given=given)
        return found if folders is None else replace(found, nobodys=len(found.parts) + folders)

    def _came_on_disk(self, found: Found) -> bool:
        """Whether it is a student's archive in a folder: the folder knows when it came.

        Of an archive that the instructor names by itself, nobody but the archive knows a time.
        """
        return len(found.parts) > 1 and found.owner(self.names) is not None

    def _member(
        self, found: Found, archive: zipfile.ZipFile, member: zipfile.ZipInfo, depth: int, sealed: bool
    ) -> Iterator[Found | Refused]:
        """A member of an archive, unpacked, or why it is not taken.

        Args:
            sealed: all of the archive was handed in when the archive was, whatever times stand in it.
        """
        path = _path(member)
        place = f"{found.place}/{readable(member.filename)}"
        if reason := _unwanted(member, path):
            yield Refused(place, reason)
        elif not _is_systems(path):
            changed = _time(member)
            inner = replace(
                found,
                parts=(*found.parts, *path.parts),
                time=found.time if sealed else changed,
                changed=changed,
            )
            if not self._has_room(inner, member.file_size):
                yield from self._too_much(inner)
                return
            try:
                inner = replace(inner, path=self._copy(archive, member))
            except Exception as error:  # an archive can be broken in any way
                yield Refused(place, f"it cannot be unpacked ({error})")
                return
            yield from self._with_inner(inner, depth + 1)
            if inner.is_archive:
                inner.path.unlink()

    def _has_room(self, found: Found, size: int) -> bool:
        """Whether there is room for a file of so many bytes; archives are gone when they have been read."""
        if found.is_archive:
            return True
        share = found.owner(self.names), found.is_notebook
        if self._unpacked[share] + size > MAX_STUDENT:
            return False
        self._unpacked[share] += size
        return True

    def _too_much(self, found: Found) -> Iterator[Refused]:
        """A line for the first file of a student for which there is no room."""
        owner = found.owner(self.names)
        if owner not in self._told:
            self._told.add(owner)
            limit = f"the files of one student may unpack to {MAX_STUDENT // 2**20} MB"
            yield Refused(found.place, f"{limit}: what is more is left out")

    def _copy(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Path:
        """Unpack a member into a file of its own; nothing is left of one that cannot be unpacked."""
        handle, copied = tempfile.mkstemp(dir=self.spool)
        try:
            with open(handle, "wb") as target, archive.open(member) as source:
                shutil.copyfileobj(source, target)
        except BaseException:
            Path(copied).unlink()
            raise
        return Path(copied)


def _on_disk(path: Path, parts: tuple[str, ...], nobodys: int) -> Found:
    time = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    return Found(tuple(map(readable, parts)), nobodys, len(parts), path, time, time)


def _path(member: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(readable(member.filename).replace("\\", "/"))


def _is_systems(path: PurePosixPath) -> bool:
    """Whether it was put into the archive by an operating system."""
    return "__MACOSX" in path.parts or path.name.startswith(".")


def _dangerous(members: list[zipfile.ZipInfo]) -> str:
    """Why an archive as a whole is not read, "" if it may be."""
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if len(members) > MAX_FILES:
        return f"it holds {len(members)} files, more than {MAX_FILES}"
    if total > MAX_ARCHIVE or (total > 10 * 2**20 and total > MAX_RATIO * max(1, packed)):
        return f"a zip bomb: {packed / 2**20:.1f} MB would unpack to {total / 2**20:.0f} MB"
    return ""


def _unwanted(member: zipfile.ZipInfo, path: PurePosixPath) -> str:
    """Why a member is not read, "" if it may be."""
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        return "its path leads out of the archive"
    if not path.name or len(member.filename) > MAX_PATH:
        return "it has no name" if not path.name else "its path is too long"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link: links are not followed"
    if member.flag_bits & 1:
        return "it is encrypted"
    if member.file_size > MAX_FILE:
        return f"{member.file_size / 2**20:.0f} MB, more than {MAX_FILE // 2**20}"
    return ""


def _time(member: zipfile.ZipInfo) -> datetime | None:
    """A zip's times have no zone: they are taken for this machine's. 1980 stands for unknown."""
    try:
        return datetime(*member.date_time).astimezone() if member.date_time[0] > 1980 else None
    except (ValueError, OverflowError):
        return None
