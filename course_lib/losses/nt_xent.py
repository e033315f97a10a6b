"""NT-Xent: the loss of SimCLR.

Chen, Kornblith, Norouzi & Hinton, "A Simple Framework for Contrastive Learning of Visual Representations",
ICML 2020.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from course_lib.losses.precision import check_embeddings, check_positive, full_precision

# A CPU works through a strip of this many rows without leaving its cache; a GPU wants the matrix whole.
ROWS_IN_CACHE = 256


@full_precision
def nt_xent_loss(z1: Tensor, z2: Tensor, *, temperature: float = 0.5, tile: int | None = None) -> Tensor:
    """Normalised-temperature cross-entropy over 2N views (SimCLR, Chen et al. 2020, eq. 1).

    Each view must pick its partner out of the other 2N - 1 views. The value is that of
        logits = (z @ z.T / temperature).fill_diagonal_(-inf); cross_entropy(logits, partner)
    with z the 2N normalised views; the gradient is worked out by hand, which saves time and memory.

    Args:
        z1, z2: projections of the two views, (N, D), any floating dtype; normalised inside.
        temperature: divides the cosine similarity; smaller weighs hard negatives more.
        tile: None keeps the (2N, 2N) similarities for the gradient, which is fastest. A number, such as 256,
            holds that many rows of them at a time and computes them anew for the gradient: the same value
            and gradient, and memory linear in N.

    Returns:
        Mean over the 2N views, a float32 scalar. Equals log(2N - 1) when all views coincide, 0 for N = 1.
        It can be differentiated once, as often as one likes.

    Raises:
        ValueError: shapes differ, N = 0, temperature <= 0, or tile < 1.
    """
    check_embeddings(z1=z1, z2=z2)
    check_positive(temperature=temperature)
    if tile is not None and tile < 1:
        raise ValueError(f"tile must be at least 1 row, got {tile}")
    z = F.normalize(torch.cat([z1, z2]), dim=1)  # (2N, D)
    rows = tile or (ROWS_IN_CACHE if z.device.type == "cpu" else len(z))
    return _MeanCrossEntropy.apply(z, temperature, rows, tile is None)


class _MeanCrossEntropy(torch.autograd.Function):
    """Cross-entropy of S = z z^T / T against the partners, a strip of rows at a time.

    With P the softmax of S by row and Y the partners (1 where j is the partner of i), the gradient of the
    summed loss with respect to S is P - Y. S meets z from both sides, so row i of z receives
        sum_j W_ij z_j / T,    W_ij = P_ij + P_ji - 2 Y_ij = exp(S_ij - lse_i) + exp(S_ij - lse_j) - 2 Y_ij.
    S and W are symmetric. Only their upper half is computed, each entry serves its row and its column, and
    the log-sum-exp of the rows, a vector, is all that the gradient needs beside S.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, temperature: float, rows: int, keep: bool) -> Tensor:
        n = len(z) // 2
        lse = z.new_full((2 * n,), -torch.inf)
        positives, kept = [], []
        for start in range(0, 2 * n, rows):
            scores = _strip(z, start, rows, temperature)
            end = start + len(scores)
            lse[start:end] = torch.logaddexp(lse[start:end], _log_sum_exp(scores, 1, temperature))
            if end < 2 * n:
                lse[end:] = torch.logaddexp(lse[end:], _log_sum_exp(scores[:, len(scores) :], 0, temperature))
            # S_{i, i + N}, nothing below row N; a copy, since a view would keep the whole strip
            positives.append(scores.diagonal(n).clone())
            if keep:
                kept.append(scores)
        positive = torch.cat(positives)  # (N,), the same for both views
        ctx.save_for_backward(z, lse, *kept)
        ctx.temperature, ctx.rows = temperature, rows
        return (lse.view(2, n) - positive).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None]:
        z, lse, *kept = ctx.saved_tensors
        n = len(z) // 2
        grad = torch.zeros_like(z)
        for i, start in enumerate(range(0, 2 * n, ctx.rows)):
            scores = kept[i] if kept else _strip(z, start, ctx.rows, ctx.temperature)
            end = start + len(scores)
            weights = (scores - lse[start:end, None]).exp_()
            weights += (scores - lse[start:]).exp_()
            weights.diagonal(n).sub_(2)  # the partners, and their mirror images if the strip holds them
            weights.diagonal(-n).sub_(2)
            grad[start:end].addmm_(weights, z[start:])
            grad[end:].addmm_(weights[:, len(scores) :].T, z[start:end])
        return grad * (grad_output / (len(z) * ctx.temperature)), None, None, None


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
