"""NT-Xent: kept whole, and by strips of rows."""

import math
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from pytorch_metric_learning.losses import SupConLoss
from torch.multiprocessing.reductions import StorageWeakRef

from course_lib.losses import nt_xent_loss

TILES = [None, 1, 3, 256]


def by_hand(z1, z2, temperature):
    """Chen et al. 2020, Algorithm 1, with the two views interleaved as there."""
    z = np.stack([z1, z2], axis=1).reshape(-1, z1.shape[1])
    s = z @ z.T / np.linalg.norm(z, axis=1)[:, None] / np.linalg.norm(z, axis=1)[None, :]

    def ell(i, j):
        others = [s[i, k] / temperature for k in range(len(z)) if k != i]
        return np.logaddexp.reduce(others) - s[i, j] / temperature

    return sum(ell(2 * k, 2 * k + 1) + ell(2 * k + 1, 2 * k) for k in range(len(z1))) / len(z)


def plain(z1, z2, temperature):
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z1)))


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("temperature", [0.01, 0.5, 5.0])
@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 1), (5, 3), (16, 32)])
def test_matches_algorithm_1(n, d, temperature, tile, rng):
    z1, z2 = rng.standard_normal((2, n, d))
    got = nt_xent_loss(torch.tensor(z1), torch.tensor(z2), temperature=temperature, tile=tile)
    assert got.item() == pytest.approx(by_hand(z1, z2, temperature), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("n", [1, 2, 7, 200])  # 400 views: two strips of the default on a CPU
def test_gradient_equals_that_of_a_plain_cross_entropy(n, tile, rng):
    z1, z2 = (torch.tensor(x, requires_grad=True) for x in rng.standard_normal((2, n, 8)))
    for temperature in (0.05, 1.0):
        ours = torch.autograd.grad(3 * nt_xent_loss(z1, z2, temperature=temperature, tile=tile), (z1, z2))
        theirs = torch.autograd.grad(3 * plain(z1, z2, temperature), (z1, z2))
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("tile", [None, 3])
def test_gradcheck(tile, rng):
    z = [torch.tensor(x, requires_grad=True) for x in rng.standard_normal((2, 4, 3))]
    assert torch.autograd.gradcheck(lambda a, b: nt_xent_loss(a, b, temperature=0.3, tile=tile), z)


@pytest.mark.parametrize("tile", [None, 3])
def test_gradcheck_of_the_temperature_and_of_the_gradient(tile, rng):
    z1, z2 = (torch.tensor(x, requires_grad=True) for x in rng.standard_normal((2, 4, 3)))
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def loss(a, b, t):
        return nt_xent_loss(a, b, temperature=t, tile=tile)

    assert torch.autograd.gradcheck(loss, (z1, z2, temperature))
    assert torch.autograd.gradgradcheck(loss, (z1, z2, temperature))
    assert torch.autograd.gradgradcheck(lambda a, b: nt_xent_loss(a, b, temperature=0.3, tile=tile), (z1, z2))


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("n", [4, 200])
def test_a_learnt_temperature_gets_the_gradient_of_a_plain_cross_entropy(n, shape, rng):
    z1, z2 = (torch.tensor(x, requires_grad=True) for x in rng.standard_normal((2, n, 8)))
    ours, theirs = (torch.full(shape, 0.2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    nt_xent_loss(z1.detach(), z2, temperature=ours).backward()
    plain(z1, z2, theirs).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    alone = torch.full(shape, 0.2, dtype=torch.float64, requires_grad=True)
    nt_xent_loss(z1.detach(), z2.detach(), temperature=alone).backward()
    torch.testing.assert_close(alone.grad, theirs.grad)


@pytest.mark.parametrize("tile", [None, 3])
def test_a_penalty_on_the_gradient_is_learnt_from(tile, rng):
    """Its own gradient is a second derivative; create_graph alone must be enough to get it."""
    z1, z2 = torch.tensor(rng.standard_normal((2, 200, 3)))

    def learnt(loss):
        x = z1.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(x), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), x)[0]

    torch.testing.assert_close(
        learnt(lambda x: nt_xent_loss(x, z2, tile=tile)), learnt(lambda x: plain(x, z2, 0.5))
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", [64, 300, 1100])  # in one go; in strips; in strips whatever the threads
def test_nothing_is_lost_where_all_partners_agree_at_a_tiny_temperature(n, threads, rng):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        z1 = torch.tensor(rng.standard_normal((n, 32)), dtype=torch.float32, requires_grad=True)
        z2 = z1.detach() + 0.05 * torch.tensor(rng.standard_normal((n, 32)), dtype=torch.float32)
        loss = nt_xent_loss(z1, z2, temperature=0.001)
        (gradient,) = torch.autograd.grad(loss, z1)
        assert loss.item() >= 0
        exact = torch.autograd.grad(plain(z1.double(), z2.double(), 0.001), z1)[0]
        torch.testing.assert_close(gradient, exact, rtol=1e-3, atol=1e-8)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("seed", range(20))
def test_the_loss_of_one_image_is_never_negative(seed):
    z1, z2 = torch.randn(2, 1, 16, generator=torch.Generator().manual_seed(seed))
    for tile in (None, 1):
        assert nt_xent_loss(z1, z2, temperature=0.07, tile=tile) >= 0


@pytest.mark.parametrize("tile", [None, 3])
def test_backward_may_run_twice_and_inputs_may_be_shared(tile, rng):
    z = torch.tensor(rng.standard_normal((5, 3)), requires_grad=True)
    loss = nt_xent_loss(z, z.flip(0) + 0.1, temperature=0.2, tile=tile)
    (first,) = torch.autograd.grad(loss, z, retain_graph=True)
    (second,) = torch.autograd.grad(loss, z)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, torch.autograd.grad(plain(z, z.flip(0) + 0.1, 0.2), z)[0])


def test_equals_the_peers(rng):
    z1, z2 = torch.tensor(rng.standard_normal((2, 12, 8)), dtype=torch.float32)
    ours = nt_xent_loss(z1, z2, temperature=0.2)
    torch.testing.assert_close(ours, NTXentLoss(temperature=0.2)(z1, z2))
    # with one positive an anchor, the supervised contrastive loss is NT-Xent
    torch.testing.assert_close(
        ours, SupConLoss(temperature=0.2)(torch.cat([z1, z2]), torch.arange(12).repeat(2))
    )


@pytest.mark.parametrize("tile", TILES)
def test_chance_where_all_views_coincide(tile):
    z = torch.ones(8, 4)
    loss = nt_xent_loss(z, 3 * z, temperature=0.01, tile=tile)
    assert loss.item() == pytest.approx(math.log(15), abs=2e-5)  # float32 beside scores of 100


def test_one_pair_costs_nothing():
    z1, z2 = torch.randn(2, 1, 4, requires_grad=True)
    loss = nt_xent_loss(z1, z2, temperature=0.1)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert all(g.abs().max() < 1e-5 for g in torch.autograd.grad(loss, (z1, z2)))


def test_symmetric_in_the_views_and_blind_to_order_rotation_and_length(rng):
    z1, z2 = torch.tensor(rng.standard_normal((2, 9, 5)))
    loss = nt_xent_loss(z1, z2, temperature=0.1)
    order = torch.tensor(rng.permutation(9))
    rotation = torch.linalg.qr(torch.tensor(rng.standard_normal((5, 5)))).Q
    lengths = torch.tensor(rng.uniform(0.1, 10, (9, 1)))
    for a, b in [(z2, z1), (z1[order], z2[order]), (z1 @ rotation, z2 @ rotation), (lengths * z1, z2)]:
        torch.testing.assert_close(nt_xent_loss(a, b, temperature=0.1), loss)


@pytest.mark.parametrize("tile", [None, 4])
def test_opposite_partners_at_a_low_temperature(tile):
    """The log of a softmax probability that float32 cannot hold: 200, not 87 and not inf."""
    z1 = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    loss = nt_xent_loss(z1, -z1.detach(), temperature=0.01, tile=tile)
    loss.backward()
    assert loss.item() == pytest.approx(
        by_hand(z1.detach().double().numpy(), -z1.detach().double().numpy(), 0.01)
    )
    assert z1.grad.isfinite().all()


def test_tiles_keep_no_matrix(monkeypatch):
    """With tiles one strip of the similarities is alive at a time; without, all wait for the gradient."""
    module = sys.modules["course_lib.losses.nt_xent"]
    made, alive = [], []
    make_strip = module._strip

    def watched(*arguments):
        alive.append(sum(not strip.expired() for strip in made))
        scores = make_strip(*arguments)
        made.append(StorageWeakRef(scores.untyped_storage()))
        return scores

    monkeypatch.setattr(module, "_strip", watched)
    monkeypatch.setattr(module, "_rows_of_a_strip", lambda z: 64)
    monkeypatch.setattr(module, "_views_in_one_go", lambda z: 0)
    z1, z2 = torch.randn(2, 128, 8, requires_grad=True)
    nt_xent_loss(z1, z2, temperature=0.5, tile=64).backward()
    assert (len(made), max(alive)) == (8, 1)  # 4 strips, made twice; the last one lives until it is replaced
    made.clear()
    alive.clear()
    nt_xent_loss(z1, z2, temperature=0.5).backward()
    assert (len(made), max(alive)) == (4, 3)


@pytest.mark.parametrize("tile", [0, -1])
def test_a_tile_needs_a_row(tile):
    with pytest.raises(ValueError, match="tile"):
        nt_xent_loss(torch.ones(2, 2), torch.ones(2, 2), tile=tile)


@pytest.mark.gpu
@pytest.mark.parametrize("tile", [None, 100])
def test_gpu_agrees_with_cpu(tile):
    z1, z2 = torch.randn(2, 300, 64, requires_grad=True)
    on_cpu = torch.autograd.grad(loss := nt_xent_loss(z1, z2, temperature=0.1), (z1, z2))
    with torch.autocast("cuda", torch.float16):
        on_gpu = nt_xent_loss(z1.cuda(), z2.cuda(), temperature=0.1, tile=tile)
    torch.testing.assert_close(on_gpu.cpu(), loss, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.autograd.grad(on_gpu, (z1, z2)), on_cpu, atol=1e-5, rtol=1e-3)
