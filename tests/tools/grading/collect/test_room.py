"""How much of the disk one student may take while a class is collected."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import BinaryIO

import pytest
from downloads import LAB, lines, submitted

from course_tools.grading.collect import archives, collect
from course_tools.grading.collect.whose import Names

BIG = os.urandom(600_000)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_STUDENT", 2**20)


def moodle(path: Path, student: str, members: dict[str, bytes], copies: int = 1) -> None:
    """Add what a student has handed in, in so many archives."""
    inner = path.with_name("inner.zip")
    with zipfile.ZipFile(inner, "w") as own:
        for name, content in members.items():
            own.writestr(name, content)
    with zipfile.ZipFile(path, "a") as whole:
        for number in range(copies):
            whole.write(inner, f"{student}_assignsubmission_file_/mine{number}.zip")
    inner.unlink()


@pytest.mark.parametrize("copies", [1, 3])
def test_a_student_with_too_many_data_gets_a_line_and_the_notebook_is_kept(
    tmp_path: Path, copies: int
) -> None:
    path = tmp_path / "moodle.zip"
    data = {f"{name}.bin": BIG for name in "abc"}
    moodle(path, "Mallory_1", {**data, "lab1_tiny.ipynb": b"mallory's"}, copies)
    moodle(path, "Alice_2", {"lab1_tiny.ipynb": b"alice's", "a.bin": BIG})
    outcomes = collect(tmp_path, LAB, [path])
    assert submitted(tmp_path) == {"mallory": "mallory's", "alice": "alice's"}
    assert {each.name for each in tmp_path.glob("submitted/*/*/*.bin")} == {"a.bin"}
    assert (tmp_path / "submitted" / "alice" / LAB / "a.bin").is_file()
    told = lines(outcomes)
    assert told.count("the files of one student may unpack to 1 MB") == 1
    assert "Mallory_1_assignsubmission_file_/mine0.zip/b.bin: refused, the files of one student" in told


def test_archives_and_what_could_not_be_unpacked_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, spool = tmp_path / "moodle.zip", tmp_path / "spool"
    spool.mkdir()
    moodle(path, "Mallory_1", {"big.bin": BIG})
    moodle(path, "Alice_2", {"lab1_tiny.ipynb": b"alice's"})
    copy = shutil.copyfileobj

    def full(source: zipfile.ZipExtFile, target: BinaryIO) -> None:
        copy(source, target)
        if source.name == "big.bin":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    refused, alices = archives.Reader(spool, Names(LAB)).files_in(path)
    assert isinstance(refused, archives.Refused)
    assert refused.why == "it cannot be unpacked ([Errno 28] No space left on device)"
    assert isinstance(alices, archives.Found)
    assert list(spool.iterdir()) == [alices.path]
