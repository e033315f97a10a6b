"""Which triplets are worth training on.

Schroff, Kalenichenko & Philbin, "FaceNet: A Unified Embedding for Face Recognition and
Clustering", CVPR 2015.
"""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.losses.distance import pairwise_distances
from course_lib.losses.pair import triplet_loss
from course_lib.losses.precision import check_embeddings, check_labels, check_positive, full_precision


@full_precision
@torch.no_grad()
def semi_hard_negatives(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2
) -> tuple[Tensor, Tensor, Tensor]:
    """One negative for every anchor-positive pair: farther than the positive, yet within the margin.

    For each ordered pair (a, p) of one class, among the negatives with
    d(a, p) < d(a, n) < d(a, p) + margin (FaceNet, eq. 4; d is the squared distance) the nearest to a.
    Where the window is empty, the farthest negative of all: its triplet costs nothing if any negative lies
    beyond the margin, and otherwise it is the mildest one. The hardest would be the obvious choice, but the
    paper warns that it drives the network into collapse. The resulting loss is that of TensorFlow Addons'
    `triplet_semihard_loss`.

    Args:
        embeddings: (N, D), not normalised.
        labels: (N,), the class of each row.
        margin: width of the window, in squared distance.

    Returns:
        Index tensors (anchor, positive, negative), int64 (T,) each, ordered by anchor, then positive. Empty
        when no class has two members or all rows share one class.

    Raises:
        ValueError: shapes do not match, N = 0, or margin <= 0.
    """
    check_embeddings(embeddings=embeddings)
    check_labels(labels, embeddings)
    check_positive(margin=margin)
    distance = pairwise_distances(embeddings).square()
    same = labels[:, None] == labels[None, :]
    if bool(same.all()):
        empty = labels.new_empty(0, dtype=torch.int64)
        return empty, empty, empty
    anchor, positive = (same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)).nonzero(
        as_tuple=True
    )
    to_negative = distance[anchor].masked_fill(same[anchor], torch.inf)  # (T, N)
    to_positive = distance[anchor, positive][:, None]  # (T, 1)
    in_window = (to_negative > to_positive) & (to_negative < to_positive + margin)
    nearest_in_window = to_negative.masked_fill(~in_window, torch.inf).argmin(dim=1)
    farthest = distance[anchor].masked_fill(same[anchor], -torch.inf).argmax(dim=1)
    return anchor, positive, torch.where(in_window.any(dim=1), nearest_in_window, farthest)


@full_precision
def semi_hard_triplet_loss(embeddings: Tensor, labels: Tensor, *, margin: float = 0.2) -> Tensor:
    """`triplet_loss` over the triplets of `semi_hard_negatives`: FaceNet on one batch.

    Gradient flows through the distances of the chosen triplets, not through the choice.

    Args:
        embeddings: (N, D), not normalised.
        labels: (N,), the class of each row.
        margin: of the window and of the loss, in squared distance.

    Returns:
        Mean over all anchor-positive pairs, a float32 scalar; 0 when the batch has no triplet.
        Equals the margin when all embeddings coincide.

    Raises:
        ValueError: shapes do not match, N = 0, or margin <= 0.
    """
    anchor, positive, negative = semi_hard_negatives(embeddings, labels, margin=margin)
    if len(anchor) == 0:
        return embeddings[anchor].sum()  # 0, and still part of the graph
    return triplet_loss(embeddings[anchor], embeddings[positive], embeddings[negative], margin=margin)
