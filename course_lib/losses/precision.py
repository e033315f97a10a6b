"""What every loss does with its inputs: at least float32 inside, and clear words about a wrong shape."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeGuard, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Run a loss in float32 (in float64 if an input is float64), also inside an autocast region.

    Half-precision inputs are cast up on entry: exp and sums of thousands of terms leave float16's range,
    and its epsilons round to zero. Autocast is switched off because it would cast matrix products down again.
    """

    @functools.wraps(loss)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        floats = [value for value in (*args, *kwargs.values()) if is_float(value)]
        device = floats[0].device.type if floats else "cpu"
        if all(value.dtype == torch.float32 for value in floats) and not torch.is_autocast_enabled(device):
            return loss(*args, **kwargs)  # nothing to do, and a small batch would feel the detour
        dtype = functools.reduce(torch.promote_types, (value.dtype for value in floats), torch.float32)

        def cast(value: Any) -> Any:
            return value.to(dtype) if is_float(value) else value

        with torch.autocast(device, enabled=False):
            return loss(*map(cast, args), **{name: cast(value) for name, value in kwargs.items()})

    return run


def is_float(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.is_floating_point()


def check_embeddings(**embeddings: Tensor) -> None:
    """Every argument must be a floating-point matrix (N, D) with N, D >= 1, all of one shape."""
    (first_name, first), *_ = embeddings.items()
    for name, value in embeddings.items():
        if not is_float(value):
            raise TypeError(
                f"{name} must be a floating-point tensor, got {getattr(value, 'dtype', type(value).__name__)}"
            )
        if value.ndim != 2 or value.numel() == 0:
            raise ValueError(f"{name} must have shape (N, D) with N, D >= 1, got {tuple(value.shape)}")
        if value.shape != first.shape:
            raise ValueError(
                f"{first_name} and {name} must have the same shape, "
                f"got {tuple(first.shape)} and {tuple(value.shape)}"
            )


def check_labels(labels: Tensor, embeddings: Tensor, name: str = "labels") -> None:
    """One entry for each row of the embeddings: (N,)."""
    if not isinstance(labels, Tensor) or labels.shape != embeddings.shape[:1]:
        given = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(
            f"{name} must be a tensor of shape ({len(embeddings)},), one entry a row; got {given}"
        )


def check_positive(**values: float | Tensor) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be greater than 0, got {value}")
