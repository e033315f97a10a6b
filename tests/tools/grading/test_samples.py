"""Sample submissions are made from the release, and from it alone."""

from pathlib import Path

import nbformat
import pytest

from course_tools.grading.samples import answers_of_a_sample, make_submission

ROOT = Path(__file__).resolve().parents[3]
LAB = "lab1_contrastive_losses"
SOLUTION = ROOT / "solutions" / LAB / f"{LAB}.ipynb"
RELEASED = ROOT / "assignments" / LAB / f"{LAB}.ipynb"
SAMPLES = ROOT / "tests" / "samples" / LAB


def sources(path: Path) -> dict[str, str]:
    cells = nbformat.read(path, as_version=4).cells
    return {cell.metadata.nbgrader.grade_id: cell.source for cell in cells if "nbgrader" in cell.metadata}


def test_without_a_sample_every_answer_is_the_solutions(tmp_path: Path) -> None:
    make_submission(SOLUTION, None, tmp_path / "out.ipynb")
    made = sources(tmp_path / "out.ipynb")
    assert "F.cross_entropy(logits, partners)" in made["nt_xent_loss-answer"]
    assert "SOLUTION" not in "".join(made.values())
    assert "NotImplementedError" not in "".join(made.values())


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_a_sample_replaces_what_it_answers_and_nothing_else(sample: Path, tmp_path: Path) -> None:
    make_submission(SOLUTION, None, tmp_path / "all_right.ipynb")
    make_submission(SOLUTION, sample, tmp_path / "sample.ipynb")
    right, made, answers = (
        sources(tmp_path / "all_right.ipynb"),
        sources(tmp_path / "sample.ipynb"),
        answers_of_a_sample(sample),
    )
    assert answers
    for grade_id, source in made.items():
        item = grade_id.removesuffix("-answer")
        answered = item in answers and grade_id.endswith("-answer")
        assert source == (answers[item] if answered else right[grade_id])


def test_everything_but_the_answers_is_the_release(tmp_path: Path) -> None:
    make_submission(SOLUTION, SAMPLES / "wrong.py", tmp_path / "out.ipynb")
    released, made = (nbformat.read(path, as_version=4) for path in (RELEASED, tmp_path / "out.ipynb"))
    for before, after in zip(released.cells, made.cells, strict=True):
        assert before.id == after.id
        assert before.metadata == after.metadata
        if not before.metadata.get("nbgrader", {}).get("solution"):
            assert before.source == after.source


def test_an_answer_to_nothing_is_refused(tmp_path: Path) -> None:
    sample = tmp_path / "lost.py"
    sample.write_text('# %% answer="nt_xnet_loss"\npass\n')
    with pytest.raises(ValueError, match="nt_xnet_loss"):
        make_submission(SOLUTION, sample, tmp_path / "out.ipynb")
