import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from course_lib.evaluate import features, knn_accuracy, linear_probe_accuracy, raw_pixels


def slow_knn(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, k: int, temperature: float
) -> list[int]:
    """Wu et al. 2018, section 3.4, one query at a time."""
    winners = []
    for query in test:
        cosine = train @ query / np.linalg.norm(train, axis=1) / np.linalg.norm(query)
        votes: dict[int, float] = {}
        for i in np.argsort(-cosine)[:k]:
            votes[labels[i]] = votes.get(labels[i], 0.0) + math.exp(cosine[i] / temperature)
        winners.append(max(votes, key=votes.get))
    return winners


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 1.0), (1000, 0.1)])
def test_knn_matches_the_formula(k: int, temperature: float) -> None:
    rng = np.random.default_rng(0)
    train, test = rng.standard_normal((60, 5)), rng.standard_normal((40, 5))
    labels, truth = rng.integers(0, 4, 60), rng.integers(0, 4, 40)
    expected = np.mean(np.array(slow_knn(train, labels, test, k, temperature)) == truth)
    got = knn_accuracy(*map(torch.tensor, (train, labels, test, truth)), k=k, temperature=temperature)
    assert got == pytest.approx(expected)


def test_knn_survives_a_low_temperature_and_a_class_missing_from_either_side() -> None:
    train, labels = torch.eye(4), torch.tensor([0, 1, 2, 3])
    assert knn_accuracy(train, labels, train, labels, k=2, temperature=0.001) == 1
    assert knn_accuracy(train[:2], labels[:2], train, labels, k=2) == 0.5
    assert knn_accuracy(train, labels, train[:1], labels[:1], k=2) == 1


@pytest.mark.parametrize("bad", [{"k": 0}, {"temperature": 0.0}])
def test_knn_bad_parameters(bad: dict) -> None:
    x, y = torch.eye(2), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="k must be at least 1"):
        knn_accuracy(x, y, x, y, **bad)


def test_knn_counts_labels() -> None:
    with pytest.raises(ValueError, match="one label a feature"):
        knn_accuracy(torch.eye(2), torch.tensor([0]), torch.eye(2), torch.tensor([0, 1]))


def test_linear_probe_agrees_with_scikit_learn() -> None:
    torch.manual_seed(0)
    centres = torch.randn(4, 10)
    labels, truth = torch.randint(0, 4, (600,)), torch.randint(0, 4, (400,))
    train = centres[labels] + 1.2 * torch.randn(600, 10)
    test = centres[truth] + 1.2 * torch.randn(400, 10)
    mean, std = train.mean(0), train.std(0)
    # sklearn's penalty is |w|^2 / 2 against C times the summed loss: C = 1 / (weight_decay * N).
    peer = LogisticRegression(C=1 / (1e-2 * 600), max_iter=500).fit((train - mean) / std, labels)
    expected = peer.score((test - mean) / std, truth)
    got = linear_probe_accuracy(train, labels, test, truth, weight_decay=1e-2)
    assert got == pytest.approx(expected, abs=0.006)  # two borderline images of 400


def test_linear_probe_bears_constant_features() -> None:
    x = torch.cat([torch.eye(3).repeat(5, 1), torch.ones(15, 1)], dim=1)
    y = torch.arange(3).repeat(5)
    assert linear_probe_accuracy(x, y, x, y) == 1


def test_features_run_in_eval_mode_and_restore_it() -> None:
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12))
    net.train()
    images = torch.randint(0, 256, (10, 3, 2, 2), dtype=torch.uint8)
    before = net[1].running_mean.clone()
    whole = features(net, images, batch_size=10)
    parts = features(net, images, batch_size=3)
    torch.testing.assert_close(whole, parts)  # batch statistics would differ
    assert net.training
    assert torch.equal(net[1].running_mean, before)
    assert not whole.requires_grad


def test_raw_pixels() -> None:
    images = torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)
    assert torch.equal(raw_pixels(images), torch.ones(2, 48))
