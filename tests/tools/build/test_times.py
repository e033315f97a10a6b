"""Budgets, and what the last run took."""

from pathlib import Path

import pytest

from course_tools.build.outcome import Outcome
from course_tools.build.state import State
from course_tools.build.times import times


def remember(root: Path, *outcomes: Outcome) -> None:
    for each in outcomes:
        State(root / "build").remember(each, fingerprint="")


LECTURE = Outcome("week1_x", seconds=100, cpu=200)
SOLVED, BLANK = Outcome("lab1_x/solution", seconds=40), Outcome("lab1_x/blank", seconds=10)


def test_within_the_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remember(tmp_path, LECTURE, SOLVED, BLANK, Outcome("lab1_x/right", seconds=45))
    assert times(tmp_path) == 0
    told = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert told == [
        ["lab1_x,", "blank", "and", "samples", "55", "60"],
        ["lab1_x/solution", "40", "45"],
        ["week1_x", "200", "240"],
    ]


@pytest.mark.parametrize(
    "late",
    [Outcome("week1_x", seconds=100, cpu=241), Outcome("lab1_x/solution", 46), Outcome("lab1_x/wrong", 51)],
)
def test_who_exceeds_is_named(late: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remember(tmp_path, LECTURE, SOLVED, BLANK, late)
    assert times(tmp_path) == 1
    assert capsys.readouterr().out.count("too long") == 1


def test_before_the_first_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="make course"):
        times(tmp_path)
