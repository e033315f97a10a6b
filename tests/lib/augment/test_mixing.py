"""Mixup and CutMix: shares, labels, and a draw for each pair."""

import pytest
import torch

from course_lib.augment import cutmix, mixup
from course_lib.augment.mixing import rectangles

BATCH, CLASSES = 400, 400


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Image i is i / 400 all over and of class i: what was mixed can be read off the result."""
    torch.manual_seed(0)
    values = torch.arange(BATCH) / BATCH
    return values[:, None, None, None].expand(-1, 3, 16, 12), torch.arange(BATCH)


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_labels_tell_what_the_images_are_made_of(mix, batch) -> None:
    images, labels = mix(*batch, CLASSES, alpha=1.0)
    assert images.shape == (BATCH, 3, 16, 12)
    torch.testing.assert_close(labels.sum(1), torch.ones(BATCH))
    expected = labels @ (torch.arange(BATCH) / BATCH)  # mean brightness of the share-weighted pair
    torch.testing.assert_close(images.mean((1, 2, 3)), expected, atol=1e-5, rtol=1e-5)
    shares = labels[torch.arange(BATCH), torch.arange(BATCH)]
    assert len(shares.unique()) > 50  # not one share for the whole batch


def test_mixup_shares_are_beta(batch) -> None:
    torch.manual_seed(1)
    for alpha in (0.2, 1.0):
        _, labels = mixup(*batch, CLASSES, alpha=alpha)
        share = labels[torch.arange(BATCH), torch.arange(BATCH)]
        assert share.mean() == pytest.approx(0.5, abs=0.08)
        assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.2)


def test_cutmix_pastes_one_rectangle(batch) -> None:
    torch.manual_seed(2)
    images, _ = cutmix(*batch, CLASSES)
    own = images[:, 0] == batch[0][:, 0]
    pasted = ~own
    rows, columns = pasted.any(2), pasted.any(1)
    assert (pasted.sum((1, 2)) == rows.sum(1) * columns.sum(1)).all()  # full rows times full columns


def test_rectangles_have_the_area_asked_for_unless_cut_off() -> None:
    torch.manual_seed(3)
    masks = rectangles(torch.full((3000,), 0.75), 64, 64)  # sides of 32
    areas = masks.mean((1, 2))
    assert areas.max() == pytest.approx(0.25)
    # The centre lies far enough from both edges half of the time, in each direction.
    assert (areas == areas.max()).float().mean() == pytest.approx(0.25, abs=0.04)
    assert rectangles(torch.ones(5), 8, 8).sum() == 0


def test_bytes_and_bad_input() -> None:
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    mixed, _ = mixup(images, torch.arange(4), 4)
    assert mixed.dtype == torch.float32
    assert mixed.max() <= 1
    with pytest.raises(ValueError, match="alpha"):
        mixup(images, torch.arange(4), 4, alpha=0)
    with pytest.raises(ValueError, match="labels"):
        cutmix(images, torch.arange(3), 4)
