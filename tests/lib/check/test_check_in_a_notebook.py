"""What a student sees in a real kernel: sentences, no traceback, nothing that costs points by accident."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

CELLS = {
    "start": "import sys, torch\nimport torch.nn.functional as F\nfrom course_lib.check import check",
    "kept": """def nt_xent_loss(z1, z2, *, temperature):
    z = F.normalize(torch.cat([z1, z2]).to(torch.promote_types(z1.dtype, torch.float32)), dim=1)
    print("careful", file=sys.stderr)
    n = len(z1)
    return F.cross_entropy(z @ z.T / temperature, (torch.arange(2 * n, device=z.device) + n) % (2 * n))""",
    "wrong": 'check("nt_xent_loss", nt_xent_loss)',
    "crash": 'check("nt_xent_loss", lambda z1, z2, *, temperature: z1 @ z2)',
    "accuracy": """def info_nce_accuracy(query, positive, negatives):
    print("careful", file=sys.stderr)
    best = torch.einsum("nd,nkd->nk", query, negatives).amax(1)
    return ((query * positive).sum(1) > best).float().mean()""",
    "right": 'check("info_nce_accuracy", info_nce_accuracy)',
    "stub": "def n_pair_loss(anchor, positive, negatives):\n    raise NotImplementedError",
    "blank": 'check("n_pair_loss", n_pair_loss)',
}


CELLS |= {
    "uses what is open": 'check("nt_xent_naive", lambda *z, temperature: n_pair_loss(*z, 3))',
    "tries what is open": """from course_lib.check import trying
with trying():
    n_pair_loss(1, 2, 3)""",
    "tries what is wrong": """with trying():
    nt_xent_loss(torch.zeros(2), 3, temperature=1)
print("reached")""",
}


def run(cells: dict[str, str], folder: Path) -> dict[str, list[nbformat.NotebookNode]]:
    """The outputs of cells that run until one raises."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells.values()])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    return {name: cell.outputs for name, cell in zip(cells, notebook.cells, strict=True)}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[nbformat.NotebookNode]]:
    return run(CELLS, tmp_path_factory.mktemp("kernel"))


def shown(outputs: list[nbformat.NotebookNode]) -> dict[str, str]:
    """The one thing that a cell displays."""
    (output,) = [output for output in outputs if output.output_type != "stream"]
    assert output.output_type == "display_data"
    return dict(output.data)


def test_a_failure_shows_the_sentences_and_no_traceback(outputs: dict[str, list]) -> None:
    found = shown(outputs["wrong"])
    text = found["text/plain"]
    assert text.startswith("nt_xent_loss: wrong value on 24 of 24 inputs.\n")
    assert "\nYour numbers are exactly what you get when the diagonal is kept.\n" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "✗" in found["text/html"]
    assert "<br>Your numbers are exactly what you get when the diagonal is kept.<br>" in found["text/html"]


def test_an_exception_keeps_the_line_of_the_cell(outputs: dict[str, list]) -> None:
    text = shown(outputs["crash"])["text/plain"]
    assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied" in text
    assert "Your line 1: check(" in text


def test_success_is_shown_and_is_no_partial_credit(outputs: dict[str, list]) -> None:
    found = shown(outputs["right"])
    assert found["text/plain"].startswith("info_nce_accuracy: passed (16 inputs")
    assert "✓" in found["text/html"]


def test_nothing_goes_to_stderr(outputs: dict[str, list]) -> None:
    for name in ("wrong", "right"):
        assert not any(output.get("name") == "stderr" for output in outputs[name])


def test_a_blank_item_is_one_line(outputs: dict[str, list]) -> None:
    found = shown(outputs["blank"])
    assert found["text/plain"] == "n_pair_loss: still open."
    assert "○" in found["text/html"]
    waits = shown(outputs["uses what is open"])["text/plain"]
    assert waits == "nt_xent_naive: waits for n_pair_loss, which is still open."


def test_a_cell_that_tries_an_open_item_says_so_and_goes_on(outputs: dict[str, list]) -> None:
    (said,) = outputs["tries what is open"]
    assert said.text == "n_pair_loss is still open. Run this cell again when it is written.\n"


def test_a_cell_that_tries_a_wrong_item_shows_where_it_fails_and_goes_on(outputs: dict[str, list]) -> None:
    failed = next(output for output in outputs["tries what is wrong"] if output.output_type == "error")
    text = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(failed.traceback))
    assert "TypeError" in text
    assert "nt_xent_loss(torch.zeros(2), 3, temperature=1)" in text
    assert "trying.py" not in text
    assert outputs["tries what is wrong"][-1].text.endswith("reached\n")


@pytest.mark.parametrize("cell", ["wrong", "blank"])
def test_where_nbgrader_executes_a_failing_check_raises(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    cells = {name: CELLS[name] for name in ("start", "kept", "stub", cell)}
    with pytest.raises(CellExecutionError) as raised:
        run(cells, tmp_path)
    assert raised.value.ename == {"wrong": "CheckFailed", "blank": "NotImplementedError"}[cell]
    assert "site-packages" not in str(raised.value)
