"""Nothing that a student puts into an archive makes it somebody else's, or earlier than it came."""

import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from downloads import EARLY, LAB, LATE, archive, lines, submitted

from course_tools.grading.collect import Roster, collect

NEXT_YEARS = (2030, 1, 1, 0, 0, 0)
MINE, ALANS = "lovelaceada_1_2_mine.zip", "turingalan_3_4_lab1_tiny.ipynb"


@pytest.fixture
def roster(tmp_path: Path) -> Roster:
    path = tmp_path / "roster.csv"
    path.write_text("id,first_name,last_name,lms_id\nal01,Ada,Lovelace,1\nat02,Alan,Turing,3\n")
    return Roster.read(path)


def packed(folder: Path, name: str, members: dict[str, str], time: tuple[int, ...] = EARLY) -> bytes:
    """The contents of a student's archive."""
    path = archive(folder / name, members, time)
    content = path.read_bytes()
    path.unlink()
    return content


def bulk(path: Path, members: dict[str, bytes | str], time: tuple[int, ...] = LATE) -> Path:
    """A platform's archive, in which students' archives lie as they were handed in."""
    with zipfile.ZipFile(path, "w") as whole:
        for name, content in members.items():
            whole.writestr(zipfile.ZipInfo(name, time), content)
    return path


def timestamp(root: Path, student: str) -> str:
    return (root / "submitted" / student / LAB / "timestamp.txt").read_text().strip()


def utc(time: tuple[int, ...]) -> str:
    return f"{datetime(*time).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@pytest.mark.parametrize(
    "inner",
    [
        "turingalan_3_9_lab1_tiny.ipynb",
        "Alan Turing_5_assignsubmission_file_/lab1_tiny.ipynb",
        "Alan Turing_5_assignsubmission_file_lab1_tiny.ipynb",
        "at02_lab1.ipynb",
        "at02/lab1_tiny.ipynb",
    ],
)
@pytest.mark.parametrize("with_roster", [True, False])
def test_what_lies_in_a_students_archive_is_the_students(
    tmp_path: Path, roster: Roster, inner: str, with_roster: bool
) -> None:
    adas = packed(tmp_path, MINE, {inner: "ada's"}, NEXT_YEARS)
    canvas = bulk(tmp_path / "submissions.zip", {MINE: adas, ALANS: "alan's"})
    outcomes = collect(tmp_path, LAB, [canvas], roster if with_roster else None)
    ids = ("al01", "at02") if with_roster else ("lovelaceada", "turingalan")
    assert submitted(tmp_path) == dict(zip(ids, ("ada's", "alan's"), strict=True))
    if "5_" in inner or "3_" in inner:
        assert f"{ids[0]}: submissions.zip/{MINE}/{inner} bears the name of" in lines(outcomes)


@pytest.mark.parametrize("platforms", ["lovelaceada_1_2_", "Ada Lovelace_1_assignsubmission_file_"])
@pytest.mark.parametrize(
    "chosen", ["x_3_assignsubmission_file_lab1", "turingalan_3_9_x", "at02_lab1", "at02"]
)
def test_what_a_student_calls_a_file_makes_it_nobody_elses(
    tmp_path: Path, roster: Roster, platforms: str, chosen: str
) -> None:
    members: dict[str, bytes | str] = {f"{platforms}{chosen}.ipynb": "ada's"}
    collect(tmp_path, LAB, [bulk(tmp_path / "submissions.zip", members)], roster)
    assert submitted(tmp_path) == {"al01": "ada's"}


def test_an_unpacked_download_is_as_safe(tmp_path: Path, roster: Roster) -> None:
    folder = tmp_path / "canvas"
    folder.mkdir()
    bulk(folder / MINE, {ALANS: "ada's"}, NEXT_YEARS)
    (folder / ALANS).write_text("alan's")
    for known in (roster, None):
        collect(tmp_path, LAB, [folder], known)
    assert submitted(tmp_path) == {
        **dict.fromkeys(("al01", "lovelaceada"), "ada's"),
        **dict.fromkeys(("at02", "turingalan"), "alan's"),
    }


def test_a_folder_or_archive_with_a_name_decides_over_what_is_in_it(tmp_path: Path) -> None:
    alices = packed(tmp_path, "alice.zip", {"bob_lab1.ipynb": "alice's"})
    members = {"alice.zip": alices, "bob_lab1.ipynb": "bob's", "carol/bob_lab1.ipynb": "carol's"}
    collect(tmp_path, LAB, [bulk(tmp_path / "all.zip", members)])
    assert submitted(tmp_path) == {"alice": "alice's", "bob": "bob's", "carol": "carol's"}


