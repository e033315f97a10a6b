import pytest
import torch
from torch import nn

from course_lib.data import ImageSet
from course_lib.train import Views, fit


@pytest.fixture
def image_set() -> ImageSet:
    torch.manual_seed(0)
    labels = torch.arange(50) % 5
    images = (labels * 50).view(50, 1, 1, 1).expand(50, 3, 4, 4).to(torch.uint8)
    return ImageSet(images, labels, tuple("abcde"))


def scaled(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 255


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Flatten()
        self.layer = nn.Linear(48, 5)

    def forward(self, batch):
        view, labels = batch
        return nn.functional.cross_entropy(self.layer(self.backbone(view)), labels)


def test_views_cover_the_set_once_an_epoch_in_a_new_order(image_set: ImageSet) -> None:
    views = Views(image_set, scaled, batch_size=25, labels=True)
    first = torch.cat([labels for _, labels in views])
    second = torch.cat([labels for _, labels in views])
    assert len(views) == 2
    assert sorted(first.tolist()) == sorted(image_set.labels.tolist())
    assert first.tolist() != second.tolist()


def test_views_keep_images_and_labels_together(image_set: ImageSet) -> None:
    for view, labels in Views(image_set, scaled, batch_size=10, labels=True):
        assert torch.equal((view[:, 0, 0, 0] * 255 / 50).round().long(), labels)


def test_two_views_show_the_same_images_and_the_rest_is_dropped(image_set: ImageSet) -> None:
    pairs = list(Views(image_set, scaled, batch_size=20))
    assert len(pairs) == 2
    for first, second in pairs:
        assert torch.equal(first, second)


@pytest.mark.parametrize("batch_size", [0, 51])
def test_views_refuse_impossible_batches(image_set: ImageSet, batch_size: int) -> None:
    with pytest.raises(ValueError, match=r"batch_size must be in \[1, 50\]"):
        Views(image_set, scaled, batch_size=batch_size)


def test_fit_lowers_the_loss_and_records_every_step(image_set: ImageSet) -> None:
    torch.manual_seed(0)
    method, values = Classifier(), iter(range(100))
    history = fit(
        method,
        Views(image_set, scaled, batch_size=10, labels=True),
        epochs=30,
        lr=0.3,
        chance=1.6,
        probe=lambda _: float(next(values)),
        progress=False,
    )
    assert len(history.losses) == 150
    assert sum(history.losses[-10:]) < 0.5 * sum(history.losses[:10])
    assert history.probe[:2] == [(5, 0.0), (10, 1.0)]
    assert history.chance == 1.6
    assert history.seconds > 0


def test_fit_is_repeatable(image_set: ImageSet) -> None:
    runs = []
    for _ in range(2):
        torch.manual_seed(7)
        method = Classifier()
        runs.append(
            fit(method, Views(image_set, scaled, batch_size=10, labels=True), epochs=2, progress=False)
        )
    assert runs[0].losses == runs[1].losses


def test_fit_stops_at_a_loss_that_is_not_a_number(image_set: ImageSet) -> None:
    class Broken(Classifier):
        def forward(self, batch):
            return super().forward(batch) * torch.nan

    with pytest.raises(FloatingPointError, match="nan at step 0"):
        fit(Broken(), Views(image_set, scaled, batch_size=10, labels=True), epochs=1, progress=False)
