"""The batched SimCLR views against torchvision's, image by image."""

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from course_lib.augment import SimCLRAugment, two_views
from course_lib.augment.affine import resample
from course_lib.augment.crop import random_crop_boxes
from course_lib.augment.linear_colour import apply, grey_matrices, jitter_matrices


@pytest.fixture
def images() -> torch.Tensor:
    torch.manual_seed(0)
    return 0.25 + 0.5 * torch.rand(64, 3, 32, 32)  # away from 0 and 1, so that clipping plays no part


def recover(images: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """The factor of out = factor * images, one an image."""
    return (out / images).flatten(1).mean(1)


def test_brightness_multiplies(images: torch.Tensor) -> None:
    matrix, offset = jitter_matrices(
        images.mean((2, 3)), brightness=0.3, contrast=0, saturation=0, hue=0, probability=1
    )
    out = apply(images, matrix, offset)
    for image, changed, factor in zip(images, out, recover(images, out), strict=True):
        torch.testing.assert_close(
            changed, reference.adjust_brightness(image, factor.item()), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize(
    ("name", "adjust"), [("contrast", reference.adjust_contrast), ("saturation", reference.adjust_saturation)]
)
def test_contrast_and_saturation_are_torchvisions(images, name, adjust) -> None:
    strengths = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, name: 0.3}
    out = apply(images, *jitter_matrices(images.mean((2, 3)), **strengths, probability=1))
    grey_less = adjust(images, 0.0)  # what the factor pulls towards
    factors = ((out - grey_less) / (images - grey_less)).flatten(1).median(1).values
    assert factors.std() > 0.1  # each image has its own
    for image, changed, factor in zip(images, out, factors, strict=True):
        torch.testing.assert_close(changed, adjust(image, factor.item()), atol=2e-4, rtol=1e-3)


def test_hue_turns_chroma_and_keeps_brightness_and_grey(images: torch.Tensor) -> None:
    matrix, offset = jitter_matrices(
        images.mean((2, 3)), brightness=0, contrast=0, saturation=0, hue=0.1, probability=1
    )
    luma = torch.tensor([0.2989, 0.587, 0.114])
    torch.testing.assert_close(luma @ matrix, luma.expand(64, 3), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(matrix.sum(2), torch.ones(64, 3), atol=1e-3, rtol=1e-3)  # grey -> grey
    assert offset.abs().max() == 0


def test_jitter_moves_images_as_far_as_torchvision_does() -> None:
    """Mean absolute change over many draws; hue in YIQ and clipping once at the end may differ a little."""
    torch.manual_seed(1)
    images = torch.rand(1, 3, 8, 8).expand(600, -1, -1, -1)
    ours = apply(
        images,
        *jitter_matrices(
            images.mean((2, 3)), brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, probability=1
        ),
    )
    jitter = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    theirs = torch.stack([jitter(image) for image in images])
    assert (ours - images).abs().mean() == pytest.approx((theirs - images).abs().mean().item(), rel=0.1)
    assert ours.std(0).mean() == pytest.approx(theirs.std(0).mean().item(), rel=0.1)


def test_shares_of_grey_and_untouched() -> None:
    torch.manual_seed(0)
    images = torch.rand(4000, 3, 2, 2)
    matrix, offset = jitter_matrices(
        images.mean((2, 3)), brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, probability=0.8
    )
    untouched = (matrix == torch.eye(3)).flatten(1).all(1).float().mean()
    assert untouched == pytest.approx(0.2, abs=0.03)
    out = apply(images, *grey_matrices(matrix, offset, probability=0.2))
    grey = ((out - out[:, :1]).abs() < 1e-5).flatten(1).all(1).float().mean()
    assert grey == pytest.approx(0.2, abs=0.03)


def test_crop_boxes_are_drawn_as_torchvisions() -> None:
    torch.manual_seed(0)
    boxes = random_crop_boxes(4000, 32, 48, scale=(0.2, 1.0))
    image = torch.zeros(3, 32, 48)
    theirs = torch.tensor(
        [v2.RandomResizedCrop(32, scale=(0.2, 1.0)).make_params([image])[k] for _ in range(4000) for k in
         ("left", "top", "width", "height")]
    ).view(-1, 4).float()  # fmt: skip
    torch.testing.assert_close(boxes.mean(0), theirs.mean(0), atol=0.5, rtol=0.05)
    torch.testing.assert_close(boxes.std(0), theirs.std(0), atol=0.5, rtol=0.05)
    left, top, width, height = boxes.unbind(1)
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + width <= 48).all()
    assert (top + height <= 32).all()


def test_resample_whole_image_is_identity_and_flip_mirrors(images: torch.Tensor) -> None:
    whole = torch.tensor([0.0, 0.0, 32.0, 32.0]).expand(64, 4)
    flip = torch.arange(64) % 2 == 1
    out = resample(images, whole, 32, flip)
    torch.testing.assert_close(out[~flip], images[~flip])
    torch.testing.assert_close(out[flip], images[flip].flip(3))


def test_resample_enlarges_as_torchvision_does(images: torch.Tensor) -> None:
    box = torch.tensor([[4.0, 8.0, 16.0, 12.0]])
    ours = resample(images[:1], box, 32, torch.tensor([False]))[0]
    theirs = reference.resized_crop(images[0], 8, 4, 12, 16, [32, 32], antialias=True)
    torch.testing.assert_close(ours[:, 2:-2, 2:-2], theirs[:, 2:-2, 2:-2], atol=1e-4, rtol=1e-3)


def test_every_image_has_its_own_draw_and_views_differ() -> None:
    torch.manual_seed(0)
    same = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8).expand(16, -1, -1, -1)
    first, second = two_views(same, SimCLRAugment())
    distances = torch.cdist(first.flatten(1), torch.cat([first, second]).flatten(1))
    distances[torch.arange(16), torch.arange(16)] = torch.inf
    assert distances.min() > 0.1


def test_switches_leave_what_they_name_alone() -> None:
    torch.manual_seed(0)
    images = torch.rand(32, 3, 16, 16)
    still = SimCLRAugment(16, crop=False, jitter=False)(images)
    unchanged = (still - images).flatten(1).abs().amax(1) < 1e-5
    mirrored = (still - images.flip(3)).flatten(1).abs().amax(1) < 1e-5
    assert (unchanged | mirrored).all()
    assert unchanged.any()
    assert mirrored.any()


def test_size_range_dtype_and_seed() -> None:
    images = torch.randint(0, 256, (5, 3, 40, 30), dtype=torch.uint8)
    augment = SimCLRAugment(24)
    torch.manual_seed(3)
    first = augment(images)
    torch.manual_seed(3)
    assert torch.equal(first, augment(images))
    assert first.shape == (5, 3, 24, 24)
    assert first.dtype == torch.float32
    assert 0 <= first.min() <= first.max() <= 1


@pytest.mark.parametrize("bad", [{"size": 0}, {"strength": -1.0}, {"min_scale": 0.0}, {"min_scale": 2.0}])
def test_bad_parameters(bad: dict) -> None:
    with pytest.raises(ValueError, match="expected size"):
        SimCLRAugment(**bad)


def test_bad_images() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        SimCLRAugment()(torch.zeros(3, 32, 32))


@pytest.mark.gpu
def test_on_gpu() -> None:
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, device="cuda")
    assert SimCLRAugment()(images).is_cuda
