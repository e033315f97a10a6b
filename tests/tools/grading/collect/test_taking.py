"""What becomes of a student's folder in submitted/, and of the others when one cannot be written."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from downloads import EARLY, LAB, LATE, archive, lines, submitted
from tiny_lab import make_clone

from course_tools.build.sync import sync
from course_tools.cli import main
from course_tools.grading.batch.intake import MAX_OTHER_BYTES, read_submission
from course_tools.grading.collect import collect

ADA = "Ada_1_assignsubmission_file_"


def moodle(path: Path, members: dict[str, str], time: tuple[int, int, int, int, int, int] = EARLY) -> Path:
    return archive(path, {f"{ADA}/{name}": text for name, text in members.items()}, time)


def test_a_notebook_is_not_replaced_by_none(tmp_path: Path) -> None:
    collect(tmp_path, LAB, [moodle(tmp_path / "first.zip", {"lab1_tiny.ipynb": "ada's"})])
    outcomes = collect(tmp_path, LAB, [moodle(tmp_path / "second.zip", {"points.csv": "1"}, LATE)])
    assert submitted(tmp_path) == {"ada": "ada's"}
    told = lines(outcomes)
    assert "ada: handed in no notebook, only points.csv\nada: the notebook that is there already" in told
    assert not any(outcome.taken for outcome in outcomes)


def test_settings_that_jupyter_would_run_are_left_out(tmp_path: Path) -> None:
    names = ("lab1_tiny.ipynb", "nbgrader_config.py", "Jupyter_Server_Config.json", "config.py", "points.csv")
    outcomes = collect(tmp_path, LAB, [moodle(tmp_path / "moodle.zip", dict.fromkeys(names, "1"))])
    folder = tmp_path / "submitted" / "ada" / LAB
    assert {path.name for path in folder.iterdir()} == {
        "lab1_tiny.ipynb",
        "config.py",
        "points.csv",
        "timestamp.txt",
    }
    assert "ada: nbgrader_config.py is left out: Jupyter would run it as settings" in lines(outcomes)


def test_a_long_name_is_shortened_and_stops_nobody(tmp_path: Path) -> None:
    long = {"é" * 300 + ".csv": "1", "x" * 300: "2", "lab1_tiny.ipynb": "ada's", "y" * 5000: "3"}
    bob = archive(tmp_path / "bob.zip", {"lab1_tiny.ipynb": "bob's"})
    outcomes = collect(tmp_path, LAB, [moodle(tmp_path / "moodle.zip", long), bob])
    assert submitted(tmp_path) == {"ada": "ada's", "bob": "bob's"}
    folder = tmp_path / "submitted" / "ada" / LAB
    assert (folder / ("é" * 125 + ".csv")).read_text() == "1"
    assert (folder / ("x" * 255)).read_text() == "2"
    assert "ada: a name of 304 letters is too long: the file is now called éé" in lines(outcomes)
    assert "refused, its path is too long" in lines(outcomes)


def test_names_that_cannot_be_encoded_or_printed(tmp_path: Path) -> None:
    folder = tmp_path / "downloads" / os.fsdecode(b"J\xfcrgen_1_assignsubmission_file_")
    folder.mkdir(parents=True)
    (folder / "lab1_tiny.ipynb").write_text("his")
    (folder / os.fsdecode(b"m\xfcde\n.csv")).write_text("1")
    (folder / os.fsdecode(b"l\xfcnk")).symlink_to("/etc/passwd")
    missing = tmp_path / os.fsdecode(b"f\xfcnf.zip")
    outcomes = collect(tmp_path, LAB, [folder.parent, missing])
    lines(outcomes).encode()
    assert submitted(tmp_path) == {"j-rgen": "his"}
    assert [path.name for path in (tmp_path / "submitted" / "j-rgen" / LAB).glob("*.csv")] == ["m�de�.csv"]


def test_an_archive_with_a_name_in_no_encoding(tmp_path: Path) -> None:
    inner = archive(tmp_path / "inner.zip", {"é.csv": "1", "lab1_tiny.ipynb": "ada's"})
    broken = inner.read_bytes().replace("é".encode(), b"\xff\xfe")
    whole = tmp_path / "moodle.zip"
    with zipfile.ZipFile(whole, "w") as packed:
        packed.writestr(f"{ADA}/mine.zip", broken)
        packed.writestr("Bob_2_assignsubmission_file_/lab1_tiny.ipynb", "bob's")
    outcomes = collect(tmp_path, LAB, [whole])
    assert submitted(tmp_path) == {"bob": "bob's"}
    assert f"{ADA}/mine.zip: refused, not a readable zip archive ('utf-8' codec" in lines(outcomes)


def test_one_students_trouble_is_a_line_and_not_the_others(tmp_path: Path) -> None:
    members = {f"{'a' * 300}/lab1_tiny.ipynb": "x", "zoe/lab1_tiny.ipynb": "zoe's"}
    endless = archive(tmp_path / "all.zip", members)
    outcomes = collect(tmp_path, LAB, [endless])
    assert submitted(tmp_path) == {"zoe": "zoe's"}
    assert f"{'a' * 300}: could not be collected: File name too long" in lines(outcomes)
    assert [outcome.failed for outcome in outcomes] == [True, False]


def test_what_could_not_be_written_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect(tmp_path, LAB, [moodle(tmp_path / "first.zip", {"lab1_tiny.ipynb": "old"})])

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    outcomes = collect(tmp_path, LAB, [moodle(tmp_path / "second.zip", {"lab1_tiny.ipynb": "new"}, LATE)])
    assert "ada: could not be collected: No space left on device" in lines(outcomes)
    assert submitted(tmp_path) == {"ada": "old"}
    left = {path.name for path in (tmp_path / "submitted" / "ada").iterdir()}
    assert not {name for name in left if name.endswith((".new", ".old"))}


def test_the_command_fails_where_one_student_could_not_be_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_clone(tmp_path / "clone")
    sync(root)
    monkeypatch.chdir(root)
    (root / "submitted").mkdir(exist_ok=True)
    (root / "submitted" / "ada").write_text("a file where a folder should be")
    download = moodle(tmp_path / "moodle.zip", {"lab1_tiny.ipynb": "{}"})
    assert main(["submissions", "collect", LAB, str(download)]) == 1
    assert "ada: could not be collected: " in capsys.readouterr().out


@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_is_replaced_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    collect(tmp_path, LAB, [moodle(tmp_path / "first.zip", {"lab1_tiny.ipynb": "old"})])
    target = tmp_path / "submitted" / "ada" / LAB
    if linked:
        target.rename(tmp_path / "elsewhere")
        target.symlink_to(tmp_path / "elsewhere")
    remove, there = shutil.rmtree, []

    def watched(path: Path, **options: bool) -> None:
        remove(path, **options)
        there.append(target.is_dir())

    monkeypatch.setattr(shutil, "rmtree", watched)
    collect(tmp_path, LAB, [moodle(tmp_path / "second.zip", {"lab1_tiny.ipynb": "new"}, LATE)])
    assert submitted(tmp_path) == {"ada": "new"}
    assert all(there), "deleting takes time: a grader that looks meanwhile must find the folder"
    assert not target.is_symlink()
    assert not linked or (tmp_path / "elsewhere" / "lab1_tiny.ipynb").read_text() == "old"


def test_collecting_takes_as_many_data_as_grading_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("course_tools.grading.batch.intake", "course_tools.grading.collect.taking"):
        monkeypatch.setattr(f"{module}.MAX_OTHER_BYTES", 10)
    download = moodle(tmp_path / "moodle.zip", {"lab1_tiny.ipynb": "{}", "a.csv": "1" * 10, "b.csv": "2"})
    outcomes = collect(tmp_path, LAB, [download])
    handed_in = read_submission(tmp_path / "submitted" / "ada" / LAB, LAB, "ada")
    assert handed_in.files == {"a.csv": b"1" * 10}
    assert "ada: b.csv is left out: more than 0 MB came with the notebook" in lines(outcomes)
    assert MAX_OTHER_BYTES > 10
