"""What the main job and the tests remember of each part."""

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from course_tools.build.lanes import Job
from course_tools.build.outcome import Outcome
from course_tools.build.run import Part, make
from course_tools.build.state import State, fingerprint

GOOD = Outcome("lab1_x/right", 3.0, "10/10", pages=["page.html"])


@pytest.fixture
def state(tmp_path: Path) -> State:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "page.html").write_text("a page")
    return State(tmp_path)


def test_an_outcome_is_taken_again_while_its_ingredients_are_the_same(state: State) -> None:
    assert state.recall(GOOD.name, "a") is None
    state.remember(GOOD, "a")
    found = state.recall(GOOD.name, "a")
    assert found
    assert (found.headline, found.status) == ("10/10", "unchanged")
    assert state.recall(GOOD.name, "b") is None
    (state.report / "page.html").unlink()
    assert state.recall(GOOD.name, "a") is None, "its page is gone"


def test_what_went_wrong_is_done_again(state: State) -> None:
    state.remember(Outcome("week1_x", 1.0, problem="cell 3"), "a")
    assert state.recall("week1_x", "a") is None
    assert [each.problem for each in state.outcomes()] == ["cell 3"]


@pytest.mark.parametrize("damage", ["", '{"fingerprint": "a"', "[]", '{"fingerprint": "a", "outcome": {}}'])
def test_a_damaged_file_counts_as_absent(damage: str, state: State) -> None:
    state.remember(GOOD, "a")
    (path,) = state.folder.rglob("*.json")
    path.write_text(damage)
    assert state.recall(GOOD.name, "a") is None
    assert state.outcomes() == []
    state.remember(GOOD, "a")
    assert state.recall(GOOD.name, "a")


def test_the_main_job_takes_nothing_from_the_tests(state: State) -> None:
    tests = State(state.build, maker="tests")
    tests.remember(GOOD, "a")
    assert tests.recall(GOOD.name, "a")
    assert state.recall(GOOD.name, "a") is None
    state.remember(GOOD, "a")
    assert tests.recall(GOOD.name, "a"), "but they take from it"


def test_an_executed_notebook_that_is_gone_is_made_again(state: State) -> None:
    lecture = Outcome("week1_x", 1, executed="executed/week1_x.ipynb")
    state.remember(lecture, "a")
    assert state.recall(lecture.name, "a") is None
    (state.build / "executed").mkdir()
    (state.build / lecture.executed).write_text("{}")
    assert state.recall(lecture.name, "a")


def work(log: Path, seconds: float, bar: object = None) -> Outcome:
    with log.open("a") as file:
        file.write("worked\n")
    time.sleep(seconds)
    return GOOD


def part(log: Path, seconds: float = 0) -> Part:
    return Part(Job(GOOD.name, work, {"log": log, "seconds": seconds}), "a")


def test_two_at_the_same_time_do_a_part_once(state: State, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with ProcessPoolExecutor(2, get_context("forkserver")) as pool:
        outcomes = [pool.submit(make, part(log, seconds=1), state) for _ in range(2)]
        assert sorted(each.result().status for each in outcomes) == ["ok", "unchanged"]
    assert log.read_text() == "worked\n"


def test_a_part_can_be_made_afresh(state: State, tmp_path: Path) -> None:
    log = tmp_path / "log"
    prepared: list[str] = []
    for afresh in (False, False, True):
        make(replace(part(log), prepare=lambda: prepared.append("prepared")), state, afresh=afresh)
    assert log.read_text() == "worked\nworked\n"
    assert len(prepared) == 2


def test_what_was_interrupted_is_not_known(state: State, tmp_path: Path) -> None:
    state.remember(GOOD, "a")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(replace(part(tmp_path / "log"), prepare=stop), state, afresh=True)
    assert state.recall(GOOD.name, "a") is None, "its page may be half written"
    with state.lock(GOOD.name).acquire(blocking=False):
        pass


def test_the_key_of_an_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_SECRET_SEED", "1")
    notebook, folder = tmp_path / "a.ipynb", tmp_path / "photographs"
    folder.mkdir()
    notebook.write_text("{}")
    keys = [fingerprint(notebook, folder)]
    monkeypatch.setenv("COURSE_SECRET_SEED", "2")
    assert fingerprint(notebook, folder) == keys[0], "no mark depends on the seed"
    keys.append(fingerprint(notebook, folder, threads=2))
    keys.append(fingerprint(notebook, folder, "PROFILE = full"))
    (folder / "1.png").write_bytes(b"1")
    keys.append(fingerprint(notebook, folder))
    notebook.write_text("{ }")
    keys.append(fingerprint(notebook, folder))
    monkeypatch.setenv("COURSE_UNSAFE", "another")
    keys.append(fingerprint(notebook, folder))
    assert len(set(keys)) == len(keys)
