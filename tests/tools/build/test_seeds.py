"""A lecture with several seeds."""

from pathlib import Path

import nbformat
import pytest
from tiny_lab import make_clone

from course_tools.build.seeds import Claim, claims, side_by_side
from course_tools.cli import main


def test_claims_are_recorded_for_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_clone(tmp_path / "clone")
    (root / "benchmarks" / "results").mkdir(parents=True)
    monkeypatch.chdir(root)
    assert main(["sync"]) == 0
    assert main(["seeds", "1", "--seeds", "4", "7"]) == 0
    text = (root / "benchmarks" / "results" / "week1_seeds.md").read_text()
    assert text.count("sum 4") == 2
    assert "## Week 1 · two and two\n\n```\nSEED = 4\nfirst line\nsum 4\n\nSEED = 7\n" in text


def test_a_week_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_clone(tmp_path / "clone"))
    assert main(["seeds", "9"]) == 2


def test_a_claim_stands_under_its_section_and_without_warnings_or_pictures(tmp_path: Path) -> None:
    v4 = nbformat.v4
    outputs = [
        v4.new_output("stream", name="stderr", text="a warning"),
        v4.new_output("stream", name="stdout", text="   kN"),
        v4.new_output("stream", name="stdout", text="N\n0.61\n"),
        v4.new_output("display_data", data={"text/plain": "<Figure size 640x480>"}),
        v4.new_output("execute_result", data={"text/plain": "a table", "text/html": "<table>"}),
    ]
    tagged = {"metadata": {"tags": ["claim"]}, "outputs": outputs}
    cells = [
        v4.new_markdown_cell("## 3 · Three\n\n```\n# no heading\n```"),
        v4.new_code_cell("1", outputs=outputs),
        v4.new_code_cell("2", **tagged),
        v4.new_markdown_cell("Only text."),
        v4.new_code_cell("3", **tagged),
    ]
    executed = tmp_path / "executed.ipynb"
    nbformat.write(v4.new_notebook(cells=cells), executed)
    assert claims(executed) == [Claim(n, "3 · Three", "   kNN\n0.61\na table") for n in (3, 5)]


def test_what_a_run_that_stopped_early_did_not_print_is_left_out() -> None:
    whole = [Claim(3, "One", "a"), Claim(5, "Two", "b")]
    parts = side_by_side({0: whole[:1], 1: whole})
    assert parts == ["## One", "```\nSEED = 0\na\n\nSEED = 1\na\n```", "## Two", "```\nSEED = 1\nb\n```"]
