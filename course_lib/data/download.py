"""Fetching archives: resumed where they broke off, checked before they are used."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

ATTEMPTS = 3
PAUSE = 1.0  # seconds between attempts
TIMEOUT = 30.0  # seconds of silence after which a connection counts as broken
CHUNK = 1 << 20


class DownloadError(OSError):
    """An archive is neither here nor to be had; the message says what to put where."""


@dataclass(frozen=True)
class Archive:
    """A file on the web: its address, its MD5 sum, and the folder that it unpacks to."""

    url: str
    md5: str
    unpacks_to: str

    @property
    def filename(self) -> str:
        return self.url.rsplit("/", 1)[-1]


def fetch_and_unpack(archive: Archive, folder: Path) -> None:
    """Make `folder / archive.unpacks_to` exist: from the archive in `folder`, fetched there if need be.

    Raises:
        DownloadError: the archive could not be fetched, or is not the one its checksum promises.
    """
    if not (folder / archive.unpacks_to).exists():
        folder.mkdir(parents=True, exist_ok=True)
        unpack(fetch(archive, folder), folder)


def fetch(archive: Archive, folder: Path) -> Path:
    """The archive's file in `folder`, downloaded unless it is there; an interrupted download is continued."""
    path = folder / archive.filename
    if path.exists():
        if md5(path) == archive.md5:
            return path
        raise DownloadError(
            f"{path} is not the file it should be (its MD5 is not {archive.md5}). "
            "Delete it, so that it can be fetched again."
        )
    part = path.with_name(path.name + ".part")
    try:
        download(archive.url, part)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(
            f"could not fetch {archive.url}: {error or type(error).__name__}. Try again (what has arrived is "
            f"kept and continued), or put {archive.filename} (MD5 {archive.md5}) into {folder.resolve()} "
            'yourself, or use DATASET = "shapes", which needs no download.'
        ) from error
    if md5(part) != archive.md5:
        part.unlink()
        raise DownloadError(
            f"what came from {archive.url} is not the file it should be (its MD5 is not {archive.md5}), and "
            'has been thrown away. Try again, or use DATASET = "shapes", which needs no download.'
        )
    return part.replace(path)


def download(url: str, part: Path) -> None:
    """Append to `part` what it lacks of `url`, in several attempts; each goes on where the last one broke."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            continue_download(url, part)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == ATTEMPTS:  # "not found" stays not found
                raise
        except (OSError, http.client.HTTPException):
            if attempt == ATTEMPTS:
                raise
        time.sleep(PAUSE)


def continue_download(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing lies beyond what is here: the checksum will tell
            return
        raise
    with response:
        resumed = response.status == 206  # 200: the server sends the whole file, whatever was asked
        start = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        name = url.rsplit("/", 1)[-1]
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, leave=False) as bar,
        ):
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    arrived = part.stat().st_size
    if total is not None and arrived < total:
        raise ConnectionError(f"the connection broke after {arrived:,} of {total:,} bytes")


def unpack(path: Path, folder: Path) -> None:
    """Unpack a tar archive into `folder`; what is there is always whole, also after an interruption."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as scratch:
        with tarfile.open(path) as archive:
            _extract(archive, Path(scratch))
        for item in Path(scratch).iterdir():
            target = folder / item.name
            if target.is_dir():
                shutil.rmtree(target)
            item.replace(target)


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """All that is in the archive; a member that would write outside the folder is an error.

    Raises:
        tarfile.TarError: there is such a member.
    """
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
        return
    for member in archive.getmembers():  # Python 3.11.0 to 3.11.3, such as Debian 12's
        inside = (folder / member.name).resolve().is_relative_to(folder.resolve())
        if not inside or not (member.isfile() or member.isdir()):
            raise tarfile.ExtractError(f"{member.name!r} is no file or folder below {folder}")
    archive.extractall(folder)


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
