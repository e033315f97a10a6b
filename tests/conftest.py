import os

import pytest
import torch

try:
    from course_tools.grading.jail import missing
except ModuleNotFoundError:  # the library's own tests also run where the `course` extra is not installed

    def missing() -> str:
        return "the course extra is not installed"


# Tests run in parallel processes, one thread each; results must not depend on how many cores there are.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


# Without a jail, what needs just any kernel takes an ordinary one; the tests of the jail itself are skipped.
if missing():
    os.environ.setdefault("COURSE_UNSAFE", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a CUDA device")
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(skip)
    # The longest first, so that two processes finish together.
    long = ("test_the_lecture_runs", "test_a_submission_scores")
    items.sort(
        key=lambda item: next((rank for rank, name in enumerate(long) if name in item.name), len(long))
    )
