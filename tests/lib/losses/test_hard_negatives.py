"""Debiased, hard-weighted and mixed negatives."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightly.loss import DCLLoss

from course_lib.losses import (
    debiased_nt_xent_loss,
    hard_negative_nt_xent_loss,
    mochi_mix,
    mochi_negatives,
    nt_xent_loss,
)


def by_hand(z1, z2, temperature, tau_plus, beta):
    """Robinson et al. 2021, eq. 4, the weights as in the authors' code."""
    z = np.concatenate([z1, z2])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    views, total = len(z), 0.0
    for i in range(views):
        partner = (i + views // 2) % views
        positive = math.exp(z[i] @ z[partner] / temperature)
        negatives = [math.exp(z[i] @ z[k] / temperature) for k in range(views) if k not in (i, partner)]
        m = len(negatives)
        weights = [x**beta for x in negatives]
        weighted = sum(w * x for w, x in zip(weights, negatives, strict=True)) / (sum(weights) / m)
        g = (weighted - tau_plus * m * positive) / (1 - tau_plus)
        total -= math.log(positive / (positive + max(g, m * math.exp(-1 / temperature))))
    return total / views


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("tau_plus", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("n", "d"), [(2, 2), (6, 3), (20, 16)])
def test_match_the_formula(n, d, beta, tau_plus, temperature, rng):
    z1, z2 = rng.standard_normal((2, n, d))
    options = {"temperature": temperature, "tau_plus": tau_plus}
    expected = by_hand(z1, z2, temperature, tau_plus, beta)
    a, b = torch.tensor(z1), torch.tensor(z2)
    assert hard_negative_nt_xent_loss(a, b, beta=beta, **options).item() == pytest.approx(expected, rel=1e-8)
    if beta == 0:
        assert debiased_nt_xent_loss(a, b, **options).item() == pytest.approx(expected, rel=1e-8)


def test_without_correction_and_weights_it_is_nt_xent(rng):
    z1, z2 = (torch.tensor(x, requires_grad=True) for x in rng.standard_normal((2, 9, 4)))
    plain = nt_xent_loss(z1, z2, temperature=0.07)
    ours = debiased_nt_xent_loss(z1, z2, temperature=0.07, tau_plus=0.0)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(torch.autograd.grad(ours, (z1, z2)), torch.autograd.grad(plain, (z1, z2)))


def test_negatives_agree_with_a_peer(rng):
    """Without the positive, whose log is G's, the loss is lightly's decoupled one: a check of what G sums."""
    z1, z2 = torch.tensor(rng.standard_normal((2, 8, 5)))
    z1, z2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    s = (z1 * z2).sum(1) / 0.3
    ours = hard_negative_nt_xent_loss(z1, z2, temperature=0.3, tau_plus=0, beta=0)
    decoupled = DCLLoss(temperature=0.3)(z1, z2)  # mean of log G - s over the 2N views
    z = torch.cat([z1, z2])
    g = (z @ z.T / 0.3).masked_fill(torch.eye(8, dtype=torch.bool).repeat(2, 2), -torch.inf).logsumexp(1)
    torch.testing.assert_close((g - s.repeat(2)).mean(), decoupled)
    torch.testing.assert_close(ours, F.softplus(g - s.repeat(2)).mean())


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("tau_plus", [0.0, 0.1, 0.9])
def test_chance_where_all_views_coincide(tau_plus, beta):
    z = torch.ones(5, 3)
    loss = hard_negative_nt_xent_loss(z, z, temperature=0.01, tau_plus=tau_plus, beta=beta)
    assert loss.item() == pytest.approx(math.log(9), rel=1e-4)


def test_the_floor_holds_and_leaves_no_gradient_of_the_negatives():
    """Perfect pairs among orthogonal others: the estimate of the negatives falls below its floor."""
    z = torch.eye(4, requires_grad=True)
    loss = debiased_nt_xent_loss(z, z.detach(), temperature=0.2, tau_plus=0.5)
    floor = math.log(6) - 1 / 0.2
    assert loss.item() == pytest.approx(math.log1p(math.exp(floor - 1 / 0.2)), rel=1e-5)
    loss.backward()
    assert z.grad.isfinite().all()


def test_hard_negatives_weigh_more(rng):
    z1, z2 = torch.tensor(rng.standard_normal((2, 16, 4)))
    losses = [hard_negative_nt_xent_loss(z1, z2, tau_plus=0.0, beta=beta) for beta in (0.0, 0.5, 1.0, 2.0)]
    assert losses == sorted(losses)


@pytest.mark.parametrize("options", [{"tau_plus": 1.0}, {"tau_plus": -0.1}, {"beta": -1.0}])
def test_bad_hyper_parameters(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        hard_negative_nt_xent_loss(torch.ones(2, 2), torch.ones(2, 2), **options)


# --- MoCHi ---------------------------------------------------------------------------------------------


@pytest.fixture
def draws(rng):
    return {
        "first": torch.tensor(rng.integers(0, 5, (3, 4))),
        "second": torch.tensor(rng.integers(0, 5, (3, 4))),
        "alpha": torch.tensor(rng.uniform(0, 1, (3, 4))),
        "third": torch.tensor(rng.integers(0, 5, (3, 2))),
        "beta": torch.tensor(rng.uniform(0, 0.5, (3, 2))),
    }


def test_mix_matches_the_formula(draws, rng):
    query, queue = rng.standard_normal((3, 6)), rng.standard_normal((20, 6))
    got = mochi_mix(torch.tensor(query), torch.tensor(queue), **draws)

    def unit(v):
        return v / np.linalg.norm(v)

    n = {name: x.numpy() for name, x in draws.items()}
    for b in range(3):
        q = unit(query[b])
        ranked = sorted((unit(k) for k in queue), key=lambda k: -(q @ k))
        for m in range(4):
            share = n["alpha"][b, m]
            h = unit(share * ranked[n["first"][b, m]] + (1 - share) * ranked[n["second"][b, m]])
            np.testing.assert_allclose(got[b, m], h, atol=1e-12)
        for m in range(2):
            share = n["beta"][b, m]
            h = unit(share * q + (1 - share) * ranked[n["third"][b, m]])
            np.testing.assert_allclose(got[b, 4 + m], h, atol=1e-12)


def test_queue_receives_no_gradient(draws):
    query, queue = torch.randn(3, 6, requires_grad=True), torch.randn(20, 6, requires_grad=True)
    mochi_mix(query, queue, **draws).sum().backward()
    assert queue.grad is None
    assert query.grad.isfinite().all()


def mixed(query, queue, seed=0, **options):
    options = {"num_hard": 5, "num_mixed": 40, "num_query_mixed": 30} | options
    return mochi_negatives(query, queue, generator=torch.Generator().manual_seed(seed), **options)


def test_negatives_repeat_with_their_generator():
    query, queue = torch.randn(3, 6), torch.randn(20, 6)
    assert torch.equal(mixed(query, queue), mixed(query, queue))
    assert not torch.equal(mixed(query, queue), mixed(query, queue, seed=1))
    state = torch.get_rng_state()
    mixed(query, queue)
    assert torch.equal(state, torch.get_rng_state())


def test_negatives_are_unit_vectors_mixed_from_the_hardest_only():
    """A queue of axes shows in each mixture which of them went in, and how much of the query."""
    queue = torch.eye(12)
    query = torch.zeros(2, 12)
    query[0, :6] = torch.arange(6, 0, -1.0)  # axis 0 is the hardest, then 1, 2, ...
    query[1, :6] = torch.arange(1.0, 7)
    negatives = mixed(query, queue, num_hard=3)
    assert negatives.shape == (2, 70, 12)
    torch.testing.assert_close(negatives.norm(dim=2), torch.ones(2, 70))
    pairs = negatives[:, :40]
    assert ((pairs > 0).sum(dim=2) == 2).all()  # always two different ones
    assert (pairs[0, :, 3:] == 0).all()
    assert (pairs[1, :, [0, 1, 2, *range(6, 12)]] == 0).all()
    for axis in range(3):
        assert (pairs[0, :, axis] > 0).any()


def test_the_query_stays_the_smaller_part():
    query, queue = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    negatives = mixed(query, queue, num_hard=1, num_mixed=0, num_query_mixed=500)[0]
    share = negatives[:, 0] / negatives.sum(dim=1)
    assert share.max() < 0.5
    assert share.max() > 0.45
    assert share.min() < 0.05


def test_mixtures_with_the_query_are_harder_than_what_they_are_made_of():
    query, queue = F.normalize(torch.randn(8, 16), dim=1), F.normalize(torch.randn(100, 16), dim=1)
    negatives = mixed(query, queue, num_hard=1, num_mixed=0)
    hardest = (query @ queue.T).amax(dim=1, keepdim=True)
    assert (torch.einsum("bd,bkd->bk", query, negatives) >= hardest - 1e-6).all()


@pytest.mark.parametrize(
    ("options", "word"),
    [({"num_hard": 21}, "num_hard"), ({"num_hard": 1}, "num_hard"), ({"num_mixed": -1}, "counts")],
)
def test_mochi_refuses(options, word):
    with pytest.raises(ValueError, match=word):
        mixed(torch.randn(3, 6), torch.randn(20, 6), **options)


def test_mochi_refuses_shapes_that_do_not_belong_together(draws):
    with pytest.raises(ValueError, match="width"):
        mixed(torch.randn(3, 6), torch.randn(20, 5))
    with pytest.raises(ValueError, match="second"):
        mochi_mix(torch.randn(3, 6), torch.randn(20, 6), **(draws | {"second": draws["second"][:, :1]}))
    with pytest.raises(ValueError, match="rank 4"):
        mochi_mix(torch.randn(3, 6), torch.randn(4, 6), **(draws | {"third": torch.full((3, 2), 4)}))
