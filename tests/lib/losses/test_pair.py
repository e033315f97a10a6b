"""Contrastive, triplet, semi-hard mining, lifted structure."""

import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning import distances, losses, miners

from course_lib.losses import (
    contrastive_loss,
    lifted_structured_loss,
    semi_hard_negatives,
    semi_hard_triplet_loss,
    triplet_loss,
)

SIZES = [(4, 2), (9, 3), (24, 16)]


def labelled(rng, n, d):
    """Embeddings and labels of three classes, one of which may have a single member."""
    return rng.standard_normal((n, d)), np.array([0, 0, 1, 2, *rng.integers(0, 2, n - 4)])


# --- contrastive ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), SIZES)
@pytest.mark.parametrize("margin", [0.5, 3.0])
def test_contrastive_matches_the_formula(n, d, margin, rng):
    x1, x2, same = (
        rng.standard_normal((n, d)),
        rng.standard_normal((n, d)),
        rng.integers(0, 2, n).astype(bool),
    )
    gap = [math.dist(a, b) for a, b in zip(x1, x2, strict=True)]
    expected = np.mean([g**2 if s else max(0, margin - g) ** 2 for g, s in zip(gap, same, strict=True)])
    got = contrastive_loss(torch.tensor(x1), torch.tensor(x2), torch.tensor(same), margin=margin)
    assert got.item() == pytest.approx(expected, rel=1e-12)


def test_contrastive_against_a_peer_that_does_not_square(rng):
    """pytorch-metric-learning's hinges are unsquared: one pair of each kind, squared by hand, must agree."""
    x = torch.tensor(rng.standard_normal((2, 3)))
    peer = losses.ContrastiveLoss(neg_margin=5, distance=distances.LpDistance(normalize_embeddings=False))
    for labels in (torch.tensor([0, 0]), torch.tensor([0, 1])):
        same = (labels[:1] == labels[1:]).double()
        ours = contrastive_loss(x[:1], x[1:], same, margin=5)
        torch.testing.assert_close(ours, peer(x, labels) ** 2)


def test_contrastive_has_a_finite_gradient_where_points_coincide():
    x1 = torch.ones(2, 3, requires_grad=True)
    loss = contrastive_loss(x1, torch.ones(2, 3), torch.tensor([True, False]), margin=2.0)
    loss.backward()
    assert loss.item() == 2.0  # margin^2 times one half
    assert torch.equal(x1.grad, torch.zeros(2, 3))


# --- triplet -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_triplet_matches_the_formula(n, d, rng):
    a, p, x = rng.standard_normal((3, n, d))
    terms = [math.dist(a[i], p[i]) ** 2 - math.dist(a[i], x[i]) ** 2 + 0.7 for i in range(n)]
    got = triplet_loss(*map(torch.tensor, (a, p, x)), margin=0.7)
    assert got.item() == pytest.approx(np.mean([max(0, t) for t in terms]), rel=1e-12)


def test_triplet_averages_over_satisfied_triplets_too():
    a, p, n = torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0], [9.0]])
    assert triplet_loss(a, p, n, margin=0.5).item() == 0.25  # 0.5 and 0: hidden reducers say 0.5


def test_triplet_equals_torchs_with_squared_distances(rng):
    a, p, n = torch.tensor(rng.standard_normal((3, 8, 4)))
    peer = torch.nn.TripletMarginWithDistanceLoss(
        distance_function=lambda u, v: (u - v).square().sum(1), margin=0.3
    )
    torch.testing.assert_close(triplet_loss(a, p, n, margin=0.3), peer(a, p, n))


# --- semi-hard -----------------------------------------------------------------------------------------


def semi_hard_by_hand(x, labels, margin):
    triplets, n = [], len(x)
    d = [[math.dist(x[i], x[j]) ** 2 for j in range(n)] for i in range(n)]
    for a in range(n):
        negatives = [k for k in range(n) if labels[k] != labels[a]]
        for p in range(n):
            if p == a or labels[p] != labels[a] or not negatives:
                continue
            window = [k for k in negatives if d[a][p] < d[a][k] < d[a][p] + margin]
            best = min(window, key=lambda k: d[a][k]) if window else max(negatives, key=lambda k: d[a][k])
            triplets.append((a, p, best))
    return triplets


