"""From one batch of images to several views of it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Augment = Callable[[Tensor], Tensor]


class MultiView:
    """Several augmentations of the same images, one view from each, in order.

    Two different ones make the asymmetric pairs of BYOL and MoCo v3; two large and several small ones make
    the multi-crop of SwAV and DINO, whose views differ in size.
    """

    def __init__(self, *augments: Augment) -> None:
        if not augments:
            raise ValueError("expected at least one augmentation")
        self.augments = augments

    def __len__(self) -> int:
        return len(self.augments)

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) -> a list of views, each (B, 3, size, size) with its own size."""
        return [augment(images) for augment in self.augments]

    def __repr__(self) -> str:
        return "\n".join(f"view {i}: {augment!r}" for i, augment in enumerate(self.augments, start=1))


def two_views(images: Tensor, augment: Augment | MultiView) -> tuple[Tensor, Tensor]:
    """Two independent views, each (B, 3, size, size), of the same images (B, 3, H, W).

    Args:
        images: the batch.
        augment: one augmentation, drawn from twice, or a `MultiView` of exactly two.
    """
    if not isinstance(augment, MultiView):
        return augment(images), augment(images)
    if len(augment) != 2:
        raise ValueError(f"expected an augmentation that makes two views, got one that makes {len(augment)}")
    first, second = augment(images)
    return first, second
