"""Channel statistics with which the papers standardise their views, after all other steps.

The networks of this course take images in [0, 1]; official checkpoints expect what they were trained on.
"""

from __future__ import annotations

from torch import Tensor

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean, standard deviation

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # MoCo, BYOL, DINO, MAE, supervised
SWAV: Statistics = (
    (0.485, 0.456, 0.406),
    (0.228, 0.224, 0.225),
)  # 0.228 is what SwAV's weights were trained with
CLIP: Statistics = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
# SimCLR does not standardise.


def normalise(images: Tensor, statistics: Statistics = IMAGENET) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] -> the same, each channel minus its mean and divided by its deviation."""
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in statistics)
    return (images - mean) / std
