"""A second network that follows the first: the momentum encoder of MoCo and of all that came after it."""

import copy
import math
from typing import TypeVar

import torch
from torch import nn

Net = TypeVar("Net", bound=nn.Module)


def momentum_copy(network: Net) -> Net:
    """A copy with the same values, which no gradient reaches."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def ema_update(follower: nn.Module, network: nn.Module, momentum: float) -> None:
    """follower <- momentum * follower + (1 - momentum) * network (He et al. 2020, eq. 2).

    Parameters only: running statistics of batch norm are the follower's own, from its own inputs.

    Args:
        follower: changed in place.
        network: what it follows; the same layers.
        momentum: in [0, 1]; 0 copies, 1 freezes.
    """
    for slow, fast in zip(follower.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)


def cosine_momentum(base: float, step: int, total_steps: int) -> float:
    """Momentum that rises from `base` at step 0 to 1 at the last step along half a cosine (BYOL, MoCo v3)."""
    progress = min(step / total_steps, 1.0)
    return 1 - (1 - base) * (1 + math.cos(math.pi * progress)) / 2
