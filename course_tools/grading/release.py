"""The student's version of a lab, made by nbgrader."""

import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any


def nbgrader_config(config_file: Path, course: Path) -> Any:
    """The settings in `config_file`, working on the folder `course`."""
    from traitlets.config import PyFileConfigLoader

    config = PyFileConfigLoader(config_file.name, path=str(config_file.parent)).load_config()
    config.CourseDirectory.root = str(course.resolve())
    _open_gradebooks_quickly()
    return config


def _open_gradebooks_quickly() -> None:
    """For each new gradebook nbgrader starts a program, for seconds, to ask which version its tables have."""
    import nbgrader.api

    nbgrader.api.get_alembic_version = gradebook_version


@cache
def gradebook_version() -> str:
    """The version of nbgrader's tables."""
    from alembic.script import ScriptDirectory
    from nbgrader.dbutil import ALEMBIC_DIR

    [version] = ScriptDirectory(ALEMBIC_DIR).get_heads()
    return version


def converter(kind: type, config: Any, **selection: str) -> Any:
    """An nbgrader converter on the lab and student that `selection` names (assignment_id, student_id)."""
    from nbgrader.coursedir import CourseDirectory

    return kind(coursedir=CourseDirectory(config=config, **selection), config=config)


def start(app: Any) -> None:
    """Run an nbgrader converter quietly.

    Raises:
        RuntimeError: with nbgrader's log, if it failed.
    """
    from nbgrader.utils import capture_log
    from sqlalchemy.exc import SAWarning

    propagate, app.log.propagate = app.log.propagate, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader's own queries
            result = capture_log(app)
    finally:
        app.log.propagate = propagate
    if not result["success"]:
        raise RuntimeError(f"{type(app).__name__} failed:\n{result.get('log', '')}{result.get('error', '')}")


def released_notebook(lab: str, solution: str, config_file: Path) -> Any:
    """The student's notebook of `lab`: the solution's .ipynb text without answers, rubrics and hidden tests.

    Only the notebook is looked at, in a folder of its own: no other file can get into a release.
    """
    import nbformat
    from nbgrader.converters import GenerateAssignment
    from nbgrader.preprocessors import SaveCells

    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder)
        source = course / "solutions" / lab / f"{lab}.ipynb"
        source.parent.mkdir(parents=True)
        source.write_text(solution, encoding="utf-8")
        app = converter(GenerateAssignment, nbgrader_config(config_file, course), assignment_id=lab)
        app.no_database = True
        app.preprocessors = [step for step in app.preprocessors if step is not SaveCells]
        start(app)
        return nbformat.read(course / "assignments" / lab / f"{lab}.ipynb", as_version=4)
