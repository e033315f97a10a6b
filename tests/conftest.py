import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

try:
    from course_tools.build.processor import processor_seconds
    from course_tools.build.times import TESTS_TOOK, week_of
    from course_tools.grading.jail import missing
except ModuleNotFoundError:  # the library's own tests also run where the `course` extra is not installed
    TESTS_TOOK = ""

    def missing() -> str:
        return "the course extra is not installed"


# Tests run in parallel processes, one thread each; results must not depend on how many cores there are.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


# Without a jail, what needs just any kernel takes an ordinary one; the tests of the jail itself are skipped.
if missing():
    os.environ.setdefault("COURSE_UNSAFE", "1")


LONG = ("test_the_lecture_runs", "test_a_submission_scores")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a CUDA device")
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(skip)
    # The longest first, so that two processes finish together.
    items.sort(
        key=lambda item: next((rank for rank, name in enumerate(LONG) if name in item.name), len(LONG))
    )


@pytest.hookimpl(optionalhook=True)  # pytest-xdist asks, where it is used
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests run in one process, so that what they share is made once; the longest go anywhere."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if any(name in nodeid for name in LONG) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # else the longest, each by itself, would come last
    return ByFile(config, log)


_took: dict[str, float] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    if TESTS_TOOK and week_of(item.nodeid):
        item.user_properties.append(("began", processor_seconds()))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    result = yield
    if began := dict(item.user_properties).get("began"):
        item.user_properties.append(("took", round(processor_seconds() - float(str(began)), 2)))
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown" and (took := dict(report.user_properties).get("took")) is not None:
        _took[report.nodeid] = float(str(took))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what the unit tests of the weeks took, for `course times`; tests that are gone are left out."""
    if not _took or hasattr(session.config, "workerinput"):
        return
    root = session.config.rootpath
    path = root / "build" / TESTS_TOOK
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    # Where a file's tests were run, they replace what was known of that file: some may have another name.
    files = {test.partition("::")[0] for test in _took}
    kept = {
        test: seconds
        for test, seconds in earlier.items()
        if test.partition("::")[0] not in files and (root / test.partition("::")[0]).is_file()
    }
    path.parent.mkdir(exist_ok=True)
    beside = Path(f"{path}.{os.getpid()}")
    beside.write_text(json.dumps(kept | _took, indent=1), encoding="utf-8")
    beside.replace(path)
