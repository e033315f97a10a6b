"""Few labels, fine-tuning, transfer and the online probe, on a set where colour is the class."""

import pytest
import torch
from torch import Tensor, nn

from course_lib.augment import SimCLRAugment
from course_lib.data import ImageSet
from course_lib.evaluate import (
    collapse_meter,
    few_label_accuracy,
    few_label_indices,
    fine_tune_accuracy,
    knn_accuracy,
    online_knn,
    transfer_accuracy,
)
from course_lib.methods import SimCLR
from course_lib.models import SmallConvNet
from course_lib.train import Views, fit


def coloured(count: int, seed: int) -> ImageSet:
    """Four classes: red, green, blue, grey, under noise."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    base = torch.tensor([[170, 90, 90], [90, 170, 90], [90, 90, 170], [120, 120, 120]])[labels]
    noise = torch.randint(-80, 81, (count, 3, 8, 8), generator=rng)
    images = (base[:, :, None, None] + noise).clamp(0, 255).to(torch.uint8)
    return ImageSet(images, labels, ("red", "green", "blue", "grey"))


class MeanColour(nn.Module):
    num_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) * self.scale


@pytest.mark.parametrize("fraction", [0.01, 0.1, 1.0])
def test_choice_is_balanced_and_sorted(fraction: float) -> None:
    labels = torch.arange(4000) % 10
    chosen = few_label_indices(labels, fraction=fraction)
    assert torch.equal(labels[chosen].bincount(), torch.full((10,), round(400 * fraction)))
    assert torch.equal(chosen, chosen.unique())


def test_choice_is_seeded_and_nested() -> None:
    labels = torch.randint(0, 5, (1000,), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    few = few_label_indices(labels, labels_per_class=3, seed=1)
    torch.manual_seed(9)
    assert torch.equal(few, few_label_indices(labels, labels_per_class=3, seed=1))
    assert not torch.equal(few, few_label_indices(labels, labels_per_class=3, seed=2))
    more = few_label_indices(labels, labels_per_class=20, seed=1)
    assert set(few.tolist()) < set(more.tolist())


def test_at_least_one_a_class() -> None:
    assert len(few_label_indices(torch.arange(40) % 4, fraction=0.001)) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give fraction or labels_per_class"),
        ({"fraction": 0.1, "labels_per_class": 1}, "give fraction or labels_per_class"),
        ({"fraction": 1.5}, "fraction must be in"),
        ({"labels_per_class": 0}, "at least 1"),
        ({"labels_per_class": 11}, "class 0 has 10 images, but 11 were asked for"),
    ],
)
def test_impossible_choices(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        few_label_indices(torch.arange(40) % 4, **options)


def test_few_labels_suffice_where_the_features_are_right() -> None:
    train, test = coloured(200, 0), coloured(100, 1)
    assert few_label_accuracy(MeanColour(), train, test, labels_per_class=5) > 0.9
    assert few_label_accuracy(MeanColour(), train, test, fraction=0.1, probe=knn_accuracy) > 0.9
    # The labels of the rest are not looked at.
    chosen = few_label_indices(train.labels, labels_per_class=5)
    scrambled = train.labels[torch.randperm(200)]
    scrambled[chosen] = train.labels[chosen]
    known = train.subset(chosen)
    assert few_label_accuracy(MeanColour(), train, test, labels_per_class=5) == transfer_accuracy(
        MeanColour(), known, test
    )


def test_transfer_uses_the_other_set() -> None:
    train, test = coloured(120, 2), coloured(60, 3)
    assert transfer_accuracy(MeanColour(), train, test) > 0.9
    assert transfer_accuracy(MeanColour(), train, test, probe=knn_accuracy) > 0.9
    with pytest.raises(ValueError, match="other classes"):
        transfer_accuracy(MeanColour(), train, ImageSet(test.images, test.labels, tuple("abcd")))


def test_fine_tuning_learns_and_leaves_the_model_alone() -> None:
    torch.manual_seed(0)
    train, test = coloured(160, 0), coloured(80, 1)
    model = SimCLR(SmallConvNet(4))
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    accuracy = fine_tune_accuracy(model, train, test, epochs=8, lr=5e-3, batch_size=32)
    assert accuracy > 0.7
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_fine_tuning_thaws_a_frozen_backbone_and_bears_a_tiny_set() -> None:
    torch.manual_seed(0)
    train, test = coloured(160, 0), coloured(40, 1)
    model = SmallConvNet(4).requires_grad_(False)
    few = train.subset(few_label_indices(train.labels, labels_per_class=2))
    assert 0 <= fine_tune_accuracy(model, few, test, epochs=2) <= 1
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ValueError, match="other classes"):
        fine_tune_accuracy(model, train, ImageSet(test.images, test.labels, tuple("abcd")))


def test_online_probe_and_meter_in_the_loop() -> None:
    torch.manual_seed(0)
    train, test = coloured(64, 0), coloured(40, 1)
    history = fit(
        SimCLR(SmallConvNet(4)),
        Views(train, SimCLRAugment(8), batch_size=32),
        epochs=2,
        probe=online_knn(train, test, k=5),
        meter=collapse_meter(test.images),
        progress=False,
    )
    assert [step for step, _ in history.probe] == [2, 4]
    assert all(0 <= value <= 1 for _, value in history.probe)
    assert set(history.meters) == {"feature std", "effective rank"}
    assert all(1 < value <= 32 for _, value in history.meters["effective rank"])
