"""What the autograder makes of answers that crash, hang, die or warn, on a tiny lab."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_lab import ROOT, hand_in, make_clone

from course_tools.build.sync import sync
from course_tools.grading import autograde as grading
from course_tools.grading.autograde import Course, Item


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    folder = tmp_path_factory.mktemp("grading")
    root = make_clone(folder / "clone")
    sync(root)
    solution = root / "solutions" / "lab1_tiny" / "lab1_tiny.ipynb"
    return grading.open_course(folder / "course", "lab1_tiny", solution, root / "nbgrader_config.py")


def graded(course: Course, student: str, answers: dict[str, str]) -> dict[str, Item]:
    """The items of a submission that is the solution but for these answers."""
    notebook = course.folder / f"{student}.ipynb"
    notebook.write_text(hand_in(course.solution, answers))
    grading.submit(course, student, notebook)
    grading.autograde(course, student, cell_timeout=3)
    grading.credit_model_answers(course, student)
    return {item.name: item for item in grading.items(course, student)}


def scores(items: dict[str, Item]) -> dict[str, float | None]:
    return {name: item.score for name, item in items.items()}


def test_the_solution_earns_everything_although_a_test_warns(course: Course) -> None:
    assert scores(graded(course, "solution", {})) == {"double": 5, "halve": 3, "q1": 2}
    assert grading.errors(course, "solution") == []


def test_the_blank_lab_earns_nothing_and_fails_with_not_implemented_only(course: Course) -> None:
    grading.submit(course, "blank", course.released)
    grading.autograde(course, "blank")
    assert grading.credit_model_answers(course, "blank") == 0
    assert [item.score for item in grading.items(course, "blank")] == [0, 0, 0]
    assert set(grading.errors(course, "blank")) == {"NotImplementedError"}


def test_an_exception_costs_its_own_item_and_is_quoted(course: Course) -> None:
    items = graded(course, "crash", {"double-answer": "def double(x): return nowhere"})
    assert scores(items) == {"double": 0, "halve": 3, "q1": 2}
    assert items["double"].line == "NameError: name 'nowhere' is not defined"


def test_an_endless_loop_is_stopped_and_the_rest_still_scores(course: Course) -> None:
    items = graded(course, "loop", {"double-answer": "def double(x):\n    while True: pass"})
    assert scores(items) == {"double": 0, "halve": 3, "q1": 2}
    assert "longer than 3 s" in items["double"].line
    assert "endless loop" in grading.write_feedback(course, "loop").read_text()


def test_a_dead_kernel_is_named_and_leaves_a_result(course: Course) -> None:
    items = graded(course, "dead", {"double-answer": "import os\ndef double(x): os._exit(1)"})
    assert scores(items) == {"double": 0, "halve": 0, "q1": 2}
    assert "Python died" in items["double"].line
    assert "Python died" in grading.write_feedback(course, "dead").read_text()


def test_a_cell_that_cannot_be_interrupted_leaves_a_result(course: Course) -> None:
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    stubborn = f"import signal, time\ndef double(x):\n    {deaf}\n    time.sleep(60)"
    items = graded(course, "stubborn", {"double-answer": stubborn})
    assert scores(items) == {"double": 0, "halve": 0, "q1": 2}
    assert "could not be stopped" in items["halve"].line


def test_a_changed_or_deleted_test_is_put_back(course: Course) -> None:
    items = graded(course, "cheat", {"double-answer": "def double(x): return 0", "double": "pass"})
    assert items["double"].score == 0
    items = graded(course, "tidy", {"double-answer": "def double(x): return 0", "double": ""})
    assert items["double"].score == 0


def test_a_written_answer_in_own_words_waits_for_a_reader(course: Course) -> None:
    items = graded(course, "own", {"q1": "Because two halves make a whole."})
    assert scores(items) == {"double": 5, "halve": 3, "q1": None}


def test_a_kernel_does_not_get_the_secret_seed(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_SECRET_SEED", "20240229")
    show = "import os\ndef double(x):\n    raise RuntimeError(os.environ.get('COURSE_SECRET_SEED'))"
    assert graded(course, "curious", {"double-answer": show})["double"].line == "RuntimeError: None"


def test_a_lab_whose_graded_cells_are_no_checks_is_refused_unless_told_otherwise(
    course: Course, tmp_path: Path
) -> None:
    strict = tmp_path / "nbgrader_config.py"
    strict.write_text((ROOT / "nbgrader_config.py").read_text())
    trusting = replace(course, config_file=strict)
    grading.submit(trusting, "strict", course.solution)
    with pytest.raises(RuntimeError, match=r"'double' must be exactly check\('double', <function>\)"):
        grading.autograde(trusting, "strict")


def test_what_cannot_be_graded_at_all_says_why(course: Course, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ipynb"
    broken.write_text("{ not json")
    grading.submit(course, "broken", broken)
    with pytest.raises(RuntimeError, match="broken"):
        grading.autograde(course, "broken")
