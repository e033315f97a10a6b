"""Draws the pictures of the README: `python docs/pictures.py`, from the repository's root."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from course_lib.data import Shapes

HERE = Path(__file__).parent
ROWS = {  # one row each: the world's settings
    "clean": {},
    "several objects": {"objects": 3},
    "textured": {"domain": "textured"},
    "sketch": {"domain": "sketch"},
    "night": {"domain": "night"},
}


def shapes(columns: int = 10, size: int = 96) -> None:
    """The Shapes world: a row for each of a few settings, the same images in every domain."""
    figure, axes = plt.subplots(len(ROWS), figsize=(columns, len(ROWS) * 1.02), layout="constrained")
    for axis, (name, settings) in zip(axes, ROWS.items(), strict=True):
        images = Shapes(size=size, **settings).images(range(columns))  # (columns, 3, size, size)
        gap = torch.full((columns, 3, size, 4), 255, dtype=torch.uint8)
        # (columns, 3, size, size + 4) -> (size, columns * (size + 4), 3)
        strip = torch.cat([images, gap], dim=3).permute(2, 0, 3, 1).flatten(1, 2)
        axis.imshow(strip)
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    figure.savefig(HERE / "shapes.png", dpi=100)


if __name__ == "__main__":
    shapes()
