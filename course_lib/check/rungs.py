"""The rungs of the ladder: each looks at all inputs, and says what is wrong; nothing if all is well."""

from __future__ import annotations

from collections.abc import Callable

import torch

from course_lib.check.recognise import recognised
from course_lib.check.trial import Trial, same_gradient
from course_lib.check.words import difference, dtype_name, how_many, naming
from course_lib.exercises.base import Exercise

Rung = Callable[[Exercise, list[Trial]], tuple[str, ...]]


def _runs(exercise: Exercise, trials: list[Trial]) -> tuple[str, ...]:
    for trial in trials:
        if trial.crashed:
            ordinary = [each for each in trials if each.is_ordinary]
            fine = all(each.comparable and each.value_is_right for each in ordinary)
            return (
                *trial.got.error.split("\n"),
                f"It was called on {trial.case.describe()}.{' Ordinary inputs are right.' if fine else ''}",
                *filter(None, [trial.case.question]),
            )
    return ()


def _leaves_inputs_alone(exercise: Exercise, trials: list[Trial]) -> tuple[str, ...]:
    for trial in trials:
        if trial.got.altered:
            return (
                f"it changes {' and '.join(trial.got.altered)}, its input, which the caller still needs.",
                "Look for an operation in place (x /= ..., x[...] = ..., x.add_(...)) and make a new tensor.",
            )
    return ()


_WRONG_TYPES = {
    "NoneType": "you return None: is a `return` missing?",
    "int": "you return a Python int: did every branch compute a tensor?",
    "tuple": "you return several values (a tuple): return only the result.",
    "list": "you return a list: make one tensor of it (torch.stack).",
}
_NUMBERS = {"float": "a Python float", "ndarray": "a NumPy array"}


def _type(exercise: Exercise, trials: list[Trial]) -> tuple[str, ...]:
    for trial in trials:
        name = trial.got.returned
        if name in _WRONG_TYPES:
            return (_WRONG_TYPES[name],)
        if trial.got.value is None:
            return (f"you return a {name}: expected a torch.Tensor.",)
        if name != "Tensor":
            what = _NUMBERS.get(name, f"a NumPy number ({name})")
            return (f"you return {what}: {_stay_in_torch(exercise)}",)
    return ()


def _stay_in_torch(exercise: Exercise) -> str:
    if exercise.differentiable:
        return "gradients end there. Stay in torch (no .item(), no .numpy(), no math.log)."
    return "expected a tensor (leave out the .item(), float() or .numpy())."


def _shape(exercise: Exercise, trials: list[Trial]) -> tuple[str, ...]:
    for trial in trials:
        got, expected = tuple(trial.value.shape), tuple(trial.target.shape)
        if got != expected:
            question = " Is a mean (or an index) missing at the end?" if not expected else ""
            wrong = [each for each in trials if each.value.shape != each.target.shape]
            named = recognised(exercise, wrong, wrong, gradient=False)
            return (
                f"wrong shape: got {got}, expected {expected}, {exercise.result}.{question}",
                *(naming(named) if named else ()),
                f"Seen on {trial.case.describe()}.",
            )
    return ()


def _dtype_and_device(exercise: Exercise, trials: list[Trial]) -> tuple[str, ...]:
    for trial in trials:
        case, got = trial.case, trial.value
        if trial.got.device != case.device.type:
            return (
                f"you return a tensor on {trial.got.device} for inputs on {case.device}.",
                "Create new tensors where the inputs are, with device=....device.",
            )
        if got.dtype != trial.result_dtype and (exercise.differentiable or not got.is_floating_point()):
            return (
                f"you return {dtype_name(got.dtype)} for {dtype_name(case.dtype)} inputs,"
                f" expected {dtype_name(trial.result_dtype)}.",
                _dtype_advice(case.dtype, got.dtype),
            )
    return ()


def _dtype_advice(given: torch.dtype, got: torch.dtype) -> str:
    if not got.is_floating_point:
        return "Turn counts and comparisons into the inputs' dtype before the mean."
    if given == torch.float64:
        return "Some tensor on the way is made in float32 (a .float(), torch.zeros without dtype=...)."
    if given == torch.float32:
        return "Some tensor on the way is made in another precision: give new tensors the inputs' dtype."
    return "Half precision overflows and keeps 3 digits: cast the inputs up to float32 first of all."


_ANY_QUESTION = (
    "Where could there be the logarithm of 0, a division by 0, or an exponential of a large number?"
)


