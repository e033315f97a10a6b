"""Sample submissions: what a student would hand in, made from the release and a set of answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_ANSWER = re.compile(r'^answer="(?P<grade_id>[^"]+)"$')
_MARKER = re.compile(r"^\s*#* *(BEGIN|END) SOLUTION\s*$")


def make_submission(solution: Path, sample: Path | None, out: Path, *, released: Path | None = None) -> None:
    """Write a submission: the released notebook, its answers filled in from the solution or from a sample.

    A sample is a text source in percent format. A cell that begins `# %% answer="nt_xent_loss"` replaces the
    answer to that item; what it does not answer is answered as in the solution. Other cells are ignored.

    Args:
        solution: the instructor's notebook, solutions/<lab>/<lab>.ipynb.
        sample: tests/samples/<lab>/<name>.py, or None for the solution's own answers.
        out: where the submission is written.
        released: the student's notebook; by default assignments/<lab>/<lab>.ipynb beside the solutions.

    Raises:
        ValueError: the sample answers an item that the release does not have.
    """
    import nbformat

    released = released or solution.parents[2] / "assignments" / solution.parent.name / solution.name
    notebook = nbformat.read(released, as_version=4)
    answers = _answers_of_the_solution(nbformat.read(solution, as_version=4))
    if sample is not None:
        answers |= answers_of_a_sample(sample)
    cells = {name: cell for cell in notebook.cells if (name := _answer_name(cell))}
    if unknown := answers.keys() - cells.keys():
        raise ValueError(
            f"{sample or solution} answers items that {released} does not ask: {sorted(unknown)}"
        )
    for name, source in answers.items():
        cells[name].source = source
    nbformat.write(notebook, out)


def answers_of_a_sample(sample: Path) -> dict[str, str]:
    """Item -> source of its answer cell, for the cells marked `answer="<item>"` in a percent file."""
    answers = {}
    for cell in re.split(r"^# %%", sample.read_text(encoding="utf-8"), flags=re.M)[1:]:
        marker, _, source = cell.partition("\n")
        if match := _ANSWER.match(marker.strip()):
            answers[match["grade_id"]] = source.strip()
    return answers


def _answers_of_the_solution(notebook: Any) -> dict[str, str]:
    return {
        name: "\n".join(line for line in cell.source.splitlines() if not _MARKER.match(line))
        for cell in notebook.cells
        if (name := _answer_name(cell))
    }


def _answer_name(cell: Any) -> str:
    """The item that a cell answers, "" if it answers none: its grade id without the ending -answer."""
    metadata = cell.metadata.get("nbgrader", {})
    return str(metadata["grade_id"]).removesuffix("-answer") if metadata.get("solution") else ""