@pytest.mark.parametrize(("n", "d"), SIZES)
@pytest.mark.parametrize("margin", [0.1, 2.0, 50.0])
def test_semi_hard_matches_the_definition(n, d, margin, rng):
    x, labels = labelled(rng, n, d)
    got = semi_hard_negatives(torch.tensor(x), torch.tensor(labels), margin=margin)
    expected = semi_hard_by_hand(x, labels, margin)
    assert list(zip(*(t.tolist() for t in got), strict=True)) == expected
    loss = semi_hard_triplet_loss(torch.tensor(x), torch.tensor(labels), margin=margin).item()
    terms = [math.dist(x[a], x[p]) ** 2 - math.dist(x[a], x[k]) ** 2 + margin for a, p, k in expected]
    assert loss == pytest.approx(np.mean([max(0, t) for t in terms]), rel=1e-9, abs=1e-12)


def test_semi_hard_negatives_are_among_a_peers(rng):
    x, labels = map(torch.tensor, labelled(rng, 24, 4))
    miner = miners.TripletMarginMiner(
        margin=1.0,
        type_of_triplets="semihard",
        distance=distances.LpDistance(normalize_embeddings=False, power=2),
    )
    theirs = set(zip(*(t.tolist() for t in miner(x, labels)), strict=True))
    a, p, n = semi_hard_negatives(x, labels, margin=1.0)
    in_window = {(i, j) for i, j, _ in theirs}
    ours = [t for t in zip(a.tolist(), p.tolist(), n.tolist(), strict=True) if t[:2] in in_window]
    assert ours
    assert set(ours) <= theirs


@pytest.mark.parametrize(
    ("points", "negative"),
    [
        ([0.0, 1.0, 1.2, 1.1], 3),  # both in the window: the nearer
        ([0.0, 1.0, 0.2, 0.5], 3),  # all too near: the farthest
        ([0.0, 1.0, 9.0, 8.0], 2),  # all beyond the margin: the farthest, at no cost
        ([0.0, 1.0, 0.2, 1.1], 3),  # one too near, one in the window
        ([0.0, 1.0, -1.0, 0.5], 2),  # exactly as far as the positive is not farther: the farthest
    ],
)
def test_semi_hard_choice_for_the_first_anchor(points, negative):
    x, labels = torch.tensor(points)[:, None], torch.tensor([0, 0, 1, 2])
    _, _, chosen = semi_hard_negatives(x, labels, margin=0.5)
    assert chosen[0].item() == negative


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0]])
def test_no_triplet_no_loss(labels):
    x = torch.randn(3, 2, requires_grad=True)
    assert [len(t) for t in semi_hard_negatives(x, torch.tensor(labels), margin=0.2)] == [0, 0, 0]
    for loss in (
        semi_hard_triplet_loss(x, torch.tensor(labels), margin=0.2),
        lifted_structured_loss(x, torch.tensor(labels), margin=0.2),
    ):
        loss.backward()
        assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros(3, 2))


# --- lifted structure ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), SIZES)
@pytest.mark.parametrize("margin", [0.5, 30.0])
def test_lifted_matches_the_formula(n, d, margin, rng):
    x, labels = labelled(rng, n, d)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if labels[i] == labels[j]]
    total = 0.0
    for i, j in pairs:
        push = sum(math.exp(margin - math.dist(x[i], x[k])) for k in range(n) if labels[k] != labels[i])
        push += sum(math.exp(margin - math.dist(x[j], x[k])) for k in range(n) if labels[k] != labels[j])
        total += max(0.0, math.log(push) + math.dist(x[i], x[j])) ** 2
    got = lifted_structured_loss(torch.tensor(x), torch.tensor(labels), margin=margin)
    assert got.item() == pytest.approx(total / (2 * len(pairs)), rel=1e-10)


def test_lifted_equals_a_peer(rng):
    x, labels = map(torch.tensor, labelled(rng, 16, 5))
    peer = losses.LiftedStructureLoss(
        neg_margin=1.0, pos_margin=0.0, distance=distances.LpDistance(normalize_embeddings=False)
    )
    torch.testing.assert_close(lifted_structured_loss(x, labels, margin=1.0), peer(x, labels))


def test_lifted_of_far_points_does_not_overflow():
    x = torch.tensor([[0.0], [1e4], [2e4], [3e4]], requires_grad=True)
    loss = lifted_structured_loss(x, torch.tensor([0, 0, 1, 1]), margin=1.0)
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()


def test_lifted_at_coinciding_points():
    loss = lifted_structured_loss(torch.zeros(6, 3), torch.tensor([0, 0, 0, 1, 1, 1]), margin=1.0)
    assert loss.item() == pytest.approx((1 + math.log(6)) ** 2 / 2)
