"""What a student sees in a real kernel: sentences, no traceback, nothing that costs points by accident."""

import nbformat
import pytest
from nbclient import NotebookClient
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


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[nbformat.NotebookNode]]:
    notebook = new_notebook(cells=[new_code_cell(source) for source in CELLS.values()])
    folder = str(tmp_path_factory.mktemp("kernel"))
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": folder}},
    )
    client.execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def error(outputs: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    return next(output for output in outputs if output.output_type == "error")


def test_a_failure_shows_the_sentences_and_no_traceback(outputs: dict[str, list]) -> None:
    found = error(outputs["wrong"])
    assert found.ename == "CheckFailed"
    text = "\n".join(found.traceback)
    assert text.startswith("nt_xent_loss: wrong value on 24 of 24 inputs.\n")
    assert "\nYour numbers are exactly what you get when the diagonal is kept.\n" in text
    assert "File" not in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "exactly what you get when the diagonal is kept." in found.evalue


def test_an_exception_keeps_the_line_of_the_cell(outputs: dict[str, list]) -> None:
    text = "\n".join(error(outputs["crash"]).traceback)
    assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied" in text
    assert "Your line 1: check(" in text


def test_success_is_shown_and_is_no_partial_credit(outputs: dict[str, list]) -> None:
    shown = [output for output in outputs["right"] if output.output_type == "display_data"]
    assert len(shown) == 1
    assert shown[0].data["text/plain"].startswith("info_nce_accuracy: passed (16 inputs")
    assert "✓" in shown[0].data["text/html"]
    assert not any(output.output_type == "execute_result" for output in outputs["right"])


def test_nothing_goes_to_stderr(outputs: dict[str, list]) -> None:
    for name in ("wrong", "right"):
        assert not any(output.get("name") == "stderr" for output in outputs[name])


def test_a_blank_item_is_not_implemented(outputs: dict[str, list]) -> None:
    assert error(outputs["blank"]).ename == "NotImplementedError"
