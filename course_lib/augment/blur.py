"""Gaussian blur of a whole batch, each image with its own sigma, as two matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from course_lib.augment.resample import separable


@lru_cache(maxsize=16)
def _taps(radius: int, size: int, device: torch.device) -> Tensor:
    """How often pixel j lies d pixels from pixel i in a mirrored line: (radius + 1, size * size), d first."""
    offset = torch.arange(-radius, radius + 1, device=device)
    to = torch.arange(size, device=device)[:, None].expand(size, len(offset))
    source = (size - 1) - ((size - 1) - (to + offset).abs()).abs()  # mirrored at both ends, ends not repeated
    taps = torch.zeros(radius + 1, size, size, device=device)
    one = torch.ones((), device=device)
    return taps.index_put_((offset.abs().expand_as(to), to, source), one, accumulate=True).flatten(1)


def blur_matrix(sigma: Tensor, radius: int, size: int) -> Tensor:
    """Matrices (B, size, size) that blur a line of pixels, mirrored at its ends; every row sums to one.

    Args:
        sigma: standard deviation in pixels, (B,).
        radius: the kernel has 2 * radius + 1 taps, whatever sigma; radius < size.
        size: pixels in the line.
    """
    distance = torch.arange(radius + 1, device=sigma.device)
    half = torch.exp(-0.5 * (distance / sigma[:, None]).square())  # (B, radius + 1)
    half = half / (2 * half.sum(1, keepdim=True) - half[:, :1])
    return (half @ _taps(radius, size, sigma.device)).view(-1, size, size)


@dataclass(frozen=True)
class GaussianBlur:
    """Blur with sigma uniform in a range.

    Args:
        kernel_size: odd, in pixels, no more than twice the image's side: the kernel's whole width, not its
            radius and not its sigma. Taps further than half of it are cut off.
        sigma: smallest and largest standard deviation in pixels.
    """

    kernel_size: int
    sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        if self.kernel_size < 1 or self.kernel_size % 2 == 0 or not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(
                "expected an odd kernel_size and 0 < sigma[0] <= sigma[1], "
                f"got {self.kernel_size} and {self.sigma}"
            )

    def __call__(self, images: Tensor) -> Tensor:
        sigma = torch.empty(len(images), device=images.device).uniform_(*self.sigma)
        return blur(images, sigma, self.kernel_size)


def blur(images: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Blur images (B, 3, H, W), each with its own sigma (B,)."""
    height, width = images.shape[-2:]
    radius = kernel_size // 2
    if radius >= min(height, width):
        raise ValueError(f"a kernel of {kernel_size} pixels is too wide for images of {height} x {width}")
    rows = blur_matrix(sigma, radius, height)
    columns = rows if width == height else blur_matrix(sigma, radius, width)
    return separable(images, rows, columns).clamp_(0, 1)
