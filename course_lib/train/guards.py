"""Mistakes that are better told before the first step than guessed from its traceback."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def check_batch(method: nn.Module, batch: Any, processes: int = 1) -> None:
    """Look at the first batch of a run before the method does.

    Args:
        method: what will be trained. A buffer named `queue`, (D, K), holds K keys; `backbone`, if it accepts
            one image size only, says which.
        batch: what `method` will be called with on this process.
        processes: how many such batches join in one step.

    Raises:
        TypeError: images are not floating point.
        ValueError: images are not (B, 3, H, W), do not have the backbone's size, or do not fit the queue.
    """
    views = [tensor for tensor in tensors(batch) if tensor.ndim > 1]
    for view in views:
        if view.dtype == torch.uint8:
            raise TypeError("views must be floats in [0, 1], got uint8: does the augmentation convert them?")
        if view.ndim == 4 and view.shape[1] != 3:
            raise ValueError(f"views must have shape (B, 3, H, W), got {tuple(view.shape)}")
    size = only_size(getattr(method, "backbone", None))
    for view in views:
        if size is not None and view.ndim == 4 and view.shape[2:] != size:
            raise ValueError(
                f"the backbone takes images of {size[0]} x {size[1]} pixels, but a view has "
                f"{view.shape[2]} x {view.shape[3]}: give the augmentation that size"
            )
    queue = getattr(method, "queue", None)
    if isinstance(queue, Tensor) and views and len(views[0]) * processes > queue.shape[-1]:
        raise ValueError(
            f"a batch of {len(views[0]) * processes} images is larger than the queue of "
            f"{queue.shape[-1]} keys: make the queue longer or the batch smaller"
        )


def tensors(batch: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, dict):
        yield from tensors(list(batch.values()))
    elif isinstance(batch, tuple | list):
        for part in batch:
            yield from tensors(part)


def only_size(backbone: Any) -> tuple[int, int] | None:
    """(H, W) if a backbone accepts nothing else, as timm's vision transformers do; None if it is free."""
    patches = getattr(backbone, "patch_embed", None)
    size = getattr(patches, "img_size", None)
    if size is None or not getattr(patches, "strict_img_size", False):
        return None
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
