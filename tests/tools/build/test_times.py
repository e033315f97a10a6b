"""Budgets, and what the last run took."""

import json
from pathlib import Path

import pytest

from course_tools.build.outcome import Outcome
from course_tools.build.state import State
from course_tools.build.times import TESTS_TOOK, times


def remember(root: Path, *outcomes: Outcome) -> None:
    for each in outcomes:
        State(root / "build").remember(each, fingerprint="")


LECTURE = Outcome("week1_x", seconds=100, cpu=200)
SOLVED, BLANK = Outcome("lab1_x/solution", 99, cpu=40), Outcome("lab1_x/blank", 99, cpu=10)


def test_within_the_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remember(tmp_path, LECTURE, SOLVED, BLANK, Outcome("lab1_x/right", 99, cpu=45))
    assert times(tmp_path) == 0
    told = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert told == [
        ["lab1_x,", "blank", "and", "samples", "55", "60"],
        ["lab1_x/solution", "40", "45"],
        ["week1_x", "200", "240"],
    ]


@pytest.mark.parametrize(
    "late",
    [
        Outcome("week1_x", 100, cpu=241),
        Outcome("lab1_x/solution", 30, cpu=46),
        Outcome("lab1_x/wrong", 30, cpu=51),
    ],
)
def test_who_exceeds_is_named(late: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remember(tmp_path, LECTURE, SOLVED, BLANK, late)
    assert times(tmp_path) == 1
    assert capsys.readouterr().out.count("too long") == 1


def test_unit_tests_of_a_week_have_a_budget_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remember(tmp_path, LECTURE)
    took = {
        "tests/lib/exercises/test_week1.py::test_a": 40,
        "tests/tools/grading/nbgrader/test_labs.py::test_points[lab1_x]": 21,
        "tests/tools/build/test_notebooks.py::test_the_lecture_runs[week1_x]": 200,
        "tests/lib/train/test_loop.py::test_b": 90,
        "tests/lib/exercises/test_week2.py::test_a": 60,
    }
    (tmp_path / "build" / TESTS_TOOK).write_text(json.dumps(took))
    assert times(tmp_path) == 1
    told = capsys.readouterr().out
    assert [line.split() for line in told.splitlines()[1:3]] == [
        ["week1,", "unit", "tests", "61", "60", "too", "long"],
        ["week1_x", "200", "240"],
    ]
    assert told.count("too long") == 1


def test_before_the_first_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="make course"):
        times(tmp_path)
