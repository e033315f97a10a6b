"""A lecture with several seeds."""

from pathlib import Path

import pytest
from tiny_lab import make_clone

from course_tools.cli import main


def test_claims_are_recorded_for_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_clone(tmp_path / "clone")
    (root / "benchmarks" / "results").mkdir(parents=True)
    monkeypatch.chdir(root)
    assert main(["sync"]) == 0
    assert main(["seeds", "1", "--seeds", "4", "7"]) == 0
    text = (root / "benchmarks" / "results" / "week1_seeds.md").read_text()
    assert text.count("sum 4") == 2
    assert "## SEED = 4" in text
    assert "## SEED = 7" in text


def test_a_week_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_clone(tmp_path / "clone"))
    assert main(["seeds", "9"]) == 2
