"""The solved labs on the GPU: their checks as plain Python, and through nbgrader where it is installed."""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from pathlib import Path

from benchmarks.gpu.common import DEVICE, options, table

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    smallest = options().smallest
    rows: list[list[str]] = []
    failed: list[str] = []
    ways = [_by_check]
    if importlib.util.find_spec("nbgrader") is None:
        print("Not through nbgrader, which is not installed.\n")
    elif not smallest:
        ways.append(_by_nbgrader)
    for source in sorted(ROOT.glob("solutions/lab*/lab*.py"))[: 1 if smallest else None]:
        for grade in ways:
            begin = time.perf_counter()
            said, right = grade(source, smallest)
            rows.append([source.stem, said, f"{time.perf_counter() - begin:.0f}"])
            print(f"{rows[-1]}", file=sys.stderr, flush=True)
            failed += [] if right else [source.stem]
    print(table(["lab", "outcome", "seconds"], rows))
    if failed:
        raise SystemExit(f"not all right: {', '.join(failed)}")


def _by_nbgrader(source: Path, smallest: bool) -> tuple[str, bool]:
    """The solution handed in as a student's, every input asked on the GPU as well (`--device cuda`)."""
    import tempfile

    from course_tools.build.project import prepare_jupyter

    prepare_jupyter()
    from course_tools.grading import autograde

    with tempfile.TemporaryDirectory() as folder:
        solution = source.with_suffix(".ipynb")
        course = autograde.open_course(Path(folder), source.stem, solution, ROOT / "nbgrader_config.py")
        autograde.submit(course, "solution", course.solution)
        autograde.autograde(course, "solution")
        items = [item for item in autograde.items(course, "solution") if item.score is not None]
    lost = [f"{item.name}: {item.line}" for item in items if item.score != item.points]
    return "; ".join(lost) or f"nbgrader: all {len(items)} items right", not lost


def _by_check(source: Path, smallest: bool) -> tuple[str, bool]:
    """Every cell run as plain Python, a trial's up to the first check, which asks inputs on CPU and GPU."""
    import matplotlib

    matplotlib.use("Agg")
    cells = re.split(r"^# %%", source.read_text(encoding="utf-8"), flags=re.M)[1:]
    world: dict[str, object] = {"__name__": "__main__", "display": lambda *_: None}
    checks, lost = 0, []
    for cell in cells:
        marker, _, code = cell.partition("\n")
        if "[markdown]" in marker or not code.strip():
            continue
        checks += "check(" in code
        try:
            exec(compile(code, f"{source.stem}, cell {marker.strip()}", "exec"), world)
        except Exception as error:
            lost.append(f"{type(error).__name__}: {error}"[:200])
        if smallest and checks:
            break
    devices = "CPU and GPU" if DEVICE == "cuda" else "CPU"
    return "; ".join(lost) or f"without Jupyter: all {checks} checks passed, on {devices}", not lost


if __name__ == "__main__":
    main()
