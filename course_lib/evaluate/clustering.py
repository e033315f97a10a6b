"""Clustering: do the features fall into groups by themselves, and are these the classes?"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.evaluate.inputs import check_pair


@dataclass(frozen=True)
class Clustering:
    """How well clusters agree with classes; all are 1 for perfect agreement.

    Attributes:
        accuracy: share of images right when each cluster is given one class, the best way (ACC).
        ari: adjusted Rand index, agreement on pairs; 0 for random clusters, negative for worse.
        nmi: mutual information over the mean of the two entropies, in [0, 1].
        fmi: Fowlkes-Mallows index: geometric mean of the pairs' precision and recall, in [0, 1].
    """

    accuracy: float
    ari: float
    nmi: float
    fmi: float


def clustering_accuracy(labels: Tensor, clusters: Tensor) -> float:
    """Best accuracy over all ways to give each cluster a class of its own (Hungarian algorithm).

    Args:
        labels, clusters: (N,), integers from 0. With more clusters than classes some clusters get no class,
            and all their images count as wrong.
    """
    from scipy.optimize import linear_sum_assignment

    if labels.shape != clusters.shape or labels.ndim != 1 or len(labels) == 0:
        raise ValueError(
            f"expected two vectors of one length, got {tuple(labels.shape)} and {tuple(clusters.shape)}"
        )
    rows, columns = int(clusters.max()) + 1, int(labels.max()) + 1
    table = torch.bincount(clusters * columns + labels, minlength=rows * columns).view(rows, columns)
    matched = table.numpy()[linear_sum_assignment(table.numpy(), maximize=True)]
    return float(matched.sum() / len(labels))


def clustering_scores(
    features: Tensor, labels: Tensor, *, num_clusters: int | None = None, seed: int = 0
) -> Clustering:
    """Cluster l2-normalised features with k-means and compare with the labels, which k-means does not see.

    Args:
        features: (N, F).
        labels: (N,), integers from 0.
        num_clusters: as many as there are classes if not given.
        seed: of the ten starts, of which the tightest counts.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import (
        adjusted_rand_score,
        fowlkes_mallows_score,
        normalized_mutual_info_score,
    )

    check_pair(features, labels, "the")
    count = len(labels.unique()) if num_clusters is None else num_clusters
    if not 1 <= count <= len(features):
        raise ValueError(f"expected from 1 to {len(features)} clusters, got {count}")
    points = F.normalize(features.float(), dim=1).cpu().numpy()
    clusters = KMeans(count, n_init=10, random_state=seed).fit_predict(points)
    truth = labels.cpu().numpy()
    return Clustering(
        accuracy=clustering_accuracy(labels.cpu(), torch.as_tensor(clusters, dtype=torch.int64)),
        ari=float(adjusted_rand_score(truth, clusters)),
        nmi=float(normalized_mutual_info_score(truth, clusters)),
        fmi=float(fowlkes_mallows_score(truth, clusters)),
    )
