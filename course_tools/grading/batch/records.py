"""What is known of a class's submissions between runs: one small file each, written when all else is.

A submission counts as done only if its record is there, was made from the same ingredients, and what it
announces is there too. The record is outdated before anything is replaced and written last, each in one
step, so a run may be killed at any moment.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import course_lib
from course_tools.grading.batch.task import FAILED, Lab, Result, Settings

_PACKAGES = ("torch", "torchvision", "numpy", "nbgrader", "ipykernel", "nbclient")


class Records:
    """The records of one lab's class, in the folder `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        (folder / "results").mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab's lock; it ends with the process, however that ends.

        Raises:
            ValueError: another run holds it.
        """
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    "this lab is being graded by another `course autograde`: wait for it"
                ) from None
            yield

    def seed(self) -> str:
        """The seed of the hidden tests: the environment's COURSE_SECRET_SEED, else drawn once for a lab."""
        if given := os.environ.get("COURSE_SECRET_SEED"):
            return given
        path = self.folder / "seed"
        if not path.is_file():
            write_whole(path, str(secrets.randbelow(9 * 10**8) + 10**8))
            path.chmod(0o600)
        return path.read_text().strip()

    def find(self, student: str) -> Result | None:
        """What came of the student's submission the last time, None if there is no whole record of it."""
        values = self._read(student)
        return Result.from_json(values["result"]) if values else None

    def bases(self, student: str) -> dict[str, str]:
        """Item -> what its score was given for (see `Item.basis`), when grading last went through."""
        return dict(self._read(student).get("bases", {}))

    def is_done(self, student: str, fingerprint: str, seconds: int) -> bool:
        """Whether it was graded from these ingredients, and more time (`seconds`) would change nothing."""
        values = self._read(student)
        same = bool(values) and bool(fingerprint) and values["fingerprint"] == fingerprint
        if not same or values["result"]["status"] == FAILED:
            return False
        too_slow = any(item["error"] == "TooSlow" for item in values["result"]["items"])
        return not too_slow or values["seconds"] >= seconds

    def students(self) -> list[str]:
        return sorted(path.stem for path in (self.folder / "results").glob("*.json"))

    def outdate(self, student: str) -> None:
        """From now on, until `write`, the submission counts as not done; nothing else is forgotten."""
        if values := self._read(student):
            write_whole(self._path(student), json.dumps(values | {"fingerprint": ""}, indent=1))

    def write(self, result: Result, fingerprint: str, seconds: int) -> None:
        """Keep a result; if grading broke down, with the bases of the marks that stand all the same."""
        fresh = {item.name: item.basis for item in result.items}
        values = {
            "fingerprint": fingerprint,
            "seconds": seconds,
            "bases": self.bases(result.student) if result.status == FAILED else fresh,
            "result": result.to_json(),
        }
        write_whole(self._path(result.student), json.dumps(values, indent=1))

    def _read(self, student: str) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(self._path(student).read_text(encoding="utf-8"))
            return values if {"fingerprint", "result"} <= values.keys() else {}
        except (OSError, ValueError):
            return {}

    def _path(self, student: str) -> Path:
        return self.folder / "results" / f"{student}.json"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is never seen half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def common_fingerprint(lab: Lab, settings: Settings) -> str:
    """A hash of what all submissions of a class have in common: lab, settings, code and versions."""
    # Not the time limit: a limit raised for one student alone would regrade the others (see `is_done`).
    how = (settings.seed, settings.device, settings.unsafe)
    digest = hashlib.sha256(repr((lab.solution, lab.config, sorted(lab.files.items()), how)).encode())
    for name, code in _code():
        digest.update(name.encode() + code)
    versions = [(name, metadata.version(name)) for name in _PACKAGES]
    digest.update(repr((platform.python_version(), versions)).encode())
    return digest.hexdigest()


def _code() -> Iterator[tuple[str, bytes]]:
    """What can change a grade, by name: all of course_lib but its pictures, and grading."""
    for top in (Path(course_lib.__file__).resolve().parent, Path(__file__).resolve().parents[1]):
        for path in sorted(top.rglob("*.py")):
            if top / "show" not in path.parents:
                yield f"{top.name}/{path.relative_to(top).as_posix()}", path.read_bytes()


def fingerprint(common: str, submission: Path, due: object) -> str:
    """A hash of a submission's files (a link's target is not read), its deadline, and `common`."""
    digest = hashlib.sha256(f"{common} {due}".encode())
    for path in sorted(submission.rglob("*")):
        mode = path.lstat().st_mode
        digest.update(os.fsencode(path.relative_to(submission)) + f" {stat.S_IFMT(mode)} ".encode())
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