def test_an_archive_that_bears_a_known_name_is_that_students(tmp_path: Path, roster: Roster) -> None:
    direct = archive(tmp_path / "al01.zip", {"Alan Turing_5_assignsubmission_file_/lab1_tiny.ipynb": "ada's"})
    collect(tmp_path, LAB, [direct], roster)
    assert submitted(tmp_path) == {"al01": "ada's"}


@pytest.mark.parametrize("name", ["SSL-Lab 1-98765.zip", "SSL-lab1-98765.zip", "moodle.zip"])
def test_a_class_of_one(tmp_path: Path, name: str) -> None:
    download = archive(tmp_path / name, {"Ada_1_assignsubmission_file_/lab1_tiny.ipynb": "ada's"})
    collect(tmp_path, LAB, [download])
    assert submitted(tmp_path) == {"ada": "ada's"}


def test_a_class_in_a_folder_of_its_archive(tmp_path: Path) -> None:
    names = [f"hand-ins/{student}_lab1.ipynb" for student in ("bob", "carol")]
    collect(tmp_path, LAB, [archive(tmp_path / "monday.zip", dict.fromkeys(names, "x"))])
    assert submitted(tmp_path) == {"bob": "x", "carol": "x"}


@pytest.mark.parametrize("with_roster", [True, False])
def test_downloads_in_folders_of_the_instructors(tmp_path: Path, roster: Roster, with_roster: bool) -> None:
    folder = tmp_path / "downloads" / "monday"
    folder.mkdir(parents=True)
    archive(folder / "first.zip", {"Ada Lovelace_1_assignsubmission_file_/lab1_tiny.ipynb": "ada's"})
    (folder / ALANS).write_text("alan's")
    unpacked = folder / "SSL-Lab 1-98765" / "Zoë_9_assignsubmission_file_"
    unpacked.mkdir(parents=True)
    (unpacked / "lab1_tiny.ipynb").write_text("zoe's")
    collect(tmp_path, LAB, [folder.parent], roster if with_roster else None)
    ada, alan = ("al01", "at02") if with_roster else ("ada-lovelace", "turingalan")
    assert submitted(tmp_path) == {ada: "ada's", alan: "alan's", "zoe": "zoe's"}


def test_an_archive_of_the_class_may_look_like_a_file_of_canvas(tmp_path: Path, roster: Roster) -> None:
    collect(tmp_path, LAB, [bulk(tmp_path / "SSL_2026_03_02.zip", {ALANS: "alan's"})], roster)
    assert submitted(tmp_path) == {"at02": "alan's"}


@pytest.mark.parametrize("own", [EARLY, NEXT_YEARS])
def test_an_archive_was_handed_in_when_the_platform_says(tmp_path: Path, own: tuple[int, ...]) -> None:
    adas = packed(tmp_path, MINE, {"lab1_tiny.ipynb": "ada's", "points.csv": "1"}, own)
    collect(tmp_path, LAB, [bulk(tmp_path / "submissions.zip", {MINE: adas, ALANS: "alan's"}, LATE)])
    assert timestamp(tmp_path, "lovelaceada") == timestamp(tmp_path, "turingalan") == utc(LATE)


def test_an_archive_was_handed_in_when_the_folder_says(tmp_path: Path) -> None:
    folder = tmp_path / "canvas"
    folder.mkdir()
    path = archive(folder / MINE, {"lab1_tiny.ipynb": "ada's"}, EARLY)
    os.utime(path, (datetime(*LATE).timestamp(),) * 2)
    collect(tmp_path, LAB, [folder])
    assert timestamp(tmp_path, "lovelaceada") == utc(LATE)


def test_in_an_archive_of_the_class_times_are_the_platforms(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    bulk(folder / "first.zip", {"Ada_1_assignsubmission_file_/lab1_tiny.ipynb": "ada's"}, EARLY)
    collect(tmp_path, LAB, [folder])
    assert timestamp(tmp_path, "ada") == utc(EARLY)


def test_several_notebooks_in_a_students_archive_are_the_students(tmp_path: Path, roster: Roster) -> None:
    adas = bulk(tmp_path / MINE, {"lab1_tiny.ipynb": "new"}, LATE)
    with zipfile.ZipFile(adas, "a") as own:
        own.writestr(zipfile.ZipInfo("draft.ipynb", EARLY), "old")
    canvas = bulk(tmp_path / "submissions.zip", {MINE: adas.read_bytes(), ALANS: "alan's"})
    adas.unlink()
    for known, student in ((roster, "al01"), (None, "lovelaceada")):
        outcomes = collect(tmp_path, LAB, [canvas], known)
        assert f"{student}: handed in 2 notebooks: the latest is taken, submissions.zip/{MINE}/lab1" in lines(
            outcomes
        )
        assert submitted(tmp_path)[student] == "new"
