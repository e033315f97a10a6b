"""Calling a function on one case, whoever wrote it, and noting what came back."""

from __future__ import annotations

import linecache
import os
import signal
import sys
import sysconfig
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from course_lib.check.trying import open_function
from course_lib.exercises.base import Answer, Case, output_weights

_NOT_THE_STUDENTS = tuple(
    {str(Path(__file__).parents[1]), *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))}
)


class TimeLimit(BaseException):
    """Student code ran too long. No Exception, so that a student's `except Exception` does not swallow it."""


class _Calls(TorchFunctionMode):
    """Counts the torch functions called from Python."""

    def __init__(self) -> None:
        self.count = 0
        super().__init__()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def answer(function: Callable[..., object], case: Case) -> Answer:
    """Call `function` on copies of the case's tensors, and take the gradient of what it returns.

    Raises:
        NotImplementedError: as raised by `function`: an item that was left blank.
    """
    leaves = {name: case.tensors[name].detach().clone().requires_grad_() for name in case.learnt}
    # Copies of the leaves: an in-place change is then noticed below instead of dying with torch's own words.
    given = {name: leaves[name].clone() if name in leaves else t.clone() for name, t in case.tensors.items()}
    options = {name: v.clone() if isinstance(v, Tensor) else v for name, v in case.options.items()}
    calls = _Calls()
    try:
        with _same_random_numbers(case), torch.enable_grad(), nothing_compiled(), calls:
            value = function(*given.values(), **options)
    except (Exception, SystemExit, TimeLimit) as error:
        if open_function(error):
            raise
        return Answer(error=explain(error), returned=type(error).__name__)
    originals = {**case.tensors, **case.options}
    altered = tuple(
        name
        for name, now in {**given, **options}.items()
        if isinstance(now, Tensor) and not torch.equal(now.detach(), originals[name])  # type: ignore[arg-type]
    )
    if type(value) not in (Tensor, nn.Parameter):
        return Answer(_as_tensor(value), type(value).__name__, altered=altered)
    assert isinstance(value, Tensor)
    seen = Answer(
        value=value.detach(),
        altered=altered,
        attached=value.requires_grad,
        calls=calls.count,
        device=value.device.type,
    )
    try:
        return replace(seen, gradients=_gradients(value, leaves))
    except Exception as error:
        return replace(seen, error=explain(error))


def answer_all(function: Callable[..., object], cases: Sequence[Case], seconds: float) -> list[Answer]:
    """Answers to the cases, in order, up to the first that takes too long."""
    answers: list[Answer] = []
    for case in cases:
        with time_limit(seconds):
            answers.append(answer(function, case))
        if answers[-1].returned == TimeLimit.__name__:
            break
    return answers


def _as_tensor(value: object) -> Tensor | None:
    """A number or an array as a tensor; None if it is neither."""
    if not isinstance(value, int | float | np.number | np.ndarray):
        return None
    try:
        return torch.from_numpy(np.array(value))
    except TypeError:  # an array of texts or objects
        return None


def _gradients(value: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    if not value.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    total = (value * output_weights(value)).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """What is behind torch.compile runs as it is written: compiling could take longer than the limit."""
    before = os.environ.get("TORCHDYNAMO_DISABLE")
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # what is compiled in the block
    try:
        if "torch._dynamo" in sys.modules:  # what was compiled before; the import would take seconds
            with torch.compiler.set_stance("force_eager"):
                yield
        else:
            yield
    finally:
        os.environ.pop("TORCHDYNAMO_DISABLE")
        if before is not None:
            os.environ["TORCHDYNAMO_DISABLE"] = before


@contextmanager
def _same_random_numbers(case: Case) -> Iterator[None]:
    """Every call sees the same random numbers, and the notebook's own stream is left where it was."""
    devices = {tensor.device for tensor in case.tensors.values() if tensor.is_cuda}
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(0)
        yield


def explain(error: BaseException) -> str:
    """What an exception out of student code says; on a second line `Your line 7: ` and the line itself."""
    if isinstance(error, TimeLimit) or type(error).__module__.startswith("course_lib."):
        what = f"{error}"  # a sentence of the course's own
    else:
        first_line = textwrap.shorten((str(error).strip().splitlines() or [""])[0], 300, placeholder=" ...")
        what = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    place = _students_line(error)
    return f"{what}{'' if what.endswith(('.', '?')) else '.'}\n{place}".rstrip()


def _students_line(error: BaseException) -> str:
    """The innermost line that belongs neither to Python, nor to an installed package, nor to this course."""
    found, traceback = "", error.__traceback__
    while traceback is not None:
        filename, number = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        if not filename.startswith((*_NOT_THE_STUDENTS, "<frozen")):
            found = f"Your line {number}: {linecache.getline(filename, number).strip()}".removesuffix(": ")
        traceback = traceback.tb_next
    return found


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeLimit` in the block after so many seconds; no limit where there is no alarm signal."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: object) -> None:
        raise TimeLimit(f"still running after {seconds:g} s: is there an endless loop?")

    previous = signal.signal(signal.SIGALRM, stop)
    # Once more every few seconds, should a student's bare `except` swallow the first.
    signal.setitimer(signal.ITIMER_REAL, seconds, 5.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
