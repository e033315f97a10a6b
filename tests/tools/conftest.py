"""What the main job makes of the lectures and labs, shared with it: nothing that is unchanged runs twice."""

from collections.abc import Callable
from pathlib import Path

import pytest

from course_tools.build.outcome import Outcome
from course_tools.build.project import find_root
from course_tools.build.run import Options, all_parts, outcome_of
from course_tools.build.state import State


@pytest.fixture(scope="session", name="outcome_of")
def fixture_outcome_of() -> Callable[[str], Outcome]:
    """Name of a part of `make course` -> its outcome, an earlier one if no ingredient has changed since."""
    root = find_root(Path(__file__))
    parts = {part.name: part for part in all_parts(root, Options(seed="271828"))}
    state = State(root / "build")
    return lambda name: outcome_of(parts[name], state)
