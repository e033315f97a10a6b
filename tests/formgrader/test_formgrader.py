"""nbgrader's formgrader in a real browser: a written answer is read and gets its mark."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_lab import hand_in, make_clone

from course_lib.cli.sync import sync
from course_lib.grading.autograde import Course
from course_lib.grading.batch import Options, grade_class

LAB = "lab1_tiny"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs a browser: apt-get install chromium chromium-driver"
)


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """One graded submission whose written answer waits for a reader."""
    root = make_clone(tmp_path / "clone")
    sync(root)
    course = Course(root, LAB, root / "nbgrader_config.py")
    path = course.path("submitted", "alice")
    path.parent.mkdir(parents=True)
    path.write_text(hand_in(course.solution, {"q1": "Halving takes back what doubling did."}))
    list(grade_class(root, LAB, Options(jobs=1)))
    return course


@pytest.fixture
def server(course: Course, tmp_path: Path) -> Iterator[str]:
    """JupyterLab on this machine, in the course's folder; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--IdentityProvider.token=", "--ServerApp.password="]
    home = {"HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    log = (tmp_path / "server.log").open("w")
    running = subprocess.Popen(
        command, cwd=course.folder, env={**os.environ, **home}, stdout=log, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                assert running.poll() is None, (tmp_path / "server.log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        running.terminate()
        running.wait(timeout=30)
        log.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(120)
    yield driver
    driver.quit()


def test_a_written_answer_is_read_and_marked(course: Course, server: str, browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, 120)

    def click(words: str) -> None:
        wait.until(lambda page: page.find_elements(By.PARTIAL_LINK_TEXT, words))[0].click()

    browser.get(f"{server}/formgrader/gradebook")
    click(LAB)  # the assignment
    wait.until(lambda page: page.current_url.endswith(f"gradebook/{LAB}"))
    click(LAB)  # its notebook
    wait.until(lambda page: page.current_url.endswith(f"gradebook/{LAB}/{LAB}"))
    click("Submission #1")
    field = wait.until(lambda page: page.find_element(By.ID, "q1"))
    assert "Halving takes back what doubling did." in browser.page_source
    assert "Your answer" not in browser.page_source

    field.clear()
    field.send_keys("1.5", Keys.TAB)

    def recorded() -> tuple[float | None, bool]:
        with course.gradebook() as book:
            grade = book.find_grade("q1", LAB, LAB, "alice")
            return grade.manual_score, grade.needs_manual_grade

    assert wait.until(lambda page: recorded()[0] is not None)
    assert recorded() == (1.5, False)
    assert [(result.score, now) for result, now in grade_class(course.folder, LAB, Options())] == [(8, False)]
    with course.gradebook() as book:
        assert book.find_submission(LAB, "alice").score == 9.5
