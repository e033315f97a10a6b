"""`course autograde` as a whole: killed and resumed, regraded, limited, with workers that die."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbgrader.converters import Autograde
from tiny_lab import hand_in, make_clone

from course_tools.build.sync import sync
from course_tools.cli import main
from course_tools.grading.autograde import Course
from course_tools.grading.batch import Options, Result, grade_class, records_of
from course_tools.grading.batch.grade import _Scratch
from course_tools.grading.batch.processes import grade_in_processes
from course_tools.grading.batch.run import _read_lab
from course_tools.grading.batch.task import Settings, Task
from course_tools.grading.batch.within import ExecuteWithin

LAB = "lab1_tiny"
SLOW = "import time\ndef double(x):\n    time.sleep(0.5)\n    return 2 * x"
ANSWERS = {
    "anna": {"double-answer": SLOW},
    "ben": {"double-answer": SLOW.replace("2 * x", "x")},
    "cleo": {"double-answer": SLOW, "q1": "Because."},
    "dora": {"double-answer": SLOW, "halve-answer": "def halve(x): return nowhere"},
}
SCORES = {"anna": 8, "ben": 3, "cleo": 8, "dora": 5}


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A tiny course in which four students have handed in; the working directory is inside it."""
    root = make_clone(tmp_path / "clone")
    sync(root)
    monkeypatch.chdir(root)
    course = Course(root, LAB, root / "nbgrader_config.py")
    for student, answers in ANSWERS.items():
        put(course, student, hand_in(course.solution, answers))
    return course


def put(course: Course, student: str, notebook: str) -> None:
    path = course.path("submitted", student)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook)


def grade(course: Course, **options: Any) -> dict[str, tuple[Result, bool]]:
    found = grade_class(course.folder, LAB, Options(**{"jobs": 2, **options}))
    return {result.student: (result, now) for result, now in found}


