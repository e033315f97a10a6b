"""Steps one after another on a whole batch, every image with its own draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.augment.crop import RandomResizedCrop, RandomSquareCrop, Resize

# A step may write over the batch it is given: on a CPU, fetching new memory costs more than the arithmetic.
Step = Callable[[Tensor], Tensor]
CropOrResize = RandomResizedCrop | RandomSquareCrop | Resize

# With more pixels than this at once a CPU spends its time on fetching them from main memory.
_PIXELS_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class RandomApply:
    """Apply a step to each image with probability p, writing over the batch; the others stay as they are."""

    step: Step
    p: float

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"expected a probability in [0, 1], got {self.p}")

    def __call__(self, images: Tensor) -> Tensor:
        chosen = torch.rand(len(images), device=images.device) < self.p
        rows = chosen.nonzero().squeeze(1)
        return images.index_copy_(0, rows, self.step(images.index_select(0, rows))) if len(rows) else images


class Pipeline:
    """A list of steps: images (B, 3, H, W), uint8 or float in [0, 1] -> views (B, 3, size, size), float32.

    Views lie in [0, 1]; papers that standardise channels do so afterwards, see `normalise`. Draws come from
    torch's global generator, one for each image and step. On a CPU a large batch goes through in parts,
    which changes nothing but the time.

    Args:
        first: crops or resizes, which makes a batch of its own and leaves the images as they are.
        others: steps that map a batch to a batch. `print` shows them all.
    """

    def __init__(self, first: CropOrResize, *others: Step) -> None:
        if not isinstance(first, CropOrResize):
            raise TypeError(f"expected a first step that crops or resizes, got {first!r}")
        self.steps: tuple[Step, ...] = (first, *others)

    def __call__(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or len(images) == 0:
            raise ValueError(f"expected images (B, 3, H, W) with B >= 1, got {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise TypeError(f"expected uint8 or floating-point images, got {images.dtype}")
        at_once = max(1, _PIXELS_AT_ONCE // (images.shape[2] * images.shape[3]))
        if images.device.type != "cpu" or len(images) <= at_once:
            return self._run(images)
        return torch.cat([self._run(part) for part in images.split(at_once)])

    def _run(self, images: Tensor) -> Tensor:
        for step in self.steps:
            images = step(images)
        return images

    def __repr__(self) -> str:
        lines = ",\n".join(f"    {step!r}" for step in self.steps)
        return f"{type(self).__name__}(\n{lines},\n)"
