"""What a lab asks, as an object: the reference, the inputs to try, and the usual mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Case:
    """One call: `function(*tensors, **options)`.

    Args:
        tensors: positional arguments by name, in order.
        options: keyword arguments by name, numbers or tensors; no gradient is asked for them.
        about: what is special about this input ("two identical rows"); empty for an ordinary one.
        question: what to ask a student who returns inf or NaN here, as a sentence.
        given_on: the device on which the function gets the tensors, if not the one they are on here.
        differentiable: whether the floating-point tensors come with requires_grad, and their gradients are
            taken; else they are plain tensors.
    """

    tensors: dict[str, Tensor]
    options: dict[str, float | Tensor] = field(default_factory=dict)
    about: str = ""
    question: str = ""
    given_on: str = ""
    differentiable: bool = True

    @property
    def dtype(self) -> torch.dtype:
        """Of the floating-point tensors, which share one."""
        return next(tensor.dtype for tensor in self.tensors.values() if tensor.is_floating_point())

    @property
    def device(self) -> torch.device:
        return torch.device(self.given_on or next(iter(self.tensors.values())).device)

    @property
    def learnt(self) -> tuple[str, ...]:
        """Names of the tensors whose gradient is taken."""
        names = (name for name, tensor in self.tensors.items() if tensor.is_floating_point())
        return tuple(names) if self.differentiable else ()

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Case:
        """The same input with its floating-point tensors cast, and all of them on `device`."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

        return replace(
            self,
            tensors={name: moved(tensor) for name, tensor in self.tensors.items()},
            options={k: moved(v) if isinstance(v, Tensor) else v for k, v in self.options.items()},
        )

    def describe(self) -> str:
        """`two identical rows: z1 (4, 8) and z2 (4, 8), float32, temperature=0.5`."""
        *most, last = [f"{name} {tuple(value.shape)}" for name, value in self.tensors.items()]
        shapes = f"{', '.join(most)} and {last}" if most else last
        parts = [shapes, str(self.dtype).removeprefix("torch.")]
        parts += [str(self.device)] if self.device.type != "cpu" else []
        parts += [f"{k}={v:g}" for k, v in self.options.items() if not isinstance(v, Tensor)]
        return f"{self.about}: {', '.join(parts)}" if self.about else ", ".join(parts)


@dataclass(frozen=True)
class Misconception:
    """A usual mistake, written out, so that its numbers can be recognised.

    Args:
        when: ends the sentence "Your numbers are exactly what you get when ...", without the full stop.
        advice: the next sentence: where to look.
        function: the mistake; same arguments and result as the reference.
    """

    when: str
    advice: str
    function: Callable[..., Tensor]


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    Args:
        name: also the nbgrader grade id.
        reference: the course's own function.
        draw: (seed, rounds) -> inputs; every round draws new ones, the hard inputs are in each.
        misconceptions: usual mistakes.
        differentiable: whether gradients with respect to the floating-point tensors are compared. If not,
            the inputs carry no graph.
        vectorised: whether the number of torch calls must not grow with the batch.
        result: what is returned, in a student's words.
    """

    name: str
    reference: Callable[..., Tensor]
    draw: Callable[[int, int], list[Case]]
    misconceptions: tuple[Misconception, ...]
    differentiable: bool = True
    vectorised: bool = False
    result: str = "a scalar: one number for the whole batch"

    def cases(self, seed: int, rounds: int) -> list[Case]:
        """The inputs that `draw` makes, with gradient or without, as the exercise wants it."""
        return [replace(case, differentiable=self.differentiable) for case in self.draw(seed, rounds)]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a function did with one case. Plain data, so that it can be judged far from where it ran.

    Args:
        value: the tensor that came back, detached, or the number or array as a tensor; None if something
            else did.
        returned: the name of the type that came back.
        error: why there is nothing to judge (an exception), as a sentence; empty if there was none.
        altered: names of the inputs that were modified in place.
        attached: whether the value carries a gradient back to the inputs.
        gradients: one for each floating-point input, of the sum of the value weighted by fixed numbers.
        calls: how many torch functions were called.
        device: the type of the device that the value was on ("cpu", "cuda").
    """

    value: Tensor | None = None
    returned: str = "Tensor"
    error: str = ""
    altered: tuple[str, ...] = ()
    attached: bool = False
    gradients: dict[str, Tensor] = field(default_factory=dict)
    calls: int = 0
    device: str = "cpu"


def output_weights(value: Tensor) -> Tensor:
    """Fixed, unequal weights that turn a result of any shape into the scalar whose gradient is taken."""
    return torch.linspace(1.0, 2.0, value.numel(), dtype=value.dtype, device=value.device).view(value.shape)
