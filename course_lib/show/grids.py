"""Grids of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.show.style import GREY, WIDTH, panels, styled


def as_float(images: Tensor) -> Tensor:
    """Images (N, 3, H, W), uint8 or float in [0, 1], as float (N, H, W, 3) on the CPU."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"expected images of shape (N, 3, H, W), got {tuple(images.shape)}")
    images = images.detach().cpu()
    images = images.float() / 255 if images.dtype == torch.uint8 else images.float().clamp(0, 1)
    return images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)


@styled
def images(
    images: Tensor,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    row_titles: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """A grid of images, each with an optional title above it.

    Args:
        images: (N, 3, H, W), uint8 or float in [0, 1].
        titles: one short text for each image.
        columns: images in a row.
        row_titles: one text for each row, written on its left.
        title: above the whole grid.

    Raises:
        ValueError: not images, or as many titles as images is not what was given.
    """
    pixels = as_float(images)
    count, height, width, _ = pixels.shape
    if titles is not None and len(titles) != count:
        raise ValueError(f"expected {count} titles, one for each image, got {len(titles)}")
    columns = min(columns, count)
    rows = -(-count // columns)
    gap = max(1, width // 12)
    head = height // 4 if titles is not None else 0  # room for the text above an image

    # One canvas, drawn once: a hundred axes would take seconds.
    canvas = torch.ones(rows * (height + gap + head), columns * (width + gap), 3)
    corners = [
        (row * (height + gap + head) + head, col * (width + gap))
        for row in range(rows)
        for col in range(columns)
    ]
    for image, (top, left) in zip(pixels, corners, strict=False):
        canvas[top : top + height, left : left + width] = image

    scale = min(1.15, WIDTH / columns) / (width + gap)
    size = (max(canvas.shape[1] * scale, 3.0), canvas.shape[0] * scale + (0.3 if title else 0.0))
    figure, (axes,) = panels(1, height=size[1], width=size[0])
    axes.imshow(canvas.numpy(), interpolation="nearest")
    axes.set_axis_off()
    for text, (top, left) in zip(titles or (), corners, strict=False):
        axes.text(left + width / 2, top - 0.06 * height, text, ha="center", va="bottom", fontsize=8.5)
    for row, text in enumerate(row_titles or ()):
        middle = row * (height + gap + head) + head + height / 2
        axes.text(-gap, middle, text, ha="right", va="center", fontsize=10, color=GREY)
    if title:
        axes.set_title(title)
    return figure


def pairs(
    view1: Tensor, view2: Tensor, originals: Tensor | None = None, *, title: str | None = None
) -> Figure:
    """Positive pairs under each other, with the images they were made from above them if given.

    Args:
        view1, view2: (N, 3, H, W); column i holds the two views of image i.
        originals: (N, 3, H, W), any size.
    """
    if view1.shape != view2.shape:
        raise ValueError(
            f"expected two views of one shape, got {tuple(view1.shape)} and {tuple(view2.shape)}"
        )
    rows, names = [view1, view2], ["view 1", "view 2"]
    if originals is not None:
        size = view1.shape[-2:]
        resized = torch.nn.functional.interpolate(
            as_float(originals).permute(0, 3, 1, 2), size=size, mode="nearest"
        )
        rows, names = [resized, *rows], ["image", *names]
    stacked = torch.cat([as_float(row).permute(0, 3, 1, 2) for row in rows])
    return images(stacked, columns=len(view1), row_titles=names, title=title)
