"""From what a kernel handed in to a verdict. Nothing that was handed in is trusted, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.check.examine import PUBLIC_SEED
from course_lib.check.ladder import Verdict, judge
from course_lib.check.training import judge_training, networks, scored
from course_lib.exercises import Answer, Case, Exercise, TrainingExercise
from course_lib.exercises.training import Note, Notes, Trace, moved
from course_tools.grading.referee.questions import Question, as_number

MAX_SENTENCE = 600
_DTYPES = {
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class HandIn:
    """A message from the kernel."""

    header: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


class Unreadable(Exception):
    """What was handed in is no set of answers; the message is a sentence."""


def verdict_on(
    exercise: Exercise | TrainingExercise, question: Question, given: HandIn, secret: str
) -> Verdict:
    """The verdict on what was handed in, whatever it is; never raises because of it."""
    try:
        if "blank" in given.header:
            return Verdict("blank", (_text(given.header["blank"]),))
        if "no_function" in given.header:
            kind = _text(given.header["no_function"])
            return Verdict("callable", (f"expected your function, got a {kind}.",))
        if isinstance(exercise, TrainingExercise):
            return _on_training(exercise, given, as_number(secret))
        handed_in = answers(question.cases, given)
        return judge(exercise, question.cases, handed_in, question.public, question.expected)
    except Unreadable as error:
        return Verdict("answers", (str(error),))
    except Exception as error:  # made to break the judge
        return Verdict("answers", (f"what was handed in cannot be judged ({type(error).__name__}).",))


def answers(cases: Sequence[Case], given: HandIn) -> list[Answer]:
    """The answers in a message, each with tensors that can be compared.

    Raises:
        Unreadable: there are too many or too few, or one is none.
    """
    listed = given.header.get("answers")
    if not isinstance(listed, list) or len(listed) > len(cases):
        raise Unreadable("what was handed in is no list with an answer to each input.")
    found = [
        _answer(number, case, each, given)
        for number, (case, each) in enumerate(zip(cases, listed, strict=False))
    ]
    gave_up = bool(found) and found[-1].value is None and bool(found[-1].error)
    if len(found) < len(cases) and not gave_up:
        raise Unreadable(f"only {len(found)} of {len(cases)} inputs were answered.")
    return found


def _answer(number: int, case: Case, each: object, given: HandIn) -> Answer:
    if not isinstance(each, dict):
        raise Unreadable(f"the answer to input {number} cannot be read.")
    value, gradients = given.tensors.get(f"{number}"), _gradients(number, case, given)
    for tensor in ([] if value is None else [value]) + list(gradients.values()):
        if tensor.dtype not in _DTYPES:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise Unreadable(f"the answer to input {number} is a tensor of type {kind}.")
    error = _text(each.get("error", ""))
    learnt = set(case.learnt)
    if value is not None and not error and gradients.keys() != learnt:
        raise Unreadable(f"the answer to input {number} comes without its gradients.")
    altered, calls = each.get("altered"), each.get("calls")
    return Answer(
        value=value,
        returned=_text(each.get("returned", "")),
        error=error,
        altered=tuple(name for name in (*case.tensors, *case.options) if name in _listed(altered)),
        attached=each.get("attached") is True,
        gradients=gradients,
        calls=calls if isinstance(calls, int) else 0,
        device=_text(each.get("device", "")),
    )


def _gradients(number: int, case: Case, given: HandIn) -> dict[str, Tensor]:
    """The gradients for this case; one of a wrong shape does not count."""
    found = {name: given.tensors.get(f"{number}.{name}") for name in case.tensors}
    return {
        name: gradient
        for name, gradient in found.items()
        if gradient is not None and gradient.shape == case.tensors[name].shape
    }


def _listed(names: object) -> list[Any]:
    return names if isinstance(names, list) else []


def _on_training(exercise: TrainingExercise, given: HandIn, seed: int) -> Verdict:
    trace = _trace(exercise, given.header)
    start = networks(exercise, PUBLIC_SEED)[0]
    network = None
    if given.tensors:
        if any(tensor.dtype not in _DTYPES for tensor in given.tensors.values()):
            raise Unreadable("the network you return has weights of an unusual type.")
        try:
            network = exercise.rebuilt(start, given.tensors)
        except ValueError as error:
            raise Unreadable(str(error)) from None
        trace.notes.returned_moved = moved(network, start)  # known here: the kernel need not be believed
    verdict = judge_training(exercise, scored(exercise, trace, network, PUBLIC_SEED, world=seed))
    if network is None and verdict.rung in ("score", ""):
        raise Unreadable("no network was handed in.")
    return verdict


def _trace(exercise: TrainingExercise, header: Mapping[str, Any]) -> Trace:
    """The notes on the training, each of the type that it should have."""
    told = header.get("notes")
    if not isinstance(told, dict):
        raise Unreadable("what was handed in says nothing about the training.")
    notes = {name: _like(default, told.get(name)) for name, default in exercise.watch.NOTES.items()}
    return Trace(Notes(**notes), error=_text(header.get("error", "")))


def _like(default: Note, value: object) -> Note:
    """`value` if it is of the type of `default`, else `default`."""
    if isinstance(default, str):
        return default if value is None else _text(value)
    if isinstance(default, tuple):
        numbers = value if isinstance(value, list | tuple) else []
        return tuple(float(x) for x in numbers[:10_000] if isinstance(x, int | float))
    if default is None:
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(default, float) and isinstance(value, int | float):
        return float(value)
    return value if type(value) is type(default) else default


def _text(value: object) -> str:
    """Text that can be shown: short, and without control characters other than the end of a line."""
    return "".join(c for c in str(value)[:MAX_SENTENCE] if c == "\n" or c.isprintable())
