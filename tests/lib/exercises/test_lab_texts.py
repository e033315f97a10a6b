"""Every lab as a whole: the points, the anatomy of an item, and that what it checks exists."""

import ast
import re
import textwrap
from dataclasses import dataclass
from itertools import pairwise

import labs
import nbformat
import pytest

from course_lib.check import check
from course_lib.exercises import WEEKS, get

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
    return labs.cells(week)


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


def test_every_item_has_a_box_a_stub_and_three_hints(cells: list[nbformat.NotebookNode], week: int) -> None:
    points = POINTS[week]
    text = "\n\n".join(cell.source for cell in cells)
    boxes = re.findall(r"^#### (\d\.\d) · .+`[●○]{5} · \d+ min · (\d+) points`$", text, re.M)
    assert [int(number) for _, number in boxes] == list(points.values())
    assert [hint.item for hint in hints(cells)] == list(points)
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


@dataclass(frozen=True)
class Hints:
    """The three hints of an item, each giving more away."""

    item: str
    hint: str
    detailed: str
    way: str

    @property
    def code(self) -> str:
        """The body of the function that the way gives."""
        found = re.search(r"```python\n(.*?)\n```", self.way, re.S)
        assert found, f"{self.item}: the way has no code"
        return found[1]


def hints(cells: list[nbformat.NotebookNode]) -> list[Hints]:
    """Those of all items, in order: each stands right behind the item's check."""
    folds = "".join(rf"<details><summary>{title}</summary>\n\n(.*?)\n\n</details>\s*" for title in TITLES)
    return [
        Hints(labs.grade_id(graded), *match.groups())
        for graded, cell in pairwise(cells)
        if (match := re.fullmatch(folds, cell.source, re.S))
    ]


TITLES = ("Hint", "Detailed hint", "The way")


def test_every_way_passes_as_it_stands(cells: list[nbformat.NotebookNode]) -> None:
    """Pasted into the stub, beside right answers to the other items."""
    names: dict[str, object] = {}
    answers = {labs.grade_id(cell).removesuffix("-answer"): cell.source for cell in cells if is_answer(cell)}
    imports = next(cell.source for cell in cells if "from course_lib.check import" in cell.source)
    for source in (imports.split("torch.manual_seed")[0], *answers.values()):
        exec(source, names)
    for each in hints(cells):
        stub, _ = answers[each.item].split("    ### BEGIN SOLUTION")
        exec(stub + textwrap.indent(each.code, "    "), ours := dict(names))
        check(each.item, ours[each.item])


def is_answer(cell: nbformat.NotebookNode) -> bool:
    return labs.grade_id(cell).endswith("-answer")


def test_code_in_a_hint_is_code_of_the_way(cells: list[nbformat.NotebookNode]) -> None:
    """So it is right, too: every call and assignment that a hint shows is one that passes."""
    for each in hints(cells):
        body = textwrap.indent(each.code, " ")
        parts = {ast.dump(node) for node in ast.walk(ast.parse(f"def way():\n{body}"))}
        for shown in re.findall(r"(?<!`)`([^`]+)`(?!`)", f"{each.hint} {each.detailed}"):
            for node in parsed(shown):
                assert ast.dump(node) in parts, f"{each.item}: {shown}"


def parsed(code: str) -> list[ast.AST]:
    """What the code does: its calls and assignments; nothing if it is only a name or a shape."""
    try:
        (statement,) = ast.parse(code).body
    except (SyntaxError, ValueError):
        return []
    shown = statement.value if isinstance(statement, ast.Expr) else statement
    does = (ast.Call, ast.Assign)
    return [shown] if any(isinstance(node, does) for node in ast.walk(shown)) else []
