"""One pipeline a paper, with that paper's numbers in that paper's order, for whole batches.

`reference` holds the same pipelines in torchvision's words, one image at a time. Views lie in [0, 1];
`normalise` has the channel statistics with which the papers go on. Pass `blur=False` for images of 32 pixels,
as SimCLR does on CIFAR-10: the papers' sigma is in pixels of a view of 224.
"""

from __future__ import annotations

from course_lib.augment.blur import GaussianBlur
from course_lib.augment.crop import RandomFlip, RandomResizedCrop, RandomSquareCrop
from course_lib.augment.jitter import ColourJitter, Greyscale, Solarize
from course_lib.augment.pipeline import Pipeline, RandomApply, Step
from course_lib.augment.views import MultiView


def tenth(size: int) -> int:
    """Blur kernel of SimCLR and BYOL: a tenth of the view's side, made odd; 23 at 224."""
    return 2 * (size // 10 // 2) + 1


def unbounded(size: int) -> int:
    """Blur kernel where a paper blurs with PIL, which cuts nothing off: 23 holds five sigmas of 2 pixels."""
    return min(23, 2 * size - 1)


def _blur(kernel_size: int, *, p: float, wanted: bool) -> list[Step]:
    return [RandomApply(GaussianBlur(kernel_size, sigma=(0.1, 2.0)), p=p)] if wanted and p > 0 else []


def _solarize(p: float) -> list[Step]:
    return [RandomApply(Solarize(), p=p)] if p > 0 else []


def simclr(size: int = 224, *, strength: float = 1.0, min_scale: float = 0.08, blur: bool = True) -> Pipeline:
    """SimCLR (Chen et al. 2020, appendix A); strength 1 on ImageNet, 0.5 and no blur on CIFAR-10."""
    s = strength
    return Pipeline(
        RandomResizedCrop(size, scale=(min_scale, 1.0)),
        RandomFlip(p=0.5),
        RandomApply(ColourJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s), p=0.8),
        RandomApply(Greyscale(), p=0.2),
        *_blur(tenth(size), p=0.5, wanted=blur),
    )


def moco_v1(size: int = 224) -> Pipeline:
    """MoCo v1 (He et al. 2020, section 3.3): grey comes before the jitter, and every image is jittered."""
    return Pipeline(
        RandomResizedCrop(size, scale=(0.2, 1.0)),
        RandomApply(Greyscale(), p=0.2),
        ColourJitter(0.4, 0.4, 0.4, 0.4),
        RandomFlip(p=0.5),
    )


def moco_v2(size: int = 224, *, blur: bool = True) -> Pipeline:
    """MoCo v2 (Chen et al. 2020b): SimCLR's blur, but a weaker jitter, which served it better."""
    return Pipeline(
        RandomResizedCrop(size, scale=(0.2, 1.0)),
        RandomApply(ColourJitter(0.4, 0.4, 0.4, 0.1), p=0.8),
        RandomApply(Greyscale(), p=0.2),
        *_blur(unbounded(size), p=0.5, wanted=blur),
        RandomFlip(p=0.5),
    )


def moco_v3(size: int = 224, *, blur: bool = True) -> MultiView:
    """MoCo v3 (Chen et al. 2021): BYOL's asymmetric pair, cropped bilinearly and flipped last."""

    def view(p_blur: float, p_solarize: float) -> Pipeline:
        return Pipeline(
            RandomResizedCrop(size, scale=(0.08, 1.0)),
            RandomApply(ColourJitter(0.4, 0.4, 0.2, 0.1), p=0.8),
            RandomApply(Greyscale(), p=0.2),
            *_blur(unbounded(size), p=p_blur, wanted=blur),
            *_solarize(p_solarize),
            RandomFlip(p=0.5),
        )

    return MultiView(view(1.0, 0.0), view(0.1, 0.2))


def byol(size: int = 224, *, blur: bool = True) -> MultiView:
    """BYOL (Grill et al. 2020, table 6): the first view always blurred, the second sometimes solarised."""

    def view(p_blur: float, p_solarize: float) -> Pipeline:
        return Pipeline(
            RandomResizedCrop(size, scale=(0.08, 1.0), interpolation="bicubic"),
            RandomFlip(p=0.5),
            RandomApply(ColourJitter(0.4, 0.4, 0.2, 0.1), p=0.8),
            RandomApply(Greyscale(), p=0.2),
            *_blur(tenth(size), p=p_blur, wanted=blur),
            *_solarize(p_solarize),
        )

    return MultiView(view(1.0, 0.0), view(0.1, 0.2))


def swav(size: int = 224, local_size: int = 96, *, num_local: int = 6, blur: bool = True) -> MultiView:
    """SwAV (Caron et al. 2020, multi-crop): two crops of at least 0.14 of the image, six smaller."""

    def view(side: int, scale: tuple[float, float]) -> Pipeline:
        return Pipeline(
            RandomResizedCrop(side, scale=scale),
            RandomFlip(p=0.5),
            RandomApply(ColourJitter(0.8, 0.8, 0.8, 0.2), p=0.8),
            RandomApply(Greyscale(), p=0.2),
            *_blur(unbounded(side), p=0.5, wanted=blur),
        )

    return MultiView(*[view(size, (0.14, 1.0))] * 2, *[view(local_size, (0.05, 0.14))] * num_local)


def dino(size: int = 224, local_size: int = 96, *, num_local: int = 8, blur: bool = True) -> MultiView:
    """DINO (Caron et al. 2021): two global crops with BYOL's asymmetry, eight local ones."""

    def view(side: int, scale: tuple[float, float], p_blur: float, p_solarize: float = 0.0) -> Pipeline:
        return Pipeline(
            RandomResizedCrop(side, scale=scale, interpolation="bicubic"),
            RandomFlip(p=0.5),
            RandomApply(ColourJitter(0.4, 0.4, 0.2, 0.1), p=0.8),
            RandomApply(Greyscale(), p=0.2),
            *_blur(unbounded(side), p=p_blur, wanted=blur),
            *_solarize(p_solarize),
        )

    large, small = (0.4, 1.0), (0.05, 0.4)
    local = view(local_size, small, 0.5)
    return MultiView(view(size, large, 1.0), view(size, large, 0.1, 0.2), *[local] * num_local)


def mae(size: int = 224) -> Pipeline:
    """MAE (He et al. 2022, table 8): crop and flip; the mask is what makes the task hard."""
    return Pipeline(
        RandomResizedCrop(size, scale=(0.2, 1.0), interpolation="bicubic"),
        RandomFlip(p=0.5),
    )


def clip(size: int = 224) -> Pipeline:
    """CLIP (Radford et al. 2021, section 2.3): a random square of the resized image, not even flipped."""
    return Pipeline(RandomSquareCrop(size, interpolation="bicubic"))


def supervised(size: int = 224, *, min_scale: float = 0.08) -> Pipeline:
    """The usual supervised baseline: Inception's crop (Szegedy et al. 2015) and a flip."""
    return Pipeline(
        RandomResizedCrop(size, scale=(min_scale, 1.0)),
        RandomFlip(p=0.5),
    )
