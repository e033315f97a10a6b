"""The same gradebook in PostgreSQL: a private server is started for the test, as an ordinary user."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_lab import hand_in, make_clone

from course_tools.build.sync import sync
from course_tools.grading.autograde import Course
from course_tools.grading.batch import Options, grade_class

LAB = "lab1_tiny"
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [
    Path(found).parent for found in [shutil.which("initdb")] if found
]
pytestmark = pytest.mark.skipif(not PROGRAMS, reason="needs PostgreSQL: apt-get install postgresql")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Address of an empty database, reached through a socket in a temporary folder."""
    pytest.importorskip("psycopg", reason="needs psycopg")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    # The server refuses to run as root.
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    os.chown(folder, user.pw_uid, user.pw_gid)

    def run(program: str, *arguments: str) -> None:
        owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        command = [str(PROGRAMS[-1] / program), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, **owner)
        assert done.returncode == 0, done.stdout + done.stderr

    data, log = str(folder / "data"), str(folder / "log")
    run("initdb", "-D", data, "-U", "course", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
    settings = f"-k {folder} -c listen_addresses='' -c fsync=off"
    try:
        run("pg_ctl", "-D", data, "-w", "-l", log, "-o", settings, "start")
        yield f"postgresql+psycopg://course@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_a_class_is_graded_into_postgresql(database: str, tmp_path: Path) -> None:
    root = make_clone(tmp_path / "clone")
    sync(root)
    with (root / "nbgrader_config.py").open("a") as settings:
        settings.write(f"\nc.CourseDirectory.db_url = {database!r}\n")
    course = Course(root, LAB, root / "nbgrader_config.py")
    for student, answers in {"alice": {}, "bob": {"q1": "Why not?", "halve-answer": ""}}.items():
        path = course.path("submitted", student)
        path.parent.mkdir(parents=True)
        path.write_text(hand_in(course.solution, answers))

    assert {result.student: result.score for result, _ in grade_class(root, LAB, Options(jobs=2))} == {
        "alice": 8,
        "bob": 5,
    }
    assert not (root / "gradebook.db").exists(), "nothing goes to SQLite"
    with course.gradebook() as book:
        assert book.engine.dialect.name == "postgresql"
        mark = book.find_grade("q1", LAB, LAB, "bob")
        assert (mark.needs_manual_grade, mark.auto_score) == (True, None)
        mark.manual_score, mark.needs_manual_grade = 2, False
        book.db.commit()

    once_more = grade_class(root, LAB, Options(jobs=1, student="bob"))
    again = {result.student: now for result, now in once_more}
    assert again == {"bob": True}
    with course.gradebook() as book:
        assert book.find_submission(LAB, "bob").score == 7, "the mark by hand survives"
        assert {each.student.id for each in book.assignment_submissions(LAB)} == {"alice", "bob"}
