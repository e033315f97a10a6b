"""RandAugment's operations, each on one uint8 image (3, H, W) with a level from 0 (none) to 1 (strongest)."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor
from torchvision.transforms.v2 import functional as F

Operation = Callable[[Tensor, float], Tensor]

# Largest magnitudes, as in torchvision's RandAugment.
MAX_SHEAR, MAX_SHIFT, MAX_ANGLE, MAX_FACTOR, MAX_BITS_LOST = 0.3, 150 / 331, 30.0, 0.9, 4


def _shear(image: Tensor, x: float, y: float) -> Tensor:
    degrees = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    return F.affine(image, angle=0.0, translate=[0, 0], scale=1.0, shear=degrees, center=[0, 0])


def _shift(image: Tensor, x: float, y: float) -> Tensor:
    pixels = [int(x * image.shape[-1]), int(y * image.shape[-2])]
    return F.affine(image, angle=0.0, translate=pixels, scale=1.0, shear=[0.0, 0.0])


# A negative level goes the other way: left for right, darker for brighter.
SIGNED: dict[str, Operation] = {
    "shear x": lambda image, level: _shear(image, MAX_SHEAR * level, 0.0),
    "shear y": lambda image, level: _shear(image, 0.0, MAX_SHEAR * level),
    "shift x": lambda image, level: _shift(image, MAX_SHIFT * level, 0.0),
    "shift y": lambda image, level: _shift(image, 0.0, MAX_SHIFT * level),
    "rotate": lambda image, level: F.rotate(image, MAX_ANGLE * level),
    "brightness": lambda image, level: F.adjust_brightness(image, 1 + MAX_FACTOR * level),
    "colour": lambda image, level: F.adjust_saturation(image, 1 + MAX_FACTOR * level),
    "contrast": lambda image, level: F.adjust_contrast(image, 1 + MAX_FACTOR * level),
    "sharpness": lambda image, level: F.adjust_sharpness(image, 1 + MAX_FACTOR * level),
}
UNSIGNED: dict[str, Operation] = {
    "posterise": lambda image, level: F.posterize(image, 8 - round(MAX_BITS_LOST * level)),
    "solarise": lambda image, level: F.solarize(image, 255 * (1 - level)),
    "auto-contrast": lambda image, level: F.autocontrast(image),
    "equalise": lambda image, level: F.equalize(image),
}
OPERATIONS: dict[str, Operation] = SIGNED | UNSIGNED
