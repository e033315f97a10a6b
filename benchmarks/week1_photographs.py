"""Week 1 on photographs: execute lecture and lab solution on a folder of images, record the scoreboard.

    python benchmarks/week1_photographs.py FOLDER [--seeds 0 1]

FOLDER holds train/<class>/*.jpg and test/<class>/*.jpg. Writes results/week1_photographs.md.
"""

from __future__ import annotations

import argparse
import csv
import platform
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import papermill
import torch

ROOT = Path(__file__).parents[1]
LECTURE = ROOT / "notebooks" / "week1_contrastive_losses.ipynb"
LAB = ROOT / "solutions" / "lab1_contrastive_losses" / "lab1_contrastive_losses.ipynb"


def execute(notebook: Path, folder: Path, seed: int) -> tuple[dict[tuple[str, str], list[float]], float]:
    """Run a notebook in an empty folder: its scoreboard, {(method, metric): values}, and the seconds."""
    with tempfile.TemporaryDirectory() as elsewhere:
        start = time.perf_counter()
        papermill.execute_notebook(
            str(notebook), None, parameters={"DATASET": str(folder), "SEED": seed}, cwd=elsewhere
        )
        seconds = time.perf_counter() - start
        scores = defaultdict(list)
        board = Path(elsewhere, "data", "scoreboard.csv")
        for row in csv.DictReader(board.open()) if board.is_file() else ():
            scores[row["method"], row["metric"]].append(float(row["value"]))
    return scores, seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    folder = options.folder.resolve()
    lines = [
        "# Week 1 on photographs",
        "",
        f"`python benchmarks/week1_photographs.py FOLDER --seeds {' '.join(map(str, options.seeds))}`, "
        f"FOLDER = {folder.name}; fast profile, {torch.get_num_threads()} thread(s), "
        f"Python {platform.python_version()}, torch {torch.__version__}.",
        "",
        "| seed | features | kNN | linear probe |",
        "|---|---|---|---|",
    ]
    for seed in options.seeds:
        scores, seconds = execute(LECTURE, folder, seed)
        for method in dict.fromkeys(method for method, _ in scores):
            cells = (
                ", ".join(f"{value:.3f}" for value in scores[method, m]) for m in ("kNN", "linear probe")
            )
            lines.append(f"| {seed} | {method} | {' | '.join(cells)} |")
        lines.append(f"| {seed} | *the lecture took {seconds:.0f} s* | | |")
    _, seconds = execute(LAB, folder, options.seeds[0])
    lines += ["", f"The lab's solution ran through, every check passed, in {seconds:.0f} s."]
    (ROOT / "benchmarks" / "results" / "week1_photographs.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
