"""nbgrader's formgrader in a real browser: a written answer is read and gets its mark, and attacks nobody."""

import base64
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

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_raw_cell
from tiny_lab import hand_in, make_clone

from course_tools.build.sync import sync
from course_tools.grading.autograde import Course
from course_tools.grading.batch import Options, grade_class

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
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                assert running.poll() is None, (tmp_path / "server.log").read_text()
                time.sleep(0.1)
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


RUN = "window.hacked = (window.hacked || 0) + 1; document.title = 'hacked'"
SVG = base64.b64encode(f'<svg xmlns="http://www.w3.org/2000/svg" onload="{RUN}"/>'.encode()).decode()
WRITTEN = f"""The **honest** part of the answer, $a<b$.

<script>{RUN}</script>
<img src="nowhere.png" onerror="{RUN}">
<svg onload="{RUN}"></svg>
<iframe srcdoc="<script>parent.hacked = 1</script>"></iframe>

![drawn](attachment:drawn.svg) ![quoted](attachment:quoted.png) ![missing](attachment:missing.png)

![fetched](/formgrader?path=submitted/mallory/{LAB})

[click me](javascript:window.hacked=1)
"""
DIAGRAM = f"""The honest diagram.

```mermaid
</pre><img src="nowhere.png" onerror="{RUN}">
```
"""
CODE = f"""from IPython.display import HTML, Javascript, SVG, Markdown, display
from IPython import get_ipython

run = {RUN!r}
display(HTML(f"<b>honest output</b><script>{{run}}</script><img src=x onerror='{{run}}'>"))
display(Javascript(run))
display(SVG('<svg xmlns="http://www.w3.org/2000/svg" onload="' + run + '"></svg>'))
display(Markdown(f'<img src=x onerror="{{run}}">'))
image = f'<img src="x" onerror="{{run}}">'
size = {{"image/png": {{"width": f'1 onerror="{{run}}"'}}}}
display({{"image/png": "AAAA", "text/plain": "a figure"}}, raw=True, metadata=size)

# What goes between the brackets of In[ ].
kernel = get_ipython().kernel
kernel.session.send(kernel.iopub_socket, "execute_input", {{"code": "", "execution_count": image}},
                    parent=kernel.get_parent("shell"))


def halve(x):
    return x / 2
"""


def hostile(notebook: str, run: str) -> str:
    """A submission with an attack wherever a notebook has room for one."""
    content = nbformat.reads(notebook, as_version=4)
    [answer] = [cell for cell in content.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "q1"]
    quoted = {"image/png": f'AAAA" onerror="{run}'}
    answer.attachments = {"drawn.svg": {"image/svg+xml": SVG}, "quoted.png": quoted}
    content.cells += [new_raw_cell(f"<script>{run}</script>"), new_markdown_cell(DIAGRAM)]
    content.metadata.language_info.name = f'python"><script>{run}</script>'
    return str(nbformat.writes(content))


def test_a_submission_runs_nothing_in_the_readers_browser(
    course: Course, server: str, browser: Any, tmp_path: Path
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    path = course.path("submitted", "mallory")
    path.parent.mkdir(parents=True)
    path.write_text(hostile(hand_in(course.solution, {"q1": WRITTEN, "halve-answer": CODE}), RUN))
    proof = tmp_path / "a settings file was run"
    (path.parent / "nbgrader_config.py").write_text(f"open({str(proof)!r}, 'w').close()")
    handed_in = path.read_bytes()
    results = {result.student: result for result, _ in grade_class(course.folder, LAB, Options(jobs=1))}
    assert results["mallory"].score == 8
    assert path.read_bytes() == handed_in, "what was handed in stays"
    with course.gradebook() as book:
        number = book.find_submission_notebook(LAB, LAB, "mallory").id

    browser.get(f"{server}/formgrader/submissions/{number}/")
    field = WebDriverWait(browser, 120).until(lambda page: page.find_element(By.ID, "q1"))
    WebDriverWait(browser, 60).until(lambda _: field.get_attribute("placeholder") is not None)
    time.sleep(2)  # whatever is to load has loaded
    assert browser.execute_script("return [window.hacked, document.title]") == [None, LAB]
    assert not proof.exists()
    text = browser.find_element(By.TAG_NAME, "body").text
    assert "The honest part of the answer" in text.replace("**", "")
    assert "<script>" in text, "the attack is there to be read"
    assert "honest output" in text
    assert "The honest diagram." in text
    for link in browser.find_elements(By.TAG_NAME, "a"):
        assert "javascript:window" not in str(link.get_attribute("href"))
