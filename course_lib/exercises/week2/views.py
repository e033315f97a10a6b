"""Views with given draws: cut the box out of every image, resize it, mirror where the coin says so."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.base import Case, Exercise, Misconception
from course_lib.exercises.draws import generator, in_both_precisions


def cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(b: int, h: int, w: int, size: int, largest: int, about: str = "", question: str = "") -> None:
        """Boxes up to `largest` pixels a side, somewhere in images (B, 3, H, W)."""
        width = torch.randint(2, min(largest, w) + 1, (b,), generator=rng)
        height = torch.randint(2, min(largest, h) + 1, (b,), generator=rng)
        left = (torch.rand(b, generator=rng) * (w - width + 1)).long()
        top = (torch.rand(b, generator=rng) * (h - height + 1)).long()
        flips = torch.rand(b, generator=rng) < 0.5
        boxes = torch.stack([left, top, width, height], dim=1)
        options: dict[str, float | Tensor] = {"boxes": boxes, "flips": flips, "size": size}
        found.append(Case({"images": torch.rand(b, 3, h, w, generator=rng)}, options, about, question))

    def whole(h: int, w: int, size: int, about: str) -> None:
        options = {"boxes": torch.tensor([[0, 0, w, h]] * 2), "flips": torch.tensor([False, True])}
        images = torch.rand(2, 3, h, w, generator=rng)
        found.append(Case({"images": images}, {**options, "size": size}, about))

    for _ in range(rounds):
        add(4, 12, 12, 8, 10)
        add(6, 9, 14, 6, 8)
        add(5, 16, 10, 10, 9)
        add(7, 10, 10, 5, 7)
        whole(8, 8, 8, "boxes that are the whole image")
        add(3, 8, 11, 12, 4, "boxes smaller than the result")
        add(1, 10, 9, 6, 8, "a batch of one image")
    return in_both_precisions(found)


Resize = Callable[[Tensor, int], Tensor]


def bilinear(part: Tensor, size: int) -> Tensor:
    return F.interpolate(part[None], (size, size), mode="bilinear", align_corners=False)[0]


def corners_aligned(part: Tensor, size: int) -> Tensor:
    return F.interpolate(part[None], (size, size), mode="bilinear", align_corners=True)[0]


def antialiased(part: Tensor, size: int) -> Tensor:
    return F.interpolate(part[None], (size, size), mode="bilinear", antialias=True)[0]


def nearest(part: Tensor, size: int) -> Tensor:
    return F.interpolate(part[None], (size, size))[0]


def crops(
    *,
    resize: Resize = bilinear,
    box: Callable[[list[int]], list[int]] = list,
    flip_along: int = 2,
    flipped: Callable[[bool], bool] = bool,
    flip_first: bool = False,
    first_draw_for_all: bool = False,
    first_coin_for_all: bool = False,
) -> Callable[..., Tensor]:
    """The views with one thing done differently."""

    def made(images: Tensor, *, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
        views = []
        for i, image in enumerate(images):
            draw = 0 if first_draw_for_all else i
            left, top, width, height = box(boxes[draw].tolist())
            flip = flipped(bool(flips[0 if first_coin_for_all else draw]))
            if flip and flip_first:
                image = image.flip(flip_along)
            part = image[:, top : top + height, left : left + width]
            view = resize(part, size) if part.numel() else images.new_zeros(3, size, size)
            views.append(view.flip(flip_along) if flip and not flip_first else view)
        return torch.stack(views)

    return made


CROP_AND_FLIP = Exercise(
    "crop_and_flip",
    crops(),
    cases,
    (
        Misconception(
            "left and top are swapped",
            "A box is (left, top, width, height), and an image is indexed image[:, rows, columns].",
            crops(box=lambda b: [b[1], b[0], b[2], b[3]]),
        ),
        Misconception(
            "rows and columns are swapped",
            "An image is (3, H, W): rows, top to top + height, come before columns.",
            crops(box=lambda b: [b[1], b[0], b[3], b[2]]),
        ),
        Misconception(
            "width and height are swapped",
            "A box is (left, top, width, height): columns left to left + width, rows top to top + height.",
            crops(box=lambda b: [b[0], b[1], b[3], b[2]]),
        ),
        Misconception(
            "width and height are taken for the right and lower edge",
            "The box ends at left + width and at top + height.",
            crops(box=lambda b: [b[0], b[1], b[2] - b[0], b[3] - b[1]]),
        ),
        Misconception(
            "the first image's draws are used for the whole batch",
            "Every image has a box and a coin of its own: use row i of `boxes` and of `flips` for image i.",
            crops(first_draw_for_all=True),
        ),
        Misconception(
            "the first image's coin decides for the whole batch",
            "Every image has a coin of its own: flips[i] for image i.",
            crops(first_coin_for_all=True),
        ),
        Misconception(
            "images are mirrored top to bottom",
            "Mirror left to right: columns are the last dimension.",
            crops(flip_along=1),
        ),
        Misconception(
            "the colours are reversed instead of the columns",
            "Of (B, 3, H, W) or (3, H, W) the columns are the last dimension.",
            crops(flip_along=0),
        ),
        Misconception(
            "no image is mirrored",
            "Where flips is True the view is mirrored left to right.",
            crops(flipped=lambda flip: False),
        ),
        Misconception(
            "every image is mirrored",
            "Only where flips is True: look at the coin of that image.",
            crops(flipped=lambda flip: True),
        ),
        Misconception(
            "the coin is read the wrong way round",
            "flips is True for the images that are mirrored.",
            crops(flipped=lambda flip: not flip),
        ),
        Misconception(
            "the image is mirrored before it is cut",
            "The box is meant for the image as it is: cut first, mirror the view.",
            crops(flip_first=True),
        ),
        Misconception(
            "the nearest pixel is taken",
            'F.interpolate does so unless it is told mode="bilinear".',
            crops(resize=nearest),
        ),
        Misconception(
            "the result is antialiased",
            "Better for the eye, but not asked here: leave antialias at False.",
            crops(resize=antialiased),
        ),
        Misconception(
            "the corners are aligned",
            "Leave align_corners at False: pixels are little squares, and it is their edges that meet.",
            crops(resize=corners_aligned),
        ),
    ),
    differentiable=False,
    result="one view of every image, (B, 3, size, size)",
)
