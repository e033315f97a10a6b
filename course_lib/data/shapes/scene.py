"""An image with everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.data.shapes.factors import Factors
from course_lib.data.shapes.relations import Relation


@dataclass(frozen=True, eq=False)
class Scene:
    """B images of K objects.

    Attributes:
        images: uint8 (B, 3, H, W), like masks and boxes on the device asked for; the rest is on the CPU.
        labels: int64 (B,), shape of the main object.
        factors: what the images are made of.
        masks: bool (B, K, H, W), pixels of which an object shows more than half; what hides behind others is
            left out, so masks do not overlap.
        boxes: float32 (B, K, 4), the mask's left, top, right and bottom edge in pixels: right - left is its
            width. All zero for an object of which nothing shows.
        captions: one true sentence an image.
        relations: for each image the true (object, relation, object) triples, the objects by their number.
    """

    images: Tensor
    labels: Tensor
    factors: Factors
    masks: Tensor
    boxes: Tensor
    captions: tuple[str, ...]
    relations: tuple[tuple[Relation, ...], ...]


def boxes(masks: Tensor) -> Tensor:
    """Tight boxes of masks, bool (..., H, W) -> float32 (..., 4): left, top, right, bottom; zero if empty."""
    edges = []
    for across in (masks.any(-2), masks.any(-1)):  # columns, then rows
        side = across.shape[-1]
        first = across.to(torch.uint8).argmax(-1)
        last = side - across.flip(-1).to(torch.uint8).argmax(-1)
        edges.append((first, torch.where(across.any(-1), last, 0)))
    (left, right), (top, bottom) = edges
    return torch.stack((left, top, right, bottom), -1).to(torch.float32)
