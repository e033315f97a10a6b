"""Nearly the same program or not: renamed copies are, answers that the task suggests are not."""

import ast
import re
from pathlib import Path

import pytest

from course_tools.build.notebooks import read
from course_tools.build.project import find_root, labs
from course_tools.grading.report.similar import similar_pairs
from course_tools.grading.samples import answers_of_a_sample

ROOT = find_root(Path(__file__))

LONG = '''
def loss(z1, z2, *, temperature):
    """Mine."""
    everything = torch.cat([z1, z2])  # both views
    everything = everything / everything.pow(2).sum(dim=1, keepdim=True).sqrt()
    table = everything @ everything.T / temperature
    rows = []
    for index, row in enumerate(table):
        others = torch.cat([row[:index], row[index + 1 :]])
        partner = (index + len(z1)) % len(table)
        rows.append(torch.log(torch.exp(others).sum()) - row[partner])
    total = 0
    for row in rows:
        total = total + row
    return total / len(rows)
'''
OTHERS = {
    f"other{number}": f"def loss(z1, z2, *, temperature):\n    return z1.sum() * {number}"
    for number in range(30)
}
STUB = "def loss(z1, z2, *, temperature):\n    raise NotImplementedError"


def renamed(source: str) -> str:
    """The same program with other names, no comments, another layout."""
    names = {"everything": "z", "table": "sim", "rows": "parts", "row": "r", "others": "rest"}
    names |= {"index": "i", "partner": "p", "total": "acc"}
    text = ast.unparse(ast.parse(source)).replace('"""Mine."""', "'''Not yours at all.'''")
    return re.sub(r"\b\w+\b", lambda match: names.get(match[0], match[0]), text)


def test_a_renamed_copy_is_found_and_nobody_else() -> None:
    assert renamed(LONG) != LONG
    answers = {"loss": {**OTHERS, "ann": LONG, "bob": renamed(LONG)}}
    pairs = similar_pairs(answers, {"loss": [STUB]})
    assert [(pair.item, pair.students) for pair in pairs] == [("loss", ("ann", "bob"))]
    assert pairs[0].share == 1


def test_the_solution_and_what_many_write_accuse_nobody() -> None:
    as_the_solution = {"loss": {**OTHERS, "ann": LONG, "bob": renamed(LONG)}}
    assert similar_pairs(as_the_solution, {"loss": [LONG]}) == []
    many = {"loss": {f"student{number}": renamed(LONG) if number % 2 else LONG for number in range(20)}}
    assert similar_pairs(many, {}) == []


def test_short_obvious_answers_accuse_nobody() -> None:
    obvious = "def accuracy(scores, labels):\n    return (scores.argmax(dim=1) == labels).float().mean()"
    assert (
        similar_pairs({"accuracy": {"ann": obvious, "bob": obvious, "cleo": obvious + "  # mine"}}, {}) == []
    )


def test_what_does_not_parse_is_passed_over() -> None:
    assert similar_pairs({"loss": {"ann": "def loss(:", "bob": "def loss(:", "cleo": ""}}, {}) == []


def test_a_sum_or_number_without_end_is_no_end_of_the_report() -> None:
    for number in ("+".join(["1"] * 1500), "+".join(["1"] * 100_000), "0x" + "f" * 10_000):
        endless = LONG.replace("total = 0", f"total = {number}")
        pairs = similar_pairs({"loss": {**OTHERS, "ann": LONG, "bob": renamed(LONG), "cleo": endless}}, {})
        assert ("ann", "bob") in [pair.students for pair in pairs]


@pytest.mark.parametrize("lab", [path.stem for path in labs(ROOT)])
def test_a_labs_own_solution_and_its_sample_in_another_style_are_not_alike(lab: str) -> None:
    cells = read(ROOT / "solutions" / lab / f"{lab}.ipynb").cells
    solution = {
        cell.metadata.nbgrader["grade_id"].removesuffix("-answer"): cell.source
        for cell in cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
    }
    sample = answers_of_a_sample(ROOT / "tests" / "samples" / lab / "right.py")
    assert sample, "the lab has a sample with other right answers"
    answers = {item: {"ann": solution[item], "bob": source} for item, source in sample.items()}
    assert similar_pairs(answers, {}) == []
