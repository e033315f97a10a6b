"""NCE, N-pair, InfoNCE, its accuracy and its bound."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from pytorch_metric_learning import distances, losses

from course_lib.losses import (
    info_nce_accuracy,
    info_nce_loss,
    mutual_information_bound,
    n_pair_loss,
    nce_loss,
    nt_xent_loss,
)


def info_nce_by_hand(q, p, negatives, temperature):
    total = 0.0
    for i in range(len(q)):
        scores = [q[i] @ p[i], *(q[i] @ k for k in (negatives[i] if negatives.ndim == 3 else negatives))]
        scores = [math.exp(s / temperature) for s in scores]
        total -= math.log(scores[0] / sum(scores))
    return total / len(q)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (4, 12)])
def test_nce_matches_the_formula(n, m, rng):
    data, noise = rng.standard_normal(n), rng.standard_normal(m)

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    expected = -(sum(math.log(sigmoid(x)) for x in data) + sum(math.log(1 - sigmoid(x)) for x in noise)) / n
    assert nce_loss(torch.tensor(data), torch.tensor(noise)).item() == pytest.approx(expected, rel=1e-12)


def test_nce_is_twice_torchs_binary_cross_entropy(rng):
    data, noise = torch.tensor(rng.standard_normal((2, 9)))
    targets = torch.cat([torch.ones(9), torch.zeros(9)]).double()
    peer = 2 * F.binary_cross_entropy_with_logits(torch.cat([data, noise]), targets)
    torch.testing.assert_close(nce_loss(data, noise), peer)


def test_nce_chance_and_certainty():
    zeros = torch.zeros(4)
    assert nce_loss(zeros, zeros).item() == pytest.approx(2 * math.log(2))
    assert nce_loss(zeros, torch.zeros(12)).item() == pytest.approx(4 * math.log(2))
    assert nce_loss(zeros + 1000, zeros - 1000).item() == 0
    assert nce_loss(zeros - 1000, zeros + 1000).item() == 2000  # log(sigmoid) in two steps gives inf


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 2), (6, 3, 5), (8, 20, 16)])
def test_info_nce_and_n_pair_match_the_formula(n, k, d, shared, rng):
    q, p = rng.standard_normal((2, n, d))
    negatives = rng.standard_normal((k, d) if shared else (n, k, d))
    tensors = [torch.tensor(x) for x in (q, p, negatives)]
    expected = info_nce_by_hand(q, p, negatives, 0.3)
    assert info_nce_loss(*tensors, temperature=0.3).item() == pytest.approx(expected, rel=1e-10)
    per_anchor = negatives if negatives.ndim == 3 else np.broadcast_to(negatives, (n, k, d))
    sohn = np.mean([math.log1p(np.exp(per_anchor[i] @ q[i] - q[i] @ p[i]).sum()) for i in range(n)])
    assert n_pair_loss(*tensors).item() == pytest.approx(sohn, rel=1e-10)


def test_n_pair_equals_a_peer(rng):
    anchor, positive = torch.tensor(rng.standard_normal((2, 6, 4)))
    others = torch.tensor([[j for j in range(6) if j != i] for i in range(6)])
    peer = losses.NPairsLoss(distance=distances.DotProductSimilarity(normalize_embeddings=False))
    # the peer's pairs: rows of one label, the first of them the anchor
    theirs = peer(torch.stack([anchor, positive], dim=1).flatten(0, 1), torch.arange(6).repeat_interleave(2))
    torch.testing.assert_close(n_pair_loss(anchor, positive, positive[others]), theirs)


def test_info_nce_equals_a_peer_with_a_queue(rng):
    q, p = F.normalize(torch.tensor(rng.standard_normal((2, 5, 8))), dim=-1).float()
    peer = NTXentLoss(temperature=0.2, memory_bank_size=(16, 8))
    queue = peer.memory_bank.bank.clone()  # what the peer compares with: its bank before this batch
    torch.testing.assert_close(
        info_nce_loss(q, p, F.normalize(queue, dim=1), temperature=0.2), peer(q, p), atol=1e-5, rtol=1e-5
    )


def test_info_nce_is_nt_xent_when_given_its_candidates(rng):
    z = F.normalize(torch.tensor(rng.standard_normal((8, 4))), dim=1)
    partner = [(i + 4) % 8 for i in range(8)]
    others = torch.tensor([[j for j in range(8) if j not in (i, partner[i])] for i in range(8)])
    torch.testing.assert_close(
        info_nce_loss(z, z[partner], z[others], temperature=0.1), nt_xent_loss(z[:4], z[4:], temperature=0.1)
    )


def test_info_nce_chance_is_the_log_of_the_candidates():
    ones = torch.ones(3, 2)
    assert info_nce_loss(ones, ones, torch.ones(7, 2), temperature=0.01).item() == pytest.approx(math.log(8))
    assert n_pair_loss(ones, ones, torch.ones(3, 7, 2)).item() == pytest.approx(math.log(8))


def test_nothing_is_normalised(rng):
    q, p = torch.tensor(rng.standard_normal((2, 4, 3)))
    negatives = torch.tensor(rng.standard_normal((5, 3)))
    assert not torch.allclose(n_pair_loss(q, p, negatives), n_pair_loss(2 * q, p, negatives))
    assert not torch.allclose(
        info_nce_loss(q, p, negatives, temperature=1), info_nce_loss(2 * q, p, negatives, temperature=1)
    )


@pytest.mark.parametrize("shared", [False, True])
def test_accuracy_counts_the_wins(shared):
    q = torch.eye(4)
    p = 2 * torch.eye(4)
    negatives = torch.tensor([[1.0, 0, 0, 0], [0, 3.0, 0, 0]])  # the second beats the positive of query 1
    if not shared:
        negatives = negatives.expand(4, 2, 4)
    accuracy = info_nce_accuracy(q, p, negatives)
    assert accuracy.dtype == torch.float32
    assert accuracy.item() == 0.75


def test_a_collapsed_encoder_scores_nothing():
    ones = torch.ones(4, 2)
    assert info_nce_accuracy(ones, ones, torch.ones(5, 2)).item() == 0


def test_accuracy_of_random_embeddings_is_chance(rng):
    q, p = torch.tensor(rng.standard_normal((2, 4000, 8)))
    negatives = torch.tensor(rng.standard_normal((4000, 4, 8)))
    assert info_nce_accuracy(q, p, negatives).item() == pytest.approx(1 / 5, abs=0.03)


def test_bound_on_mutual_information():
    assert mutual_information_bound(0.0, 256) == pytest.approx(math.log(256))
    assert mutual_information_bound(math.log(256), 256) == pytest.approx(0)
    torch.testing.assert_close(
        mutual_information_bound(torch.tensor(1.5), 8), torch.tensor(math.log(8) - 1.5)
    )
    with pytest.raises(ValueError, match="at least 1"):
        mutual_information_bound(0.0, 0)


def test_bound_stays_below_the_mutual_information_of_gaussians():
    """With the ideal critic of correlated Gaussians the bound approaches the known value from below."""
    generator = torch.Generator().manual_seed(0)
    rho, n, batches = 0.9, 128, 40
    truth = -0.5 * math.log(1 - rho**2)  # 0.83 nats, far below log 128
    x = torch.randn(batches, n, generator=generator, dtype=torch.float64)
    y = rho * x + math.sqrt(1 - rho**2) * torch.randn(batches, n, generator=generator, dtype=torch.float64)
    # log p(y | x) up to a function of x is <(x, 1), (rho y, -rho^2 y^2 / 2)> / (1 - rho^2)
    loss = 0.0
    for a, b in zip(x, y, strict=True):
        query = torch.stack([a, torch.ones(n)], dim=1)
        keys = torch.stack([rho * b, -(rho**2) * b**2 / 2], dim=1)
        others = torch.tensor([[j for j in range(n) if j != i] for i in range(n)])
        loss += info_nce_loss(query, keys, keys[others], temperature=1 - rho**2).item() / batches
    assert truth - 0.1 < mutual_information_bound(loss, n) < truth + 0.02
