"""`course sync` on a tiny clone: what it writes, that it is stable, and what --check says."""

import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from tiny_lab import make_clone

from course_tools.build import notebooks
from course_tools.build.project import find_root, repository_url
from course_tools.build.sync import strays, sync
from course_tools.cli import main

URL = "https://github.com/someone/some-course"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_clone(tmp_path / "clone")
    monkeypatch.chdir(root)
    return root


def snapshot(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and "build" not in path.parts]
    return {str(path): path.read_bytes() for path in files}


def test_sync_writes_sources_notebooks_and_the_release_once(clone: Path) -> None:
    names = {path.relative_to(clone).as_posix() for path in sync(clone)}
    assert names == {
        "notebooks/week1_tiny.py",
        "notebooks/week1_tiny.ipynb",
        "solutions/lab1_tiny/lab1_tiny.py",
        "solutions/lab1_tiny/lab1_tiny.ipynb",
        "assignments/lab1_tiny/lab1_tiny.ipynb",
    }
    written = snapshot(clone)
    assert sync(clone) == []
    assert snapshot(clone) == written


def test_check_reports_and_changes_nothing(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(clone)
    assert main(["sync", "--check"]) == 1
    assert "out of date: assignments/lab1_tiny/lab1_tiny.ipynb" in capsys.readouterr().out
    assert snapshot(clone) == before
    assert main(["sync"]) == 0
    assert main(["sync", "--check"]) == 0
    assert "up to date" in capsys.readouterr().out


def test_the_bytes_do_not_depend_on_run_or_place(clone: Path, tmp_path: Path) -> None:
    elsewhere = make_clone(tmp_path / "elsewhere")
    sync(clone)
    code = (
        f"from pathlib import Path; from course_tools.build.sync import sync; sync(Path({str(elsewhere)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for path in clone.rglob("*.ipynb"):
        assert path.read_bytes() == (elsewhere / path.relative_to(clone)).read_bytes()


def test_notebooks_are_valid_without_outputs_and_end_in_a_newline(clone: Path) -> None:
    sync(clone)
    for path in clone.rglob("*.ipynb"):
        text = path.read_text()
        assert text.endswith("}\n")
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"
        assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)


def test_a_hand_edited_notebook_is_put_right(clone: Path) -> None:
    sync(clone)
    path = clone / "notebooks" / "week1_tiny.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="4")]
    nbformat.write(notebook, path)
    assert sync(clone, check=True) == [path]
    assert sync(clone) == [path]


def test_an_edit_changes_the_id_of_its_own_cell_only(clone: Path) -> None:
    def ids() -> list[str]:
        sync(clone)
        return [cell.id for cell in nbformat.read(clone / "notebooks" / "week1_tiny.ipynb", 4).cells]

    before = ids()
    source = clone / "notebooks" / "week1_tiny.py"
    source.write_text(source.read_text().replace("two and two", "two and three"))
    changed = [a != b for a, b in zip(before, ids(), strict=True)]
    assert sum(changed) == 1


def test_equal_cells_get_different_ids() -> None:
    text = notebooks.from_percent("# %%\n1\n\n# %%\n1\n\n# %%\n1\n")
    ids = [cell.id for cell in nbformat.reads(text, 4).cells]
    assert len(set(ids)) == 3


def test_the_address_comes_from_pyproject_alone(clone: Path) -> None:
    pyproject = clone / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace(repository_url(clone), URL + ".git"))
    sync(clone)
    lecture = (clone / "notebooks" / "week1_tiny.py").read_text()
    assert (
        "https://colab.research.google.com/github/someone/some-course/blob/main/notebooks/week1_tiny.ipynb"
        in lecture
    )
    assert f"git+{URL}" in lecture
    lab = (clone / "solutions" / "lab1_tiny" / "lab1_tiny.ipynb").read_text()
    assert "blob/main/assignments/lab1_tiny/lab1_tiny.ipynb" in lab, "a lab's badge opens the student version"


def test_badge_of_a_course_that_is_not_on_github() -> None:
    assert "colab" not in notebooks.badge_cell("https://git.example.org/a/b", "notebooks/x.ipynb")


def test_setup_installs_only_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: calls.append(command))
    exec(notebooks.setup_cell(URL), {})
    assert calls == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(notebooks.setup_cell(URL), {})
    assert calls == [[sys.executable, "-m", "pip", "install", "--quiet", f"git+{URL}"]]
    assert "torch" not in notebooks.setup_cell(URL)
    assert "drive" not in notebooks.setup_cell(URL)


def test_a_source_without_a_generated_cell_is_named(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = clone / "notebooks" / "week1_tiny.py"
    source.write_text(source.read_text().replace('tags=["setup"]', ""))
    assert main(["sync"]) == 2
    message = capsys.readouterr().err
    assert "week1_tiny.py" in message
    assert '"setup"' in message


def test_files_without_a_source_are_reported(clone: Path) -> None:
    sync(clone)
    assert strays(clone) == []
    leaked = clone / "assignments" / "lab1_tiny" / "lab1_tiny.py"
    leaked.write_text("the solution")
    orphan = clone / "notebooks" / "week9_gone.ipynb"
    orphan.write_text("{}")
    assert strays(clone) == [leaked, orphan]
    assert main(["sync", "--check"]) == 1


def test_the_text_source_round_trips_through_jupytext(clone: Path) -> None:
    sync(clone)
    source = (clone / "notebooks" / "week1_tiny.py").read_text()
    again = jupytext.writes(jupytext.reads(source, fmt="py:percent"), fmt="py:percent")
    assert notebooks.from_percent(again) == notebooks.from_percent(source)


def test_the_clone_is_found_from_any_folder_in_it(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone / "solutions" / "lab1_tiny")
    assert find_root() == clone.resolve()


def test_the_readme_lists_the_weeks(clone: Path) -> None:
    readme = clone / "README.md"
    readme.write_text("before\n<!-- weeks: written by `make sync` -->\n<!-- end of weeks -->\nafter\n")
    assert readme in sync(clone)
    text = readme.read_text()
    assert "| 1 | two and two | [week1_tiny](notebooks/week1_tiny.ipynb) [![Open in Colab]" in text
    assert "[lab1_tiny](assignments/lab1_tiny/lab1_tiny.ipynb)" in text
    assert sync(clone) == []


def test_one_bad_source_does_not_stop_the_others(clone: Path) -> None:
    source = clone / "notebooks" / "week1_tiny.py"
    source.write_text("# %%\n1\n")
    with pytest.raises(ValueError, match=r"week1_tiny\.py"):
        sync(clone)
    assert (clone / "assignments" / "lab1_tiny" / "lab1_tiny.ipynb").is_file()
