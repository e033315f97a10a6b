"""Steps that change colour: jitter, grey, solarise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.augment import colour

ADJUSTMENTS = (
    colour.adjust_brightness_,
    colour.adjust_contrast_,
    colour.adjust_saturation_,
    colour.adjust_hue_,
)


# With more pixels than this a CPU is quicker image by image than moving images about to treat them together.
_LARGE = 64 * 64


@dataclass(frozen=True)
class ColourJitter:
    """Brightness, contrast, saturation and hue by random amounts, in an order of each image's own.

    Ranges are torchvision's: factors uniform in [1 - x, 1 + x] but not below 0, hue shift uniform in
    [-hue, hue] turns. Values are clipped to [0, 1] after each of the four.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float

    def __post_init__(self) -> None:
        widths = (self.brightness, self.contrast, self.saturation, self.hue)
        if min(widths) < 0 or self.hue > 0.5:
            raise ValueError(f"expected half-widths >= 0 and hue <= 0.5, got {widths}")

    def __call__(self, images: Tensor) -> Tensor:
        return jitter(images, *self.draw(len(images), images.device))

    def draw(self, batch: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Factors (B, 4) of brightness, contrast, saturation and hue, and the order to apply them in."""
        widths = torch.tensor([self.brightness, self.contrast, self.saturation, self.hue], device=device)
        middle = torch.tensor([1.0, 1.0, 1.0, 0.0], device=device)
        low, high = middle - widths, middle + widths
        low[:3].clamp_(min=0)
        factors = low + (high - low) * torch.rand(batch, 4, device=device)
        order = torch.rand(batch, 4, device=device).argsort(dim=1)
        return factors, order


def jitter(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Apply the four adjustments to images (B, 3, H, W), which may be written over.

    Row i of `order` (B, 4) says which adjustment of image i comes when.
    """
    if images.device.type == "cpu" and images[0, 0].numel() > _LARGE:
        return _one_by_one(images, factors, order)
    place = torch.arange(len(images), device=images.device)  # which image stands where
    for turn in range(4):
        # Bring images of the same adjustment together, so that each works on one slice, in place.
        together = order[place, turn].argsort()
        images, place = images.index_select(0, together), place[together]
        counts = torch.bincount(order[:, turn], minlength=4).tolist()
        for which, (part, rows) in enumerate(zip(images.split(counts), place.split(counts), strict=True)):
            if len(rows):
                ADJUSTMENTS[which](part, factors[rows, which])
    return images.index_select(0, place.argsort())


def _one_by_one(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    for i, turns in enumerate(order.tolist()):
        for which in turns:
            ADJUSTMENTS[which](images[i : i + 1], factors[i : i + 1, which])
    return images


@dataclass(frozen=True)
class Greyscale:
    """Grey in all three channels."""

    def __call__(self, images: Tensor) -> Tensor:
        return colour.to_grey(images)


@dataclass(frozen=True)
class Solarize:
    """Invert what is bright; PIL's threshold is 128 of 255."""

    threshold: float = 128 / 255

    def __call__(self, images: Tensor) -> Tensor:
        return colour.solarize(images, self.threshold)
