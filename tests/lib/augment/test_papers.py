"""Batched pipelines against torchvision's: the same distribution of views, and a draw for each image."""

import pytest
import torch

from course_lib.augment import MultiView, Pipeline, RandomApply, SimCLRAugment, papers, reference, two_views
from course_lib.augment.jitter import Greyscale
from course_lib.augment.reference import PerImage

SIZE, LOCAL = 24, 13  # large enough for the papers' blur of 23 taps
ONE_VIEW = ["simclr", "moco_v1", "moco_v2", "mae", "clip", "supervised"]
PAIRS = ["byol", "moco_v3"]


def statistics(views: torch.Tensor) -> torch.Tensor:
    """What tells views apart, a row an image: brightness, contrast, colours, grain, sides, extremes."""
    grey = views.mean(1)
    return torch.stack(
        [
            grey.mean((1, 2)),
            grey.std((1, 2)),
            (views.amax(1) - views.amin(1)).mean((1, 2)),
            views[:, 0].mean((1, 2)) - views[:, 2].mean((1, 2)),
            views[:, 1].mean((1, 2)) - views[:, 2].mean((1, 2)),
            (views[..., 1:] - views[..., :-1]).abs().mean((1, 2, 3)),
            grey[..., :8].mean((1, 2)) - grey[..., -8:].mean((1, 2)),
            grey[:, :8].mean((1, 2)) - grey[:, -8:].mean((1, 2)),
            (views == views[:, :1]).float().mean((1, 2, 3)),
            views.amin((1, 2, 3)),
            views.amax((1, 2, 3)),
        ],
        dim=1,
    )


def gap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Kolmogorov and Smirnov's distance of each column; values a rounding error apart count as equal."""
    a, b = (x.mul(2000).round() for x in (a, b))
    at = torch.cat([a, b]).T.contiguous().sort(1).values
    cdf_a, cdf_b = (
        torch.searchsorted(x.T.contiguous().sort(1).values, at, right=True) / len(x) for x in (a, b)
    )
    return (cdf_a - cdf_b).abs().amax(1)


def limit(n: int) -> float:
    """The distance that two samples of n from one distribution exceed once in about 8000 times."""
    return 2.2 * (2 / n) ** 0.5


