"""`check`: what a student's function gets wrong, in a sentence, at once."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr

import torch

from course_lib.check.answers import answer_all, time_limit
from course_lib.check.client import HandedIn, hand_in
from course_lib.check.ladder import Verdict, judge
from course_lib.check.shown import CheckFailed, Failed, Passed
from course_lib.check.training import judge_training, observe, scored
from course_lib.check.trying import goes_on, open_function
from course_lib.exercises import Answer, Case, Exercise, TrainingExercise, get

PUBLIC_SEED = 0
SECONDS_A_CASE = 10.0
SECONDS_OF_TRAINING = 75.0


def check(name: str, student_code: object, *, seed: int = PUBLIC_SEED) -> Passed | Failed | HandedIn:
    """Try a student's function on many inputs and say what is wrong with it, if anything.

    The rungs, in this order: it can be called, it runs, it leaves its inputs alone, type, shape, dtype and
    device, finite, value, (for vectorised items) no loop, gradient. The first broken one is reported. A wrong
    value is compared with the usual mistakes; if exactly one reproduces it, the mistake is named.

    In a notebook what is wrong or still open is shown, and the next cell runs; elsewhere, and where nbgrader
    executes the notebook, it is raised.

    While a lab is graded (the environment has COURSE_REFEREE), nothing is judged here: what the function does
    with other inputs, and more of them, is handed in to the referee.

    Args:
        name: of the exercise, which is its grade id.
        student_code: the function.
        seed: of the inputs; by default those everybody sees.

    Returns:
        An object that shows as a line or a few.

    Raises:
        CheckFailed: with the sentence; not in a notebook.
        NotImplementedError: as raised by the function: an item that was left blank; not in a notebook.
        ValueError: there is no such exercise.
    """
    referee = os.environ.get("COURSE_REFEREE")
    try:
        with _stderr_costs_nothing():
            if referee:
                return hand_in(referee, name, student_code)
            verdict = examine(get(name), student_code, seed)
    except NotImplementedError as blank:
        if not goes_on():
            raise blank.with_traceback(None) from None  # a blank item needs no tour of this package
        return Failed(
            name, Verdict("blank", (_open(open_function(blank), name), *filter(None, [str(blank)])))
        )
    if verdict.passed:
        return Passed(name, verdict)
    if goes_on():
        return Failed(name, verdict)
    raise CheckFailed(name, verdict) from None


def _open(function: str, name: str) -> str:
    return "still open." if function == name else f"waits for {function}, which is still open."


def examine(exercise: Exercise | TrainingExercise, student_code: object, seed: int) -> Verdict:
    """Run a student's function on the exercise's inputs, and judge what it did."""
    if not callable(student_code):
        kind = type(student_code).__name__
        return Verdict("callable", (f"expected your function, got a {kind}.",))
    if isinstance(exercise, Exercise):
        cases = all_cases(exercise, seed)
        return judge(exercise, cases, run(student_code, cases))
    with time_limit(SECONDS_OF_TRAINING):
        trace, network = observe(exercise, student_code, seed)
        return judge_training(exercise, scored(exercise, trace, network, seed))


def all_cases(exercise: Exercise, seed: int) -> list[Case]:
    """The exercise's cases on the CPU and, where there is one, on the GPU too."""
    cases = exercise.cases(seed, 1)
    if torch.cuda.is_available():
        cases += [case.to(device="cuda") for case in cases]
    return cases


def run(student_code: Callable[..., object], cases: Sequence[Case]) -> list[Answer]:
    """Answers to the cases, in order, up to the first that takes too long."""
    return answer_all(student_code, cases, SECONDS_A_CASE)


@contextmanager
def _stderr_costs_nothing() -> Iterator[None]:
    """nbgrader gives no points to a cell that writes to stderr: send it to stdout, and silence warnings."""
    with redirect_stderr(sys.stdout), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
