"""Each change of colour against torchvision's, image by image, given the same factor."""

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from course_lib.augment import colour
from course_lib.augment.jitter import ColourJitter, jitter

TORCHVISION = (
    reference.adjust_brightness,
    reference.adjust_contrast,
    reference.adjust_saturation,
    reference.adjust_hue,
)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factors(images: torch.Tensor, name: str) -> None:
    factor = torch.linspace(0, 2, len(images))
    ours = getattr(colour, f"adjust_{name}_")(images.clone(), factor)
    adjust = getattr(reference, f"adjust_{name}")
    theirs = torch.stack([adjust(image, f) for image, f in zip(images, factor.tolist(), strict=True)])
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)


def test_hue(images: torch.Tensor) -> None:
    images[:, :, 0] = images[:, :1, 0]  # grey: hue is undefined
    images[:, 0, 1] = images[:, 1, 1]  # two equal channels
    images[:, :, 2], images[:, :, 3] = 0, 1  # black, white
    shift = torch.linspace(-0.5, 0.5, len(images))
    ours = colour.adjust_hue_(images.clone(), shift)
    theirs = torch.stack([reference.adjust_hue(i, s) for i, s in zip(images, shift.tolist(), strict=True)])
    torch.testing.assert_close(ours, theirs, atol=5e-6, rtol=0)


def test_hue_of_images_larger_than_one_block() -> None:
    images = torch.rand(2, 3, 200, 210)
    ours = colour.adjust_hue_(images.clone(), torch.tensor([0.1, -0.2]))
    for image, out, shift in zip(images, ours, (0.1, -0.2), strict=True):
        torch.testing.assert_close(out, reference.adjust_hue(image, shift), atol=5e-6, rtol=0)


def test_grey_and_solarize(images: torch.Tensor) -> None:
    torch.testing.assert_close(
        colour.to_grey(images), reference.rgb_to_grayscale(images, 3), atol=1e-6, rtol=0
    )
    images[0, 0, 0, :2] = torch.tensor([128 / 255, 127 / 255])  # the threshold itself is inverted
    assert torch.equal(colour.solarize(images, 128 / 255), reference.solarize(images, 128 / 255))


@pytest.mark.parametrize("side", [32, 72])  # brought together; one by one
def test_jitter_in_each_images_order_clipped_each_time(side: int) -> None:
    """The same factors in the same order through torchvision; factors up to 1.8, so that clipping matters."""
    torch.manual_seed(0)
    images = torch.rand(60, 3, side, side)
    factors, order = ColourJitter(0.8, 0.8, 0.8, 0.2).draw(60)
    ours = jitter(images.clone(), factors, order)
    for image, factor, turns, out in zip(images, factors.tolist(), order.tolist(), ours, strict=True):
        for which in turns:
            image = TORCHVISION[which](image, factor[which])
        torch.testing.assert_close(out, image, atol=2e-5, rtol=0)


def test_jitter_draws() -> None:
    torch.manual_seed(0)
    factors, order = ColourJitter(0.4, 1.2, 0.2, 0.1).draw(20_000)
    low, high = torch.tensor([0.6, 0.0, 0.8, -0.1]), torch.tensor([1.4, 2.2, 1.2, 0.1])
    assert (factors >= low).all()
    assert (factors <= high).all()
    span = high - low
    torch.testing.assert_close(factors.mean(0), (low + high) / 2, atol=0.02, rtol=0)
    torch.testing.assert_close(factors.std(0), span / 12**0.5, atol=0.01, rtol=0.02)
    correlation = torch.corrcoef(factors.T) - torch.eye(4)
    assert correlation.abs().max() < 0.03
    code = (order * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = code.unique(return_counts=True)[1]
    assert len(counts) == 24  # every order, equally often
    assert ((counts - 20_000 / 24).square() / (20_000 / 24)).sum() < 49.7  # chi-square, 23 d.o.f., p = 0.001


@pytest.mark.parametrize("bad", [(-0.1, 0, 0, 0), (0, 0, 0, 0.6)])
def test_bad_jitter(bad: tuple) -> None:
    with pytest.raises(ValueError, match="half-widths"):
        ColourJitter(*bad)
