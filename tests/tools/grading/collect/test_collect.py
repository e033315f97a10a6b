"""Downloads as learning platforms give them, and as attackers would."""

import os
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from downloads import EARLY, LAB, LATE, archive, lines, submitted
from tiny_lab import make_clone

from course_tools.build.sync import sync
from course_tools.cli import main
from course_tools.grading.collect import Roster, collect


def test_moodle(tmp_path: Path) -> None:
    zipped = archive(
        tmp_path / "SSL-Lab 1-98765.zip",
        {
            "Ada Lovelace_12345_assignsubmission_file_/lab1_tiny.ipynb": "ada",
            "Ada Lovelace_12345_assignsubmission_file_/data/points.csv": "1,2",
            "Zoë O'Neil_12346_assignsubmission_file_/Copy of lab1_tiny (1).ipynb": "zoe",
            "Jan de Vries_12347_assignsubmission_onlinetext_/onlinetext.html": "<p>sorry</p>",
        },
    )
    outcomes = collect(tmp_path, LAB, [zipped])
    assert submitted(tmp_path) == {"ada-lovelace": "ada", "zoe-o-neil": "zoe"}
    folder = tmp_path / "submitted" / "ada-lovelace" / LAB
    assert (folder / "points.csv").read_text() == "1,2"
    local = datetime(*EARLY).astimezone(UTC)
    assert (folder / "timestamp.txt").read_text() == f"{local:%Y-%m-%d %H:%M:%S} UTC\n"
    assert "zoe-o-neil: Copy of lab1_tiny (1).ipynb is taken for lab1_tiny.ipynb" in lines(outcomes)
    assert "jan-de-vries: handed in no notebook, only onlinetext.html" in lines(outcomes)
    assert (tmp_path / "submitted" / "jan-de-vries" / LAB / "onlinetext.html").is_file(), "nothing is lost"


def test_canvas_with_a_roster(tmp_path: Path) -> None:
    csv = tmp_path / "roster.csv"
    csv.write_text(
        "id,first_name,last_name,lms_id\nal01,Ada,Lovelace,77\ngh02,Grace,Hopper,78\nzz03,Zed,Zoo,79\n"
    )
    zipped = archive(
        tmp_path / "submissions.zip",
        {
            "lovelaceada_77_9001_lab1_tiny.ipynb": "ada",
            "hoppergrace_LATE_78_9002_lab1_tiny-1.ipynb": "grace",
            "strangerann_80_9003_lab1_tiny.ipynb": "ann",
        },
    )
    outcomes = collect(tmp_path, LAB, [zipped], Roster.read(csv))
    assert submitted(tmp_path) == {"al01": "ada", "gh02": "grace", "strangerann": "ann"}
    assert "strangerann: is not on the roster" in lines(outcomes)


def test_own_archives_folders_and_loose_files(tmp_path: Path) -> None:
    own = archive(
        tmp_path / "alice.zip", {"work/lab1/lab1_tiny.ipynb": "alice", "__MACOSX/._lab1.ipynb": "x"}
    )
    inner = archive(tmp_path / "bob_lab1.zip", {"lab1_tiny.ipynb": "bob"})
    bulk = tmp_path / "submissions.zip"
    with zipfile.ZipFile(bulk, "w") as packed:
        packed.write(inner, "bob_lab1.zip")
        packed.writestr("carol/week 1/Untitled.ipynb", "carol")
    inner.unlink()
    loose = tmp_path / "dave@uni.edu_lab1_tiny.ipynb"
    loose.write_text("dave")
    outcomes = collect(tmp_path, LAB, [own, bulk, loose])
    assert submitted(tmp_path) == {
        name: name.split("@")[0] for name in ("alice", "bob", "carol", "dave@uni.edu")
    }
    assert "refused" not in lines(outcomes)


def test_the_latest_of_several_is_taken_and_it_says_so(tmp_path: Path) -> None:
    roster = Roster({"eve": {"eve"}})
    second = archive(tmp_path / "second.zip", {"eve/lab1_tiny.ipynb": "new"}, LATE)
    first = archive(tmp_path / "first.zip", {"eve/lab1_tiny.ipynb": "old"}, EARLY)
    outcomes = collect(tmp_path, LAB, [second, first], roster)
    assert submitted(tmp_path) == {"eve": "new"}
    assert "eve: handed in 2 notebooks: the latest is taken, second.zip/eve/" in lines(outcomes)
    again = collect(tmp_path, LAB, [first], roster)
    assert "what is there already is later" in lines(again)
    assert not any(outcome.taken for outcome in again)
    assert submitted(tmp_path) == {"eve": "new"}


