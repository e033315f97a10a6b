"""Images to features, once, with the network in evaluation mode."""

import hashlib
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.evaluate.encoder import encoder_of

# For each network: what its weights were, and the features of each batch of images that they gave.
_cache: WeakKeyDictionary[nn.Module, tuple[str, dict[str, Tensor]]] = WeakKeyDictionary()


def features(
    backbone: nn.Module,
    images: Tensor,
    *,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    cache: bool = True,
) -> Tensor:
    """Features (N, F), float32 on the CPU, of images (N, 3, H, W), uint8 or float in [0, 1].

    The network runs in evaluation mode (batch norm uses its running statistics) and gets its mode back. What
    was computed is remembered for as long as the network lives and its weights stay: several probes of one
    network cost one pass. A change of any weight, running statistic or pixel computes afresh.

    Args:
        backbone: the network to probe, or a method with a `.backbone`; never the projection head behind it.
        images: the images, unaugmented.
        batch_size: images in one forward pass.
        device: where to compute; the backbone's own device if not given.
        cache: False neither looks up nor remembers.

    Raises:
        ValueError: it is unclear which network is meant (`encoder_of`), there are no images, or the network
            does not give one vector an image.
    """
    network = encoder_of(backbone)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"expected images (N, 3, H, W), at least one, got {tuple(images.shape)}")
    if not cache:
        return forward(network, images, batch_size, device)
    weights, pixels = fingerprint(network.state_dict().values()), fingerprint([images])
    known, found = _cache.get(network, ("", {}))
    if known != weights:
        found = {}
    if pixels not in found:
        found[pixels] = forward(network, images, batch_size, device)
    _cache[network] = weights, found
    return found[pixels].clone()


@torch.no_grad()
def forward(network: nn.Module, images: Tensor, batch_size: int, device: torch.device | str | None) -> Tensor:
    """Features of all images in batches, (N, 3, H, W) -> (N, F), in evaluation mode."""
    parameter = next(network.parameters(), None)
    home = parameter.device if parameter is not None else torch.device("cpu")
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        if device is not None:
            network.to(device)
        chunks = [
            network(to_float(chunk.to(device or home))).float().cpu() for chunk in images.split(batch_size)
        ]  # each (<= batch_size, F)
    finally:
        network.to(home)
        for module, training in modes.items():
            module.training = training
    if chunks[0].ndim != 2:
        raise ValueError(
            f"{type(network).__name__} must give one vector an image, (N, F), got {tuple(chunks[0].shape)}"
        )
    return torch.cat(chunks)


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """A hash of shapes, types and values."""
    digest = hashlib.blake2b()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def raw_pixels(images: Tensor, size: int | None = None) -> Tensor:
    """The pixels themselves as features, (N, 3, H, W) -> (N, 3HW), float32: what one gets for free.

    Args:
        size: average over rectangles first, so that size x size of them are left: (N, 3 * size * size). That
            takes away noise and small shifts, and makes neighbours far better than pixel by pixel.

    Raises:
        ValueError: size is below 1, or the images have fewer pixels than that.
    """
    pixels = to_float(images)
    if size is None:
        return pixels.flatten(1)
    if not 1 <= size <= min(images.shape[-2:]):
        raise ValueError(f"size must be between 1 and the images' {min(images.shape[-2:])} px, got {size}")
    return F.adaptive_avg_pool2d(pixels, size).flatten(1)


def to_float(images: Tensor) -> Tensor:
    """uint8 in [0, 255] -> float32 in [0, 1]; floats pass unchanged."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()
