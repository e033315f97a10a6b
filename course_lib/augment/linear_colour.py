"""Colour jitter of a whole batch as one 3 x 4 matrix an image.

Brightness, contrast, saturation, hue rotation and greying are all affine maps of RGB. Composing them costs
a few 3 x 3 products an image; the pixels are touched once.
"""

import math

import torch
from torch import Tensor

# Luma of ITU-R BT.601, which torchvision uses for grey.
_LUMA = (0.2989, 0.587, 0.114)
_RGB_TO_YIQ = ((0.2989, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def jitter_matrices(
    means: Tensor, *, brightness: float, contrast: float, saturation: float, hue: float, probability: float
) -> tuple[Tensor, Tensor]:
    """Random colour jitter: brightness, contrast, saturation, hue, in an order of each image's own.

    Ranges as in torchvision's `ColorJitter`: factors uniform in [1 - x, 1 + x] (not below 0), hue shift
    uniform in [-hue, hue] turns. Hue turns the chroma plane of YIQ, a linear stand-in for HSV's hue, and
    values are not clipped between the four steps.

    Args:
        means: mean colour of each image, (B, 3); contrast pulls towards its grey.
        brightness, contrast, saturation, hue: half-widths of the ranges.
        probability: share of images that are jittered at all.

    Returns:
        Matrices (B, 3, 3) and offsets (B, 3): new = matrix @ rgb + offset.
    """
    batch, device = len(means), means.device
    eye = torch.eye(3, device=device).expand(batch, 3, 3)
    luma = torch.tensor(_LUMA, device=device)
    to_grey = luma.expand(3, 3)  # every row is the luma: rgb -> (grey, grey, grey)

    def factor(half_width: float) -> Tensor:
        low = max(0.0, 1 - half_width)
        return torch.empty(batch, 1, 1, device=device).uniform_(low, 1 + half_width)

    b, c, s = factor(brightness), factor(contrast), factor(saturation)
    steps = torch.stack(
        [b * eye, c * eye, s * eye + (1 - s) * to_grey, _hue_rotation(batch, hue, device)], dim=1
    )
    order = torch.rand(batch, 4, device=device).argsort(dim=1)  # (B, 4)

    matrix, offset = eye, torch.zeros(batch, 3, device=device)
    for position in range(4):
        step_index = order[:, position]
        step = steps[torch.arange(batch, device=device), step_index]  # (B, 3, 3)
        # Contrast pulls towards the mean grey of the image as the steps before it have left it.
        grey = (_times(matrix, means) + offset) @ luma  # (B,)
        pull = torch.where(step_index == 1, (1 - c.flatten()) * grey, 0.0)
        matrix, offset = step @ matrix, _times(step, offset) + pull.unsqueeze(1)

    chosen = torch.rand(batch, device=device) < probability
    return torch.where(chosen[:, None, None], matrix, eye), offset * chosen.unsqueeze(1)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """(B, 3, 3) times (B, 3) -> (B, 3)."""
    return torch.einsum("bij,bj->bi", matrix, vector)


def _hue_rotation(batch: int, hue: float, device: torch.device) -> Tensor:
    """Rotations (B, 3, 3) of the chroma plane by uniform angles in [-hue, hue] turns; grey stays grey."""
    angle = torch.empty(batch, device=device).uniform_(-hue, hue) * (2 * math.pi)
    rotation = torch.zeros(batch, 3, 3, device=device)
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = angle.cos()
    rotation[:, 1, 2] = -angle.sin()
    rotation[:, 2, 1] = angle.sin()
    to_yiq = torch.tensor(_RGB_TO_YIQ, device=device)
    return torch.linalg.inv(to_yiq) @ rotation @ to_yiq


def grey_matrices(matrix: Tensor, offset: Tensor, *, probability: float) -> tuple[Tensor, Tensor]:
    """After the given maps (B, 3, 3), (B, 3), turn a random share of the images grey."""
    luma = torch.tensor(_LUMA, device=matrix.device).expand(3, 3)
    chosen = torch.rand(len(matrix), device=matrix.device) < probability
    grey_matrix, grey_offset = luma @ matrix, offset @ luma.T
    return (
        torch.where(chosen[:, None, None], grey_matrix, matrix),
        torch.where(chosen[:, None], grey_offset, offset),
    )


def apply(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Map every pixel of (B, 3, H, W) by its image's matrix and offset, and clip to [0, 1]."""
    mapped = torch.baddbmm(offset.unsqueeze(2), matrix, images.flatten(2))  # (B, 3, HW)
    return mapped.clamp_(0, 1).view_as(images)
