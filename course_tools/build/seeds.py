"""`course seeds`: a week's lecture run with several seeds, and what its text makes claims about, recorded."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from course_tools.build.lecture import run_lecture
from course_tools.build.notebooks import has_tag, read
from course_tools.build.project import lectures

CLAIMS = ("claim", "headline")  # tags of cells whose output the text speaks about


@dataclass(frozen=True)
class Claim:
    """What a tagged cell printed or returned.

    Attributes:
        cell: its number in the notebook.
        section: the heading it stands under.
    """

    cell: int
    section: str
    text: str


def run_seeds(root: Path, week: int, seeds: Sequence[int]) -> int:
    """Run the week's lecture once a seed and write benchmarks/results/week<N>_seeds.md; 1 if a run failed.

    Raises:
        ValueError: there is no such week.
    """
    found = [path for path in lectures(root) if re.match(rf"week{week}_", path.name)]
    if not found:
        raise ValueError(f"there is no lecture of week {week} in notebooks/")
    (source,) = found
    folder = root / "build" / "seeds"
    runs: dict[int, list[Claim]] = {}
    problems: dict[int, str] = {}
    for seed in seeds:
        executed = folder / f"{source.stem}_{seed}.ipynb"
        parameters = {"PROFILE": "fast", "SEED": seed}
        outcome = run_lecture(source.with_suffix(".ipynb"), executed, folder, parameters, data=root / "data")
        if outcome.problem:
            problems[seed] = outcome.problem
        runs[seed] = claims(executed) if executed.is_file() else []
        print(f"seed {seed}: {outcome.problem or outcome.headline} ({outcome.seconds:.0f} s)", flush=True)
    head = (
        f"# Week {week} with {len(seeds)} seeds\n\n"
        f"What the cells print about which the text makes claims, section by section, in the fast profile\n"
        f"(`make seeds WEEK={week}`). "
        f"Python {platform.python_version()}, torch {version('torch')}."
    )
    failures = [f"**SEED = {seed} stopped at {problem}**" for seed, problem in problems.items()]
    results = root / "benchmarks" / "results" / f"week{week}_seeds.md"
    results.write_text("\n\n".join([head, *failures, *side_by_side(runs)]) + "\n", encoding="utf-8")
    return int(bool(problems))


def side_by_side(runs: Mapping[int, Sequence[Claim]]) -> list[str]:
    """Markdown: the notebook's sections in their order, and in each what every seed printed, cell by cell."""
    parts = []
    cells = sorted({(claim.cell, claim.section) for found in runs.values() for claim in found})
    for section, group in groupby(cells, key=lambda cell: cell[1]):
        parts.append(f"## {section}")
        for number, _ in group:
            texts = {
                seed: claim.text for seed, found in runs.items() for claim in found if claim.cell == number
            }
            said = "\n\n".join(f"SEED = {seed}\n{text}" for seed, text in texts.items())
            parts.append(f"```\n{said}\n```")
    return parts


def claims(executed: Path) -> list[Claim]:
    """What the tagged cells of an executed notebook printed or returned, as text, in their order."""
    found, section = [], ""
    for number, cell in enumerate(read(executed).cells, start=1):
        if cell.cell_type == "markdown":
            section = last_heading(cell.source) or section
        if cell.cell_type != "code" or not any(has_tag(cell, tag) for tag in CLAIMS):
            continue
        if said := printed(cell.outputs):
            found.append(Claim(number, section, said))
    return found


def printed(outputs: Sequence[Mapping[str, Any]]) -> str:
    """What a cell's outputs say as text, without warnings and pictures; a print may come in pieces."""
    said = ""
    for output in outputs:
        if output["output_type"] == "stream":
            said += output["text"] if output["name"] == "stdout" else ""
        elif (text := output.get("data", {}).get("text/plain", "")) and not text.startswith("<"):
            said = f"{said.rstrip()}\n{text}\n"
    return said.strip("\n").rstrip()


def last_heading(markdown: str) -> str:
    """The text of the last heading outside fenced code, "" if there is none."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S), re.M)
    return headings[-1].strip() if headings else ""
