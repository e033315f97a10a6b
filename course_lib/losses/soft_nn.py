"""Soft nearest neighbours: how tangled the classes are.

Salakhutdinov & Hinton, "Learning a Nonlinear Embedding by Preserving Class Neighbourhood Structure", 2007.
Frosst, Papernot & Hinton, "Analyzing and Improving Representations with the Soft Nearest Neighbor
Loss", ICML 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.losses.distance import pairwise_distances
from course_lib.losses.precision import check_embeddings, check_labels, check_positive, full_precision


@full_precision
def soft_nearest_neighbor_loss(
    embeddings: Tensor, labels: Tensor, *, temperature: float = 1.0, squared: bool = False
) -> Tensor:
    """Minus the log-probability that a point picks a neighbour of its own class (Frosst et al. 2019, eq. 1).

    A point picks another one with probability proportional to exp(-distance / temperature); itself it never
    picks. All members of its class count as right, so there may be many positives.

    Args:
        embeddings: (N, D), not normalised.
        labels: (N,), the class of each row.
        temperature: small looks at the nearest neighbours only, large at the whole batch.
        squared: False, the default, takes Euclidean distances as the lecture does: the temperature is then
            in the units of the embedding, and far points are not ignored. True takes their squares, as
            Frosst et al. write it.

    Returns:
        Mean over the points that have a positive (the papers' sum over all of them would be infinite where
        one has none), a float32 scalar; 0 when no point has one. When all embeddings coincide in classes
        of M: log((N - 1) / (M - 1)).

    Raises:
        ValueError: shapes do not match, N = 0, or temperature <= 0.
    """
    check_embeddings(embeddings=embeddings)
    check_labels(labels, embeddings)
    check_positive(temperature=temperature)
    distance = pairwise_distances(embeddings)
    if squared:
        distance = distance.square()
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    anchors = positive.any(dim=1)
    logits = (-distance / temperature).masked_fill(itself, -torch.inf)[anchors]  # (A, N)
    log_positives = logits.masked_fill(~positive[anchors], -torch.inf).logsumexp(dim=1)
    losses = logits.logsumexp(dim=1) - log_positives
    return losses.sum() / max(len(losses), 1)
