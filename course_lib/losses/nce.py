"""Telling data from noise, and the one from the many: NCE, N-pair, InfoNCE.

Gutmann & Hyvarinen, "Noise-contrastive estimation", AISTATS 2010.
Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", NeurIPS 2016.
van den Oord, Li & Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018.
Poole et al., "On Variational Bounds of Mutual Information", ICML 2019.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.losses.precision import check_embeddings, check_positive, full_precision, is_float

FloatOrTensor = TypeVar("FloatOrTensor", float, Tensor)


@full_precision
def nce_loss(data_logits: Tensor, noise_logits: Tensor) -> Tensor:
    """Logistic regression that tells data from noise (Gutmann & Hyvarinen 2010, eq. 3).

    A logit is log p(u) - log q(u): how much likelier u is under the model than under the noise. Each data
    sample pays -log sigmoid(logit), each noise sample -log(1 - sigmoid(logit)).

    Args:
        data_logits: (N,), of samples of the data.
        noise_logits: (M,), of samples of the noise; M = N in the paper. With M = kN, log k belongs
            subtracted from every logit for p to come out normalised.

    Returns:
        Both sums divided by N, a float32 scalar. Equals (1 + M/N) log 2 at logit 0: 1.386 for M = N.

    Raises:
        ValueError: a tensor is not a vector, or is empty.
    """
    for name, logits in (("data_logits", data_logits), ("noise_logits", noise_logits)):
        if not is_float(logits):
            raise TypeError(f"{name} must be a floating-point tensor, got {getattr(logits, 'dtype', logits)}")
        if logits.ndim != 1 or len(logits) == 0:
            raise ValueError(
                f"{name} must have shape (N,) with at least one entry, got {tuple(logits.shape)}"
            )
    # softplus(-x) = -log sigmoid(x), without ever taking the log of 0
    return (F.softplus(-data_logits).sum() + F.softplus(noise_logits).sum()) / len(data_logits)


@full_precision
def n_pair_loss(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    """The triplet's generalisation to many negatives, with dot products (Sohn 2016, eq. 6).

    Each anchor pays log(1 + sum_k exp(a.n_k - a.p)): cross-entropy of picking the positive. This is
    `info_nce_loss` at temperature 1. Nothing is normalised, and the paper's penalty on the length of the
    embeddings is not part of it.

    Args:
        anchor, positive: embeddings, (N, D).
        negatives: (N, K, D), each anchor's own, or (K, D), the same for all.

    Returns:
        Mean over the N anchors, a float32 scalar. Equals log(K + 1) when all embeddings coincide.

    Raises:
        ValueError: shapes do not match, or N = 0.
    """
    check_embeddings(anchor=anchor, positive=positive)
    return pick_the_first(candidate_scores(anchor, positive, negatives))


@full_precision
def info_nce_loss(query: Tensor, positive: Tensor, negatives: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Cross-entropy of finding the positive among the candidates (van den Oord et al. 2018, eq. 4).

    The score of a candidate is its dot product with the query, divided by the temperature. Nothing is
    normalised: pass unit vectors for cosine similarities, as MoCo and SimCLR do.

    Args:
        query, positive: (N, D).
        negatives: (N, K, D), each query's own, or (K, D), the same for all (a queue).
        temperature: divides the scores; smaller weighs hard negatives more.

    Returns:
        Mean over the N queries, a float32 scalar. Equals log(K + 1), that is chance, when all candidates
        score the same.

    Raises:
        ValueError: shapes do not match, N = 0, or temperature <= 0.
    """
    check_embeddings(query=query, positive=positive)
    check_positive(temperature=temperature)
    return pick_the_first(candidate_scores(query, positive, negatives) / temperature)


@full_precision
@torch.no_grad()
def info_nce_accuracy(query: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    """How often the positive outscores every negative.

    A tie is a miss: otherwise an encoder that maps everything to one point would look perfect.

    Args:
        query, positive: (N, D).
        negatives: (N, K, D), each query's own, or (K, D), the same for all.

    Returns:
        Share of the N queries, a float32 scalar between 0 and 1, without gradient; chance is 1 / (K + 1).

    Raises:
        ValueError: shapes do not match, N = 0, or K = 0.
    """
    check_embeddings(query=query, positive=positive)
    scores = candidate_scores(query, positive, negatives)
    if scores.shape[1] == 1:
        raise ValueError(f"there must be at least one negative, got shape {tuple(negatives.shape)}")
    return (scores[:, 0] > scores[:, 1:].amax(dim=1)).to(scores.dtype).mean()


def mutual_information_bound(loss: FloatOrTensor, num_candidates: int) -> FloatOrTensor:
    """What an InfoNCE loss proves about the mutual information of the two sides: at least log N - loss.

    (van den Oord et al. 2018, eq. 5; Poole et al. 2019, eq. 12.) However good the encoder, the bound cannot
    exceed log N: a loss cannot be negative.

    Args:
        loss: an InfoNCE loss in nats, averaged over many batches.
        num_candidates: N, the positive included.

    Returns:
        The bound in nats: 0 at chance, log N at loss 0. Negative when the encoder does worse than chance.

    Raises:
        ValueError: num_candidates < 1.
    """
    if num_candidates < 1:
        raise ValueError(f"num_candidates must be at least 1, got {num_candidates}")
    return math.log(num_candidates) - loss


def candidate_scores(query: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    """Dot products of each query with its candidates, the positive in column 0: (N, 1 + K)."""
    n, d = query.shape
    own, shared = negatives.ndim == 3, negatives.ndim == 2
    if not (own or shared) or negatives.shape[-1] != d or (own and len(negatives) != n):
        raise ValueError(f"negatives must have shape ({n}, K, {d}) or (K, {d}), got {tuple(negatives.shape)}")
    to_positive = (query * positive).sum(dim=1, keepdim=True)  # (N, 1)
    to_negatives = query @ negatives.T if shared else torch.einsum("nd,nkd->nk", query, negatives)
    return torch.cat([to_positive, to_negatives], dim=1)


def pick_the_first(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))
