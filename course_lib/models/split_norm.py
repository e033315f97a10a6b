"""Batch norm over parts of a batch: what several GPUs do to a batch, on one device."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)


class SplitBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that gives each of `splits` equal parts of the batch its own mean and variance.

    Image i belongs to part i mod `splits`. The running statistics are the parts' average; evaluation is
    plain batch norm. Tensors have the names and shapes of `nn.BatchNorm2d`.

    Args:
        norm: the layer to take the place of, with scale, shift and running statistics; its tensors are kept.
        splits: number of parts.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, norm: nn.BatchNorm2d, splits: int) -> None:
        super().__init__(norm.num_features, eps=norm.eps, momentum=norm.momentum)
        self.splits = splits
        self.load_state_dict(norm.state_dict(), assign=True)
        self.weight, self.bias = norm.weight, norm.bias  # the same parameters: an optimiser may hold them
        self.train(norm.training)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> the same shape; ValueError if B is no multiple of `splits` in training."""
        if not self.training:
            return super().forward(maps)
        batch, channels, height, width = maps.shape
        if batch % self.splits:
            raise ValueError(f"batch norm cannot split a batch of {batch} into {self.splits} equal parts")
        # Reading the parts as further channels normalises each on its own in one call.
        parts = maps.reshape(batch // self.splits, self.splits * channels, height, width)
        mean, var, weight, bias = (
            per_channel.repeat(self.splits)
            for per_channel in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        normalised = F.batch_norm(parts, mean, var, weight, bias, True, self.momentum, self.eps)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.copy_(mean.view(self.splits, channels).mean(0))
            self.running_var.copy_(var.view(self.splits, channels).mean(0))
        return normalised.reshape(batch, channels, height, width)


def split_batch_norm(network: Net, splits: int) -> Net:
    """Replace every `nn.BatchNorm2d` in a network, in place, by one over `splits` parts of the batch.

    Returns:
        The same network.

    Raises:
        ValueError: splits < 1.
    """
    if splits < 1:
        raise ValueError(f"splits must be at least 1, got {splits}")
    for name, child in network.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(network, name, SplitBatchNorm2d(child, splits))
        else:
            split_batch_norm(child, splits)
    return network
