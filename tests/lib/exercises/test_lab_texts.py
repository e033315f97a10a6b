"""Every lab as a whole: the points, the anatomy of an item, and that what it checks exists."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest

from course_lib.exercises import WEEKS, get

SOLUTIONS = Path(__file__).resolve().parents[3] / "solutions"
POINTS = {
    1: {
        "nt_xent_naive": 8,
        "nt_xent_vectorised": 8,
        "nt_xent_loss": 10,
        "semi_hard_triplet_loss": 10,
        "n_pair_loss": 8,
        "info_nce_accuracy": 6,
        "soft_nearest_neighbor_loss": 10,
        "mochi_negatives": 10,
        "train_encoder": 10,
    },
    2: {
        "crop_and_flip": 8,
        "partner_probability": 8,
        "simclr_step": 10,
        "ema_update": 6,
        "enqueue": 10,
        "moco_logits": 10,
        "knn_votes": 10,
        "linear_probe": 8,
        "train_moco": 10,
    },
}


@pytest.fixture(scope="module", params=sorted(POINTS), ids=lambda week: f"lab{week}")
def week(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def cells(week: int) -> list[nbformat.NotebookNode]:
    (source,) = SOLUTIONS.glob(f"lab{week}_*/lab{week}_*.py")
    return jupytext.read(source).cells


def test_no_lab_is_left_out() -> None:
    assert sorted(POINTS) == sorted(WEEKS)


def graded(cells: list[nbformat.NotebookNode], cell_type: str) -> dict[str, nbformat.NotebookNode]:
    return {
        cell.metadata.nbgrader.grade_id: cell
        for cell in cells
        if cell.metadata.get("nbgrader", {}).get("grade") and cell.cell_type == cell_type
    }


def test_a_hundred_points(cells: list[nbformat.NotebookNode], week: int) -> None:
    assert {exercise.name for exercise in WEEKS[week]} == set(POINTS[week])
    code, written = graded(cells, "code"), graded(cells, "markdown")
    assert {name: cell.metadata.nbgrader.points for name, cell in code.items()} == POINTS[week]
    assert {name: cell.metadata.nbgrader.points for name, cell in written.items()} == dict.fromkeys(
        ["q1", "q2", "q3", "q4", "q5"], 4
    )
    assert sum(POINTS[week].values()) + 5 * 4 == 100


def test_every_graded_cell_is_one_check_of_an_exercise_and_locked(cells: list[nbformat.NotebookNode]) -> None:
    for name, cell in graded(cells, "code").items():
        assert get(name).name == name
        assert cell.source == f'check("{name}", {name})'
        assert cell.metadata.nbgrader.locked
        assert not cell.metadata.nbgrader.solution


def test_every_item_has_a_box_a_stub_and_two_hints(cells: list[nbformat.NotebookNode], week: int) -> None:
    points = POINTS[week]
    text = "\n\n".join(cell.source for cell in cells)
    boxes = re.findall(r"^#### (\d\.\d) · .+`[●○]{5} · \d+ min · (\d+) points`$", text, re.M)
    assert [int(number) for _, number in boxes] == list(points.values())
    assert (
        text.count("<summary>Hint</summary>") == text.count("<summary>Detailed hint</summary>") == len(points)
    )
    answers = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
    }
    assert list(answers) == [f"{name}-answer" for name in points]
    for name, source in answers.items():
        before, _ = source.split("### BEGIN SOLUTION")
        assert before.startswith(f"def {name.removesuffix('-answer')}(")
        assert '"""' in before
        assert source.rstrip().endswith("### END SOLUTION")


def test_every_question_has_a_model_answer_and_four_points_to_give(
    cells: list[nbformat.NotebookNode],
) -> None:
    for name, cell in graded(cells, "markdown").items():
        question, answer = cell.source.split("### BEGIN SOLUTION")
        assert question.startswith(f"**Question {name[1]} · ")
        assert "**Rubric.**" in answer
        assert answer.count("1 point:") == 4


def test_the_badge_setup_and_parameters_are_where_the_tools_look(cells: list[nbformat.NotebookNode]) -> None:
    tags = [tag for cell in cells for tag in cell.metadata.get("tags", [])]
    assert tags == ["badge", "setup", "parameters"]
    parameters = next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
    assert re.findall(r"^(\w+) = ", parameters, re.M) == ["PROFILE", "DATASET", "SEED", "DEVICE"]
