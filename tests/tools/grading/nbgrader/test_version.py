"""The version of a gradebook's tables, found without starting a program."""

import subprocess
import sys

from course_tools.grading.release import gradebook_version


def test_it_is_what_nbgrader_itself_would_write() -> None:
    ask = (
        "from course_tools.build.project import prepare_jupyter\n"
        "prepare_jupyter()\n"
        "from nbgrader.api import get_alembic_version\n"
        "print(get_alembic_version())"
    )
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    assert said.split()[-1] == gradebook_version()
