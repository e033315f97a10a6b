"""What the referee asks about an item: inputs drawn from the public and from the secret seed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from torch import Tensor

from course_lib.check.examine import PUBLIC_SEED, SECONDS_A_CASE, SECONDS_OF_TRAINING
from course_lib.check.ladder import right_answers
from course_lib.exercises import Answer, Case, Exercise, TrainingExercise, get

SECRET_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Question:
    """What is sent about an item, and what the referee keeps to judge the answers.

    Args:
        cases: the inputs, on the CPU; empty if the item is a training loop.
        public: how many of the cases, from the first, are those of the student's own check.
        expected: the right answers.
        header, tensors: the message.
    """

    cases: Sequence[Case]
    public: int
    expected: Sequence[Answer]
    header: dict[str, Any]
    tensors: dict[str, Tensor]


def as_number(secret: str) -> int:
    """The secret seed, which may be any text, as a number."""
    return int(secret) if secret.isdigit() else zlib.crc32(secret.encode())


@lru_cache(maxsize=32)
def question(name: str, secret: str, device: str) -> Question:
    """The question about an item, the same for every submission.

    Args:
        secret: the secret seed. No part of the message depends on it but the drawn inputs.
        device: "cpu", or "cuda" to ask every input on the GPU as well.
    """
    exercise = get(name)
    if isinstance(exercise, TrainingExercise):
        return Question((), 0, (), _asked_to_train(exercise, device), {})
    public = on_devices(exercise, PUBLIC_SEED, 1, device)
    cases = public + on_devices(exercise, as_number(secret), SECRET_ROUNDS, device)
    header = {"ask": "function", "seconds": SECONDS_A_CASE, "cases": [_asked(case) for case in cases]}
    tensors = {
        f"{number}.{key}": tensor
        for number, case in enumerate(cases)
        for key, tensor in {**case.tensors, **case.options}.items()
        if isinstance(tensor, Tensor)
    }
    return Question(cases, len(public), right_answers(exercise, cases), header, tensors)


def _asked_to_train(exercise: TrainingExercise, device: str) -> dict[str, Any]:
    """The class of the exercise, which the kernel has too, and its numbers.

    The world in which the student's loop trains is the public one; it is measured in another.
    """
    values = {f.name: getattr(exercise, f.name) for f in fields(exercise)}
    return {
        "ask": "training",
        "module": type(exercise).__module__,
        "kind": type(exercise).__name__,
        "exercise": {key: value for key, value in values.items() if isinstance(value, str | int | float)},
        "seed": PUBLIC_SEED,
        "device": device,
        "seconds": SECONDS_OF_TRAINING,
    }


def on_devices(exercise: Exercise, seed: int, rounds: int, device: str) -> list[Case]:
    """The exercise's cases, to be given on the CPU and then on the device, if it is another."""
    cases = exercise.cases(seed, rounds)
    if device != "cpu":
        cases += [replace(case, given_on=device) for case in cases]
    return cases


def _asked(case: Case) -> dict[str, Any]:
    tensors = {key for key, value in case.options.items() if isinstance(value, Tensor)}
    return {
        "tensors": list(case.tensors),
        "options": {key: value for key, value in case.options.items() if key not in tensors},
        "tensor_options": sorted(tensors),
        "device": case.device.type,
        "differentiable": case.differentiable,
    }
