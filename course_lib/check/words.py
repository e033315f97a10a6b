"""Sentences about numbers that differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.check.trial import Trial
from course_lib.exercises.base import Misconception


def naming(misconception: Misconception, subject: str = "Your numbers are") -> tuple[str, str]:
    return f"{subject} exactly what you get when {misconception.when}.", misconception.advice


def how_many(what: str, wrong: list[Trial], trials: list[Trial]) -> str:
    about = {trial.case.about for trial in wrong}
    if len(about) == 1 and "" not in about:
        return f"{what} for {about.pop()}; the other inputs are right."
    dtypes = {trial.case.dtype for trial in wrong}
    others = {trial.case.dtype for trial in trials if trial not in wrong}
    if len(dtypes) == 1 and not dtypes & others:
        return f"{what} for {dtype_name(dtypes.pop())} inputs only."
    return f"{what} on {len(wrong)} of {len(trials)} inputs."


def difference(got: Tensor, expected: Tensor, public: bool) -> str:
    """`got 1.946, expected 1.792`, for tensors at the entry that differs most.

    Not public: `got 1.946, which is too large`.
    """
    got, expected = got.double().cpu(), expected.double().cpu()
    where = ""
    if got.ndim:
        index = torch.unravel_index((got - expected).abs().argmax(), got.shape)
        where = f" at [{', '.join(str(int(i)) for i in index)}]"
        got, expected = got[index], expected[index]
    if not public:
        return f"got {got.item():.4g}, which is too {'large' if got > expected else 'small'}{where}"
    texts = [f"{got.item():.{d}g} {expected.item():.{d}g}".split() for d in (4, 6, 10)]
    mine, theirs = next((pair for pair in texts if pair[0] != pair[1]), texts[-1])
    return f"got {mine}, expected {theirs}{where}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