def _finite(exercise: Exercise, trials: list[Trial]) -> tuple[str, ...]:
    wrong = [trial for trial in trials if not trial.value.isfinite().all()]
    if not wrong:
        return ()
    first = wrong[0]
    bad = first.value[~first.value.isfinite()][0].item()
    named = recognised(exercise, trials, [t for t in trials if not t.value_is_right], gradient=False)
    if named:
        return (f"not finite on {len(wrong)} of {len(trials)} inputs.", *naming(named))
    question = (first.case.question or _ANY_QUESTION,)
    return (f"not finite: you return {bad} for {first.case.describe()}.", *question)


def _value(exercise: Exercise, trials: list[Trial]) -> tuple[str, ...]:
    wrong = [trial for trial in trials if not trial.value_is_right]
    if not wrong:
        return ()
    named = recognised(exercise, trials, wrong, gradient=False)
    shown = _example(wrong)
    example = f"{difference(shown.value, shown.target, shown.public)}, on {shown.case.describe()}."
    if all(trial.nearly_right for trial in trials):
        return (
            "right to 4 digits on every input, but not to the precision of float64.",
            *(naming(named) if named else (_A_SMALL_NUMBER,)),
            f"For example: {example}",
        )
    only_there = len({trial.case.about for trial in wrong}) == 1 and bool(wrong[0].case.about)
    return (
        how_many("wrong value", wrong, trials),
        *(naming(named) if named else ()),
        f"For example: {example}",
        *((shown.case.question,) if shown.case.question and only_there and not named else ()),
    )


_A_SMALL_NUMBER = (
    "Is a small number (1e-8, eps) added that the equation does not have, or is something on the way"
    " computed in float32?"
)


def _example(wrong: list[Trial]) -> Trial:
    """An ordinary one that the student may know, if there is one, and where the difference can be seen."""
    known = [trial for trial in wrong if trial.public] or wrong
    known = [trial for trial in known if trial.is_ordinary] or known
    plain = next((trial for trial in known if trial.deviation > 0.01), None)
    return plain or max(known, key=lambda trial: trial.deviation)


def _loops(exercise: Exercise, trials: list[Trial]) -> tuple[str, ...]:
    if not exercise.vectorised:
        return ()
    sized = sorted(trials, key=lambda trial: max(len(t) for t in trial.case.tensors.values()))
    small, large = sized[0], sized[-1]
    if large.got.calls <= 2 * small.got.calls + 10:
        return ()
    return (
        "right values, but there is still a loop over the batch.",
        f"A batch of {_rows(small)} takes {small.got.calls} calls to torch, one of {_rows(large)} takes"
        f" {large.got.calls}: without a loop the number stays the same.",
    )


def _rows(trial: Trial) -> int:
    return max(len(tensor) for tensor in trial.case.tensors.values())


def _gradient(exercise: Exercise, trials: list[Trial]) -> tuple[str, ...]:
    if not exercise.differentiable:
        return ()
    for trial in trials:
        if trial.got.error:
            return (f"right values, but there is no gradient: {trial.got.error}".split("\n")[0],)
    for trial in trials:
        if not all(gradient.isfinite().all() for gradient in trial.got.gradients.values()):
            return (
                f"right values, but the gradient is not finite for {trial.case.describe()}.",
                trial.case.question or _ANY_QUESTION,
            )
    wrong = [trial for trial in trials if not trial.gradient_is_right]
    if not wrong:
        return ()
    named = recognised(exercise, trials, wrong, gradient=True)
    if not named and not any(trial.got.attached for trial in wrong):
        return (
            "right values, but no gradient: the result is cut off from the inputs.",
            "Look for .detach(), .data, .item(), torch.no_grad() or torch.tensor(...).",
        )
    shown = next((trial for trial in wrong if trial.public), wrong[0])
    return (
        how_many("right values, but a wrong gradient", wrong, trials),
        *(naming(named, "Your gradient is") if named else (_which_gradient(shown),)),
    )


def _which_gradient(trial: Trial) -> str:
    for name, expected in trial.expected.gradients.items():
        got = trial.got.gradients[name]
        if not same_gradient(got, expected, trial.case.dtype, trial.case.device.type):
            if not got.any():
                return f"It is zero with respect to {name}: is {name} detached, or unused?"
            found = difference(got, expected, trial.public)
            return f"With respect to {name}: {found}, on {trial.case.describe()}."
    return ""


TO_THE_VALUE: dict[str, Rung] = {
    "runs": _runs,
    "inputs": _leaves_inputs_alone,
    "type": _type,
    "shape": _shape,
    "dtype and device": _dtype_and_device,
    "finite": _finite,
    "value": _value,
}
BEYOND: dict[str, Rung] = {"loops": _loops, "gradient": _gradient}
