"""Images with labels, in memory: what every data set of the course looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A data set small enough to hold in memory as one uint8 tensor.

    Args:
        images: uint8 (N, 3, H, W), RGB, 0 to 255.
        labels: int64 (N,), each an index into `class_names`.
        class_names: one name a class, in the order of the labels.
        captions: one sentence an image, or None where the set has none.

    Raises:
        TypeError: images are not uint8, or labels are not int64.
        ValueError: the shapes do not belong together, or a label has no class name.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    captions: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.labels.dtype != torch.int64:
            raise TypeError(
                f"expected uint8 images and int64 labels, got {self.images.dtype} and {self.labels.dtype}"
            )
        if self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(f"expected images of shape (N, 3, H, W), got {tuple(self.images.shape)}")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"expected one label for each of {len(self.images)} images, got {tuple(self.labels.shape)}"
            )
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < self.num_classes:
            raise ValueError(
                f"labels run from {int(self.labels.min())} to {int(self.labels.max())}, "
                f"but there are {self.num_classes} class names"
            )
        if self.captions is not None and len(self.captions) != len(self.images):
            raise ValueError(f"got {len(self.captions)} captions for {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def subset(self, indices: Tensor | Sequence[int]) -> ImageSet:
        """The images at `indices` (integers, or a boolean mask of length N), in that order; same classes."""
        chosen = torch.as_tensor(indices, device=self.labels.device)
        if chosen.dtype == torch.bool:
            chosen = chosen.nonzero().squeeze(1)
        chosen = chosen.long()
        captions = None if self.captions is None else tuple(self.captions[i] for i in chosen.tolist())
        return replace(self, images=self.images[chosen], labels=self.labels[chosen], captions=captions)