def gradebook(course: Course) -> dict[str, dict[str, tuple[float | None, float | None, bool]]]:
    """Student -> item -> (automatic score, score by hand, waits for a reader)."""
    with course.gradebook() as book:
        return {
            submission.student.id: {
                grade.name: (grade.auto_score, grade.manual_score, grade.needs_manual_grade)
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in book.assignment_submissions(LAB)
        }


def test_killed_half_way_and_resumed_it_is_as_if_nothing_had_happened(course: Course) -> None:
    command = [sys.executable, "-m", "course_tools.cli", "autograde", LAB, "--jobs", "1"]
    run = subprocess.Popen(command, cwd=course.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = records_of(course.folder, LAB)
    wait_until(lambda: len(records.students()) == 2)
    family = psutil.Process(run.pid).children(recursive=True)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()

    half = gradebook(course)
    scores = {student: sum(score or 0 for score, _, _ in items.values()) for student, items in half.items()}
    assert scores == {student: SCORES[student] for student in half}, "what is recorded is whole"
    assert len(half) < len(SCORES)
    wait_until(lambda: not any(alive(process) for process in family))  # no worker or kernel is left

    assert main(["autograde", LAB, "--jobs", "2"]) == 0
    resumed = gradebook(course)
    assert {student for student in SCORES if records.find(student)} == set(SCORES)

    again = {student: result for student, (result, now) in grade(course).items() if not now}
    assert {student: result.score for student, result in again.items()} == SCORES, "nothing is left to do"
    for path in (course.folder / "gradebook.db", course.folder / "grades" / LAB / "registered"):
        path.unlink()
    assert all(now for _, now in grade(course).values()), "without a gradebook nothing counts as done"
    assert gradebook(course) == resumed, "the same as an uninterrupted run"


def wait_until(true: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_mark_by_hand_survives_until_the_answer_changes(course: Course) -> None:
    grade(course)
    with course.gradebook() as book:
        mark = book.find_grade("q1", LAB, LAB, "cleo")
        mark.manual_score, mark.needs_manual_grade = 1.5, False
        book.db.commit()

    assert [student for student, (_, now) in grade(course, student="cleo").items() if now] == ["cleo"]
    assert gradebook(course)["cleo"]["q1"] == (None, 1.5, False), "the same answer: nothing to read again"

    put(course, "cleo", hand_in(course.solution, ANSWERS["cleo"] | {"q1": "Because it undoes it."}))
    assert {student for student, (_, now) in grade(course).items() if now} == {"cleo"}, "only what changed"
    assert gradebook(course)["cleo"]["q1"] == (None, 1.5, True), (
        "a new answer is read again, the mark is kept"
    )


def test_the_notebook_as_a_whole_has_a_limit(course: Course) -> None:
    sleep = "import time\ndef double(x):\n    return 2 * x\ntime.sleep(60)"
    put(course, "slow", hand_in(course.solution, {"halve-answer": sleep}))
    before = {student: result for student, (result, _) in grade(course, seconds=8).items()}
    lines = {item.name: item.line for item in before["slow"].items}
    assert before["slow"].score == 5, "what was done in time counts"
    assert "not run: the notebook as a whole took longer than 8 s" in lines["halve"]
    assert {student: before[student].score for student in SCORES} == SCORES


class Deadly(dict[str, bytes]):
    """Kills the process that unpickles it, as a crash in a worker would."""

    def __reduce__(self) -> Any:
        return os._exit, (9,)


def test_a_worker_that_dies_is_replaced_and_says_so(course: Course, tmp_path: Path) -> None:
    lab = _read_lab(course)
    notebook = course.path("submitted", "anna").read_bytes()

    def tasks() -> Iterator[Task]:
        for student in ("first", "deadly", "last"):
            files = Deadly() if student == "deadly" else {}
            yield Task(student, lab, Settings(seed="1"), notebook, files=files)

    results = {task.student: result for task, result in grade_in_processes(tasks(), 1, tmp_path)}
    assert {student: result.status for student, result in results.items()} == {
        "first": "graded",
        "deadly": "failed",
        "last": "graded",
    }
    assert "died, twice. That is not a mark" in results["deadly"].remarks[0]
    assert [item.score for item in results["deadly"].items] == [None, None, None], "no points are invented"
    assert (results["first"].score, results["last"].score) == (8, 8)


def test_a_dask_cluster_grades_the_same(course: Course) -> None:
    distributed = pytest.importorskip("distributed", reason="needs dask[distributed]")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        there = grade(course, scheduler=cluster.scheduler_address)
    assert all(now for _, now in there.values())
    assert {student: result.score for student, (result, _) in there.items()} == SCORES
    recorded = gradebook(course)
    assert {
        student: sum(score or 0 for score, _, _ in recorded[student].values()) for student in SCORES
    } == SCORES


def test_the_seed_of_the_hidden_tests_stays_out_of_what_students_see(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_SECRET_SEED", "20240229")
    spy = "import os\nprint(dict(os.environ))\ndef double(x):\n    raise ValueError(str(dict(os.environ)))"
    put(course, "spy", hand_in(course.solution, {"double-answer": spy}))
    grade(course, student="spy")
    assert "20240229" not in course.path("autograded", "spy").read_text()
    record = records_of(course.folder, LAB).find("spy")
    assert record is not None
    assert "20240229" not in json.dumps(record.to_json())


def test_deadlines_and_time_stamps_reach_the_gradebook(course: Course) -> None:
    stamp = course.path("submitted", "anna").parent / "timestamp.txt"
    stamp.write_text("2025-03-04 10:00:00 UTC")
    (course.path("submitted", "ben").parent / "timestamp.txt").write_text("yesterday evening")
    results = {student: grade(course, student=student)[student] for student in ("anna", "ben")}
    with course.gradebook() as book:
        book.update_or_create_assignment(LAB, duedate="2025-03-02 10:00:00 UTC")
        assert book.find_submission(LAB, "anna").total_seconds_late == 2 * 24 * 3600
        assert book.find_submission(LAB, "ben").timestamp is None
    assert "could not be read" in results["ben"][0].remarks[0]
    assert nbformat.read(course.path("autograded", "anna"), as_version=4).cells


def test_mistakes_on_the_command_line_are_explained(
    course: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, words in {
        ("autograde", "lab9"): "which lab is 'lab9'",
        ("autograde", LAB, "--student", "nobody"): "nobody has handed in nothing",
        ("autograde", LAB, "--jobs", "-1"): "--jobs must be at least 1",
        ("autograde", LAB, "--minutes", "0"): "--minutes must be positive",
    }.items():
        assert main(list(arguments)) == 2
        assert words in capsys.readouterr().err
    with records_of(course.folder, LAB).locked():
        assert main(["autograde", LAB]) == 2
    assert "being graded by another `course autograde`" in capsys.readouterr().err


def test_without_a_jail_nothing_is_graded_unless_asked_for(
    course: Course, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COURSE_UNSAFE", raising=False)
    monkeypatch.setattr("course_tools.grading.batch.run.missing", lambda: "there is no bwrap")
    assert main(["autograde", LAB]) == 2
    assert "there is no bwrap" in capsys.readouterr().err
    assert gradebook(course) == {}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_device_reaches_whoever_executes(
    course: Course, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker's environment is its own; this process's must stay as it is.
    monkeypatch.setattr("course_tools.grading.batch.grade._environment", lambda settings: None)
    scratch = _Scratch(_read_lab(course), Settings("12345", device=device))
    try:
        executor = ExecuteWithin(parent=Autograde(config=scratch.course.config()))
        assert executor.device == device
    finally:
        shutil.rmtree(scratch.folder)
