"""nbgrader's own commands, run by name from the root of a clone, with the settings in nbgrader_config.py."""

import csv
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tiny_lab import hand_in, make_clone

from course_tools.build.sync import sync

LAB = "lab1_tiny"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_clone(tmp_path_factory.mktemp("course") / "clone")
    sync(root)
    return root


def nbgrader(clone: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments], cwd=clone, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_from_release_to_exported_grades(clone: Path) -> None:
    committed = (clone / "assignments" / LAB / f"{LAB}.ipynb").read_bytes()
    shutil.rmtree(clone / "assignments")
    (clone / "solutions" / LAB / "notes.py").write_text("the exam's answers")
    nbgrader(clone, "generate_assignment", LAB)
    released = [path for path in (clone / "assignments").rglob("*") if path.is_file()]
    assert [path.name for path in released] == [f"{LAB}.ipynb"], "text sources never reach a release"
    assert released[0].read_bytes().rstrip() == committed.rstrip(), "nbgrader and `course sync` agree"

    assert "Success" in nbgrader(clone, "validate", f"solutions/{LAB}/{LAB}.ipynb")
    assert "failed" in nbgrader(clone, "validate", f"assignments/{LAB}/{LAB}.ipynb")

    archive = clone / "downloaded" / LAB / "archive"
    archive.mkdir(parents=True)
    solution = clone / "solutions" / LAB / f"{LAB}.ipynb"
    with zipfile.ZipFile(archive / "alice.zip", "w") as packed:
        packed.write(solution, f"{LAB}.ipynb")
    shutil.copy(released[0], archive / f"bob_{LAB}.ipynb")
    dead = hand_in(solution, {"double-answer": "import os\ndef double(x): os._exit(1)"})
    (archive / f"carol_{LAB}.ipynb").write_text(dead)
    nbgrader(clone, "zip_collect", LAB)
    submitted = {path.parent.parent.name for path in (clone / "submitted").rglob("*.ipynb")}
    assert submitted == {"alice", "bob", "carol"}

    nbgrader(clone, "autograde", LAB)
    nbgrader(clone, "generate_feedback", LAB)
    pages = {path.parent.parent.name: path.read_text() for path in (clone / "feedback").rglob("*.html")}
    assert set(pages) == {"alice", "bob", "carol"}, "a dead kernel costs nobody their feedback"
    assert "Python died while this cell ran" in pages["carol"]

    nbgrader(clone, "export")
    with (clone / "grades.csv").open() as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {"alice": 8, "bob": 0, "carol": 0}, "8 of 10: the written answer waits for a reader"
