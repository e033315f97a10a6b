"""What the main job makes of the lectures and labs, shared with it: nothing that is unchanged runs twice."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from course_tools.build.outcome import Outcome
from course_tools.build.project import find_root
from course_tools.build.run import Options, all_parts, make
from course_tools.build.state import State


@pytest.fixture(scope="session", name="outcome_of")
def fixture_outcome_of() -> Callable[[str], Outcome]:
    """Name of a part of `make course` -> its outcome, an earlier one if no ingredient has changed since."""
    root = find_root(Path(__file__))
    # A fixed seed, and the main job draws one: no mark may depend on it, so either's outcome will do.
    options = Options(seed="271828", threads=int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    parts = {part.name: part for part in all_parts(root, options)}
    state = State(root / "build", maker="tests")
    return lambda name: make(parts[name], state)
