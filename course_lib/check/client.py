"""`check` in a kernel that is being graded: run the student's function on the referee's inputs.

Nothing here judges. The student's code shares this process and may change all of it; that changes which
answers are handed in, and no more.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from course_lib.check.answers import answer_all, time_limit
from course_lib.check.protocol import ProtocolError, plain, receive, send
from course_lib.check.training import observe
from course_lib.exercises import Answer, Case

MAX_NUMBERS = 2**20  # in one result; more is a mistake (a missing mean over pairs of pairs)


class NotNow(RuntimeError):
    """The referee takes no answers for this item at this time."""


@dataclass(frozen=True)
class HandedIn:
    """Answers were handed in; what they are worth is not known here."""

    name: str

    def __repr__(self) -> str:
        return f"{self.name}: handed in."

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({"text/plain": repr(self)}, raw=True)


def hand_in(address: str, name: str, student_code: object) -> HandedIn:
    """Answer the referee's question about an item with what the student's function does.

    Args:
        address: path of the referee's socket.
        name: of the item.
        student_code: the function.

    Raises:
        NotImplementedError: as raised by the function: an item that was left blank.
        NotNow: the item's own cell is not the one that is running.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        send(connection, {"item": name})
        question, tensors = receive(connection)
        if "refused" in question:
            raise NotNow(str(question["refused"]))
        blank: NotImplementedError | None = None
        try:
            found = _answers(question, tensors, student_code)
        except NotImplementedError as error:
            blank, found = error, ({"blank": str(error)}, {})
        send(connection, *found)
        receive(connection)
    if blank is not None:
        raise blank.with_traceback(None)
    return HandedIn(name)


Message = tuple[dict[str, Any], dict[str, Tensor]]


def _answers(question: dict[str, Any], tensors: dict[str, Tensor], student_code: object) -> Message:
    if not callable(student_code):
        return {"no_function": type(student_code).__name__}, {}
    if question["ask"] == "training":
        return _trained(question, student_code)
    cases = [_case(number, asked, tensors) for number, asked in enumerate(question["cases"])]
    found = [_sendable(each) for each in answer_all(student_code, cases, question["seconds"])]
    values = {f"{number}": each.value for number, each in enumerate(found) if each.value is not None}
    values |= {f"{number}.{key}": g for number, each in enumerate(found) for key, g in each.gradients.items()}
    return {"answers": [_header(each) for each in found]}, values


def _case(number: int, asked: dict[str, Any], tensors: dict[str, Tensor]) -> Case:
    def named(names: list[str]) -> dict[str, Tensor]:
        return {name: tensors[f"{number}.{name}"] for name in names}

    options = asked["options"] | named(asked["tensor_options"])
    case = Case(named(asked["tensors"]), options, differentiable=asked["differentiable"])
    return case.to(device=asked["device"])


def _header(each: Answer) -> dict[str, Any]:
    left_out = ("value", "gradients")
    return {key: value for key, value in vars(each).items() if key not in left_out}


def _sendable(each: Answer) -> Answer:
    """The answer, or one that says why its tensor cannot be handed in."""
    if each.value is None:
        return each
    if each.value.numel() > MAX_NUMBERS:
        shape = tuple(each.value.shape)
        return Answer(error=f"you return {each.value.numel()} numbers, of shape {shape}: far too many.")
    try:
        plain(each.value)
    except Exception:
        return Answer(error=f"you return a tensor that is not an ordinary one ({each.value.layout}).")
    return each


def _trained(question: dict[str, Any], train: Callable[..., object]) -> Message:
    kind = getattr(import_module(question["module"]), question["kind"])
    exercise = kind(reference=train, misconceptions=(), **question["exercise"])
    with time_limit(question["seconds"]):
        trace, network = observe(exercise, train, question["seed"], question["device"])
    return {"notes": vars(trace.notes), "error": trace.error}, _weights(network)


def _weights(network: nn.Module | None) -> dict[str, Tensor]:
    return (
        {}
        if network is None
        else {key: t for key, t in network.state_dict().items() if isinstance(t, Tensor)}
    )


__all__ = ["HandedIn", "NotNow", "ProtocolError", "hand_in"]
