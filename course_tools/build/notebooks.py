"""From a text source (jupytext percent) to the notebook beside it, the same bytes on every machine."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from course_tools.build.project import BRANCH

KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEPT_METADATA = ("tags", "nbgrader", "deletable", "editable")


def badge(url: str, notebook: str) -> str:
    """Markdown of a badge that opens `notebook` (its path in the repository) in Colab; "" where Colab cannot.

    Colab opens what is on GitHub.
    """
    if not (match := re.fullmatch(r"https://github\.com/([^/]+/[^/]+)", url)):
        return ""
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    link = f"https://colab.research.google.com/github/{match[1]}/blob/{BRANCH}/{notebook}"
    return f"[![Open in Colab]({image})]({link})"


def badge_cell(url: str, notebook: str) -> str:
    """Text of the badge cell; where there can be no badge it says where the course lives."""
    return f"# {badge(url, notebook) or f'[The course]({url})'}"


def setup_cell(url: str) -> str:
    """Code of the setup cell: installs the course where it is missing, and keeps the torch that is there."""
    return f"""# In Colab this installs the course (a minute or two); where it is installed, it does nothing.
import importlib.util
import subprocess
import sys

COURSE = "git+{url}"
if importlib.util.find_spec("course_lib") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", COURSE], check=True)
    importlib.invalidate_caches()"""


def fill_cell(source: str, tag: str, content: str) -> str:
    """The percent source with the contents of the cell tagged `tag` replaced.

    Raises:
        ValueError: there is not exactly one such cell.
    """
    cell = re.compile(rf'^(# %%[^\n]*tags=\[[^\]\n]*"{tag}"[^\]\n]*\][^\n]*\n).*?(?=^# %%|\Z)', re.M | re.S)
    if len(found := cell.findall(source)) != 1:
        raise ValueError(f'expected one cell with tags=["{tag}"], found {len(found)}')
    return cell.sub(lambda match: f"{match[1]}{content}\n\n", source)


def fill_generated_cells(source: str, url: str, notebook: str) -> str:
    """The percent source with its badge and setup cells written; `notebook` is what the badge opens."""
    source = fill_cell(source, "badge", badge_cell(url, notebook))
    return fill_cell(source, "setup", setup_cell(url)).rstrip() + "\n"


def from_percent(source: str) -> str:
    """The .ipynb text of a percent source: no outputs, and cell ids that depend on the contents alone."""
    import jupytext

    return normalised(jupytext.reads(source, fmt="py:percent"))


def normalised(notebook: Any) -> str:
    """The .ipynb text of a notebook without outputs, stray metadata and changing ids.

    Raises:
        nbformat.ValidationError: it is not a valid notebook.
    """
    import nbformat

    cells = [_clean(cell) for cell in notebook.cells]
    for cell, cell_id in zip(cells, _cell_ids(cells), strict=True):
        cell["id"] = cell_id
    clean = nbformat.from_dict({"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5})
    nbformat.validate(clean)
    return nbformat.writes(clean).rstrip("\n") + "\n"


def _clean(cell: Any) -> dict[str, Any]:
    metadata = {key: cell.metadata[key] for key in KEPT_METADATA if key in cell.metadata}
    outputs: dict[str, Any] = {"outputs": [], "execution_count": None} if cell.cell_type == "code" else {}
    return {"cell_type": cell.cell_type, "metadata": metadata, "source": cell.source, **outputs}


def _cell_ids(cells: Iterable[dict[str, Any]]) -> list[str]:
    """An id a cell keeps while its neighbours change: its grade id, else a hash of its text."""
    ids: list[str] = []
    for cell in cells:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        base = name or hashlib.sha256(cell["source"].encode()).hexdigest()[:8]
        repeats = sum(1 for cell_id in ids if cell_id == base or cell_id.startswith(f"{base}--"))
        ids.append(f"{base}--{repeats}" if repeats else base)
    return ids


def has_tag(cell: Any, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def read(path: Path) -> Any:
    """A notebook read from an .ipynb file."""
    import nbformat

    return nbformat.read(path, as_version=4)
