"""Pictures of augmentations: galleries, and a widget to turn each knob and watch the two views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.augment.blur import GaussianBlur
from course_lib.augment.crop import RandomFlip, RandomResizedCrop, Resize
from course_lib.augment.jitter import ColourJitter, Greyscale, Solarize
from course_lib.augment.pipeline import Pipeline, RandomApply
from course_lib.show.grids import as_float, images
from course_lib.show.widgets import interact


def gallery(
    image: Tensor,
    augments: Mapping[str, Callable[[Tensor], Tensor]],
    *,
    count: int = 7,
    size: int | None = None,
    seed: int = 0,
    title: str | None = None,
) -> Figure:
    """One image under several augmentations: a row for each, the image itself and `count` draws.

    Args:
        image: (3, H, W), uint8 or float in [0, 1].
        augments: name -> augmentation of a batch (B, 3, H, W).
        count: draws in a row.
        size: side at which all are shown; by default the image's height.
        seed: of the draws; the caller's random state is left as it was.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"expected one image (3, H, W), got {tuple(image.shape)}")
    if not augments:
        raise ValueError("expected at least one augmentation")
    show_at = Resize(size or image.shape[1])
    original = show_at(image[None])
    rows = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for augment in augments.values():
            rows += [original, show_at(augment(image.expand(count, -1, -1, -1)))]
    return images(torch.cat(rows), columns=count + 1, row_titles=list(augments), title=title)


def single_steps(size: int) -> dict[str, Pipeline]:
    """Each of SimCLR's and BYOL's steps alone, always applied, at the strength of the papers."""
    kernel = 2 * max(1, size // 20) + 1
    steps: dict[str, Any] = {
        "crop": RandomResizedCrop(size),
        "flip": RandomFlip(),
        "brightness": ColourJitter(0.8, 0, 0, 0),
        "contrast": ColourJitter(0, 0.8, 0, 0),
        "saturation": ColourJitter(0, 0, 0.8, 0),
        "hue": ColourJitter(0, 0, 0, 0.2),
        "grey": Greyscale(),
        "blur": GaussianBlur(kernel),
        "solarise": Solarize(),
    }
    return {name: Pipeline(Resize(size), step) for name, step in steps.items()}


def play_with_views(image: Tensor, *, size: int | None = None, pairs: int = 4, seed: int = 0) -> Any:
    """A widget: turn the knobs of SimCLR's augmentation and see pairs of views of one image.

    The seed stays the same while a slider moves, so what changes is the knob and not the luck.

    Args:
        image: (3, H, W), uint8 or float in [0, 1].
        size: side of the views; by default the image's height.
        pairs: of views shown side by side, first view above second.
        seed: of the draws.

    Returns:
        A widget; where there are none, a Figure of pairs for several strengths of the jitter.
    """
    side = size or image.shape[1]
    kernel = 2 * max(1, side // 20) + 1

    def draw(
        axes: Axes, strength: float, smallest_crop: float, grey: float, blur: float, solarise: float
    ) -> None:
        s = strength
        pipeline = Pipeline(
            RandomResizedCrop(side, scale=(smallest_crop, 1.0)),
            RandomFlip(),
            ColourJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s),
            RandomApply(Greyscale(), grey),
            RandomApply(GaussianBlur(kernel), blur),
            RandomApply(Solarize(), solarise),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            views = pipeline(image.expand(2 * pairs, -1, -1, -1))
        axes.imshow(_tile(views, pairs).numpy(), interpolation="nearest")
        axes.set_axis_off()

    return interact(
        draw,
        height=2.4,
        strength=(0.0, 0.25, 0.5, 0.75, 1.0),
        smallest_crop=(0.05, 0.08, 0.2, 0.5, 1.0),
        grey=(0.0, 0.2, 0.5),
        blur=(0.0, 0.5, 1.0),
        solarise=(0.0, 0.2, 1.0),
    )


def _tile(views: Tensor, columns: int) -> Tensor:
    """Views (2 * columns, 3, S, S) -> one picture (2 S, columns S, 3), the first half above the second."""
    pixels = as_float(views)
    return torch.cat([torch.cat(list(row), dim=1) for row in pixels.split(columns)], dim=0)
