"""What a domain does to a finished picture; the objects in it stay the same.

Each function takes float32 images (B, 3, H, W) in [0, 1] and returns the same. Effects are given as shares
of the image's width, so that they look alike at every resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.data.shapes.hashing import bits, mix, uniform
from course_lib.data.shapes.vocabulary import CORRUPTIONS

# Counters of the hash; those of the factors stay below 2^20.
LAMP_DRAWS = 2**20
CORRUPTION_DRAW = 2**20 + 2
GRAIN_DRAWS = 2**21
GRAIN_CELLS = 32  # grain is as fine as this many cells across the image, at every resolution
MOSAIC_CELLS = 11

PAPER = (0.96, 0.95, 0.91)
PENCIL = ((0.93, 0.92, 0.88), (0.66, 0.65, 0.64))  # the two colours of every texture in a sketch


def grain(key: Tensor, size: int) -> Tensor:
    """Bell-shaped noise of mean 0 and standard deviation 1, (B,) -> (B, 1, size, size)."""
    cells = torch.arange(GRAIN_CELLS**2, device=key.device)
    random = bits(key, GRAIN_DRAWS + cells)  # (B, cells)
    total = (
        (random & 0xFFFF) + ((random >> 16) & 0xFFFF) + ((random >> 32) & 0xFFFF) + ((random >> 48) & 0xFFFF)
    )
    # The sum of four uniforms (Irwin-Hall) has variance 4/12: near a Gaussian, in integers.
    noise = (total.to(torch.float32) * 2.0**-16 - 2.0) * 1.7320508
    noise = noise.view(-1, 1, GRAIN_CELLS, GRAIN_CELLS)
    return noise if size == GRAIN_CELLS else F.interpolate(noise, (size, size), mode="bilinear")


def night(images: Tensor, key: Tensor) -> Tensor:
    """One lamp in the dark, somewhere in the upper half."""
    size = images.shape[-1]
    lamp = uniform(key, LAMP_DRAWS + torch.arange(2, device=key.device))  # (B, 2)
    at = (torch.arange(size, device=key.device) + 0.5) / size
    across, down = at - (lamp[:, :1] * 0.7 + 0.15), at - (lamp[:, 1:] * 0.45 + 0.05)  # 2 x (B, size)
    far = (across * across).unsqueeze(1) + (down * down).unsqueeze(2)  # (B, H, W)
    glow = 1 / (far * 9 + 1)
    glow = (glow * glow).unsqueeze(1)
    moonlight = images.new_tensor((0.20, 0.24, 0.36)).view(1, 3, 1, 1)
    lamplight = images.new_tensor((0.95, 0.78, 0.50)).view(1, 3, 1, 1)
    return images * (glow * lamplight + moonlight)


def corrupted(images: Tensor, key: Tensor) -> Tensor:
    """One of five corruptions, by the image's key: grain, fog, mosaic, blur, or posterised."""
    kinds = (uniform(key, torch.tensor([CORRUPTION_DRAW], device=key.device))[:, 0] * len(CORRUPTIONS)).long()
    result = images.clone()
    for kind, name in enumerate(CORRUPTIONS):
        rows = (kinds == kind).nonzero().squeeze(1)
        if len(rows):
            result[rows] = corrupt(images[rows], key[rows], name)
    return result


def corrupt(images: Tensor, key: Tensor, name: str) -> Tensor:
    """One named corruption."""
    size = images.shape[-1]
    if name == "grain":
        return images + grain(mix(key), size) * 0.18
    if name == "fog":
        return images * 0.35 + 0.52
    if name == "posterised":
        return (images.clamp(0, 1) * 2.999).floor() * 0.5
    coarse = F.adaptive_avg_pool2d(images, min(MOSAIC_CELLS, size))
    if name == "mosaic":
        return F.interpolate(coarse, (size, size), mode="nearest")
    return F.interpolate(coarse, (size, size), mode="bilinear")
