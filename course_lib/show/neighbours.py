"""Nearest neighbours as pictures: what do images that a network finds alike have in common?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.show.grids import images


def neighbours(
    query_images: Tensor,
    query_features: Tensor,
    gallery_images: Tensor,
    gallery_features: Tensor,
    *,
    k: int = 4,
    query_names: Sequence[str] | None = None,
    gallery_names: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Each query above its k nearest gallery images by cosine similarity, the nearest first.

    Args:
        query_images, gallery_images: (Q, 3, H, W) and (N, 3, H, W), of one size.
        query_features, gallery_features: (Q, F) and (N, F).
        k: neighbours below each query.
        query_names, gallery_names: a short text for each image, written above it.

    Raises:
        ValueError: images and features do not fit together, or k is not in [1, N].
    """
    for kind, pictures, vectors in (
        ("query", query_images, query_features),
        ("gallery", gallery_images, gallery_features),
    ):
        if vectors.ndim != 2 or len(vectors) != len(pictures):
            raise ValueError(
                f"expected one feature for each {kind} image, got {len(pictures)} images and features of "
                f"shape {tuple(vectors.shape)}"
            )
    if not 1 <= k <= len(gallery_images):
        raise ValueError(f"expected k in [1, {len(gallery_images)}], got {k}")
    similarity = F.normalize(query_features.float(), dim=1) @ F.normalize(gallery_features.float(), dim=1).T
    nearest = similarity.topk(k, dim=1).indices.T.flatten()  # (k * Q,), all nearest first
    titles = None
    if query_names is not None and gallery_names is not None:
        titles = [*query_names, *(gallery_names[i] for i in nearest.tolist())]
    rows = ["query", *(f"{rank}." for rank in range(1, k + 1))]
    pictures = torch.cat([query_images, gallery_images[nearest.to(gallery_images.device)]])
    return images(pictures, titles, columns=len(query_images), row_titles=rows, title=title)
