"""The wheel works outside the clone, as in Colab: beside the packages that are there, from another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from course_tools.build import notebooks
from course_tools.build.project import lectures

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that has the wheel, and sees this one's other packages."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for package in ("course_lib", "course_tools"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [ROOT / "pyproject.toml", *ROOT.glob("README*"), *ROOT.glob("LICENSE*")]:
        shutil.copy(path, source / path.name)
    quiet = {"check": True, "capture_output": True}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "-w", str(folder)], **quiet
    )
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], **quiet)
    # A folder named in a .pth joins the path, but its own .pth files, the editable course among them, do not.
    purelib = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(environment)}))
    (purelib / "preinstalled.pth").write_text(sysconfig.get_path("purelib"))
    return python


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COURSE_STATIC": "1"}
    return subprocess.run(
        [str(python), *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )


def test_the_library_comes_from_the_wheel(python: Path, tmp_path: Path) -> None:
    code = "import course_lib.losses, sys; print(course_lib.__file__, 'torchvision' in sys.modules)"
    done = run(python, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert str(python.parents[1]) in done.stdout
    assert "False" in done.stdout


def test_the_first_cells_of_a_lecture_run_elsewhere(python: Path, tmp_path: Path) -> None:
    """Everything up to the parameters, and the first four code cells after them."""
    notebook = notebooks.read(lectures(ROOT)[0].with_suffix(".ipynb"))
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    parameters = next(i for i in code if notebooks.has_tag(notebook.cells[i], "parameters"))
    last = [index for index in code if index > parameters][:4][-1]
    where = f"import course_lib; assert {str(python.parents[1])!r} in course_lib.__file__"
    notebook.cells = [*notebook.cells[: last + 1], new_code_cell(where)]
    nbformat.write(notebook, tmp_path / "first.ipynb")
    done = run(python, tmp_path, "-m", "papermill", "first.ipynb", "executed.ipynb", "--no-progress-bar")
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_command_says_that_it_needs_a_clone(python: Path, tmp_path: Path) -> None:
    done = run(python, tmp_path, "-m", "course_tools.cli", "sync")
    assert done.returncode == 2
    assert "not in a clone of the course" in done.stderr
