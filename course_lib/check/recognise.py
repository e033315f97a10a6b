"""Which usual mistake gives the very numbers that a student's function gives."""

from __future__ import annotations

from course_lib.check.answers import answer
from course_lib.check.trial import Trial, same, same_gradient
from course_lib.exercises.base import Exercise, Misconception


def recognised(
    exercise: Exercise, trials: list[Trial], wrong: list[Trial], *, gradient: bool
) -> Misconception | None:
    """The one misconception that reproduces the student's numbers; None if none or several do.

    It must do so wherever the student is wrong, and on at least half of the other inputs: a single wrong
    number may agree with some mistake by chance.
    """
    right = [trial for trial in trials if trial not in wrong]
    found = []
    for misconception in exercise.misconceptions:
        if all(_reproduces(misconception, trial, gradient) for trial in wrong):
            agreed = sum(_reproduces(misconception, trial, gradient) for trial in right)
            if 2 * agreed >= len(right):
                found.append((agreed, misconception))
    most = max((agreed for agreed, _ in found), default=0)
    best = [misconception for agreed, misconception in found if agreed == most]
    return best[0] if len(best) == 1 else None


def _reproduces(misconception: Misconception, trial: Trial, gradient: bool) -> bool:
    theirs = answer(misconception.function, trial.case)
    dtype, device = trial.case.dtype, trial.case.device.type
    if theirs.value is None or theirs.value.shape != trial.value.shape:
        return False
    if not same(trial.value, theirs.value, dtype, device):
        return False
    return not gradient or all(
        same_gradient(mine, theirs.gradients[name], dtype, device)
        for name, mine in trial.got.gradients.items()
    )
