"""The ten textures: how much of the second colour lies at each point, from 0 to 1.

Each takes coordinates (u, v) in units of the shape's radius and `sharp`, the number of pixels in one unit:
a boundary is blended over one pixel, so a pattern too fine for the image turns into its mean colour instead
of flickering. Arithmetic as in `geometry`: rounded alike on every device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.data.shapes.geometry import length

PERIOD = 0.7  # of stripes and rings, in units of the shape's radius: coarse enough to be seen at 32 px


def blend(distance: Tensor, sharp: Tensor) -> Tensor:
    """Share of a pixel that lies inside, from the distance to the boundary (positive inside)."""
    return (distance * sharp).add_(0.5).clamp_(0, 1)


def wave(x: Tensor, period: float = PERIOD) -> Tensor:
    """Distance to the nearest boundary of bands half a period wide: positive in them, negative between."""
    x = x * (1 / period)
    return x.sub_(x.floor()).sub_(0.5).abs_().sub_(0.25).mul_(period)


def plain(u: Tensor, v: Tensor, sharp: Tensor) -> Tensor:
    return torch.zeros_like(u)


def gradient(u: Tensor, v: Tensor, sharp: Tensor) -> Tensor:
    return (v * 0.55).add_(0.5).clamp_(0, 1)


def stripes(u: Tensor, v: Tensor, sharp: Tensor) -> Tensor:
    return blend(wave(v), sharp)


def zigzag(u: Tensor, v: Tensor, sharp: Tensor) -> Tensor:
    return blend(wave(v + wave(u, 1.1) * 1.6, 0.84) * 0.75, sharp)


def checks(u: Tensor, v: Tensor, sharp: Tensor) -> Tensor:
    a, b = wave(u, 0.95), wave(v, 0.95)
    return blend(torch.minimum(a.abs(), b.abs()) * (a * b).sign_(), sharp)


def grid(u: Tensor, v: Tensor, sharp: Tensor) -> Tensor:
    return blend(torch.maximum(wave(u, 0.68), wave(v, 0.68)) - 0.07, sharp)


def dots(u: Tensor, v: Tensor, sharp: Tensor) -> Tensor:
    u, v = u * 1.5, v * 1.5
    return blend((0.31 - length(u - u.floor() - 0.5, v - v.floor() - 0.5)) * (1 / 1.5), sharp)


def rings(u: Tensor, v: Tensor, sharp: Tensor) -> Tensor:
    return blend(wave(length(u, v)), sharp)


def rays(u: Tensor, v: Tensor, sharp: Tensor) -> Tensor:
    # With z = u + iv, Re z^6 = r^6 cos(6 angle): twelve sectors without a single sine.
    a, b = u * u - v * v, u * v * 2
    c, d = a * a - b * b, a * b * 2
    r2 = u * u + v * v
    return blend((a * c - b * d) / (r2 * r2).clamp_(min=1e-4) * (1 / 6), sharp)


def patches(u: Tensor, v: Tensor, sharp: Tensor) -> Tensor:
    # Three slanted waves of incommensurable periods: blots that never repeat in step.
    a = wave(u * 0.94 + v * 0.34, 1.12) + wave(v * 0.87 - u * 0.5, 0.9)
    b = wave(u * 0.57 - v * 0.82, 1.31)
    return blend((a + b).sub_(0.12).mul_(0.6), sharp)


# In the order of vocabulary.TEXTURES: the pattern, and how far its origin wanders from the shape's centre.
PATTERNS: tuple[tuple[Callable[[Tensor, Tensor, Tensor], Tensor], float], ...] = (
    (rays, 0.4), (plain, 0.0), (dots, 4.0), (stripes, 4.0), (zigzag, 4.0),
    (checks, 4.0), (gradient, 0.4), (rings, 0.4), (patches, 50.0), (grid, 4.0),
)  # fmt: skip
