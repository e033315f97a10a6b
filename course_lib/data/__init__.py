"""Data: the procedural Shapes world, and real photographs behind the same interface.

`load("shapes")` needs no download; the real sets import torchvision only when they are asked for.
"""

from __future__ import annotations

from pathlib import Path

from course_lib.data.imageset import ImageSet
from course_lib.data.shapes import Shapes

__all__ = ["ImageSet", "Shapes", "load"]

SHAPES_COUNT = {"train": 8000, "test": 2000}


def load(
    dataset: str = "shapes",
    split: str = "train",
    *,
    size: int = 32,
    count: int | None = None,
    seed: int = 0,
    root: str | Path = "data",
) -> ImageSet:
    """A data set as one tensor of images, whatever its source.

    Args:
        dataset: "shapes" (rendered here, no download), "cifar10", "stl10", "pets", "imagenette", or the path
            of a folder with train/<class>/*.jpg and test/<class>/*.jpg.
        split: "train" or "test"; the two share no image.
        size: height and width in pixels; photographs are resized and centre-cropped to it.
        count: how many images. Shapes renders that many (8,000 train or 2,000 test unless told); a real set
            gives a random subset drawn with `seed`, or all of it.
        seed: which Shapes world, or which random subset.
        root: where downloads and the cache of decoded images go.

    Raises:
        ValueError: unknown data set or split, a size below 1, a count below 1 or above what the set holds.
        course_lib.data.download.DownloadError: the set is not on disk and cannot be fetched; says what to do.
    """
    if split not in SHAPES_COUNT:
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if dataset == "shapes":
        return Shapes(seed=seed, size=size).image_set(split, SHAPES_COUNT[split] if count is None else count)
    from course_lib.data.real import load_real

    return load_real(dataset, split, size=size, count=count, seed=seed, root=Path(root))
