"""Losses of pairs and triplets: pull what belongs together, push the rest a margin away.

Hadsell, Chopra & LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR 2006.
Schroff, Kalenichenko & Philbin, "FaceNet: A Unified Embedding for Face Recognition and
Clustering", CVPR 2015.
"""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.losses.precision import check_embeddings, check_labels, check_positive, full_precision


@full_precision
def contrastive_loss(x1: Tensor, x2: Tensor, same: Tensor, *, margin: float = 1.0) -> Tensor:
    """Squared distance of similar pairs, squared lack of distance of the others (Hadsell et al. 2006, eq. 4).

    With d = ||x1 - x2||, a similar pair pays d^2 and a dissimilar one max(0, margin - d)^2: it stops paying
    once it is a margin apart. This is the form of the lecture; Hadsell et al. put 1/2 before both terms, so
    their value is half of this one.

    Args:
        x1, x2: embeddings of the two ends of each pair, (N, D); used as they are, not normalised.
        same: (N,), true where the pair is similar.
        margin: the distance at which dissimilar pairs are left in peace; in units of the embedding.

    Returns:
        Mean over the N pairs, a float32 scalar. When all embeddings coincide: margin^2 times the share of
        dissimilar pairs. Dissimilar points that coincide exactly have no direction to flee in: gradient 0.

    Raises:
        ValueError: shapes do not match, N = 0, or margin <= 0.
    """
    check_embeddings(x1=x1, x2=x2)
    check_labels(same, x1, "same")
    check_positive(margin=margin)
    distance = torch.linalg.vector_norm(x1 - x2, dim=1)  # gradient at 0 is 0
    return torch.where(same.bool(), distance, (margin - distance).clamp(min=0)).square().mean()


@full_precision
def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, *, margin: float = 0.2) -> Tensor:
    """The positive must be nearer than the negative, by a margin (FaceNet, Schroff et al. 2015, eq. 3).

    Each triplet pays max(0, ||a - p||^2 - ||a - n||^2 + margin). Distances are squared, as in the paper and
    in the lecture; much code elsewhere uses plain distances, which is another loss.

    Args:
        anchor, positive, negative: embeddings, (N, D) each; not normalised here (FaceNet's lie on the unit
            sphere, where a squared distance is at most 4).
        margin: how much nearer, in squared distance.

    Returns:
        Mean over all N triplets, satisfied ones included (the paper sums), a float32 scalar.
        Equals the margin when all embeddings coincide.

    Raises:
        ValueError: shapes differ, N = 0, or margin <= 0.
    """
    check_embeddings(anchor=anchor, positive=positive, negative=negative)
    check_positive(margin=margin)
    to_positive = (anchor - positive).square().sum(dim=1)
    to_negative = (anchor - negative).square().sum(dim=1)
    return (to_positive - to_negative + margin).clamp(min=0).mean()
