"""Crops and blurs as matrix products, against torchvision given the same box and the same sigma."""

import pytest
import torch
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as reference

from course_lib.augment.blur import GaussianBlur, blur, blur_matrix
from course_lib.augment.crop import RandomFlip, RandomResizedCrop, RandomSquareCrop, Resize, random_crop_boxes
from course_lib.augment.resample import crop_and_resize, to_float


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("height", "width", "size"), [(32, 32, 32), (60, 45, 24), (20, 31, 48), (90, 80, 72)]
)
def test_crops_are_torchvisions_to_the_edge(smooth, interpolation, height, width, size) -> None:
    """Enlarged and reduced (antialiased), matrix products up to 64 pixels and one by one above."""
    torch.manual_seed(0)
    images = smooth(24, height, width)
    boxes = random_crop_boxes(24, height, width, scale=(0.05, 1.0))
    ours = crop_and_resize(images, boxes, size, interpolation=interpolation)
    for image, (left, top, w, h), out in zip(images, boxes.long().tolist(), ours, strict=True):
        theirs = reference.resized_crop(
            image, top, left, h, w, [size, size], InterpolationMode(interpolation), antialias=True
        )
        torch.testing.assert_close(out, theirs.clamp(0, 1), atol=2e-5, rtol=0)


def test_large_bytes_are_rounded_to_bytes(smooth) -> None:
    torch.manual_seed(0)
    images = (smooth(8, 100, 120) * 255).to(torch.uint8)
    boxes = random_crop_boxes(8, 100, 120, scale=(0.2, 1.0))
    ours = crop_and_resize(images, boxes, 80)
    torch.testing.assert_close(ours * 255, (ours * 255).round(), atol=1e-4, rtol=0)
    exact = crop_and_resize(to_float(images), boxes, 80)
    assert (ours - exact).abs().max() < 1.5 / 255


def test_boxes_are_drawn_as_torchvisions() -> None:
    torch.manual_seed(0)
    ours = random_crop_boxes(4000, 32, 48, scale=(0.2, 1.0))
    crop, image = v2.RandomResizedCrop(32, scale=(0.2, 1.0)), torch.zeros(3, 32, 48)
    drawn = [crop.make_params([image]) for _ in range(4000)]
    theirs = torch.tensor([[p[key] for key in ("left", "top", "width", "height")] for p in drawn]).float()
    for column in range(4):
        assert largest_gap(ours[:, column], theirs[:, column]) < 1.95 * (2 / 4000) ** 0.5  # p = 0.001
    left, top, width, height = ours.unbind(1)
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + width <= 48).all()
    assert (top + height <= 32).all()


def largest_gap(a: torch.Tensor, b: torch.Tensor) -> float:
    """Kolmogorov and Smirnov's distance between two samples."""
    at = torch.cat([a, b]).sort().values
    cdf_a, cdf_b = (torch.searchsorted(s.sort().values.contiguous(), at, right=True) / len(s) for s in (a, b))
    return float((cdf_a - cdf_b).abs().max())


@pytest.mark.parametrize(("height", "width"), [(10, 100), (100, 10)])
def test_without_a_fit_torchvisions_central_crop(height: int, width: int) -> None:
    ours = random_crop_boxes(8, height, width, scale=(1.0, 1.0))  # a ratio of 10 never lies in [3/4, 4/3]
    params = v2.RandomResizedCrop(8, scale=(1.0, 1.0)).make_params([torch.zeros(3, height, width)])
    assert ours.tolist() == [[params["left"], params["top"], params["width"], params["height"]]] * 8


def test_resize_whole(smooth) -> None:
    images = smooth(3, 40, 28)
    theirs = reference.resize(images, [20, 20], antialias=True)
    torch.testing.assert_close(Resize(20)(images), theirs, atol=1e-5, rtol=0)
    assert torch.equal(Resize(28)(images[:, :, :28]), images[:, :, :28])


@pytest.mark.parametrize(("height", "width"), [(30, 45), (45, 30), (40, 40)])
def test_square_crop_is_resize_then_crop(smooth, height: int, width: int) -> None:
    torch.manual_seed(0)
    images = smooth(30, height, width)
    ours = RandomSquareCrop(20)(images)
    resized = reference.resize(images, [20], InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
    windows = resized.unfold(2, 20, 1).unfold(3, 20, 1).flatten(2, 3)  # (30, 3, places, 20, 20)
    gap = (windows - ours[:, :, None]).abs().amax((1, 3, 4))  # (30, places)
    assert gap.amin(1).max() < 1e-4
    places = gap.argmin(1).unique()
    assert len(places) > 5 or (height == width and len(places) == 1)


@pytest.mark.parametrize(("size", "kernel"), [((16, 16), 3), ((12, 20), 9), ((24, 24), 23)])
def test_blur_is_torchvisions(smooth, size: tuple, kernel: int) -> None:
    images = smooth(9, *size)
    sigma = torch.linspace(0.1, 2.0, 9)
    ours = blur(images, sigma, kernel)
    for image, s, out in zip(images, sigma.tolist(), ours, strict=True):
        torch.testing.assert_close(
            out, reference.gaussian_blur(image, [kernel, kernel], [s, s]), atol=5e-6, rtol=0
        )


def test_blur_matrix_rows_sum_to_one_and_kernel_must_fit() -> None:
    torch.testing.assert_close(blur_matrix(torch.tensor([0.1, 2.0]), 5, 7).sum(2), torch.ones(2, 7))
    with pytest.raises(ValueError, match="too wide"):
        blur(torch.rand(1, 3, 8, 8), torch.ones(1), 17)
    with pytest.raises(ValueError, match="odd kernel_size"):
        GaussianBlur(4)


def test_each_image_has_its_own_sigma() -> None:
    torch.manual_seed(0)
    impulse = torch.zeros(500, 3, 23, 23)
    impulse[:, :, 11, 11] = 1
    peaks = GaussianBlur(23, sigma=(0.5, 2.0))(impulse)[:, 0, 11, 11]  # below 0.3 a peak stays 1
    assert len(peaks.unique()) > 490


def test_flip_mirrors_half(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    many = images.repeat(50, 1, 1, 1)
    out = RandomFlip()(many.clone())
    mirrored = (out == many.flip(3)).flatten(1).all(1)
    assert ((out == many).flatten(1).all(1) ^ mirrored).all()
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.05)


def test_bad_crop() -> None:
    with pytest.raises(ValueError, match="expected size"):
        RandomResizedCrop(8, scale=(0.5, 0.2))
