"""Files out of what an LMS lets one download, read without trusting any of it.

Nothing is unpacked under a name that an archive gives: members are copied to numbered files.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

MAX_FILE = 256 * 2**20
MAX_ARCHIVE = 4 * 2**30  # unpacked
MAX_FILES = 20_000
MAX_RATIO = 200  # what text compresses to; zeros compress 1000 times
MAX_DEPTH = 2  # an archive of students' archives


@dataclass(frozen=True)
class Found:
    """A file in a download.

    Attributes:
        parts: where it was found: the archive's name, its folders, an inner archive's name, the file's name.
        time: of its last change, with time zone; None if the archive does not know.
        path: where its contents lie.
        nobodys: how many of the first parts belong to no student: a folder or an archive of many.
    """

    parts: tuple[str, ...]
    time: datetime | None
    path: Path
    nobodys: int = 0

    @property
    def name(self) -> str:
        return self.parts[-1]

    @property
    def place(self) -> str:
        return "/".join(self.parts)


@dataclass(frozen=True)
class Refused:
    """Something that was not read, and why."""

    place: str
    why: str


def files_in(path: Path, spool: Path) -> Iterator[Found | Refused]:
    """The files of a download, archives looked into; what is dangerous or broken is refused with a reason.

    Args:
        spool: a folder for the members of archives; it must outlive what is found.
    """
    if path.is_dir():
        for inner in sorted(path.rglob("*")):
            if inner.is_symlink():
                yield Refused(str(inner), "a link: links are not followed")
            elif inner.is_file():
                yield from _with_inner(
                    _on_disk(inner, (path.name, *inner.relative_to(path).parts), 1), spool, 0
                )
    elif path.is_file():
        yield from _with_inner(_on_disk(path, (path.name,), 0), spool, 0)
    else:
        yield Refused(str(path), "there is no such file")


def _on_disk(path: Path, parts: tuple[str, ...], nobodys: int) -> Found:
    return Found(parts, datetime.fromtimestamp(path.stat().st_mtime).astimezone(), path, nobodys)


def _with_inner(found: Found, spool: Path, depth: int) -> Iterator[Found | Refused]:
    if not found.name.lower().endswith(".zip"):
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
            if _of_many(members):
                found = replace(found, nobodys=len(found.parts))
            for member in members:
                yield from _member(found, archive, member, spool, depth)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        yield Refused(found.place, f"not a readable zip archive ({error})")


def _dangerous(members: list[zipfile.ZipInfo]) -> str:
    """Why an archive as a whole is not read, "" if it may be."""
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if len(members) > MAX_FILES:
        return f"it holds {len(members)} files, more than {MAX_FILES}"
    if total > MAX_ARCHIVE or (total > 10 * 2**20 and total > MAX_RATIO * max(1, packed)):
        return f"a zip bomb: {packed / 2**20:.1f} MB would unpack to {total / 2**20:.0f} MB"
    return ""


def _of_many(members: list[zipfile.ZipInfo]) -> bool:
    """Whether an archive holds several students' work: notebooks, archives, or folders with some."""
    work = [
        PurePosixPath(each.filename) for each in members if each.filename.lower().endswith((".ipynb", ".zip"))
    ]
    tops = {path.parts[0] for path in work if path.parts and "__MACOSX" not in path.parts}
    return len(tops) > 1


def _member(
    found: Found, archive: zipfile.ZipFile, member: zipfile.ZipInfo, spool: Path, depth: int
) -> Iterator[Found | Refused]:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    place = f"{found.place}/{member.filename}"
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        yield Refused(place, "its path leads out of the archive")
    elif stat.S_ISLNK(member.external_attr >> 16):
        yield Refused(place, "a link: links are not followed")
    elif member.flag_bits & 1:
        yield Refused(place, "it is encrypted")
    elif member.file_size > MAX_FILE:
        yield Refused(place, f"{member.file_size / 2**20:.0f} MB, more than {MAX_FILE // 2**20}")
    elif "__MACOSX" not in path.parts and not path.name.startswith("."):
        handle, copied = tempfile.mkstemp(dir=spool)
        try:
            with archive.open(member) as source, open(handle, "wb") as target:
                shutil.copyfileobj(source, target)
        except Exception as error:  # an archive can be broken in any way
            yield Refused(place, f"it cannot be unpacked ({error})")
            return
        inner = Found((*found.parts, *path.parts), _time(member), Path(copied), found.nobodys)
        yield from _with_inner(inner, spool, depth + 1)


def _time(member: zipfile.ZipInfo) -> datetime | None:
    """A zip's times have no zone: they are taken for this machine's. 1980 stands for unknown."""
    try:
        return datetime(*member.date_time).astimezone() if member.date_time[0] > 1980 else None
    except (ValueError, OverflowError):
        return None
