"""One batch out of every process's batch, with gradients.

A loss that compares the images of a batch must see all of them, on whatever GPU they are. Two mistakes are
common here, and the value of the loss shows neither: the other processes' gradient is lost (a plain
`all_gather`), or every process believes that its images come first.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0; 0 without a process group."""
    return dist.get_rank() if world_size() > 1 else 0


def gather(x: Tensor) -> Tensor:
    """Join a tensor of every process along its first dimension, process 0's rows first.

    The gradient of a row sums what every process's loss asks of it. `DistributedDataParallel` then divides
    by the number of processes W, so that either of these gives the gradients of one process on the joined
    batch: each process computes the loss of the whole batch, or each the mean over its own rows.

    Args:
        x: (B, ...), the same shape on every process.

    Returns:
        (W B, ...); `x` itself without a process group.
    """
    joined: Tensor = _Gather.apply(x) if world_size() > 1 else x
    return joined


def own_rows(joined: Tensor) -> Tensor:
    """This process's rows of what `gather` returned: (W B, ...) -> (B, ...)."""
    return joined.chunk(world_size())[rank()]


def shared_permutation(n: int, device: torch.device) -> Tensor:
    """A random order of n rows, (n,), the same on every process."""
    order = torch.randperm(n, device=device)
    if world_size() > 1:
        dist.broadcast(order, src=0)
    return order


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return own_rows(total)
