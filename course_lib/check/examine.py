"""`check`: what a student's function gets wrong, in a sentence, at once."""

from __future__ import annotations

import html
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass

import torch

from course_lib.check.answers import answer_all, time_limit
from course_lib.check.client import HandedIn, hand_in
from course_lib.check.ladder import Verdict, judge
from course_lib.check.training import judge_training, observe, scored
from course_lib.exercises import Answer, Case, Exercise, TrainingExercise, get

PUBLIC_SEED = 0
SECONDS_A_CASE = 10.0
SECONDS_OF_TRAINING = 75.0


class CheckFailed(AssertionError):
    """What a student's function gets wrong. In a notebook only the sentence is shown, no traceback."""

    def __init__(self, name: str, verdict: Verdict) -> None:
        self.name, self.verdict = name, verdict
        super().__init__(f"{name}: {' '.join(verdict.sentences)}")

    def _render_traceback_(self) -> list[str]:
        first, *rest = self.verdict.sentences
        return [
            line for sentence in (f"{self.name}: {first}", *rest) for line in textwrap.wrap(sentence, 100)
        ]


@dataclass(frozen=True)
class Passed:
    """The happy end of a check."""

    name: str
    verdict: Verdict

    def __repr__(self) -> str:
        return f"{self.name}: {' '.join(self.verdict.sentences)}"

    def _repr_html_(self) -> str:
        words = html.escape(" ".join(self.verdict.sentences))
        return f'<span style="color:#1a7f37">✓</span> <b>{html.escape(self.name)}</b>: {words}'

    def _ipython_display_(self) -> None:
        """Shown rather than returned: nbgrader reads a graded cell's return value as partial credit."""
        from IPython.display import display

        display({"text/plain": repr(self), "text/html": self._repr_html_()}, raw=True)


def check(name: str, student_code: object, *, seed: int = PUBLIC_SEED) -> Passed | HandedIn:
    """Try a student's function on many inputs and say what is wrong with it, if anything.

    The rungs, in this order: it can be called, it runs, it leaves its inputs alone, type, shape, dtype and
    device, finite, value, (for vectorised items) no loop, gradient. The first broken one is reported. A wrong
    value is compared with the usual mistakes; if exactly one reproduces it, the mistake is named.

    While a lab is graded (the environment has COURSE_REFEREE), nothing is judged here: what the function does
    with other inputs, and more of them, is handed in to the referee.

    Args:
        name: of the exercise, which is its grade id.
        student_code: the function.
        seed: of the inputs; by default those everybody sees.

    Returns:
        An object that shows as one line.

    Raises:
        CheckFailed: with the sentence.
        NotImplementedError: as raised by the function: an item that was left blank.
        ValueError: there is no such exercise.
    """
    referee = os.environ.get("COURSE_REFEREE")
    try:
        with _stderr_costs_nothing():
            if referee:
                return hand_in(referee, name, student_code)
            verdict = examine(get(name), student_code, seed)
    except NotImplementedError as blank:
        raise blank.with_traceback(None) from None  # a blank item needs no tour of this package
    if not verdict.passed:
        raise CheckFailed(name, verdict) from None
    return Passed(name, verdict)


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
