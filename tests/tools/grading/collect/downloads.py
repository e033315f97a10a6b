"""Downloads for the tests, and what came of them."""

import zipfile
from pathlib import Path

from course_tools.grading.collect import Collected

LAB = "lab1_tiny"
EARLY, LATE = (2025, 3, 1, 12, 0, 0), (2025, 3, 4, 18, 30, 0)


def archive(path: Path, members: dict[str, str], time: tuple[int, int, int, int, int, int] = EARLY) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in members.items():
            packed.writestr(zipfile.ZipInfo(name, time), text, zipfile.ZIP_DEFLATED)
    return path


def submitted(root: Path) -> dict[str, str]:
    """Student -> what is in their notebook."""
    return {path.parent.parent.name: path.read_text() for path in root.glob(f"submitted/*/{LAB}/{LAB}.ipynb")}


def lines(outcomes: list[Collected]) -> str:
    return "\n".join(f"{outcome.student}: {line}" for outcome in outcomes for line in outcome.lines)
