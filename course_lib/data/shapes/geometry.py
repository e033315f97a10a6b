"""The ten shapes as signed distances: negative inside, zero on the outline, positive outside.

Each function takes coordinates (u to the right, v up) in which the shape just fits the unit circle. Away from
the outline a value may differ from the true distance, but its sign is right and its slope at the outline is
one, which is all that an antialiased edge needs. Sums, products, square roots, minima and maxima only: these
are rounded alike on every device, as sines are not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Direction cosines of 36 degrees: half the angle between two points of a star.
COS36, SIN36 = 0.8090170, 0.5877853


def cos_sin(degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine by their series, to 1e-6: sums and products are rounded alike on every device."""
    return _sin_turns(degrees * (1 / 360) + 0.25), _sin_turns(degrees * (1 / 360))


def _sin_turns(turns: Tensor) -> Tensor:
    turns = turns - (turns + 0.5).floor()  # in [-1/2, 1/2)
    x = (0.25 - (turns.abs() - 0.25).abs()) * turns.sign() * 6.2831853  # in [-pi/2, pi/2], same sine
    x2 = x * x
    series = torch.full_like(x, -1 / 39916800)
    for coefficient in (1 / 362880, -1 / 5040, 1 / 120, -1 / 6, 1.0):
        series = series * x2 + coefficient
    return series * x


def length(u: Tensor, v: Tensor) -> Tensor:
    """Distance from the origin."""
    return (u * u).add_(v * v).sqrt_()


def fold_five(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Reflect the plane into one tenth of it, the half wedge right of the upward axis: five-fold symmetry."""
    u = u.abs()
    for side in (1.0, -1.0):  # the mirror at 36 degrees, then the one at 108 degrees from the upward axis
        beyond = (u * (side * COS36) - v * SIN36).clamp_(min=0) * 2
        u, v = u - beyond * (side * COS36), v + beyond * SIN36
    return u.abs(), v


def star(u: Tensor, v: Tensor) -> Tensor:
    u, v = fold_five(u, v)  # each edge runs from the tip (0, 1) to the notch on the mirror line
    return u * 0.9081 + (v - 1) * 0.4188


def heart(u: Tensor, v: Tensor) -> Tensor:
    u, v = u.abs(), v + 0.05
    diamond = (u + v.abs() - 0.76) * 0.7071068
    lobe = length(u - 0.38, v - 0.38) - 0.5374  # stands on the diamond's upper side: radius is half of it
    return torch.minimum(diamond, lobe)


def crescent(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(length(u + 0.1, v) - 0.92, 0.78 - length(u - 0.4, v - 0.12))


def cross(u: Tensor, v: Tensor) -> Tensor:
    u, v = u.abs(), v.abs()
    long, short = torch.maximum(u, v), torch.minimum(u, v)
    return torch.maximum(long - 0.92, short - 0.31)


def triangle(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(-v - 0.52, u.abs() * 0.8660254 + v * 0.5 - 0.52)


def square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) - 0.74


def arrow(u: Tensor, v: Tensor) -> Tensor:
    u = u.abs()
    head = torch.maximum((u + v - 0.95) * 0.7071068, -v)
    shaft = torch.maximum(u - 0.3, (v + 0.31).abs_() - 0.61)
    return torch.minimum(head, shaft)


def flower(u: Tensor, v: Tensor) -> Tensor:
    u, v = fold_five(u, v)
    return torch.minimum(length(u, v - 0.6) - 0.35, length(u, v) - 0.52)


def drop(u: Tensor, v: Tensor) -> Tensor:
    # A disc of radius 0.6 below, and its two tangents from the tip (0, 1).
    u = u.abs()
    flank = torch.maximum(u * 0.8871 + (v - 1) * 0.4615, -0.0231 - v)
    return torch.minimum(length(u, v + 0.3) - 0.6, flank)


def horseshoe(u: Tensor, v: Tensor) -> Tensor:
    band = (length(u, v) - 0.65).abs_() - 0.26
    gap = torch.maximum(u.abs() - 0.36, v)
    return torch.maximum(band, -gap)


# In the order of vocabulary.SHAPES.
SIGNED_DISTANCES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    star, heart, crescent, cross, triangle, square, arrow, flower, drop, horseshoe,
)  # fmt: skip
