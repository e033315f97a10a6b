"""Random crops and flips of a whole batch, each image with its own box."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.augment.resample import Interpolation, crop_and_resize


def random_crop_boxes(
    batch: int,
    height: int,
    width: int,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    attempts: int = 10,
    device: torch.device | str = "cpu",
) -> Tensor:
    """One box an image, drawn as Inception's crop (and torchvision's `RandomResizedCrop`) draws it.

    Area uniform in `scale` (a share of the image), aspect ratio log-uniform in `ratio`, first of ten attempts
    that fits, position uniform among whole pixels. If none fits, the largest centred box of a ratio allowed.

    Returns:
        Boxes (B, 4), float32: left, top, width, height in pixels.
    """
    area = torch.empty(batch, attempts, device=device).uniform_(*scale) * (height * width)
    aspect = (
        torch.empty(batch, attempts, device=device).uniform_(math.log(ratio[0]), math.log(ratio[1])).exp_()
    )
    w = (area * aspect).sqrt_().round_()
    h = (area / aspect).sqrt_().round_()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.float().argmax(1, keepdim=True)  # (B, 1): the first attempt that fits, 0 if none does
    found = fits.any(1)
    widest, highest = float(min(width, round(height * ratio[1]))), float(min(height, round(width / ratio[0])))
    w = torch.where(found, w.gather(1, first).squeeze(1), widest)
    h = torch.where(found, h.gather(1, first).squeeze(1), highest)
    left, top = ((torch.rand(batch, device=device) * (room + 1)).floor() for room in (width - w, height - h))
    left = torch.where(found, left, float((width - widest) // 2))
    top = torch.where(found, top, float((height - highest) // 2))
    return torch.stack([left, top, w, h], dim=1)


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random part of each image, resized: (B, 3, H, W), uint8 or float -> (B, 3, size, size), float32.

    Args:
        size: side of the result in pixels.
        scale: smallest and largest area of the part, as shares of the image.
        ratio: smallest and largest width : height.
        interpolation: "bilinear" or "bicubic", antialiased.
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(
                f"expected size >= 1 and 0 < scale[0] <= scale[1], got {self.size}, {self.scale}"
            )

    def __call__(self, images: Tensor) -> Tensor:
        batch, _, height, width = images.shape
        boxes = random_crop_boxes(
            batch, height, width, scale=self.scale, ratio=self.ratio, device=images.device
        )
        return crop_and_resize(images, boxes, self.size, interpolation=self.interpolation)


@dataclass(frozen=True)
class Resize:
    """Each image whole, its sides stretched to `size`."""

    size: int
    interpolation: Interpolation = "bilinear"

    def __call__(self, images: Tensor) -> Tensor:
        batch, _, height, width = images.shape
        boxes = torch.tensor([0.0, 0.0, width, height], device=images.device).expand(batch, 4)
        return crop_and_resize(images, boxes, self.size, interpolation=self.interpolation)


@dataclass(frozen=True)
class RandomSquareCrop:
    """Resize the shorter side to `size`, then cut a random square: square images are only resized."""

    size: int
    interpolation: Interpolation = "bicubic"

    def __call__(self, images: Tensor) -> Tensor:
        batch, _, height, width = images.shape
        short = min(height, width)
        resized_width, resized_height = self.size * width // short, self.size * height // short
        step_x, step_y = width / resized_width, height / resized_height  # source pixels for one resized pixel
        left, top = (
            (torch.rand(batch, device=images.device) * (room + 1)).floor()
            for room in (resized_width - self.size, resized_height - self.size)
        )
        side_x = torch.full_like(left, self.size * step_x)
        side_y = torch.full_like(top, self.size * step_y)
        boxes = torch.stack([left * step_x, top * step_y, side_x, side_y], dim=1)
        return crop_and_resize(images, boxes, self.size, interpolation=self.interpolation, whole=True)


@dataclass(frozen=True)
class RandomFlip:
    """Mirror each image left to right with probability p, writing over the batch."""

    p: float = 0.5

    def __call__(self, images: Tensor) -> Tensor:
        rows = (torch.rand(len(images), device=images.device) < self.p).nonzero().squeeze(1)
        return images.index_copy_(0, rows, images.index_select(0, rows).flip(3))
