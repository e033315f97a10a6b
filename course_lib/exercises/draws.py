"""Random inputs that are the same on every machine for the same seed."""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.exercises.base import Case


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng)


def labels(rng: torch.Generator, n: int, classes: int) -> Tensor:
    """Labels (N,) in random order, as evenly spread over the classes as N allows."""
    return (torch.arange(n) % classes)[torch.randperm(n, generator=rng)]


def in_both_precisions(cases: list[Case]) -> list[Case]:
    """Every case in float32, then every case in float64."""
    return [case.to(dtype=dtype) for dtype in (torch.float32, torch.float64) for case in cases]
