"""`course run` on a tiny clone: the table, the report, what is reused, and what a failing part does."""

import os
import re
from pathlib import Path

import pytest
from tiny_lab import add_samples, make_clone

from course_tools.build.lanes import Job, in_lanes
from course_tools.build.outcome import Outcome, table
from course_tools.build.state import State
from course_tools.cli import main


def work(kind: str, bar: dict[str, object]) -> Outcome:
    """A job of each kind, at module level so that another process can find it."""
    if kind == "dies":
        os._exit(9)
    if kind == "raises":
        raise ValueError("no such thing")
    return Outcome(kind, 1, "42")


def test_lanes_survive_jobs_that_raise_or_die() -> None:
    jobs = [Job(kind, work, {"kind": kind}) for kind in ("dies", "raises", "works")]
    outcomes = {job.name: outcome for job, outcome in in_lanes(jobs, 2)}
    assert "exit status 9" in outcomes["dies"].problem
    assert outcomes["raises"].problem == "ValueError: no such thing"
    assert outcomes["works"] == Outcome("works", 1, "42")


def test_the_table_lists_problems_under_it() -> None:
    problem = "scored 4, expected 0"
    text = table([Outcome("week1", 61.2, "kNN 0.6"), Outcome("lab1/blank", 3, "4/10", problem)])
    assert re.search(r"^week1 +ok +61 +kNN 0\.6$", text, re.M)
    assert re.search(r"^lab1/blank +FAILED +3 +4/10$", text, re.M)
    assert text.endswith(f"lab1/blank: {problem}")


def test_the_main_job_from_first_run_to_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_clone(tmp_path / "clone")
    add_samples(root)
    monkeypatch.chdir(root)

    assert main(["run"]) == 0, capsys.readouterr().out
    lines = capsys.readouterr().out
    for part, headline in {
        "week1_tiny": "sum 4",
        "lab1_tiny/solution": "10/10",
        "lab1_tiny/blank": "0/10",
        "lab1_tiny/right": "10/10",
        "lab1_tiny/wrong": "5/10",
    }.items():
        assert re.search(rf"^{part} +ok +\d+ +{headline}$", lines, re.M), lines
    assert not list(root.glob("left_behind.txt")), "notebooks run elsewhere"
    report = root / "build" / "report"
    index = (report / "index.html").read_text()
    links = re.findall(r'(?:href|src)="([^"]+)"', index)
    assert {"lectures/week1_tiny.html", "labs/lab1_tiny/wrong.html"} <= set(links)
    assert all((report / link).is_file() for link in links), "self-contained: every link is a file beside it"
    assert "double(3) should be 6" in (report / "labs" / "lab1_tiny" / "wrong.html").read_text()

    spent = {each.name: each.cpu for each in State(root / "build").outcomes()}
    assert min(spent.values()) > 0, "processor time is recorded"
    assert (root / "build" / "executed" / "week1_tiny.ipynb").is_file()

    sample = root / "tests" / "samples" / "lab1_tiny" / "wrong.py"
    sample.write_text(sample.read_text().replace("score: 5", "score: 10"))
    lecture = root / "notebooks" / "week1_tiny.py"
    lecture.write_text(lecture.read_text().replace("2 + 2", "2 + nowhere"))
    assert main(["run"]) == 1, "a part that failed makes the exit status non-zero"
    lines = capsys.readouterr().out
    assert len(re.findall(r" unchanged ", lines)) == 3, "the parts that did not change are not run again"
    assert "scored 5, expected 10: double (AssertionError: double(3) should be 6)" in lines
    assert "NameError: name 'nowhere' is not defined" in lines
    assert "2 of 6 parts failed" in (report / "index.html").read_text()

    lecture.write_text(lecture.read_text().replace("2 + nowhere", "2 + 3"))
    assert main(["run", "--only", "week1"]) == 0
    assert "sum 5" in capsys.readouterr().out


def test_parameters_reach_the_lecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_clone(tmp_path / "clone")
    photos = root / "photos"
    photos.mkdir()
    monkeypatch.chdir(root)
    assert main(["run", "--only", "week1", "--profile", "full", "--dataset", "photos", "--jobs", "1"]) == 0
    assert f"full {photos}" in (root / "build" / "report" / "lectures" / "week1_tiny.html").read_text()


def test_nonsense_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_clone(tmp_path / "clone"))
    assert main(["run", "--jobs", "0"]) == 2
