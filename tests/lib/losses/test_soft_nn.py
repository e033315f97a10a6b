"""Soft nearest neighbours."""

import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss

from course_lib.losses import soft_nearest_neighbor_loss


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 20.0])
@pytest.mark.parametrize(("n", "d"), [(3, 2), (7, 4), (20, 8)])
def test_matches_the_formula(n, d, temperature, squared, rng):
    x, labels = rng.standard_normal((n, d)), np.array([0, 0, 1, *rng.integers(0, 2, n - 3)])

    def weight(i, j):
        return math.exp(-(math.dist(x[i], x[j]) ** (2 if squared else 1)) / temperature)

    terms = []
    for i in range(n):
        positives = [j for j in range(n) if j != i and labels[j] == labels[i]]
        if positives:
            everything = sum(weight(i, k) for k in range(n) if k != i)
            terms.append(-math.log(sum(weight(i, j) for j in positives) / everything))
    got = soft_nearest_neighbor_loss(
        torch.tensor(x), torch.tensor(labels), temperature=temperature, squared=squared
    )
    assert got.item() == pytest.approx(np.mean(terms), rel=1e-9)


def test_euclidean_distances_are_the_default(rng):
    x, labels = torch.tensor(rng.standard_normal((6, 3))), torch.tensor([0, 0, 0, 1, 1, 1])
    default = soft_nearest_neighbor_loss(x, labels, temperature=1)
    assert torch.equal(default, soft_nearest_neighbor_loss(x, labels, temperature=1, squared=False))
    assert not torch.allclose(default, soft_nearest_neighbor_loss(x, labels, temperature=1, squared=True))


def test_squared_distances_on_the_sphere_equal_a_peers_supervised_contrastive_loss(rng):
    """With one positive each, log(mean) and mean(log) agree, and ||u - v||^2 / 2T is a cosine over T."""
    x = torch.nn.functional.normalize(torch.tensor(rng.standard_normal((8, 5))), dim=1)
    labels = torch.arange(4).repeat(2)
    ours = soft_nearest_neighbor_loss(x, labels, temperature=2 * 0.3, squared=True)
    torch.testing.assert_close(ours, SupConLoss(temperature=0.3)(x, labels))


@pytest.mark.parametrize("squared", [False, True])
def test_chance_where_all_points_coincide(squared):
    x = torch.ones(12, 3, requires_grad=True)
    loss = soft_nearest_neighbor_loss(x, torch.arange(3).repeat(4), temperature=0.5, squared=squared)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(11 / 3))
    assert torch.equal(x.grad, torch.zeros(12, 3))


def test_points_without_a_positive_are_passed_over():
    x = torch.tensor([[0.0], [1.0], [5.0]])
    pair_and_single = soft_nearest_neighbor_loss(x, torch.tensor([0, 0, 1]), temperature=1)
    expected = (math.log1p(math.exp(-4)) + math.log1p(math.exp(-3))) / 2
    assert pair_and_single.item() == pytest.approx(expected, rel=1e-5)
    alone = x.clone().requires_grad_()
    loss = soft_nearest_neighbor_loss(alone, torch.tensor([0, 1, 2]), temperature=1)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(alone.grad, torch.zeros(3, 1))


def test_far_points_do_not_underflow():
    """exp(-1000) is 0: a ratio of sums would be 0/0, and a log of it no number."""
    x = torch.tensor([[0.0], [1000.0], [1500.0], [3000.0]])
    loss = soft_nearest_neighbor_loss(x, torch.tensor([0, 0, 1, 1]), temperature=1.0)
    assert loss.item() == pytest.approx((0 + 500 + 1000 + 0) / 4)
