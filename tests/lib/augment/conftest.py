"""Photograph-like images for the tests: smooth shapes and colours, values all over [0, 1]."""

from collections.abc import Callable

import pytest
import torch


def _smooth(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    images = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    grain = 0.1 * torch.rand(count, 3, height, width, generator=generator)
    return (images + grain - 0.05).clamp(0, 1)


@pytest.fixture(scope="session")
def smooth() -> Callable[..., torch.Tensor]:
    """(count, height, width, seed=0) -> images (count, 3, height, width), float in [0, 1]."""
    return _smooth


@pytest.fixture
def images() -> torch.Tensor:
    return _smooth(24, 32, 32)
