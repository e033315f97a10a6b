"""A notebook executed as in grading, without a gradebook: what its graded cells come to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.utils import determine_grade

from course_tools.grading.execute import ExecuteLab

POINTS = 8.0
SEED = "918273645"

START = """import os, sys, torch
import torch.nn.functional as F
from torch import Tensor, nn
from course_lib.check import check"""

RIGHT = {
    "n_pair_loss": """def n_pair_loss(anchor, positive, negatives):
    difference = torch.einsum("nkd,nd->nk", negatives - positive[:, None], anchor)
    return F.softplus(difference.logsumexp(1)).mean()""",
    "info_nce_accuracy": """def info_nce_accuracy(query, positive, negatives):
    best = torch.einsum("nd,nkd->nk", query, negatives).amax(1)
    return ((query * positive).sum(1) > best).to(query.dtype).mean()""",
}


@dataclass(frozen=True)
class Graded:
    """What a graded cell came to."""

    score: float
    text: str  # all that its outputs say


def graded_cell(item: str) -> Any:
    metadata = {"grade": True, "grade_id": item, "points": POINTS, "locked": True, "solution": False}
    return new_code_cell(f'check("{item}", {item})', metadata={"nbgrader": metadata})


def execute(cells: list[Any], folder: Path, **options: Any) -> Any:
    """Run cells (sources, or whole cells) as in grading; returns the notebook."""
    made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in (START, *cells)]
    notebook = new_notebook(cells=made)
    resources = {"metadata": {"path": str(folder)}}
    lab = ExecuteLab(seed=SEED, timeout=60, startup_timeout=120, shutdown_kernel="immediate", **options)
    lab.extra_arguments = ["--log-level=ERROR"]
    return lab.preprocess(notebook, resources)[0]


def results(notebook: Any) -> list[Graded]:
    """What the graded cells came to, in order."""
    return [
        Graded(determine_grade(cell)[0], said(cell))
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]


def said(cell: nbformat.NotebookNode) -> str:
    texts = []
    for output in cell.outputs:
        texts += output.get("traceback", [])
        texts += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "\n".join(filter(None, texts))
