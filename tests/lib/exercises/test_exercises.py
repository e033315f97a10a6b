"""Every exercise of every lab: the reference passes, every usual mistake fails and is called by its name."""

import pytest
import torch
from torch import Tensor

from course_lib.check.examine import run
from course_lib.check.ladder import judge
from course_lib.exercises import WEEKS, Case, Exercise, Misconception, get

EXERCISES = [exercise for week in WEEKS.values() for exercise in week]
FUNCTIONS = [exercise for exercise in EXERCISES if isinstance(exercise, Exercise)]
MISTAKES = [
    pytest.param(exercise, misconception, id=f"{exercise.name}-{misconception.when}")
    for exercise in FUNCTIONS
    for misconception in exercise.misconceptions
]
# Seed and rounds: what everybody sees, then what an autograder might draw.
DRAWS = [(0, 1), (20260, 3), (2**31 - 1, 3)]


def test_every_exercise_has_a_name_of_its_own_and_three_usual_mistakes() -> None:
    names = [exercise.name for exercise in EXERCISES]
    assert len(set(names)) == len(names)
    assert all(get(exercise.name) is exercise for exercise in EXERCISES)
    assert all(len(exercise.misconceptions) >= 3 for exercise in EXERCISES)


def test_an_unknown_exercise_is_refused_with_a_list() -> None:
    with pytest.raises(ValueError, match="nt_xent_naive"):
        get("nt_xnet")


@pytest.mark.parametrize(("seed", "rounds"), DRAWS)
@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda exercise: exercise.name)
def test_the_reference_passes(exercise: Exercise, seed: int, rounds: int) -> None:
    cases = exercise.cases(seed, rounds)
    verdict = judge(exercise, cases, run(exercise.reference, cases))
    assert verdict.passed, verdict.sentences


@pytest.mark.parametrize(("exercise", "misconception"), MISTAKES)
def test_a_mistake_fails_and_is_named(exercise: Exercise, misconception: Misconception) -> None:
    for seed in (0, 1, 20260):
        cases = exercise.cases(seed, 1)
        verdict = judge(exercise, cases, run(misconception.function, cases))
        assert not verdict.passed
        named = [sentence for sentence in verdict.sentences if "exactly what you get when" in sentence]
        assert named in (
            [f"Your numbers are exactly what you get when {misconception.when}."],
            [f"Your gradient is exactly what you get when {misconception.when}."],
        ), verdict.sentences
        assert misconception.advice in verdict.sentences


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda exercise: exercise.name)
def test_cases_depend_on_the_seed_and_on_nothing_else(exercise: Exercise) -> None:
    def tensors(cases: list[Case]) -> list[Tensor]:
        return [tensor for case in cases for tensor in case.tensors.values()]

    first = tensors(exercise.cases(3, 1))
    torch.manual_seed(99)
    again, other = tensors(exercise.cases(3, 1)), tensors(exercise.cases(4, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert len(exercise.cases(3, 3)) == 3 * len(exercise.cases(3, 1))


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda exercise: exercise.name)
def test_cases_come_in_both_precisions(exercise: Exercise) -> None:
    assert {torch.float32, torch.float64} <= {case.dtype for case in exercise.cases(0, 1)}


def test_a_case_describes_itself() -> None:
    z = torch.zeros(4, 8)
    case = Case({"z1": z, "z2": z}, {"temperature": 0.5, "alpha": z}, "two identical rows")
    assert case.describe() == "two identical rows: z1 (4, 8) and z2 (4, 8), float32, temperature=0.5"
    half = case.to(dtype=torch.float16)
    assert half.dtype == torch.float16
    assert half.describe().count("float16") == 1
    assert (
        Case({"labels": torch.arange(3), "x": z}).to(dtype=torch.float64).tensors["labels"].dtype
        == torch.int64
    )
