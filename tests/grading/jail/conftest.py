import pytest

from course_lib.grading.jail import missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not missing():
        return
    skip = pytest.mark.skip(reason=f"no jail on this machine: {missing()}")
    for item in items:
        if item.get_closest_marker("jail"):
            item.add_marker(skip)
