"""SimCLR's augmentation: a batch on the device beside torchvision v2, one image at a time."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.gpu.common import DEVICE, milliseconds, options, table
from course_lib.augment import papers, reference


def main() -> None:
    smallest = options().smallest
    torch.set_num_threads(1)  # as in a worker of a data loader; images one by one gain nothing by more
    rows = []
    for size in (32,) if smallest else (32, 224):
        batch, few = (16, 4) if smallest else (1024 if size == 32 else 256, 64)
        images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
        on_device = images.to(DEVICE)
        pipeline, transform = papers.simclr(size), reference.simclr(size)
        rows += [
            row(f"batch of {batch} at {size} px, on the device", lambda p=pipeline, x=on_device: p(x), batch),
            row(
                f"the same, bytes on the CPU at first, at {size} px",
                lambda p=pipeline, x=images: p(x.to(DEVICE)),
                batch,
            ),
            row(
                f"torchvision v2, {few} images one by one on the CPU, one thread",
                each(transform, images[:few]),
                few,
            ),
            row(
                f"torchvision v2, {few} images one by one on the device",
                each(transform, on_device[:few]),
                few,
            ),
        ]
    print(table(["one view, crop, flip, jitter, grey, blur", "images a second"], rows))


def each(transform: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], object]:
    return lambda: [transform(image) for image in images]


def row(name: str, run: Callable[[], object], images: int) -> list[str]:
    return [name, f"{1000 * images / statistics.median(milliseconds(run, 5)):,.0f}"]


if __name__ == "__main__":
    main()
