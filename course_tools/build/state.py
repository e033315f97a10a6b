"""What the main job did before, so that a part whose ingredients have not changed is not done again."""

from __future__ import annotations

import hashlib
import json
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

    Of course_tools only what makes the results counts: a change to the table reruns nothing.
    """
    library, tools = Path(course_lib.__file__).resolve().parent, Path(__file__).resolve().parents[1]
    makers = [tools / "build" / name for name in ("lecture.py", "submission.py")]
    digest = hashlib.sha256(f"{platform.python_version()} {_versions()}".encode())
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
    """Outcomes of earlier runs in a JSON file, written after every part."""

    def __init__(self, path: Path, report: Path) -> None:
        self.path, self.report = path, report
        self.known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def recall(self, name: str, fingerprint: str) -> Outcome | None:
        """The outcome of this part, if it went well with these ingredients and its pages are still there."""
        entry = self.known.get(name)
        if not entry or entry["fingerprint"] != fingerprint:
            return None
        outcome = Outcome(**entry["outcome"])
        complete = not outcome.problem and all((self.report / page).is_file() for page in outcome.pages)
        return replace(outcome, reused=True) if complete else None

    def remember(self, outcome: Outcome, fingerprint: str) -> None:
        self.known[outcome.name] = {"fingerprint": fingerprint, "outcome": outcome.to_json()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.known, indent=1), encoding="utf-8")
