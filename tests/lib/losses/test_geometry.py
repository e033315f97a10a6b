"""Alignment and uniformity."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_lib.losses import alignment, uniformity


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("alpha", [1, 2, 3])
def test_alignment_matches_the_formula(alpha, rng):
    a, b = rng.standard_normal((2, 7, 4))
    expected = np.mean([math.dist(u, v) ** alpha for u, v in zip(unit(a), unit(b), strict=True)])
    got = alignment(torch.tensor(a), torch.tensor(b), alpha=alpha)
    assert got.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("t", [0.5, 2])
def test_uniformity_matches_the_formula(t, rng):
    z = rng.standard_normal((9, 4))
    u = unit(z)
    potentials = [math.exp(-t * math.dist(u[i], u[j]) ** 2) for i in range(9) for j in range(i)]
    assert uniformity(torch.tensor(z), t=t).item() == pytest.approx(math.log(np.mean(potentials)), rel=1e-12)


def test_values_to_know():
    same = torch.ones(6, 3)
    opposite = torch.tensor([[1.0, 0], [-1.0, 0]])
    assert alignment(same, 2 * same).item() == 0
    assert uniformity(same).item() == 0
    assert alignment(opposite, -opposite).item() == pytest.approx(4)
    assert uniformity(opposite).item() == pytest.approx(-8)
    spread = torch.randn(500, 256, generator=torch.Generator().manual_seed(0))
    assert uniformity(spread).item() == pytest.approx(-4, abs=0.1)
    assert alignment(spread, spread.roll(1, 0)).item() == pytest.approx(2, abs=0.1)


def test_gradients_are_finite_where_features_coincide():
    for function in (
        lambda z: alignment(z, z.detach()),
        lambda z: alignment(z, z.detach(), alpha=1),
        uniformity,
    ):
        z = torch.ones(4, 3, requires_grad=True)
        function(z).backward()
        torch.testing.assert_close(z.grad, torch.zeros(4, 3))


def test_nt_xent_pulls_towards_both(rng):
    """Wang & Isola's point: aligned and spread views have a smaller NT-Xent than either alone."""
    from course_lib.losses import nt_xent_loss

    z = F.normalize(torch.tensor(rng.standard_normal((64, 32))), dim=1)
    other = F.normalize(torch.tensor(rng.standard_normal((64, 32))), dim=1)
    both, spread_only = nt_xent_loss(z, z, temperature=0.5), nt_xent_loss(z, other, temperature=0.5)
    aligned_only = nt_xent_loss(torch.ones(64, 32), torch.ones(64, 32), temperature=0.5)
    assert both < min(spread_only, aligned_only)


def test_uniformity_of_one_feature_is_refused():
    with pytest.raises(ValueError, match="at least two"):
        uniformity(torch.ones(1, 3))
