"""What the main job did before, so that a part whose ingredients have not changed is not done again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import course_lib
from course_tools.build.outcome import Outcome

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "timm",
    "matplotlib",
    "scikit-learn",
    "ipykernel",
    "papermill",
    "nbgrader",
)


def fingerprint(*ingredients: Path | str) -> str:
    """A hash of files (and texts), of the library's code, and of the versions of what runs them.

    Of course_tools only what makes the results counts: a change to the table reruns nothing. Nor does another
    secret seed: no mark may depend on it.
    """
    library, tools = Path(course_lib.__file__).resolve().parent, Path(__file__).resolve().parents[1]
    makers = [tools / "build" / name for name in ("lecture.py", "submission.py")]
    unsafe = os.environ.get("COURSE_UNSAFE", "")
    digest = hashlib.sha256(f"{platform.python_version()} {_versions()} {unsafe}".encode())
    for path in [*makers, *sorted(library.rglob("*.py")), *sorted((tools / "grading").rglob("*.py"))]:
        digest.update(path.parent.name.encode() + path.name.encode())
        digest.update(path.read_bytes())
    for ingredient in ingredients:
        digest.update(_contents(ingredient))
        digest.update(b"\0")
    return digest.hexdigest()


def _contents(ingredient: Path | str) -> bytes:
    if isinstance(ingredient, str):
        return ingredient.encode()
    return ingredient.read_bytes() if ingredient.is_file() else b"missing"


def hash_files(*files: Path) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()


def _versions() -> str:
    installed = {distribution.name.lower(): distribution.version for distribution in metadata.distributions()}
    return " ".join(f"{name}=={installed.get(name)}" for name in PACKAGES)


class State:
    """Outcomes of earlier runs, one JSON file for each part, shared by the main job and the tests."""

    def __init__(self, build: Path) -> None:
        self.folder, self.report = build / "state", build / "report"

    def recall(self, name: str, fingerprint: str) -> Outcome | None:
        """The outcome of this part, if it went well with these ingredients and its pages are still there."""
        entry = _read(self._path(name))
        if not entry or entry["fingerprint"] != fingerprint:
            return None
        outcome = Outcome(**entry["outcome"])
        complete = not outcome.problem and all((self.report / page).is_file() for page in outcome.pages)
        return replace(outcome, reused=True) if complete else None

    def remember(self, outcome: Outcome, fingerprint: str) -> None:
        path = self._path(outcome.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.write_text(json.dumps({"fingerprint": fingerprint, "outcome": outcome.to_json()}, indent=1))
        beside.replace(path)  # whoever reads finds the old one or the new one, whole

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
        entry["fingerprint"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return dict(entry)
