"""What every backbone expects of its images, and the colours that ImageNet's networks were trained on."""

from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

# Mean and standard deviation of ImageNet's red, green and blue, for pixels in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Net = TypeVar("Net", bound=nn.Module)


def check_images(images: Tensor, size: int | None = None) -> None:
    """Images are a floating-point tensor (B, 3, H, W), with H = W = size if a size is given."""
    if images.ndim != 4 or images.shape[1] != 3 or (size and images.shape[2:] != (size, size)):
        height, width = (size, size) if size else ("H", "W")
        raise ValueError(f"expected images (B, 3, {height}, {width}), got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(f"expected floating-point images in [0, 1], got {images.dtype}; divide bytes by 255")


def takes_unit_images(network: Net, size: int | None = None) -> Net:
    """Let a network take images in [0, 1]: check them and normalise them before its first layer.

    A hook rather than a wrapper, so that the layers keep the names they have in released checkpoints.

    Args:
        network: takes images normalised with ImageNet's mean and standard deviation.
        size: height and width that the network is bound to, if it is.

    Returns:
        The same network.
    """
    # Buffers move to the device with the network; not being weights, they stay out of its state dict.
    network.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
    network.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    network.register_forward_pre_hook(partial(_normalise, size=size))
    return network


def _normalise(network: nn.Module, inputs: tuple[Tensor], *, size: int | None) -> tuple[Tensor]:
    (images,) = inputs
    check_images(images, size)
    mean, std = network.get_buffer("mean"), network.get_buffer("std")
    return ((images - mean) / std,)
