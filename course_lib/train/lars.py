"""LARS: every layer takes steps in proportion to the size of its weights.

You et al., "Large Batch Training of Convolutional Networks", 2017, Algorithm 1, as SimCLR uses it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LARS(Optimizer):
    r"""Stochastic gradient descent with a trust ratio per layer and classic momentum.

    For a weight w with gradient g, decay d, learning rate r and momentum m:

        g <- g + d w
        v <- m v + r (trust |w| / |g|) g
        w <- w - v

    The learning rate stands inside the buffer v (PyTorch's SGD keeps it outside): when a schedule lowers it,
    steps already under way keep their size. Biases, norms and other parameters with fewer than two dimensions
    are neither decayed nor rescaled. A ratio that would be 0 / 0 counts as 1.

    Args:
        params: parameters or groups of them.
        lr: learning rate; SimCLR uses 0.3 * batch / 256.
        momentum: share of the last step that is repeated.
        weight_decay: added to the gradient before the ratio is formed.
        trust: the step's length as a share of the weight's, at learning rate 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        if lr < 0 or not 0 <= momentum < 1 or weight_decay < 0 or trust <= 0:
            raise ValueError(
                "expected lr >= 0, 0 <= momentum < 1, weight_decay >= 0 and trust > 0, "
                f"got lr={lr}, momentum={momentum}, weight_decay={weight_decay}, trust={trust}"
            )
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; `closure`, if given, computes the loss anew and its value is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        change = weight.grad
        assert change is not None
        if weight.ndim > 1:
            change = change.add(weight, alpha=group["weight_decay"])
            change = change * trust_ratio(weight, change, group["trust"])
        state = self.state[weight]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(weight)
        weight.sub_(state["velocity"].mul_(group["momentum"]).add_(change, alpha=group["lr"]))


def trust_ratio(weight: Tensor, change: Tensor, trust: float) -> Tensor:
    """trust * |weight| / |change|, a scalar tensor; 1 where either norm is 0."""
    length, pull = weight.norm(), change.norm()
    defined = (length > 0) & (pull > 0)
    return torch.where(defined, trust * length / torch.where(defined, pull, 1.0), 1.0)
