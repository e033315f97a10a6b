"""Who is meant by a name, a number or an address, and when nobody can tell."""

from pathlib import Path

import pytest
from downloads import LAB, archive, lines, submitted

from course_tools.grading.collect import Roster, collect
from course_tools.grading.collect.roster import Owner

TWO_OF_A_NAME = "id,first_name,last_name,lms_id\nww01,Wei,Wang,31\nww02,Wei,Wang,32\nal01,Ada,Lovelace,77\n"


def roster(folder: Path, text: str) -> Roster:
    path = folder / "roster.csv"
    path.write_text(text)
    return Roster.read(path)


def moodle(folder: Path, *names: str) -> Path:
    members = {f"{name}_assignsubmission_file_/{LAB}.ipynb": name for name in names}
    return archive(folder / "moodle.zip", members)


def test_a_name_that_two_have_is_nobodys_and_a_line_says_so(tmp_path: Path) -> None:
    class_list = roster(tmp_path, TWO_OF_A_NAME)
    outcomes = collect(tmp_path, LAB, [moodle(tmp_path, "Wei Wang_501", "Wei Wang_502")], class_list)
    assert submitted(tmp_path) == {}
    assert lines(outcomes).count("left out, Wei Wang") == 2
    assert "Wei Wang (501) may be ww01 or ww02 on the roster" in lines(outcomes)


def test_the_platforms_number_decides_between_two_of_a_name(tmp_path: Path) -> None:
    class_list = roster(tmp_path, TWO_OF_A_NAME)
    collect(tmp_path, LAB, [moodle(tmp_path, "Wei Wang_31", "Wei Wang_32")], class_list)
    assert submitted(tmp_path) == {"ww01": "Wei Wang_31", "ww02": "Wei Wang_32"}


def test_a_number_and_a_name_of_two_students_are_nobodys(tmp_path: Path) -> None:
    outcomes = collect(tmp_path, LAB, [moodle(tmp_path, "Ada Lovelace_31")], roster(tmp_path, TWO_OF_A_NAME))
    assert submitted(tmp_path) == {}
    assert "Ada Lovelace (31) may be al01 or ww01 on the roster" in lines(outcomes)


@pytest.mark.parametrize("rows", ["lk01,Lee,Kim,81\nkl02,Kim,Lee,82\n", "kl02,Kim,Lee,82\nlk01,Lee,Kim,81\n"])
def test_a_swapped_name_is_no_name_where_somebody_has_it_straight(tmp_path: Path, rows: str) -> None:
    class_list = roster(tmp_path, "id,first_name,last_name,lms_id\n" + rows)
    assert class_list.find(Owner("Kim Lee")) == {"kl02"}
    assert class_list.find(Owner("Lee Kim")) == {"lk01"}
    # Canvas writes the last name first, if the account has one: without a number it may be either.
    assert class_list.find(Owner("leekim", last_first=True)) == {"kl02", "lk01"}
    assert class_list.find(Owner("leekim", "82", last_first=True)) == {"kl02"}


def test_a_swapped_name_counts_where_nobody_else_has_it(tmp_path: Path) -> None:
    class_list = roster(tmp_path, TWO_OF_A_NAME)
    assert class_list.find(Owner("Lovelace, Ada")) == {"al01"}
    assert class_list.ids == {"al01", "ww01", "ww02"}


def test_addresses_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    class_list = roster(tmp_path, "id,email\na1,kim@uni.edu\nb2,kim@lab.edu\n")
    assert class_list.find(Owner("kim@lab.edu")) == {"b2"}
    assert class_list.find(Owner("kim")) == {"a1", "b2"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        ("id,name\na1,Jürgen\n".encode("latin-1"), "is no CSV file in UTF-8"),
        (b"id,name\n../up,Ada\n", "every row needs an `id` that can name a folder"),
    ],
)
def test_a_roster_that_cannot_be_used_gets_a_sentence(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "roster.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=why):
        Roster.read(path)
