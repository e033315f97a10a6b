"""Collapse meters: how much of feature space is in use?"""

import torch
import torch.nn.functional as F
from torch import Tensor


def feature_std(features: Tensor) -> float:
    """Standard deviation of the l2-normalised features, averaged over dimensions (Chen & He 2021, figure 2).

    Args:
        features: (N, F), N >= 2.

    Returns:
        0 when all features point the same way: complete collapse. 1 / sqrt(F) for directions spread evenly,
        the largest possible. Features behind a ReLU are never negative and stay below that.
    """
    check(features)
    return F.normalize(features.double(), dim=1).std(0, correction=0).mean().item()


def effective_rank(features: Tensor) -> float:
    """How many directions the features use: exp of the entropy of their singular values.

    Singular values of the centred features, divided by their sum, are taken for probabilities (Roy &
    Vetterli 2007; RankMe, Garrido et al. 2023, does so without centring, where a large common mean hides the
    rest). It sees dimensional collapse, where features still differ but along few directions only.

    Args:
        features: (N, F), N >= 2.

    Returns:
        From 1, all on one line, to min(N - 1, F), all directions alike; 0 if all features are equal.
    """
    check(features)
    x = features.double()
    values = torch.linalg.svdvals(x - x.mean(0))
    # What float32 features cannot tell from zero must not count as a direction.
    values = values[values > 10 * torch.finfo(torch.float32).eps * x.norm()]
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return (-(shares * shares.log()).sum()).exp().item()


def check(features: Tensor) -> None:
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"expected features (N, F) with N >= 2, got {tuple(features.shape)}")
    if not features.isfinite().all():
        raise ValueError("the features hold values that are not finite")
