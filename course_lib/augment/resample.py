"""Resizing as two matrix products, exact and antialiased, each image with its own box.

Resizing is linear and separable: out = R x Cᵀ, where row i of R holds the weights of the source rows that
make output row i. The weights are written down once for the whole batch; the rest is a matrix product.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]

# Above this many pixels a side, one call for each image costs the CPU less than multiplying by mostly zeros.
_MATRIX_SIDE = 64


def to_float(images: Tensor) -> Tensor:
    """uint8 in 0 to 255, or any float in [0, 1] -> float32 in [0, 1]."""
    return images.float().mul_(1 / 255) if images.dtype == torch.uint8 else images.float()


def separable(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows x image x columnsᵀ: images (B, 3, H, W), rows (B, h, H), columns (B, w, W) -> (B, 3, h, w)."""
    batch, channels, height, width = images.shape
    across = torch.bmm(images.reshape(batch, channels * height, width), columns.mT)  # (B, 3H, w)
    return rows[:, None] @ across.view(batch, channels, height, -1)  # (B, 1, h, H) x (B, 3, H, w)


def _kernel(distance: Tensor, interpolation: Interpolation) -> Tensor:
    """Weight of a source pixel at a distance from the output pixel: a triangle, or Keys' cubic with a = -1/2.

    Keys' two cubics meet at 1 and end at 2: written with clamped distances, neither needs a mask.
    """
    x = distance.abs_()
    if interpolation == "bilinear":
        return x.neg_().add_(1).clamp_(min=0)
    far, near = x.clamp(max=2), x.clamp_(max=1)
    return ((-0.5 * far + 2.5) * far - 4) * far + 2 + (near - 1).square() * (2 * near - 1)


def resize_weights(
    start: Tensor,
    length: Tensor,
    size: int,
    extent: int,
    *,
    interpolation: Interpolation = "bilinear",
    whole: bool = False,
) -> Tensor:
    """Weights that resize source pixels [start, start + length) to `size` output pixels.

    When reducing, the kernel widens by the scale, which is what antialiasing means.

    Args:
        start, length: the interval of each image along one axis, (B,), in pixels.
        size: output pixels.
        extent: source pixels along this axis.
        interpolation: "bilinear" or "bicubic".
        whole: weights may reach source pixels outside the interval: resize first, then crop.

    Returns:
        (B, size, extent); every row sums to one.
    """
    device = start.device
    scale = (length / size)[:, None, None]
    outputs, sources = torch.arange(size, device=device) + 0.5, torch.arange(extent, device=device) + 0.5
    centre = start[:, None, None] + scale * outputs[:, None]  # (B, size, 1)
    weights = _kernel((sources - centre).div_(scale.clamp(min=1)), interpolation)  # (B, size, extent)
    if not whole:
        inside = (sources >= start[:, None]) & (sources <= (start + length)[:, None])  # (B, extent)
        weights.mul_(inside.to(weights.dtype)[:, None, :])
    return weights.div_(weights.sum(2, keepdim=True))


def crop_and_resize(
    images: Tensor,
    boxes: Tensor,
    size: int,
    *,
    interpolation: Interpolation = "bilinear",
    whole: bool = False,
) -> Tensor:
    """Cut a box out of each image and resize it, antialiased, as torchvision's `resized_crop` does.

    Args:
        images: (B, 3, H, W), uint8 or float in [0, 1].
        boxes: (B, 4): left, top, width, height in pixels; whole numbers unless `whole`.
        size: side of the result.
        interpolation: "bilinear" or "bicubic"; bicubic may overshoot and is clipped.
        whole: resize the image first, then crop: pixels beside the box count at its edges.

    Returns:
        (B, 3, size, size), float32 in [0, 1]. Large uint8 images on a CPU come out rounded to whole 255ths,
        as they do from PIL.
    """
    if images.device.type == "cpu" and size > _MATRIX_SIDE and not whole:
        return _one_by_one(images, boxes, size, interpolation)
    height, width = images.shape[-2:]
    left, top, w, h = boxes.unbind(1)
    rows = resize_weights(top, h, size, height, interpolation=interpolation, whole=whole)
    columns = resize_weights(left, w, size, width, interpolation=interpolation, whole=whole)
    return separable(to_float(images), rows, columns).clamp_(0, 1)


def _one_by_one(images: Tensor, boxes: Tensor, size: int, interpolation: Interpolation) -> Tensor:
    resized = torch.empty(len(images), 3, size, size, dtype=images.dtype)
    for i, (left, top, w, h) in enumerate(boxes.long().tolist()):
        cut = images[i : i + 1, :, top : top + h, left : left + w]
        resized[i] = F.interpolate(cut, size=(size, size), mode=interpolation, antialias=True)[0]
    return to_float(resized).clamp_(0, 1)
