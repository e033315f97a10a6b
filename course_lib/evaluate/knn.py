"""Weighted nearest neighbours: the probe with nothing to tune and nothing to train."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.evaluate.inputs import check_split

# Similarities held at once: 64 MB in float32.
CHUNK = 2**24


def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
    top: int = 1,
) -> float:
    """Accuracy of a vote among the k most similar training features (Wu et al. 2018, section 3.4).

    A neighbour with cosine similarity s votes for its own class with weight exp(s / temperature).

    Args:
        train_features, test_features: (N, F) and (M, F); normalised inside.
        train_labels, test_labels: (N,) and (M,), integers.
        k: neighbours that vote; all N if there are fewer.
        temperature: smaller trusts the nearest more. DINO uses 0.07 with k = 20, lightly 0.1 with k = 200.
        top: how many leading classes may hold the right one. A class that got no vote never counts, so
            top-5 equals top-1 at k = 1.

    Returns:
        Fraction right, in [0, 1]. Chance for top-1 is the share of the most frequent class.

    Raises:
        ValueError: features and labels do not fit together, k < 1, top < 1 or temperature <= 0.
    """
    check_split(train_features, train_labels, test_features, test_labels)
    if k < 1 or top < 1 or temperature <= 0:
        raise ValueError(
            f"k must be at least 1, top at least 1 and temperature positive, got {k}, {top} and {temperature}"
        )
    bank = F.normalize(train_features.float(), dim=1)
    num_classes = int(torch.cat([train_labels, test_labels]).max()) + 1
    rows, right = max(1, CHUNK // len(bank)), 0
    for queries, labels in zip(test_features.split(rows), test_labels.split(rows), strict=True):
        similarity = F.normalize(queries.float(), dim=1) @ bank.T  # (m, N)
        nearest, index = similarity.topk(min(k, len(bank)), dim=1)  # (m, k)
        votes = count_votes(nearest, train_labels[index], num_classes, temperature)  # (m, C)
        best, classes = votes.topk(min(top, num_classes), dim=1)  # (m, top)
        right += int(((classes == labels[:, None]) & (best >= 0)).any(1).sum())
    return right / len(test_labels)


def best_knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    ks: Sequence[int] = (1, 5, 20),
    temperature: float = 0.07,
) -> float:
    """The best of `knn_accuracy` over several k: how many neighbours help depends on the features.

    A fair comparison lets every kind of features choose: with k = 20 alone, raw pixels of Shapes have little
    more than half of what they have with k = 1, and a baseline that is handicapped flatters everything else.
    """
    return max(
        knn_accuracy(train_features, train_labels, test_features, test_labels, k=k, temperature=temperature)
        for k in ks
    )


def count_votes(similarity: Tensor, labels: Tensor, num_classes: int, temperature: float) -> Tensor:
    """Weighted votes (m, C) of neighbours, (m, k) with similarities falling; -1 for a class without any."""
    # Only differences matter to the vote, so the largest may be taken off before the exponential.
    weights = ((similarity - similarity[:, :1]) / temperature).exp()
    votes = weights.new_zeros(len(labels), num_classes).scatter_add_(1, labels, weights)
    # A far neighbour's weight can round to zero; its class has a vote all the same.
    voted = torch.zeros_like(votes, dtype=torch.bool).scatter_(1, labels, True)
    return votes.masked_fill(~voted, -1.0)
