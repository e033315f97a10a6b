"""Hints in a release: the last of an item's three, the way itself, stays behind."""

import re
from typing import Any

from nbgrader.preprocessors import NbGraderPreprocessor

WAY = re.compile(r"\n*<details><summary>The way</summary>\n.*?\n</details>\n?", re.S)


class LeaveOutWays(NbGraderPreprocessor):
    """Takes "The way" out of the hints of a lab when it is released.

    For self-study, where nothing is graded: `c.LeaveOutWays.enabled = False` in nbgrader_config.py.
    """

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> Any:
        if cell.cell_type == "markdown":
            cell.source = WAY.sub("", cell.source)
        return cell, resources
