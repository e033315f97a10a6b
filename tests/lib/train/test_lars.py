"""LARS against a transcription in float64, and against lightly's where the two agree."""

import copy

import numpy as np
import pytest
import torch
from lightly.utils.lars import LARS as PeerLARS

from course_lib.train import LARS


def transcription(weight, gradients, lrs, *, momentum, decay, trust):
    """SimCLR's LARS, a step at a time: classic momentum, ratio from the decayed gradient, 1-D left alone."""
    w, v = np.array(weight, dtype=np.float64), np.zeros_like(weight, dtype=np.float64)
    for gradient, lr in zip(gradients, lrs, strict=True):
        change = np.array(gradient, dtype=np.float64)
        scaled = lr
        if w.ndim > 1:
            change = change + decay * w
            scaled = lr * trust * np.linalg.norm(w) / np.linalg.norm(change)
        v = momentum * v + scaled * change
        w = w - v
    return w


def run(optimiser_of, weight, gradients, lrs):
    parameter = torch.nn.Parameter(torch.tensor(weight))
    optimiser = optimiser_of([parameter])
    for gradient, lr in zip(gradients, lrs, strict=True):
        optimiser.param_groups[0]["lr"] = lr
        parameter.grad = torch.tensor(gradient)
        optimiser.step()
    return parameter.detach().numpy()


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 3, 3), (5,)])
def test_matches_the_transcription_under_a_schedule(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    weight, gradients = rng.standard_normal(shape), rng.standard_normal((6, *shape))
    lrs = [0.3, 1.0, 2.0, 1.0, 0.5, 0.1]
    expected = transcription(weight, gradients, lrs, momentum=0.9, decay=0.1, trust=0.02)
    got = run(lambda p: LARS(p, 0.1, weight_decay=0.1, trust=0.02), weight, gradients, lrs)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_agrees_with_lightly_at_a_constant_rate() -> None:
    """With one learning rate it does not matter on which side of the buffer it stands.

    lightly's ratio has |g| + decay |w| below the line (You et al. before SimCLR); with a gradient along the
    weight the two denominators are the same.
    """
    weight = np.random.default_rng(0).standard_normal((4, 3))
    gradients = [0.7 * weight] * 3
    ours = run(lambda p: LARS(p, 1.0, weight_decay=1e-3), weight, gradients[:1], [1.0])
    theirs = run(
        lambda p: PeerLARS(p, lr=1.0, momentum=0.9, weight_decay=1e-3, eps=0), weight, gradients[:1], [1.0]
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    # Without decay lightly does not adapt at all, which is momentum SGD; so is ours for a vector.
    vector, steps = weight[0], list(weight[1:])
    ours = run(lambda p: LARS(p, 0.2, weight_decay=0.5), vector, steps, [0.2] * 3)
    theirs = run(lambda p: PeerLARS(p, lr=0.2, momentum=0.9), vector, steps, [0.2] * 3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize(("weight", "gradient"), [(0.0, 1.0), (1.0, 0.0)])
def test_a_zero_norm_counts_as_ratio_one(weight: float, gradient: float) -> None:
    got = run(lambda p: LARS(p, 0.5), np.full((2, 2), weight), [np.full((2, 2), gradient)], [0.5])
    np.testing.assert_allclose(got, np.full((2, 2), weight - 0.5 * gradient))


def test_leaves_alone_what_has_no_gradient_and_restores_its_velocity() -> None:
    torch.manual_seed(0)
    moved, still = torch.nn.Parameter(torch.randn(3, 3)), torch.nn.Parameter(torch.randn(3, 3))
    optimiser, before = LARS([moved, still], 1.0), still.detach().clone()
    moved.grad = torch.randn(3, 3)
    optimiser.step()
    assert torch.equal(still, before)
    twin = torch.nn.Parameter(moved.detach().clone())
    other = LARS([twin, torch.nn.Parameter(before)], 1.0)
    other.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    twin.grad = moved.grad.clone()
    optimiser.step()
    other.step()
    assert torch.equal(moved, twin)


@pytest.mark.parametrize("bad", [{"lr": -1}, {"momentum": 1.0}, {"weight_decay": -1}, {"trust": 0}])
def test_bad_settings(bad: dict) -> None:
    with pytest.raises(ValueError, match="expected lr >= 0"):
        LARS([torch.nn.Parameter(torch.zeros(2))], **{"lr": 1.0, **bad})