def test_two_people_of_one_name_are_told_apart(tmp_path: Path) -> None:
    names = {f"Kim Lee_{number}_assignsubmission_file_/lab1_tiny.ipynb": f"{number}" for number in (11, 12)}
    collect(tmp_path, LAB, [archive(tmp_path / "moodle.zip", names)])
    assert submitted(tmp_path) == {"kim-lee": "11", "kim-lee-12": "12"}


def link(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as packed:
        info = zipfile.ZipInfo("mallory/lab1_tiny.ipynb")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, "/etc/passwd")


def bomb(path: Path) -> None:
    archive(path, {"mallory/lab1_tiny.ipynb": "0" * 64 * 2**20})


def traversal(path: Path) -> None:
    archive(path, {"../../../mallory/lab1_tiny.ipynb": "out", "/mallory/lab1_tiny.ipynb": "out"})


def windows_traversal(path: Path) -> None:
    archive(path, {"..\\..\\mallory\\lab1_tiny.ipynb": "out"})


def cut_off(path: Path) -> None:
    whole = archive(path, {"mallory/lab1_tiny.ipynb": os.urandom(1000).hex()}).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def corrupt(path: Path) -> None:
    whole = bytearray(archive(path, {"mallory/lab1_tiny.ipynb": os.urandom(1000).hex()}).read_bytes())
    whole[200:300] = bytes(100)
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (link, "a link: links are not followed"),
        (bomb, "a zip bomb"),
        (traversal, "its path leads out of the archive"),
        (windows_traversal, "its path leads out of the archive"),
        (cut_off, "not a readable zip archive"),
        (corrupt, "it cannot be unpacked"),
    ],
)
def test_dangerous_and_broken_archives_are_refused_and_stop_nobody(
    tmp_path: Path, make: object, why: str
) -> None:
    root = tmp_path / "deep" / "course"
    root.mkdir(parents=True)
    assert callable(make)
    make(root / "mallory.zip")
    good = archive(root / "alice.zip", {"lab1_tiny.ipynb": "alice"})
    outcomes = collect(root, LAB, [root / "mallory.zip", good, root / "missing.zip"])
    assert submitted(root) == {"alice": "alice"}
    assert f"refused, {why}" in lines(outcomes)
    assert "refused, there is no such file" in lines(outcomes)
    assert not list(tmp_path.rglob("mallory/*"))


def test_links_in_folders_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "handed in"
    (folder / "mallory").mkdir(parents=True)
    (folder / "mallory" / "lab1_tiny.ipynb").symlink_to("/etc/passwd")
    (folder / "lab1_tiny.ipynb").write_text("whose?")
    (folder / "anna").mkdir()
    (folder / "anna" / "lab1_tiny.ipynb").write_text("anna")
    told = lines(collect(tmp_path, LAB, [folder]))
    assert "links are not followed" in told
    assert "it is not clear whose it is" in told
    assert submitted(tmp_path) == {"anna": "anna"}


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_clone(tmp_path / "clone")
    sync(root)
    monkeypatch.chdir(root)
    zipped = archive(tmp_path / "moodle.zip", {"Ada_1_assignsubmission_file_/lab1_tiny.ipynb": "{}"}, LATE)
    nobodys = tmp_path / "lab1_tiny.ipynb"
    nobodys.write_text("{}")
    roster = tmp_path / "roster.csv"
    roster.write_text("id,name\nada,Ada\nbob,Bob\n")
    arguments = ["submissions", "collect", LAB, str(zipped), "--roster", str(roster)]
    assert main([*arguments, "--due", "2025-03-02 18:30 UTC"]) == 0
    out = capsys.readouterr().out
    assert "1 submissions of lab1_tiny collected" in out
    assert "1 on the roster have handed in nothing: bob" in out
    assert main([*arguments, "--due", "soon"]) == 2
    assert main(["submissions", "collect", "lab9", str(zipped)]) == 2
    capsys.readouterr()
    assert main(["submissions", "collect", LAB, str(nobodys)]) == 1
    assert "it is not clear whose it is" in capsys.readouterr().out
    roster.write_text("name\nAda\n")
    assert main(arguments) == 2
    assert "needs an `id`" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "forgotten.csv")]) == 2
    assert "forgotten.csv cannot be read: No such file or directory" in capsys.readouterr().err
