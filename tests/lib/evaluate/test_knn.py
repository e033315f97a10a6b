"""kNN beyond top-1, against a loop and against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from course_lib.evaluate import best_knn_accuracy, knn_accuracy


def slow_top(train, labels, test, truth, k: int, temperature: float, top: int) -> float:
    """Wu et al. 2018, section 3.4, one query and one neighbour at a time; only voted classes are ranked."""
    right = 0
    for query, answer in zip(test, truth, strict=True):
        cosine = train @ query / np.linalg.norm(train, axis=1) / np.linalg.norm(query)
        votes: dict[int, float] = {}
        for i in np.argsort(-cosine)[:k]:
            votes[labels[i]] = votes.get(labels[i], 0.0) + math.exp(cosine[i] / temperature)
        right += answer in sorted(votes, key=votes.get, reverse=True)[:top]
    return right / len(truth)


@pytest.mark.parametrize("top", [1, 3, 5, 50])
@pytest.mark.parametrize("k", [1, 3, 20, 1000])
def test_top_matches_the_formula(top: int, k: int) -> None:
    rng = np.random.default_rng(1)
    train, test = rng.standard_normal((60, 5)), rng.standard_normal((40, 5))
    labels, truth = rng.integers(0, 10, 60), rng.integers(0, 12, 40)
    expected = slow_top(train, labels, test, truth, k, 0.1, top)
    got = knn_accuracy(*map(torch.tensor, (train, labels, test, truth)), k=k, temperature=0.1, top=top)
    assert got == pytest.approx(expected)


def test_a_class_without_votes_is_never_right() -> None:
    """With one neighbour a single class has votes; ranking the rest by index would give free credit."""
    x, y = torch.eye(10), torch.arange(10)
    wrong = y.roll(1)
    assert knn_accuracy(x, y, x, wrong, k=1, top=5) == 0
    assert knn_accuracy(x, y, x, y, k=1, top=5) == 1


def test_a_vote_that_rounds_to_zero_is_a_vote() -> None:
    train = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    labels = torch.tensor([0, 1])
    # exp(-2 / 0.001) is 0 in float32, yet class 1 is second and class 2 got nothing.
    test = torch.tensor([[1.0, 0.0]])
    assert knn_accuracy(train, labels, test, torch.tensor([1]), k=2, temperature=0.001, top=2) == 1
    assert knn_accuracy(train, labels, test, torch.tensor([2]), k=2, temperature=0.001, top=3) == 0


def test_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.standard_normal((300, 8)), rng.standard_normal((200, 8))
    labels, truth = rng.integers(0, 5, 300), rng.integers(0, 5, 200)
    peer = KNeighborsClassifier(15, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07))
    expected = peer.fit(train, labels).score(test, truth)
    got = knn_accuracy(*map(torch.tensor, (train, labels, test, truth)), k=15)
    assert got == pytest.approx(expected, abs=1e-9)


def test_agrees_with_lightly() -> None:
    from lightly.utils.benchmarking import knn_predict

    rng = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize
    train, test = (unit(torch.randn(n, 8, generator=rng)) for n in (300, 200))
    labels, truth = (torch.randint(0, 5, (n,), generator=rng) for n in (300, 200))
    predicted = knn_predict(test, train.T, labels, num_classes=5, knn_k=15, knn_t=0.1)[:, 0]
    expected = (predicted == truth).float().mean().item()
    assert knn_accuracy(train, labels, test, truth, k=15, temperature=0.1) == pytest.approx(expected)


def test_many_queries_go_through_in_pieces(monkeypatch) -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 4, generator=rng), torch.randint(0, 3, (50,), generator=rng)
    whole = knn_accuracy(x, y, x.flip(0) + 0.5, y.flip(0), k=5)
    monkeypatch.setattr("course_lib.evaluate.knn.CHUNK", 150)
    assert knn_accuracy(x, y, x.flip(0) + 0.5, y.flip(0), k=5) == whole


def test_bad_input() -> None:
    x, y = torch.eye(3), torch.arange(3)
    with pytest.raises(ValueError, match="top at least 1"):
        knn_accuracy(x, y, x, y, top=0)
    with pytest.raises(ValueError, match="same length"):
        knn_accuracy(x, y, x[:, :2], y)
    with pytest.raises(ValueError, match="integers from 0"):
        knn_accuracy(x, y - 1, x, y)
    with pytest.raises(ValueError, match="N >= 1"):
        knn_accuracy(x[:0], y[:0], x, y)


def test_everybody_gets_the_number_of_neighbours_that_suits_best() -> None:
    """Two clouds with a wrong label here and there want many neighbours, to outvote them."""
    generator = torch.Generator().manual_seed(0)
    cloud = torch.arange(200) % 2
    points = torch.randn(200, 8, generator=generator) + (2.0 * cloud - 1)[:, None]
    labels = cloud ^ (torch.rand(200, generator=generator) < 0.3)
    data = points[:150], labels[:150], points[150:], cloud[150:]
    one, five, twenty = (knn_accuracy(*data, k=k) for k in (1, 5, 20))
    assert one < twenty
    assert best_knn_accuracy(*data) == max(one, five, twenty)
    assert best_knn_accuracy(*data, ks=[1]) == one
