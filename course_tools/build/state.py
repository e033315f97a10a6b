"""What the main job did before, so that a part whose ingredients have not changed is not done again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock

import course_lib
from course_tools.build.outcome import Outcome


def fingerprint(*ingredients: Path | str, threads: int = 1) -> str:
    """A hash of files (and texts), of all that makes results out of them, and of the threads that work.

    A secret seed is none of it: no mark may depend on it.
    """
    unsafe = os.environ.get("COURSE_UNSAFE", "")
    digest = hashlib.sha256(f"{_makers()} {unsafe} {threads}".encode())
    for ingredient in ingredients:
        digest.update(_contents(ingredient))
        digest.update(b"\0")
    return digest.hexdigest()


@cache
def _makers() -> str:
    """A hash of both packages, of Python and of everything installed; of what this process began with."""
    digest = hashlib.sha256(f"{platform.python_version()} {_versions()}".encode())
    for package in (Path(course_lib.__file__).resolve().parent, Path(__file__).resolve().parents[1]):
        files = (path for path in sorted(package.rglob("*")) if path.is_file() and path.suffix != ".pyc")
        for path in files:
            digest.update(f"{path.relative_to(package.parent)} {hash_files(path)}\n".encode())
    return digest.hexdigest()


def _contents(ingredient: Path | str) -> bytes:
    if isinstance(ingredient, str):
        return ingredient.encode()
    if ingredient.is_dir():  # a folder of images may be large: names, sizes and times tell it from another
        found = [(path, path.stat()) for path in sorted(ingredient.rglob("*"))]
        return repr([(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found]).encode()
    return ingredient.read_bytes() if ingredient.is_file() else b"missing"


def hash_files(*files: Path) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()


def _versions() -> str:
    return " ".join(sorted(f"{each.name}=={each.version}" for each in metadata.distributions()))


class State:
    """Outcomes of earlier runs, one JSON file for each part, shared by the main job and the tests.

    Tests take what the main job has made. The main job takes only its own: it is asked to run the course, and
    a test's outcome is no run of it.
    """

    def __init__(self, build: Path, maker: str = "course") -> None:
        self.build, self.maker = build, maker
        self.folder, self.report = build / "state", build / "report"

    def recall(self, name: str, fingerprint: str) -> Outcome | None:
        """The outcome of this part, if it went well with these ingredients and its files are still there."""
        entry = _read(self._path(name))
        if not entry or entry["fingerprint"] != fingerprint or entry["maker"] not in ("course", self.maker):
            return None
        outcome = Outcome(**entry["outcome"])
        files = [self.report / page for page in outcome.pages]
        files += [self.build / outcome.executed] if outcome.executed else []
        complete = not outcome.problem and all(path.is_file() for path in files)
        return replace(outcome, reused=True) if complete else None

    def forget(self, name: str) -> None:
        """What is made anew is not known while it is made: its files are half written."""
        self._path(name).unlink(missing_ok=True)

    def remember(self, outcome: Outcome, fingerprint: str) -> None:
        path = self._path(outcome.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"fingerprint": fingerprint, "maker": self.maker, "outcome": outcome.to_json()}
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.write_text(json.dumps(entry, indent=1), encoding="utf-8")
        beside.replace(path)  # whoever reads finds the old one or the new one, whole

    def lock(self, name: str) -> BaseFileLock:
        """Who holds it makes this part; whoever else wants it waits. The system frees it if they die."""
        path = self._path(name).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    def outcomes(self) -> list[Outcome]:
        """Of all parts that were ever run here."""
        entries = map(_read, sorted(self.folder.rglob("*.json")))
        return [Outcome(**entry["outcome"]) for entry in entries if entry]

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _read(path: Path) -> dict[str, Any] | None:
    """What is in the file; None if there is none, or nothing that can be used."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        Outcome(**entry["outcome"])
        entry["fingerprint"], entry["maker"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return dict(entry)
