"""What is remembered of a class between runs, and what becomes of marks when grading breaks down."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_lab import hand_in, make_clone

from course_tools.build.sync import sync
from course_tools.grading.autograde import Course, Item
from course_tools.grading.batch import FAILED, GRADED, Options, Result, grade_class, records_of, run
from course_tools.grading.batch import grade as grading
from course_tools.grading.batch.processes import _environment
from course_tools.grading.batch.records import Records, common_fingerprint, fingerprint
from course_tools.grading.batch.run import _read_lab
from course_tools.grading.batch.task import Settings, Task

LAB = "lab1_tiny"


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A tiny course in which one student has handed in."""
    root = make_clone(tmp_path_factory.mktemp("records") / "clone")
    sync(root)
    course = Course(root, LAB, root / "nbgrader_config.py")
    path = course.path("submitted", "anna")
    path.parent.mkdir(parents=True)
    path.write_text(hand_in(course.solution, {"q1": "Because."}))
    return course


def grade(course: Course, **options: Any) -> dict[str, tuple[Result, bool]]:
    return {
        result.student: (result, now) for result, now in grade_class(course.folder, LAB, Options(**options))
    }


def result(error: str = "", status: str = GRADED) -> Result:
    return Result("anna", status, [], [Item("double", 5, 5, "", error, "why")], {}, 1.0)


def test_more_time_matters_only_to_those_who_ran_out_of_it(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(result(), "print", 600)
    assert records.is_done("anna", "print", 1200)
    records.write(result("TooSlow"), "print", 600)
    assert not records.is_done("anna", "print", 1200)
    assert records.is_done("anna", "print", 300), "less time is no reason to grade again"
    assert not records.is_done("anna", "another", 600)


def test_an_outdated_record_is_not_done_and_forgets_nothing(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.outdate("anna")
    assert records.students() == []
    records.write(result(), "print", 600)
    records.outdate("anna")
    assert not records.is_done("anna", "print", 600)
    assert not records.is_done("anna", "", 600), "nor if its files cannot be read"
    assert records.find("anna") == result()
    assert records.bases("anna") == {"double": "why"}
    records.write(replace(result(), status=FAILED, items=[Item("double", None, 5)]), "print", 600)
    assert records.bases("anna") == {"double": "why"}, "grading broke down: the mark stands for what it did"


def test_fingerprints(course: Course, tmp_path: Path) -> None:
    lab, settings = _read_lab(course), Settings("1")
    common = common_fingerprint(lab, settings)
    assert common == common_fingerprint(lab, replace(settings, seconds=60))
    for other in (Settings("2"), Settings("1", device="cuda"), Settings("1", unsafe=True)):
        assert common != common_fingerprint(lab, other)
    name = os.fsdecode("Lösung.csv".encode("latin-1"))  # as old programs unpack archives
    try:
        (tmp_path / name).write_text("1")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    before = fingerprint(common, tmp_path, None)
    (tmp_path / name).write_text("2")
    assert before != fingerprint(common, tmp_path, None)


def test_where_grading_breaks_down_the_earlier_marks_stand(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade(course)
    with course.gradebook() as book:
        mark = book.find_grade("q1", LAB, LAB, "anna")
        mark.manual_score, mark.needs_manual_grade = 1.5, False
        book.db.commit()
    page = course.path("autograded", "anna").read_text()

    with monkeypatch.context() as patch:

        def unreadable(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        patch.setattr(run, "read_submission", unreadable)
        broken, now = grade(course, student="anna")["anna"]
    assert (broken.status, now) == (FAILED, True)
    assert "could not be read (Permission denied); that is not a mark" in broken.remarks[0]
    assert course.path("autograded", "anna").read_text() == page

    again, now = grade(course)["anna"]
    assert (again.status, again.score, now) == (GRADED, 8, True), "the next run tries again"
    with course.gradebook() as book:
        assert book.find_submission(LAB, "anna").score == 9.5
        assert not book.find_submission(LAB, "anna").needs_manual_grade, "the answer has not changed"


def test_a_run_killed_while_one_is_graded_again_is_repaired(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade(course)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run.books, "record", killed)
        with pytest.raises(Killed):
            grade(course, student="anna")
    assert grade(course)["anna"][1], "it does not count as done"
    assert not grade(course)["anna"][1]


def test_a_worker_that_lives_on_takes_each_labs_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.delenv("COURSE_UNSAFE", raising=False)
    monkeypatch.setenv("COURSE_STATIC", "1")
    grading._given.cache_clear()
    found = []
    for settings in (Settings("1", unsafe=True), Settings("1"), Settings("1", device="cuda")):
        grading._environment(settings)
        found.append((os.environ.get("COURSE_UNSAFE"), os.environ["CUDA_VISIBLE_DEVICES"]))
    grading._given.cache_clear()
    assert found == [("1", ""), (None, ""), (None, "3")]


def test_workers_take_turns_on_the_gpus_they_were_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("course_tools.grading.batch.processes.gpu_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    chosen = [_environment(number, 2, tmp_path)["CUDA_VISIBLE_DEVICES"] for number in range(3)]
    assert chosen == ["5", "7", "5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert _environment(1, 2, tmp_path)["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_flooded_worker_ends_before_the_machine_does() -> None:
    flood = (
        "from course_tools.grading.batch.processes import _limit_memory\n"
        "_limit_memory()\n"
        "bytearray(2 * 2**30)\n"
        "print('two')\n"
        "bytearray(4 * 2**30)"
    )
    done = subprocess.run([sys.executable, "-c", flood], capture_output=True, text=True)
    assert done.stdout == "two\n"
    assert "MemoryError" in done.stderr


def test_other_graded_cells_than_the_gradebooks_are_explained(course: Course) -> None:
    grade(course)
    solution = course.solution.read_text()
    try:
        course.solution.write_text(solution.replace('"grade_id": "halve"', '"grade_id": "half"'))
        with pytest.raises(ValueError, match="gradebook holds submissions of another version of lab1_tiny"):
            grade(course)
    finally:
        course.solution.write_text(solution)


def test_a_folder_name_that_nothing_can_store_is_told(course: Course) -> None:
    folder = course.folder / "submitted" / os.fsdecode("müller".encode("latin-1")) / LAB
    try:
        folder.mkdir(parents=True)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    try:
        with pytest.raises(ValueError, match="rename these folders"):
            grade(course)
    finally:
        folder.rmdir()
        folder.parent.rmdir()


def test_a_task_that_could_not_be_read_is_no_mark(course: Course) -> None:
    task = Task("anna", _read_lab(course), Settings("1"), None, failure="It could not be read.")
    failed = grading.grade(task)
    assert failed.status == FAILED
    assert [item.score for item in failed.items] == [None, None, None]
    assert records_of(course.folder, LAB).folder == course.folder / "grades" / LAB
    grading.clean_up()
