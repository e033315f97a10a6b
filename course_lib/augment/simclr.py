"""SimCLR's augmentation, for a whole batch at once (Chen et al. 2020, appendix A)."""

import torch
from torch import Tensor

from course_lib.augment.affine import resample
from course_lib.augment.crop import random_crop_boxes
from course_lib.augment.linear_colour import apply, grey_matrices, jitter_matrices


class SimCLRAugment:
    """Crop and resize, flip, colour jitter, grey: what SimCLR declares to be "the same image".

    Order and numbers are the paper's: flip with probability 0.5, jitter (0.8, 0.8, 0.8, 0.2) * strength with
    probability 0.8, grey with probability 0.2. No blur, as the paper does for 32 px images. Draws come from
    torch's global generator, one per image.

    Made for speed on small images: colours change by one matrix an image (see `linear_colour` for what that
    leaves out) and crops are not antialiased. `papers.simclr` does both as torchvision does.

    Args:
        size: side of the views in pixels.
        strength: of the colour jitter; the paper uses 1 on ImageNet and 0.5 on CIFAR-10.
        min_scale: smallest area of a crop as a share of the image; the paper uses 0.08, which small
            images bear badly.
        jitter: False leaves colours alone (no jitter and no grey).
        crop: False leaves position and scale alone (the image is resized whole).
    """

    def __init__(
        self,
        size: int = 32,
        *,
        strength: float = 0.5,
        min_scale: float = 0.2,
        jitter: bool = True,
        crop: bool = True,
    ) -> None:
        if size < 1 or strength < 0 or not 0 < min_scale <= 1:
            raise ValueError(
                "expected size >= 1, strength >= 0 and 0 < min_scale <= 1, "
                f"got size={size}, strength={strength}, min_scale={min_scale}"
            )
        self.size, self.strength, self.min_scale = size, strength, min_scale
        self.jitter, self.crop = jitter, crop

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), uint8 or float in [0, 1] -> views (B, 3, size, size), float32 in [0, 1]."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"expected images (B, 3, H, W), got {tuple(images.shape)}")
        x = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        batch, _, height, width = x.shape
        lowest = self.min_scale if self.crop else 1.0
        boxes = random_crop_boxes(batch, height, width, scale=(lowest, 1.0), device=x.device)
        if not self.crop:
            boxes = torch.tensor([0.0, 0.0, width, height], device=x.device).expand(batch, 4)
        flip = torch.rand(batch, device=x.device) < 0.5
        view = resample(x, boxes, self.size, flip)
        return self._recolour(view) if self.jitter else view

    def _recolour(self, view: Tensor) -> Tensor:
        s = self.strength
        matrix, offset = jitter_matrices(
            view.mean((2, 3)),
            brightness=0.8 * s,
            contrast=0.8 * s,
            saturation=0.8 * s,
            hue=0.2 * s,
            probability=0.8,
        )
        return apply(view, *grey_matrices(matrix, offset, probability=0.2))
