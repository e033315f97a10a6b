"""`course seeds`: a week's lecture run with several seeds, and what its text makes claims about, recorded."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from course_tools.build.lecture import run_lecture
from course_tools.build.notebooks import has_tag, read
from course_tools.build.project import lectures

CLAIMS = ("claim", "headline")  # tags of cells whose output the text speaks about


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
    sections, failed = [], False
    for seed in seeds:
        executed = folder / f"{source.stem}_{seed}.ipynb"
        parameters = {"PROFILE": "fast", "SEED": seed}
        outcome = run_lecture(source.with_suffix(".ipynb"), executed, folder, parameters, data=root / "data")
        failed |= bool(outcome.problem)
        print(f"seed {seed}: {outcome.problem or outcome.headline} ({outcome.seconds:.0f} s)", flush=True)
        said = outcome.problem or "\n\n".join(claims(executed))
        sections.append(f"## SEED = {seed}\n\n```\n{said}\n```")
    head = (
        f"# Week {week} with {len(seeds)} seeds\n\n"
        f"What the cells print about which the text makes claims, in the fast profile "
        f"(`make seeds WEEK={week}`). "
        f"Python {platform.python_version()}, torch {version('torch')}."
    )
    results = root / "benchmarks" / "results" / f"week{week}_seeds.md"
    results.write_text("\n\n".join([head, *sections]) + "\n", encoding="utf-8")
    return int(failed)


def claims(executed: Path) -> list[str]:
    """What the tagged cells of an executed notebook printed or returned, each section's below its name."""
    found, section, told = [], "", ""
    for cell in read(executed).cells:
        if cell.cell_type == "markdown":
            section = next(reversed(re.findall(r"^##? (.+)$", cell.source, re.M)), section)
        elif any(has_tag(cell, tag) for tag in CLAIMS):
            said = [text for text in map(_text, cell.outputs) if text and not text.startswith("<")]
            if said and section != told:
                found.append(f"[{section}]")
                told = section
            found += said
    return found


def _text(output: Any) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/plain", "")).strip()
