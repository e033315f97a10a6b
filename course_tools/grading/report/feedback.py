"""What a student gets to see of an executed notebook (named in nbgrader_config.py)."""

from __future__ import annotations

import re
from typing import Any

from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade, is_solution

_HIDDEN = re.compile(
    r"^[^\n]*BEGIN HIDDEN TESTS[^\n]*\n.*?(?:^[^\n]*END HIDDEN TESTS[^\n]*\n?|\Z)", re.M | re.S
)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class StudentView(NbGraderPreprocessor):
    """Hide tests that the release does not show.

    nbgrader's feedback shows a test as it was run, and a traceback quotes its lines. Here hidden tests are
    cut out of graded cells, and of an error in one of them the sentence remains.
    """

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> Any:
        if is_grade(cell) and not is_solution(cell):
            cell.source = _HIDDEN.sub("", cell.source)
            for output in cell.get("outputs", []):
                if output.output_type == "error" and _quotes_code(output):
                    output.traceback = [f"\x1b[0;31m{output.ename}\x1b[0m: {output.evalue}".rstrip(": ")]
        return cell, resources


def _quotes_code(output: Any) -> bool:
    return "Traceback" in _ANSI.sub("", "\n".join(output.traceback))
