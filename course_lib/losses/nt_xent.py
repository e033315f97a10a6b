"""NT-Xent: the loss of SimCLR.

Chen, Kornblith, Norouzi & Hinton, "A Simple Framework for Contrastive Learning of Visual Representations",
ICML 2020.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.losses.precision import check_embeddings, check_positive, full_precision


@full_precision
def nt_xent_loss(
    z1: Tensor, z2: Tensor, *, temperature: float | Tensor = 0.5, tile: int | None = None
) -> Tensor:
    """Normalised-temperature cross-entropy over 2N views (SimCLR, Chen et al. 2020, eq. 1).

    Each view must pick its partner out of the other 2N - 1 views. The value is that of
        logits = (z @ z.T / temperature).fill_diagonal_(-inf); cross_entropy(logits, partner)
    with z the 2N normalised views; in large batches the gradient is worked out by hand, which saves time and
    memory.

    Args:
        z1, z2: projections of the two views, (N, D), any floating dtype; normalised inside.
        temperature: divides the cosine similarity; smaller weighs hard negatives more. A tensor with one
            number gets its gradient, if it wants one.
        tile: None keeps the (2N, 2N) similarities for the gradient, which is fastest. A number, such as 256,
            holds that many rows of them at a time and computes them anew for the gradient: the same value
            and gradient, and memory linear in N. (A gradient of the gradient takes the whole matrix.)

    Returns:
        Mean over the 2N views, a float32 scalar. Equals log(2N - 1) when all views coincide, 0 for N = 1.

    Raises:
        ValueError: shapes differ, N = 0, temperature <= 0, or tile < 1.
    """
    check_embeddings(z1=z1, z2=z2)
    check_positive(temperature=temperature)
    if tile is not None and tile < 1:
        raise ValueError(f"tile must be at least 1 row, got {tile}")
    z = F.normalize(torch.cat([z1, z2]), dim=1)  # (2N, D)
    if tile is None and len(z) <= _views_in_one_go(z):
        return _cross_entropy(z, temperature)
    return _MeanCrossEntropy.apply(z, temperature, tile or _rows_of_a_strip(z), tile is None)


def _cross_entropy(z: Tensor, temperature: float | Tensor) -> Tensor:
    """The mean loss of unit vectors z (2N, D), as one writes it down."""
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(z) // 2))


def _views_in_one_go(z: Tensor) -> int:
    """Up to how many views the bookkeeping of strips costs more than it saves (benchmarks/nt_xent.py)."""
    return 256 if z.device.type == "cpu" else 2048


def _rows_of_a_strip(z: Tensor) -> int:
    """One thread works through 256 rows without leaving its cache. Several threads meet after each operation,
    and wait for the last of them if another program has its core: they want few, large operations. So does a
    GPU.
    """
    if z.device.type != "cpu":
        return len(z)
    return 256 if torch.get_num_threads() == 1 else 2048


class _MeanCrossEntropy(torch.autograd.Function):
    """Cross-entropy of S = z z^T / T against the partners, a strip of rows at a time.

    With P the softmax of S by row and Y the partners (1 where j is the partner of i), the gradient of the
    summed loss with respect to S is P - Y. S meets z from both sides, so row i of z receives
        sum_j W_ij z_j / T,    W_ij = P_ij + P_ji - 2 Y_ij = exp(S_ij - lse_i) + exp(S_ij - lse_j) - 2 Y_ij.
    S and W are symmetric. Only their upper half is computed, each entry serves its row and its column, and
    the log-sum-exp of the rows, a vector, is all that the gradient needs beside S.

    S grows with z twice and with 1 / T once, so the gradient for T is -(z . gradient for z) / 2 T (Euler).
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, temperature: float | Tensor, rows: int, keep: bool) -> Tensor:
        n, scale = len(z) // 2, float(temperature)
        lse = z.new_full((2 * n,), -torch.inf)
        first, second, kept = [], [], []  # scores of the partners: of the first views, of the second, strips
        for start in range(0, 2 * n, rows):
            scores = _strip(z, start, rows, scale)
            end = start + len(scores)
            lse[start:end] = torch.logaddexp(lse[start:end], _log_sum_exp(scores, 1, scale))
            if end < 2 * n:
                lse[end:] = torch.logaddexp(lse[end:], _log_sum_exp(scores[:, len(scores) :], 0, scale))
            # S_{i, i + N} and S_{i + N, i}, nothing below row N; copies, since a view would keep the strip.
            ahead, back = scores.diagonal(n), scores.diagonal(-n)
            first.append(ahead.clone())
            second.append(torch.cat([back, ahead[len(back) :]]))
            if keep:
                kept.append(scores)
        ctx.save_for_backward(z, lse, temperature if isinstance(temperature, Tensor) else None, *kept)
        ctx.scale, ctx.rows = scale, rows
        return (lse - torch.cat(first + second)).mean()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        z, lse, temperature, *kept = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants the gradient of this gradient
            return _differentiable_gradient(ctx, z, temperature, grad_output)
        n = len(z) // 2
        grad = torch.zeros_like(z)
        for i, start in enumerate(range(0, 2 * n, ctx.rows)):
            scores = kept[i] if kept else _strip(z, start, ctx.rows, ctx.scale)
            size = len(scores)
            end = start + size
            weights = (scores - lse[start:end, None]).exp_()
            # P + P^T where the strip meets itself: S_ij and S_ji are rounded differently
            weights[:, :size] += weights[:, :size].T.clone()
            weights[:, size:] += (scores[:, size:] - lse[end:]).exp_()
            weights.diagonal(n).sub_(2)  # the partners, and their mirror images if the strip holds them
            weights.diagonal(-n).sub_(2)
            grad[start:end].addmm_(weights, z[start:])
            grad[end:].addmm_(weights[:, size:].T, z[start:end])
        grad *= grad_output / (len(z) * ctx.scale)
        for_temperature = None
        if ctx.needs_input_grad[1]:
            for_temperature = (-(z * grad).sum() / (2 * ctx.scale)).view_as(temperature)
        return grad, for_temperature, None, None


def _differentiable_gradient(
    ctx: Any, z: Tensor, temperature: Tensor | None, grad_output: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradient once more, by autograd, so that it can be differentiated in turn."""
    value = _cross_entropy(z, ctx.scale if temperature is None else temperature)
    tensors = zip((z, temperature), ctx.needs_input_grad, strict=False)
    inputs = [x for x, needed in tensors if needed and x is not None]
    found = iter(torch.autograd.grad(value, inputs, grad_output, create_graph=True))
    return (*(next(found) if needed else None for needed in ctx.needs_input_grad[:2]), None, None)


def _strip(z: Tensor, start: int, rows: int, temperature: float) -> Tensor:
    """Rows of S from `start`, from the diagonal on; a view's score with itself is put out of reach."""
    scores = (z[start : start + rows] / temperature) @ z[start:].T  # (rows, 2N - start)
    scores.fill_diagonal_(-torch.inf)
    return scores


def _log_sum_exp(scores: Tensor, dim: int, temperature: float) -> Tensor:
    """`scores.logsumexp(dim)` with one temporary matrix instead of two."""
    # no cosine lies below -1: the clamp only spares a row of nothing but -inf the difference of infinities
    highest = scores.amax(dim, keepdim=True).clamp_(min=-1 / temperature)
    return (scores - highest).exp_().sum(dim).log_() + highest.squeeze(dim)
