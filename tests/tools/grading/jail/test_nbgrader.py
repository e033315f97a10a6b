"""nbgrader's own commands with kernels in jails: a whole lab graded, and the student's validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, Execute
from nbgrader.validator import Validator
from tiny_lab import graded

from course_tools.grading.jail import JailedKernelManager

pytestmark = pytest.mark.jail


class JailedExecute(Execute):
    """nbgrader's Execute passes its kernel manager as an argument, over which its configuration loses."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"kernel_manager_class": JailedKernelManager, **kwargs})


def notebook(folder: Path, test: str) -> Path:
    cell = nbformat.v4.new_code_cell(test)
    cell.metadata["nbgrader"] = json.loads(graded("test", 1).removeprefix("nbgrader="))
    path = folder / "lab.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def validate(path: Path) -> dict[str, Any]:
    validator = Validator(
        preprocessors=[CheckCellMetadata, ClearOutput, JailedExecute], ignore_checksums=True
    )
    return dict(validator.validate(str(path)))


def test_validation_runs_in_the_jail_with_the_data_beside_the_notebook(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("1,2")
    jailed = (
        "import os\nassert os.getcwd() == '/submission' and os.environ['NBGRADER_EXECUTION'] == 'validate'"
    )
    assert validate(notebook(tmp_path, f"{jailed}\nassert open('numbers.csv').read() == '1,2'")) == {}
    failed = validate(notebook(tmp_path, "assert 1 == 2, 'not so'"))["failed"]
    assert "not so" in failed[0]["error"]
