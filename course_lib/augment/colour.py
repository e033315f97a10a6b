"""Changes of colour, each image with its own strength: the arithmetic of torchvision, for a whole batch.

All take images (B, 3, H, W), float in [0, 1], and return values in [0, 1]. Those whose name ends in _ write
over the images they are given, as torch's do: on a CPU new memory costs more than the arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, rounded as torchvision rounds it

_PIXELS_AT_ONCE = 1 << 16  # the hue's seven planes of this size stay in a CPU core's cache


def grey_level(images: Tensor) -> Tensor:
    """Brightness of each pixel, (B, 3, H, W) -> (B, H, W)."""
    red, green, blue = images.unbind(1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _per_image(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]


def adjust_brightness_(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by a factor (B,): 0 is black, 1 leaves alone."""
    return images.mul_(_per_image(factor)).clamp_(0, 1)


def adjust_contrast_(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the image's mean grey by a factor (B,): 0 is a grey sheet, 1 leaves alone."""
    mean = (images.mean((2, 3)) * images.new_tensor(LUMA)).sum(1)  # (B,)
    return images.mul_(_per_image(factor)).add_(_per_image((1 - factor) * mean)).clamp_(0, 1)


def adjust_saturation_(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the pixel's own grey by a factor (B,): 0 is a grey picture, 1 leaves alone."""
    grey = grey_level(images).mul_((1 - factor)[:, None, None])
    return images.mul_(_per_image(factor)).add_(grey.unsqueeze(1)).clamp_(0, 1)


def adjust_hue_(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of HSV by `shift` (B,) turns, from -0.5 to 0.5; value and saturation stay."""
    at_once = max(1, _PIXELS_AT_ONCE // images[0, 0].numel())
    for part, turns in zip(images.split(at_once), shift.split(at_once), strict=True):
        _turn_hue_(part, turns)
    return images


def _turn_hue_(images: Tensor, shift: Tensor) -> None:
    """HSV's hue without its cases.

    The hue is a place on a circle of length 6 with red at 0, green at 2 and blue at 4. A channel is high
    within 1 of its own place, low from 2 on, and falls in a straight line between. So what is needed is the
    distance from each pixel's hue to each channel's place, turned back by the shift. All distances are kept
    multiplied by the chroma, which spares the division, and grey pixels their 0 / 0.
    """
    red, green, blue = images.unbind(1)  # (B, H, W) each
    low, high = torch.minimum(red, green), torch.maximum(red, green)
    torch.minimum(low, blue, out=low)
    torch.maximum(high, blue, out=high)
    chroma = high - low
    # Distance to red, then its sign: towards green positive, towards blue negative.
    hue = (green + blue).sub_(red).add_(high).sub_(low, alpha=2)
    work = green - blue
    hue.copysign_(work)  # from -3 to 3 chromas
    floor = low - chroma
    for channel in range(3):
        place = (2 * channel - 6 * shift + 3).remainder(6) - 3  # (B,), from -3 to 3
        torch.addcmul(hue, chroma, place[:, None, None], value=-1, out=work)
        work.abs_().sub_(chroma, alpha=3).abs_()  # half a circle minus the shorter way round
        torch.clamp(work.add_(floor), low, high, out=images[:, channel])


def to_grey(images: Tensor) -> Tensor:
    """All three channels become the grey level."""
    return grey_level(images).unsqueeze(1).expand_as(images)


def solarize(images: Tensor, threshold: float) -> Tensor:
    """Values at or above the threshold become one minus themselves: |[x >= threshold] - x|."""
    return images.clone().ge_(threshold).sub_(images).abs_()
