"""The verdict on a function: from "does it run" up to "are its gradients right", to the first broken rung.

Nothing here calls student code: what it did is handed in as answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from course_lib.check.answers import answer
from course_lib.check.rungs import BEYOND, TO_THE_VALUE
from course_lib.check.trial import RTOL, Trial
from course_lib.check.words import dtype_name, listed
from course_lib.exercises.base import Answer, Case, Exercise


@dataclass(frozen=True)
class Verdict:
    """Passed or not, and what to tell the student.

    Args:
        rung: where it broke ("value", "gradient", ...); empty if it passed.
        sentences: the message, each sentence to stand on a line of its own.
        credit: the share of the item's points that is earned, 0 to 1.
        misconception: the usual mistake that was recognised; empty if none was.
    """

    rung: str
    sentences: tuple[str, ...]
    credit: float = 0.0
    misconception: str = ""

    @property
    def passed(self) -> bool:
        return not self.rung


def judge(
    exercise: Exercise,
    cases: Sequence[Case],
    answers: Sequence[Answer],
    public: int | None = None,
    expected: Sequence[Answer] | None = None,
) -> Verdict:
    """The verdict on `answers`, one for each of `cases` (or fewer: the first that failed may be the last).

    Args:
        public: how many cases, from the first, the student may know; of the others no sentence tells the
            expected value. None: all.
        expected: what `right_answers` says, where it is known already.
    """
    if expected is None:
        expected = right_answers(exercise, cases[: len(answers)])
    trials = [
        Trial(case, got, right, public is None or number < public)
        for number, (case, got, right) in enumerate(zip(cases, answers, expected, strict=False))
    ]
    broken = _first_broken(exercise, trials)
    if broken:
        rung, sentences = broken
        return Verdict(rung, sentences, _credit(trials, cases), _named(exercise, sentences))
    if len(trials) < len(cases):
        return Verdict("runs", (f"only {len(trials)} of {len(cases)} inputs were answered.",))
    return Verdict("", (_summary(exercise, cases),), credit=1.0)


def _first_broken(exercise: Exercise, trials: list[Trial]) -> tuple[str, tuple[str, ...]] | None:
    """The first rung that broke, and what to say: of ordinary inputs first, since what is wrong everywhere is
    not explained by a batch of one."""
    for group in ([trial for trial in trials if trial.is_ordinary], trials):
        for rung, climb in TO_THE_VALUE.items():
            sentences = climb(exercise, group)
            if sentences and rung == "value":
                return rung, climb(exercise, [trial for trial in trials if trial.comparable])
            if sentences:
                return rung, sentences
    for rung, climb in BEYOND.items():
        sentences = climb(exercise, trials)
        if sentences:
            return rung, sentences
    return None


def right_answers(exercise: Exercise, cases: Sequence[Case]) -> list[Answer]:
    """What the reference makes of the same numbers in float64."""
    return [answer(exercise.reference, case.to(dtype=torch.float64)) for case in cases]


HALF, QUARTER = 0.5, 0.25


def _credit(trials: Sequence[Trial], cases: Sequence[Case]) -> float:
    """What a wrong answer earns: half if every value is right, a quarter if those of ordinary inputs are.

    The first means a wrong gradient, a loop, inputs that were altered, a number instead of a tensor, or
    digits that only float64 shows; the second, values that break (or a crash) only on the inputs about which
    something is special (one image, long vectors, half precision).
    """
    right = [_has_the_right_value(trial) for trial in trials]
    if len(trials) == len(cases) and all(right):
        return HALF
    ordinary = [ok for ok, trial in zip(right, trials, strict=True) if trial.is_ordinary]
    answered = len(ordinary) == sum(Trial(case, Answer(), Answer()).is_ordinary for case in cases)
    return QUARTER if answered and ordinary and all(ordinary) else 0.0


def _has_the_right_value(trial: Trial) -> bool:
    """In whatever wrapping: a tensor with one number too many dimensions, or a number that is no tensor."""
    if trial.got.value is None or trial.got.device != trial.case.device.type:
        return False
    if trial.got.value.numel() == trial.target.numel() == 1:
        scalar = replace(trial.got, value=trial.got.value.reshape(trial.target.shape))
        trial = replace(trial, got=scalar)
    return trial.comparable and trial.nearly_right


def _named(exercise: Exercise, sentences: tuple[str, ...]) -> str:
    """The misconception that the sentences name."""
    whens = [misconception.when for misconception in exercise.misconceptions]
    return next((w for w in whens if any(s.endswith(f" when {w}.") for s in sentences)), "")


def _summary(exercise: Exercise, cases: Sequence[Case]) -> str:
    dtypes = [dtype_name(dtype) for dtype in RTOL if any(case.dtype == dtype for case in cases)]
    devices = sorted({case.device.type for case in cases})
    words = sorted(dtypes, key=["float16", "bfloat16", "float32", "float64"].index)
    parts = [f"{len(cases)} inputs", listed(words)]
    parts += [listed(devices)] if len(devices) > 1 else []
    parts += ["values and gradients" if exercise.differentiable else "values"]
    return f"passed ({', '.join(parts)})."
