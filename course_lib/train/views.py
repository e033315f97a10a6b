"""Shuffled batches of freshly augmented views."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from course_lib.data import ImageSet


class Views:
    """Shuffled batches of freshly augmented views; every pass is one epoch, an incomplete batch is dropped.

    The order of an epoch comes from one number drawn from torch's global generator when the pass begins. With
    several processes all follow the order of the first one and each takes its own part of every batch, so a
    run on two devices sees the batches of a run on one.

    Args:
        image_set: images and labels.
        augment: images (B, 3, H, W) -> one view of each, or several views as a tuple or list.
        batch_size: images a batch, B, over all processes together.
        labels: False yields the views, (view1, view2) or all that `augment` gives; True (view, labels).
        indices: True yields (view, indices), each image's place in the set, for a bank with one row an image.
        device: where the batches are augmented.

    Raises:
        ValueError: a batch size below 1 or above the set's, or both labels and indices.
    """

    def __init__(
        self,
        image_set: ImageSet,
        augment: Callable[[Tensor], Any],
        batch_size: int = 256,
        labels: bool = False,
        *,
        indices: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 1 <= batch_size <= len(image_set):
            raise ValueError(f"batch_size must be in [1, {len(image_set)}] for this set, got {batch_size}")
        if labels and indices:
            raise ValueError("give labels=True or indices=True, not both")
        self.image_set, self.augment, self.batch_size = image_set, augment, batch_size
        self.labels, self.indices, self.device = labels, indices, device
        self._order, self._position, self._resumed = 0, 0, False

    def __len__(self) -> int:
        return len(self.image_set) // self.batch_size

    def __iter__(self) -> Iterator[Any]:
        if self._resumed:
            self._resumed = False
        else:
            self._order, self._position = shared_seed(), 0
        generator = torch.Generator().manual_seed(self._order)
        order = torch.randperm(len(self.image_set), generator=generator)
        for chosen in order.split(self.batch_size)[self._position : len(self)]:
            self._position += 1
            yield self._batch(own_part(chosen))

    def _batch(self, chosen: Tensor) -> Any:
        images = self.image_set.images[chosen].to(self.device)  # (B, 3, H, W)
        first = self.augment(images)
        if self.labels:
            return first, self.image_set.labels[chosen].to(self.device)
        if self.indices:
            return first, chosen.to(self.device)
        return (first, self.augment(images)) if isinstance(first, Tensor) else tuple(first)

    def state_dict(self) -> dict[str, int]:
        """Where in which order the present epoch stands."""
        return {"order": self._order, "position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass goes on after that batch of that epoch, or begins a new one if it was the last."""
        self._order, self._position = state["order"], state["position"]
        self._resumed = self._position < len(self)


def shared_seed() -> int:
    """A number from torch's global generator; with several processes, the first one's for all."""
    seed: list[Any] = [None]
    rank, processes = rank_and_processes()
    if rank == 0:
        seed = [int(torch.randint(2**62, ()))]
    if processes > 1:
        dist.broadcast_object_list(seed, src=0)
    return int(seed[0])


def own_part(chosen: Tensor) -> Tensor:
    """This process's share of a batch."""
    rank, processes = rank_and_processes()
    if len(chosen) % processes:
        raise ValueError(f"a batch of {len(chosen)} images cannot be shared equally by {processes} processes")
    return chosen.chunk(processes)[rank]


def rank_and_processes() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
