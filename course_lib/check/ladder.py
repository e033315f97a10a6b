"""The verdict on a function: from "does it run" up to "are its gradients right", to the first broken rung.

Nothing here calls student code: what it did is handed in as answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.check.answers import answer
from course_lib.exercises.base import Answer, Case, Exercise, Misconception

# Relative tolerance by dtype of the inputs; the reference is computed in float64 from the same numbers.
_RTOL = {torch.float64: 1e-6, torch.float32: 2e-4, torch.float16: 1e-3, torch.bfloat16: 1e-3}
# On a GPU, matrix products may round their factors to TF32 (10 bits), or to bfloat16 (7 bits)
# where the inputs had no more. Every input is asked on the CPU too, so that nothing slips through.
_RTOL_CUDA = {torch.float64: 1e-6, torch.float32: 2e-3, torch.float16: 2e-3, torch.bfloat16: 1e-2}


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


@dataclass(frozen=True)
class _Trial:
    """One case with what the student's function and the reference made of it.

    Of a case that is not public, no sentence tells what the reference makes of it.
    """

    case: Case
    got: Answer
    expected: Answer
    public: bool = True

    @property
    def value(self) -> Tensor:
        assert self.got.value is not None
        return self.got.value

    @property
    def target(self) -> Tensor:
        assert self.expected.value is not None
        return self.expected.value

    @property
    def result_dtype(self) -> torch.dtype:
        return torch.promote_types(self.case.dtype, torch.float32)

    @property
    def value_is_right(self) -> bool:
        return same(self.value, self.target, self.case.dtype, self.case.device.type)

    @property
    def deviation(self) -> float:
        """Largest error of the value, relative to the largest entry of the reference."""
        target = self.target.double().cpu()
        error = (self.value.double().cpu() - target).abs().max().item()
        return error / max(target.abs().max().item(), 1e-12)

    @property
    def gradient_is_right(self) -> bool:
        return all(
            same_gradient(self.got.gradients[name], gradient, self.case.dtype, self.case.device.type)
            for name, gradient in self.expected.gradients.items()
        )

    @property
    def is_ordinary(self) -> bool:
        """Nothing is special about the input, nor about its precision."""
        return not self.case.about and self.case.dtype in (torch.float32, torch.float64)


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
        _Trial(case, got, right, public is None or number < public)
        for number, (case, got, right) in enumerate(zip(cases, answers, expected, strict=False))
    ]
    for rung, climb in _RUNGS.items():
        sentences = climb(exercise, trials)
        if sentences:
            return Verdict(rung, sentences, _credit(trials, cases), _named(exercise, sentences))
    if len(trials) < len(cases):
        return Verdict("runs", (f"only {len(trials)} of {len(cases)} inputs were answered.",))
    return Verdict("", (_summary(exercise, cases),), credit=1.0)


def right_answers(exercise: Exercise, cases: Sequence[Case]) -> list[Answer]:
    """What the reference makes of the same numbers in float64."""
    return [answer(exercise.reference, case.to(dtype=torch.float64)) for case in cases]


HALF, QUARTER = 0.5, 0.25


def _credit(trials: Sequence[_Trial], cases: Sequence[Case]) -> float:
    """What a wrong answer earns: half if every value is right, a quarter if those of ordinary inputs are.

    The first means a wrong gradient, a loop, or inputs that were altered; the second, values that break only
    on the inputs about which something is special (one image, long vectors, half precision).
    """
    right = [_has_the_right_value(trial) for trial in trials]
    if len(trials) == len(cases) and all(right):
        return HALF
    ordinary = [ok for ok, trial in zip(right, trials, strict=True) if trial.is_ordinary]
    answered = len(ordinary) == sum(_Trial(case, Answer(), Answer()).is_ordinary for case in cases)
    return QUARTER if answered and ordinary and all(ordinary) else 0.0


def _has_the_right_value(trial: _Trial) -> bool:
    return (
        trial.got.value is not None
        and trial.got.value.shape == trial.target.shape
        and trial.got.device == trial.case.device.type
        and trial.value_is_right
    )


def _named(exercise: Exercise, sentences: tuple[str, ...]) -> str:
    """The misconception that the sentences name."""
    whens = [misconception.when for misconception in exercise.misconceptions]
    return next((w for w in whens if any(s.endswith(f" when {w}.") for s in sentences)), "")


def _rtol(dtype: torch.dtype, device: str) -> float:
    return (_RTOL_CUDA if device == "cuda" else _RTOL)[dtype]


def same(got: Tensor, expected: Tensor, dtype: torch.dtype, device: str = "cpu") -> bool:
    """Equal up to the rounding of inputs of this dtype on this type of device.

    NaN equals NaN, so that mistakes can be compared.
    """
    rtol = _rtol(dtype, device)
    return torch.allclose(got.double().cpu(), expected.double().cpu(), rtol, rtol / 10, equal_nan=True)


def same_gradient(got: Tensor, expected: Tensor, dtype: torch.dtype, device: str = "cpu") -> bool:
    """Equal relative to the largest entry: small entries of a gradient are differences of large ones."""
    got, expected = got.double().cpu(), expected.double().cpu()
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    rtol = 10 * _rtol(dtype, device)
    return torch.allclose(got, expected, 0.0, rtol * scale + rtol / 100, equal_nan=True)


def _runs(exercise: Exercise, trials: list[_Trial]) -> tuple[str, ...]:
    for trial in trials:
        if trial.got.error and trial.got.value is None:
            return (*trial.got.error.split("\n"), f"It was called on {trial.case.describe()}.")
    return ()


def _leaves_inputs_alone(exercise: Exercise, trials: list[_Trial]) -> tuple[str, ...]:
    for trial in trials:
        if trial.got.altered:
            return (
                f"it changes {' and '.join(trial.got.altered)}, its input, which the caller still needs.",
                "Look for an operation in place (x /= ..., x[...] = ..., x.add_(...)) and make a new tensor.",
            )
    return ()


_WRONG_TYPES = {
    "NoneType": "you return None: is a `return` missing?",
    "float": "you return a Python float: gradients end there. Stay in torch (no .item(), no math.log).",
    "int": "you return a Python int: did every branch compute a tensor?",
    "ndarray": "you return a NumPy array: gradients end there. Stay in torch.",
    "tuple": "you return several values (a tuple): return only the result.",
    "list": "you return a list: make one tensor of it (torch.stack).",
}


def _type(exercise: Exercise, trials: list[_Trial]) -> tuple[str, ...]:
    for trial in trials:
        if trial.got.value is None:
            name = trial.got.returned
            if name == "float" and not exercise.differentiable:
                return ("you return a Python float: expected a tensor (leave out the .item() or float()).",)
            return (_WRONG_TYPES.get(name, f"you return a {name}: expected a torch.Tensor."),)
    return ()


def _shape(exercise: Exercise, trials: list[_Trial]) -> tuple[str, ...]:
    for trial in trials:
        got, expected = tuple(trial.value.shape), tuple(trial.target.shape)
        if got != expected:
            question = " Is a mean (or an index) missing at the end?" if not expected else ""
            return (
                f"wrong shape: got {got}, expected {expected}, {exercise.result}.{question}",
                f"Seen on {trial.case.describe()}.",
            )
    return ()


def _dtype_and_device(exercise: Exercise, trials: list[_Trial]) -> tuple[str, ...]:
    for trial in trials:
        case, got = trial.case, trial.value
        if trial.got.device != case.device.type:
            return (
                f"you return a tensor on {trial.got.device} for inputs on {case.device}.",
                "Create new tensors where the inputs are, with device=....device.",
            )
        if got.dtype != trial.result_dtype and (exercise.differentiable or not got.is_floating_point()):
            return (
                f"you return {_name(got.dtype)} for {_name(case.dtype)} inputs,"
                f" expected {_name(trial.result_dtype)}.",
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


def _finite(exercise: Exercise, trials: list[_Trial]) -> tuple[str, ...]:
    wrong = [trial for trial in trials if not trial.value.isfinite().all()]
    if not wrong:
        return ()
    first = wrong[0]
    bad = first.value[~first.value.isfinite()][0].item()
    named = _recognised(exercise, trials, [t for t in trials if not t.value_is_right], gradient=False)
    if named:
        return (f"not finite on {len(wrong)} of {len(trials)} inputs.", *_naming(named))
    question = (first.case.question or _ANY_QUESTION,)
    return (f"not finite: you return {bad} for {first.case.describe()}.", *question)


def _value(exercise: Exercise, trials: list[_Trial]) -> tuple[str, ...]:
    wrong = [trial for trial in trials if not trial.value_is_right]
    if not wrong:
        return ()
    named = _recognised(exercise, trials, wrong, gradient=False)
    only_there = len({trial.case.about for trial in wrong}) == 1 and bool(wrong[0].case.about)
    known = [trial for trial in wrong if trial.public] or wrong
    shown = next((trial for trial in known if trial.deviation > 0.01), None)
    shown = shown or max(known, key=lambda trial: trial.deviation)
    return (
        _how_many("wrong value", wrong, trials),
        *(_naming(named) if named else ()),
        f"For example: {_difference(shown.value, shown.target, shown.public)}, on {shown.case.describe()}.",
        *((shown.case.question,) if shown.case.question and only_there and not named else ()),
    )


def _loops(exercise: Exercise, trials: list[_Trial]) -> tuple[str, ...]:
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


def _rows(trial: _Trial) -> int:
    return max(len(tensor) for tensor in trial.case.tensors.values())


def _gradient(exercise: Exercise, trials: list[_Trial]) -> tuple[str, ...]:
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
    named = _recognised(exercise, trials, wrong, gradient=True)
    if not named and not any(trial.got.attached for trial in wrong):
        return (
            "right values, but no gradient: the result is cut off from the inputs.",
            "Look for .detach(), .data, .item(), torch.no_grad() or torch.tensor(...).",
        )
    shown = next((trial for trial in wrong if trial.public), wrong[0])
    return (
        _how_many("right values, but a wrong gradient", wrong, trials),
        *(_naming(named, "Your gradient is") if named else (_which_gradient(shown),)),
    )


_RUNGS: dict[str, Callable[[Exercise, list[_Trial]], tuple[str, ...]]] = {
    "runs": _runs,
    "inputs": _leaves_inputs_alone,
    "type": _type,
    "shape": _shape,
    "dtype and device": _dtype_and_device,
    "finite": _finite,
    "value": _value,
    "loops": _loops,
    "gradient": _gradient,
}


def _recognised(
    exercise: Exercise, trials: list[_Trial], wrong: list[_Trial], *, gradient: bool
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


def _reproduces(misconception: Misconception, trial: _Trial, gradient: bool) -> bool:
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


def _naming(misconception: Misconception, subject: str = "Your numbers are") -> tuple[str, str]:
    return f"{subject} exactly what you get when {misconception.when}.", misconception.advice


def _how_many(what: str, wrong: list[_Trial], trials: list[_Trial]) -> str:
    about = {trial.case.about for trial in wrong}
    if len(about) == 1 and "" not in about:
        return f"{what} for {about.pop()}; the other inputs are right."
    dtypes = {trial.case.dtype for trial in wrong}
    others = {trial.case.dtype for trial in trials if trial not in wrong}
    if len(dtypes) == 1 and not dtypes & others:
        return f"{what} for {_name(dtypes.pop())} inputs only."
    return f"{what} on {len(wrong)} of {len(trials)} inputs."


def _difference(got: Tensor, expected: Tensor, public: bool) -> str:
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


def _which_gradient(trial: _Trial) -> str:
    for name, expected in trial.expected.gradients.items():
        got = trial.got.gradients[name]
        if not same_gradient(got, expected, trial.case.dtype, trial.case.device.type):
            if not got.any():
                return f"It is zero with respect to {name}: is {name} detached, or unused?"
            difference = _difference(got, expected, trial.public)
            return f"With respect to {name}: {difference}, on {trial.case.describe()}."
    return ""


def _summary(exercise: Exercise, cases: Sequence[Case]) -> str:
    dtypes = [_name(dtype) for dtype in _RTOL if any(case.dtype == dtype for case in cases)]
    devices = sorted({case.device.type for case in cases})
    words = sorted(dtypes, key=["float16", "bfloat16", "float32", "float64"].index)
    parts = [f"{len(cases)} inputs", _listed(words)]
    parts += [_listed(devices)] if len(devices) > 1 else []
    parts += ["values and gradients" if exercise.differentiable else "values"]
    return f"passed ({', '.join(parts)})."


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
