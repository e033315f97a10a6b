"""Retrieval: is what lies near an image in feature space of its class?"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.evaluate.inputs import check_pair

# Similarities held at once; ranking needs several tables of that size.
CHUNK = 2**22


def retrieval_scores(
    query_features: Tensor,
    query_labels: Tensor,
    gallery_features: Tensor | None = None,
    gallery_labels: Tensor | None = None,
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """Recall at k and mean average precision of a search by cosine similarity.

    Recall@k is the share of queries with at least one image of their class among the k nearest. Average
    precision is the mean, over a query's right images, of the share of right ones among all ranked no lower.
    Queries whose class the gallery lacks cannot be answered and are left out.

    Args:
        query_features, query_labels: (M, F) and (M,).
        gallery_features, gallery_labels: (N, F) and (N,); if not given, each query searches among all others.
        ks: depths for recall.

    Returns:
        {"recall@1": ..., "recall@5": ..., "mAP": ...}, each in [0, 1].

    Raises:
        ValueError: features and labels do not fit together, k < 1, or no query can be answered.
    """
    check_pair(query_features, query_labels, "query")
    if (gallery_features is None) != (gallery_labels is None):
        raise ValueError("give both features and labels of the gallery, or neither")
    own = gallery_features is None or gallery_labels is None
    gallery = query_features if gallery_features is None else gallery_features
    classes = query_labels if gallery_labels is None else gallery_labels
    check_pair(gallery, classes, "gallery")
    if not ks or min(ks) < 1:
        raise ValueError(f"expected depths of at least 1, got {tuple(ks)}")
    queries, bank = F.normalize(query_features.float(), dim=1), F.normalize(gallery.float(), dim=1)
    recalls: list[Tensor] = []
    precisions: list[Tensor] = []
    for rows in torch.arange(len(queries)).split(max(1, CHUNK // len(bank))):
        similarity = queries[rows] @ bank.T  # (m, N)
        if own:
            similarity[torch.arange(len(rows)), rows] = -torch.inf  # an image does not find itself
        order = similarity.argsort(dim=1, descending=True, stable=True)[:, : len(bank) - own]
        right = classes[order] == query_labels[rows, None]  # (m, N), best first
        right = right[right.any(1)]
        recalls.append(torch.stack([right[:, :k].any(1) for k in ks], dim=1))  # (m, len(ks))
        precisions.append(average_precision(right))
    if not len(torch.cat(precisions)):
        raise ValueError("no query has an image of its class in the gallery")
    recall = torch.cat(recalls).double().mean(0).tolist()
    names = [f"recall@{k}" for k in ks]
    return {**dict(zip(names, recall, strict=True)), "mAP": torch.cat(precisions).mean().item()}


def average_precision(right: Tensor) -> Tensor:
    """(m, N) right or wrong, best first, at least one right a row -> (m,) average precisions."""
    hits = right.double()
    precision = hits.cumsum(1) / torch.arange(1, right.shape[1] + 1, device=right.device)
    return (precision * hits).sum(1) / hits.sum(1)
