"""The same pipelines as `papers`, in torchvision's own words: one image at a time, slow, and the reference.

Each function returns a transform of one image (3, H, W), uint8, or a list of them where a paper makes several
views. `PerImage` runs one over a batch. The numbers are written out a second time on purpose: the tests
compare what the two files do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

BILINEAR, BICUBIC = InterpolationMode.BILINEAR, InterpolationMode.BICUBIC
SIGMA = (0.1, 2.0)
Transform = Callable[[Tensor], Tensor]


class PerImage:
    """A transform of one image, applied to each image of a batch with a draw of its own.

    Args:
        transform: image (3, H, W) -> view (3, size, size).
    """

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> views (B, 3, size, size)."""
        return torch.stack([self.transform(image) for image in images])


def _to_float() -> v2.Transform:
    return v2.ToDtype(torch.float32, scale=True)


def _crop(size: int, low: float, high: float = 1.0, mode: InterpolationMode = BILINEAR) -> v2.Transform:
    return v2.RandomResizedCrop(size, scale=(low, high), interpolation=mode, antialias=True)


def _sometimes(transform: v2.Transform, p: float) -> v2.Transform:
    return v2.RandomApply([transform], p=p)


def simclr(
    size: int = 224, *, strength: float = 1.0, min_scale: float = 0.08, blur: bool = True
) -> Transform:
    s = strength
    steps = [
        _to_float(),
        _crop(size, min_scale),
        v2.RandomHorizontalFlip(0.5),
        _sometimes(v2.ColorJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s), 0.8),
        v2.RandomGrayscale(0.2),
    ]
    kernel = size // 10 if size // 10 % 2 else size // 10 + 1
    return v2.Compose([*steps, _sometimes(v2.GaussianBlur(kernel, SIGMA), 0.5)] if blur else steps)


def moco_v1(size: int = 224) -> Transform:
    return v2.Compose(
        [
            _to_float(),
            _crop(size, 0.2),
            v2.RandomGrayscale(0.2),
            v2.ColorJitter(0.4, 0.4, 0.4, 0.4),
            v2.RandomHorizontalFlip(0.5),
        ]
    )


def moco_v2(size: int = 224) -> Transform:
    return v2.Compose(
        [
            _to_float(),
            _crop(size, 0.2),
            _sometimes(v2.ColorJitter(0.4, 0.4, 0.4, 0.1), 0.8),
            v2.RandomGrayscale(0.2),
            _sometimes(v2.GaussianBlur(23, SIGMA), 0.5),
            v2.RandomHorizontalFlip(0.5),
        ]
    )


def moco_v3(size: int = 224) -> list[Transform]:
    def view(p_blur: float, p_solarize: float) -> Transform:
        return v2.Compose(
            [
                _to_float(),
                _crop(size, 0.08),
                _sometimes(v2.ColorJitter(0.4, 0.4, 0.2, 0.1), 0.8),
                v2.RandomGrayscale(0.2),
                _sometimes(v2.GaussianBlur(23, SIGMA), p_blur),
                v2.RandomSolarize(128 / 255, p_solarize),
                v2.RandomHorizontalFlip(0.5),
            ]
        )

    return [view(1.0, 0.0), view(0.1, 0.2)]


def _flip_jitter_grey_blur_solarize(p_blur: float, p_solarize: float, kernel: int = 23) -> list[v2.Transform]:
    """What BYOL does after the crop; DINO took it over."""
    return [
        v2.RandomHorizontalFlip(0.5),
        _sometimes(v2.ColorJitter(0.4, 0.4, 0.2, 0.1), 0.8),
        v2.RandomGrayscale(0.2),
        _sometimes(v2.GaussianBlur(kernel, SIGMA), p_blur),
        v2.RandomSolarize(128 / 255, p_solarize),
    ]


def byol(size: int = 224) -> list[Transform]:
    kernel = size // 10 if size // 10 % 2 else size // 10 + 1
    return [
        v2.Compose(
            [_to_float(), _crop(size, 0.08, mode=BICUBIC), *_flip_jitter_grey_blur_solarize(*ps, kernel)]
        )
        for ps in ((1.0, 0.0), (0.1, 0.2))
    ]


def swav(size: int = 224, local_size: int = 96, *, num_local: int = 6) -> list[Transform]:
    def view(side: int, low: float, high: float) -> Transform:
        return v2.Compose(
            [
                _to_float(),
                _crop(side, low, high),
                v2.RandomHorizontalFlip(0.5),
                _sometimes(v2.ColorJitter(0.8, 0.8, 0.8, 0.2), 0.8),
                v2.RandomGrayscale(0.2),
                _sometimes(v2.GaussianBlur(23, SIGMA), 0.5),
            ]
        )

    return [view(size, 0.14, 1.0)] * 2 + [view(local_size, 0.05, 0.14)] * num_local


def dino(size: int = 224, local_size: int = 96, *, num_local: int = 8) -> list[Transform]:
    def view(side: int, low: float, high: float, p_blur: float, p_solarize: float) -> Transform:
        return v2.Compose(
            [
                _to_float(),
                _crop(side, low, high, BICUBIC),
                *_flip_jitter_grey_blur_solarize(p_blur, p_solarize),
            ]
        )

    local = view(local_size, 0.05, 0.4, 0.5, 0.0)
    return [view(size, 0.4, 1.0, 1.0, 0.0), view(size, 0.4, 1.0, 0.1, 0.2)] + [local] * num_local


def mae(size: int = 224) -> Transform:
    return v2.Compose([_to_float(), _crop(size, 0.2, mode=BICUBIC), v2.RandomHorizontalFlip(0.5)])


def clip(size: int = 224) -> Transform:
    return v2.Compose(
        [_to_float(), v2.Resize(size, interpolation=BICUBIC, antialias=True), v2.RandomCrop(size)]
    )


def supervised(size: int = 224, *, min_scale: float = 0.08) -> Transform:
    return v2.Compose([_to_float(), _crop(size, min_scale), v2.RandomHorizontalFlip(0.5)])
