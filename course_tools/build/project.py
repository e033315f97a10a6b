"""Where the course's files are, and where the course lives on the network."""

import os
import sys
import tomllib
from pathlib import Path

BRANCH = "main"


def find_root(start: Path | None = None) -> Path:
    """The clone around `start` (by default the working directory), else the one course_lib comes from.

    Raises:
        ValueError: neither is a clone of the course.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents, Path(__file__).resolve().parents[2]):
        if (folder / "nbgrader_config.py").is_file() and (folder / "pyproject.toml").is_file():
            return folder
    raise ValueError(
        f"{start} is not in a clone of the course (no folder above it has nbgrader_config.py): "
        "clone the repository and run the command inside it"
    )


def repository_url(root: Path) -> str:
    """The repository's address, from pyproject.toml, the one place that knows it."""
    with (root / "pyproject.toml").open("rb") as file:
        url: str = tomllib.load(file)["project"]["urls"]["Repository"]
    return url.rstrip("/").removesuffix(".git")


def lectures(root: Path) -> list[Path]:
    """Text sources of the lecture notebooks, in the order of the weeks."""
    return sorted((root / "notebooks").glob("week*.py"))


def labs(root: Path) -> list[Path]:
    """Text sources of the labs, solutions/<lab>/<lab>.py, in the order of the weeks."""
    return sorted(path for path in (root / "solutions").glob("lab*/lab*.py") if path.stem == path.parent.name)


def samples(root: Path, lab: str) -> list[Path]:
    """Sample submissions of a lab, tests/samples/<lab>/*.py."""
    return sorted((root / "tests" / "samples" / lab).glob("*.py"))


def prepare_jupyter() -> None:
    """Make nbgrader and papermill start quickly and find their tools; call it before importing them.

    nbgrader calls `alembic` by name, so the environment's own folder of programs must be on PATH. And
    rfc3987_syntax, which jsonschema imports where it is installed, compiles parsers for seconds; nothing
    here uses it.
    """
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", "")])
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
