"""Learnt and random policies over a set of operations: AutoAugment and RandAugment, torchvision's own."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import v2

from course_lib.augment.reference import PerImage


def _on_bytes(transform: v2.Transform) -> PerImage:
    """The operations count in 8-bit values: uint8 in, operate, float in [0, 1] out."""
    to_bytes, to_float = v2.ToDtype(torch.uint8, scale=True), v2.ToDtype(torch.float32, scale=True)

    def one(image: Tensor) -> Tensor:
        return to_float(transform(to_bytes(image)))

    return PerImage(one)


def auto_augment(policy: str = "cifar10") -> PerImage:
    """AutoAugment (Cubuk et al. 2019): 25 pairs of operations found by search, one pair drawn for each image.

    Args:
        policy: "imagenet", "cifar10" or "svhn": the data the search was run on.

    Returns:
        Images (B, 3, H, W), uint8 or float in [0, 1] -> the same shape, float32 in [0, 1], one by one.
    """
    try:
        chosen = v2.AutoAugmentPolicy(policy)
    except ValueError as error:
        raise ValueError(f"policy must be 'imagenet', 'cifar10' or 'svhn', got {policy!r}") from error
    return _on_bytes(v2.AutoAugment(chosen))


def rand_augment(num_ops: int = 2, magnitude: int = 9) -> PerImage:
    """RandAugment (Cubuk et al. 2020): `num_ops` operations at random, all at one magnitude from 0 to 30.

    Two numbers stand in for AutoAugment's search. Shapes as for `auto_augment`.
    """
    return _on_bytes(v2.RandAugment(num_ops=num_ops, magnitude=magnitude))
