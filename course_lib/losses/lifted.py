"""Lifted structured loss: every pair of the batch at once.

Song, Xiang, Jegelka & Savarese, "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.losses.distance import pairwise_distances
from course_lib.losses.precision import check_embeddings, check_labels, check_positive, full_precision


@full_precision
def lifted_structured_loss(embeddings: Tensor, labels: Tensor, *, margin: float = 1.0) -> Tensor:
    """Each positive pair against all negatives of both its ends (Song et al. 2016, eq. 4).

    With D the Euclidean distances, a positive pair (i, j) has
        J_ij = D_ij + log(sum_k exp(margin - D_ik) + sum_l exp(margin - D_jl)),
    k and l running over the negatives of i and of j, and the loss is the sum of max(0, J_ij)^2 / (2 |P|)
    over the set P of positive pairs. The lecture shows J_ij alone and leaves out the hinge and the square.

    Args:
        embeddings: (N, D), not normalised.
        labels: (N,), the class of each row.
        margin: in units of the embedding.

    Returns:
        A float32 scalar; 0 when the batch has no positive pair or no negative.
        When all embeddings coincide and each row has M negatives: (margin + log 2M)^2 / 2.

    Raises:
        ValueError: shapes do not match, N = 0, or margin <= 0.
    """
    check_embeddings(embeddings=embeddings)
    check_labels(labels, embeddings)
    check_positive(margin=margin)
    distance = pairwise_distances(embeddings)  # (N, N)
    same = labels[:, None] == labels[None, :]
    i, j = same.triu(diagonal=1).nonzero(as_tuple=True)  # each pair once
    if len(i) == 0 or bool(same.all()):
        return embeddings[:0].sum()  # 0, and still part of the graph
    push = (margin - distance).masked_fill(same, -torch.inf).logsumexp(dim=1)  # (N,)
    return (distance[i, j] + torch.logaddexp(push[i], push[j])).clamp(min=0).square().mean() / 2