def compare(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == torch.float32
    assert 0 <= ours.min() <= ours.max() <= 1
    assert gap(statistics(ours), statistics(theirs.clamp(0, 1))).max() < limit(len(ours))


@pytest.fixture(scope="module")
def photos(smooth) -> torch.Tensor:
    return (smooth(1, 40, 48, seed=3) * 255).to(torch.uint8).expand(900, -1, -1, -1)


@pytest.mark.parametrize("name", ONE_VIEW)
def test_one_view(name: str, photos: torch.Tensor) -> None:
    torch.manual_seed(0)
    ours, theirs = getattr(papers, name)(SIZE), getattr(reference, name)(SIZE)
    compare(ours(photos), PerImage(theirs)(photos))


@pytest.mark.parametrize("name", PAIRS)
def test_asymmetric_pairs(name: str, photos: torch.Tensor) -> None:
    torch.manual_seed(1)
    ours = getattr(papers, name)(SIZE)
    theirs = getattr(reference, name)(SIZE)
    views = ours(photos)
    for view, transform in zip(views, theirs, strict=True):
        compare(view, PerImage(transform)(photos))
    first, second = (statistics(view) for view in views)
    assert gap(first, second).max() > limit(len(photos))  # always blurred against hardly ever
    assert len(two_views(photos[:2], ours)) == 2


@pytest.mark.parametrize(("name", "count"), [("swav", 8), ("dino", 10)])
def test_multi_crop(name: str, count: int, photos: torch.Tensor) -> None:
    torch.manual_seed(2)
    views = getattr(papers, name)(SIZE, LOCAL)(photos)
    theirs = getattr(reference, name)(SIZE, LOCAL)
    assert isinstance(views, list)
    assert [view.shape[-1] for view in views] == [SIZE] * 2 + [LOCAL] * (count - 2)
    assert len(theirs) == count
    for which in (0, 1, 2):
        compare(views[which], PerImage(theirs[which])(photos))
    with pytest.raises(ValueError, match="two views"):
        two_views(photos, getattr(papers, name)(SIZE, LOCAL))


@pytest.mark.parametrize("name", ["simclr", "moco_v1", "moco_v2"])
def test_neighbours_in_the_batch_are_independent(name: str, photos: torch.Tensor) -> None:
    """900 copies of one image: no two views alike, and a view says nothing about the next one."""
    torch.manual_seed(3)
    views = getattr(papers, name)(SIZE)(photos)
    assert len(views.flatten(1).unique(dim=0)) == 900
    values = statistics(views)[:, :6]
    centred = (values - values.mean(0)) / values.std(0)
    for lag in (1, 2, 7, 64):
        correlation = centred[:-lag].T @ centred[lag:] / (900 - lag)
        assert correlation.abs().max() < 0.14  # four standard errors of 1 / 30


def test_views_of_one_image_are_independent(photos: torch.Tensor) -> None:
    torch.manual_seed(4)
    first, second = two_views(photos, papers.simclr(SIZE))
    a, b = (statistics(view)[:, :6] for view in (first, second))
    a, b = ((x - x.mean(0)) / x.std(0) for x in (a, b))
    assert (a.T @ b / 900).abs().max() < 0.14


def test_small_images_without_blur() -> None:
    images = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8)
    for name in ("simclr", "moco_v2"):
        assert getattr(papers, name)(8, blur=False)(images).shape == (6, 3, 8, 8)
    for name in (*PAIRS, "swav", "dino"):
        assert all(v.shape[:2] == (6, 3) for v in getattr(papers, name)(8, blur=False)(images))


@pytest.mark.parametrize(("size", "expected"), [(224, 23), (96, 9), (32, 3)])
def test_blur_kernel(size: int, expected: int) -> None:
    """A width, not a radius: lightly once took one for the other."""
    assert papers.tenth(size) == expected


def test_print_shows_the_papers_numbers() -> None:
    text = repr(papers.moco_v1())
    assert "brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4" in text
    assert text.index("Greyscale") < text.index("ColourJitter") < text.index("RandomFlip")
    assert "view 2" in repr(papers.byol())


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        papers.mae()(torch.rand(3, 8, 8))
    with pytest.raises(TypeError, match="floating-point"):
        papers.mae()(torch.zeros(1, 3, 8, 8, dtype=torch.int64))
    with pytest.raises(ValueError, match="at least one"):
        MultiView()
    with pytest.raises(TypeError, match="crops or resizes"):
        Pipeline(Greyscale())
    with pytest.raises(ValueError, match="probability"):
        RandomApply(Greyscale(), p=1.5)


@pytest.mark.parametrize("side", [SIZE, 80])  # by matrices, and one by one
def test_the_images_given_stay_as_they_are(side: int) -> None:
    images = torch.rand(4, 3, side, side)
    before = images.clone()
    papers.dino(side, side)(images)
    papers.clip(side)(images)
    SimCLRAugment(side, crop=False)(images)
    assert torch.equal(images, before)


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*ONE_VIEW, *PAIRS, "swav", "dino"])
def test_on_gpu(name: str, photos: torch.Tensor) -> None:
    torch.manual_seed(5)
    sizes = (SIZE, LOCAL) if name in ("swav", "dino") else (SIZE,)
    make = getattr(papers, name)(*sizes)
    on_cpu, on_gpu = make(photos), make(photos.cuda())
    if not isinstance(on_cpu, list):
        on_cpu, on_gpu = [on_cpu], [on_gpu]
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        assert ours.is_cuda
        compare(ours.cpu(), theirs)
