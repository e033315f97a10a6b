"""Mixing two images and their labels: Mixup and CutMix, every pair of the batch with its own share.

Both return soft labels (B, C), which `torch.nn.functional.cross_entropy` takes as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.augment.resample import to_float


def _prepare(images: Tensor, labels: Tensor, num_classes: int, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Float images, one-hot labels (B, C), and shares (B,) drawn from Beta(alpha, alpha)."""
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"expected images (B, C, H, W) and labels (B,), got {tuple(images.shape)}, {tuple(labels.shape)}"
        )
    if not alpha > 0:
        raise ValueError(f"alpha must be greater than 0, got {alpha}")
    concentration = torch.tensor(float(alpha), device=images.device)
    share = torch.distributions.Beta(concentration, concentration).sample((len(images),))
    return to_float(images), F.one_hot(labels, num_classes).float(), share


def _mix(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(second, first, share)


def mixup(images: Tensor, labels: Tensor, num_classes: int, *, alpha: float = 0.2) -> tuple[Tensor, Tensor]:
    """Pixel-wise mean of two images, and of their labels (Zhang et al. 2018, eq. 1).

    Args:
        images: (B, 3, H, W), uint8 or float in [0, 1].
        labels: (B,), classes.
        num_classes: C.
        alpha: shares are drawn from Beta(alpha, alpha): near 0 hardly mixes, 1 is uniform.

    Returns:
        Images (B, 3, H, W), float32, and soft labels (B, C). Partners are a random permutation of the batch;
        the papers' code draws one share for the whole batch, here each pair has its own.

    Raises:
        ValueError: shapes do not match, or alpha <= 0.
    """
    images, targets, share = _prepare(images, labels, num_classes, alpha)
    partner = torch.randperm(len(images), device=images.device)
    mixed = _mix(images, images[partner], share[:, None, None, None])
    return mixed, _mix(targets, targets[partner], share[:, None])


def cutmix(images: Tensor, labels: Tensor, num_classes: int, *, alpha: float = 1.0) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of one image into another; labels mix by area (Yun et al. 2019, section 3.1).

    Arguments, results and errors as for `mixup`. The rectangle has the image's proportions and a
    share 1 - lambda of its area, with lambda from Beta(alpha, alpha); its centre is uniform over the image,
    and what hangs out is cut off, so the labels are mixed by the area that is left.
    """
    images, targets, share = _prepare(images, labels, num_classes, alpha)
    partner = torch.randperm(len(images), device=images.device)
    pasted = rectangles(share, *images.shape[-2:])  # (B, H, W)
    kept = 1 - pasted.mean((1, 2))
    mixed = _mix(images[partner], images, pasted[:, None])
    return mixed, _mix(targets, targets[partner], kept[:, None])


def rectangles(share: Tensor, height: int, width: int) -> Tensor:
    """Masks (B, H, W), 1 inside a random rectangle of area (1 - share) H W, cut off at the image's edge."""
    side = (1 - share).sqrt()

    def inside(extent: int) -> Tensor:
        half = (side * extent).floor()[:, None] / 2
        centre = (torch.rand(len(share), device=share.device) * extent).floor()[:, None]
        pixel = torch.arange(extent, device=share.device)
        return ((pixel >= (centre - half).floor()) & (pixel < (centre + half).floor())).float()  # (B, extent)

    return inside(height)[:, :, None] * inside(width)[:, None, :]
