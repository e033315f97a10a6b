"""The promise that the course rests on: labels can be guessed from what is learnt without them."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from course_lib.augment import SimCLRAugment
from course_lib.data import ImageSet, Shapes
from course_lib.evaluate import features, knn_accuracy, linear_probe_accuracy, raw_pixels
from course_lib.methods import SimCLR, Supervised
from course_lib.models import SmallConvNet
from course_lib.train import Views, fit

COUNT = {"train": 3200, "test": 1000}


@pytest.fixture(scope="module")
def data() -> tuple[ImageSet, ImageSet]:
    return Shapes().image_set("train", COUNT["train"]), Shapes().image_set("test", COUNT["test"])


@pytest.fixture(scope="module")
def untrained(data) -> dict[str, float]:
    """Raw pixels and a random network: kNN and linear probe of each."""
    torch.manual_seed(0)
    scores = {}
    for name, network in (("raw pixels", None), ("random network", SmallConvNet())):
        scores[f"{name}, kNN"] = probe(knn_accuracy, network, *data)
        scores[f"{name}, linear"] = probe(linear_probe_accuracy, network, *data)
    return scores


def probe(
    accuracy: Callable[..., float], network: nn.Module | None, train: ImageSet, test: ImageSet
) -> float:
    def describe(data: ImageSet) -> torch.Tensor:
        return raw_pixels(data.images) if network is None else features(network, data.images)

    return accuracy(describe(train), train.labels, describe(test), test.labels)


def test_a_few_seconds_of_simclr_beat_raw_pixels_and_a_random_network(data, untrained) -> None:
    torch.manual_seed(0)
    method = SimCLR(SmallConvNet())
    fit(method, Views(data[0], SimCLRAugment(32), batch_size=128), epochs=2, progress=False)
    learnt = probe(knn_accuracy, method.backbone, *data)
    print(untrained, f"SimCLR {learnt:.3f}")
    assert learnt > untrained["raw pixels, kNN"] + 0.12
    assert learnt > untrained["random network, kNN"] + 0.06


def test_without_training_probes_stay_well_below_supervised_training(data, untrained) -> None:
    torch.manual_seed(0)
    train, test = data
    method = Supervised(SmallConvNet(), train.num_classes)
    fit(method, Views(train, SimCLRAugment(32), batch_size=64, labels=True), epochs=4, progress=False)
    guesses = method.classifier(features(method.backbone, test.images)).argmax(1)
    supervised = (guesses == test.labels).float().mean().item()
    print(untrained, f"supervised {supervised:.3f}")
    assert supervised > 0.7
    assert max(untrained.values()) < supervised - 0.1
    assert max(untrained["raw pixels, kNN"], untrained["random network, kNN"]) < supervised - 0.25
