"""Ids made from names do not depend on the order or the company in which people stand in a download."""

from pathlib import Path

from downloads import EARLY, LAB, LATE, archive, submitted

from course_tools.grading.collect import collect

Time = tuple[int, int, int, int, int, int]


def kims(folder: Path, *numbers: str, time: Time = EARLY) -> Path:
    """A download of people called Kim Lee, each with their number for a notebook."""
    names = {f"Kim Lee_{number}_assignsubmission_file_/{LAB}.ipynb": number for number in numbers}
    return archive(folder / "moodle.zip", names, time)


def test_the_order_does_not_matter(tmp_path: Path) -> None:
    for number, order in enumerate((("9", "12"), ("12", "9"))):
        root = tmp_path / str(number)
        root.mkdir()
        collect(root, LAB, [kims(tmp_path, *order)])
        assert submitted(root) == {"kim-lee": "9", "kim-lee-12": "12"}


def test_who_is_missing_from_a_later_download_is_not_replaced(tmp_path: Path) -> None:
    collect(tmp_path, LAB, [kims(tmp_path, "9", "12")])
    collect(tmp_path, LAB, [kims(tmp_path, "12", time=LATE)])
    assert submitted(tmp_path) == {"kim-lee": "9", "kim-lee-12": "12"}


def test_who_comes_in_a_later_download_replaces_nobody(tmp_path: Path) -> None:
    collect(tmp_path, LAB, [kims(tmp_path, "12")])
    collect(tmp_path, LAB, [kims(tmp_path, "9", time=LATE)])
    assert submitted(tmp_path) == {"kim-lee": "12", "kim-lee-9": "9"}
    collect(tmp_path, LAB, [kims(tmp_path, "9", "12", time=LATE)])
    assert submitted(tmp_path) == {"kim-lee": "12", "kim-lee-9": "9"}


def test_a_number_of_an_earlier_lab_is_the_same_student(tmp_path: Path) -> None:
    collect(tmp_path, "lab0", [kims(tmp_path, "9", "12")])
    collect(tmp_path, LAB, [kims(tmp_path, "12", time=LATE)])
    assert submitted(tmp_path) == {"kim-lee-12": "12"}
