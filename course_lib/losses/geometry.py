"""Two numbers that tell how features lie on the sphere.

Wang & Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity", ICML 2020.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.losses.precision import check_embeddings, check_positive, full_precision


@full_precision
def alignment(z1: Tensor, z2: Tensor, *, alpha: float = 2.0) -> Tensor:
    """Mean distance between the two views of an image, to the power alpha (Wang & Isola 2020, sec. 4.1).

    Args:
        z1, z2: features of the two views, (N, D); normalised inside.
        alpha: the power.

    Returns:
        A float32 scalar: 0 when the views agree (a collapsed network, too), 2 at alpha 2 for views at right
        angles, which is what unrelated ones have on average.

    Raises:
        ValueError: shapes differ, N = 0, or alpha <= 0.
    """
    check_embeddings(z1=z1, z2=z2)
    check_positive(alpha=alpha)
    gap = F.normalize(z1, dim=1) - F.normalize(z2, dim=1)
    return torch.linalg.vector_norm(gap, dim=1).pow(alpha).mean()


@full_precision
def uniformity(z: Tensor, *, t: float = 2.0) -> Tensor:
    """Log of the mean Gaussian potential of all pairs of features (Wang & Isola 2020, sec. 4.1).

    The mean of exp(-t ||x - y||^2) over the pairs x, y; smaller means better spread over the sphere.

    Args:
        z: features, (N, D), N >= 2; normalised inside.
        t: sharpness; large looks at the nearest pairs only.

    Returns:
        A float32 scalar: 0 when all features coincide, about -2t when they are spread evenly over a sphere
        of many dimensions (never below -4t, where two points are opposite).

    Raises:
        ValueError: z is not (N, D) with N >= 2, or t <= 0.
    """
    check_embeddings(z=z)
    check_positive(t=t)
    if len(z) < 2:
        raise ValueError("uniformity needs at least two features, got one")
    potentials = -t * torch.pdist(F.normalize(z, dim=1)).square()  # (N (N - 1) / 2,)
    return potentials.logsumexp(dim=0) - math.log(len(potentials))
