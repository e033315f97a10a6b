"""What is special about the exercises of lab 1."""

import torch

from course_lib.check.examine import run
from course_lib.check.ladder import judge
from course_lib.exercises import Exercise, get


def test_the_kept_diagonal_is_named_in_these_words() -> None:
    exercise = get("nt_xent_loss")
    assert isinstance(exercise, Exercise)
    cases = exercise.cases(0, 1)
    kept = next(m for m in exercise.misconceptions if "diagonal is kept" in m.when)
    sentences = judge(exercise, cases, run(kept.function, cases)).sentences
    assert "Your numbers are exactly what you get when the diagonal is kept." in sentences


def test_the_stable_item_is_tried_where_it_hurts() -> None:
    exercise = get("nt_xent_loss")
    assert isinstance(exercise, Exercise)
    cases = exercise.cases(0, 1)
    assert {torch.float16, torch.bfloat16} <= {case.dtype for case in cases}
    assert any(case.options["temperature"] == 0.01 for case in cases)
    assert any(case.tensors["z1"].abs().max() > 500 for case in cases)
    assert any(len(case.tensors["z1"]) == 1 for case in cases)
