"""What the main job and the tests remember of each part."""

from pathlib import Path

import pytest

from course_tools.build.lanes import Job
from course_tools.build.outcome import Outcome
from course_tools.build.run import Part, outcome_of
from course_tools.build.state import State

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


def test_two_who_share_a_folder_do_a_part_once(state: State) -> None:
    calls: list[str] = []

    def work(bar: object = None) -> Outcome:
        calls.append("worked")
        return GOOD

    part = Part(Job(GOOD.name, work, {}), "a", lambda: calls.append("prepared"))
    assert outcome_of(part, state).status == "ok"
    assert outcome_of(part, State(state.folder.parent)).status == "unchanged"
    assert calls == ["prepared", "worked"]
