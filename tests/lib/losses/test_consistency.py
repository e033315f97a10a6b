"""UDA's consistency loss against a numpy transcription, and what gets a gradient."""

import math

import numpy as np
import pytest
import torch

from course_lib.losses.consistency import consistency_loss, signal_threshold


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("temperature", "threshold"), [(1.0, 0.0), (0.4, 0.0), (0.4, 0.5), (2.0, 0.3)])
def test_matches_the_formula(temperature: float, threshold: float) -> None:
    rng = np.random.default_rng(0)
    augmented, original = 2 * rng.standard_normal((2, 9, 5))
    p, target, q = softmax(original), softmax(original / temperature), softmax(augmented)
    kl = (target * (np.log(target) - np.log(q))).sum(axis=1)
    expected = (kl * (p.max(axis=1) > threshold)).sum() / 9
    got = consistency_loss(
        torch.tensor(augmented), torch.tensor(original), temperature=temperature, threshold=threshold
    )
    assert got.dtype == torch.float64
    assert got.item() == pytest.approx(expected, rel=1e-9)


def test_gradient_only_through_the_augmented_and_confident() -> None:
    original = torch.tensor([[6.0, 0.0, 0.0], [0.1, 0.0, 0.0]], requires_grad=True)
    augmented = torch.zeros(2, 3, requires_grad=True)
    consistency_loss(augmented, original).backward()
    assert original.grad is None
    assert augmented.grad[0].abs().max() > 0.1
    assert augmented.grad[1].abs().max() == 0


def test_gradient_is_prediction_minus_target() -> None:
    augmented = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    original = torch.randn(6, 4, dtype=torch.float64)
    consistency_loss(augmented, original, temperature=0.5, threshold=0.0).backward()
    expected = (augmented.softmax(1) - (original / 0.5).softmax(1)) / 6
    torch.testing.assert_close(augmented.grad, expected.detach())


def test_agreement_nobody_confident_and_extremes() -> None:
    logits = torch.randn(5, 3)
    assert consistency_loss(logits, logits, temperature=1.0, threshold=0.0).item() == pytest.approx(
        0, abs=1e-6
    )
    assert consistency_loss(logits, torch.zeros(5, 3)).item() == 0
    huge = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    assert torch.isfinite(consistency_loss(-huge, huge))
    half = consistency_loss(huge.half() / 100, -huge.half() / 100)
    assert half.dtype == torch.float32
    assert torch.isfinite(half)


def test_signal_threshold() -> None:
    assert signal_threshold(0.0, 10) == pytest.approx(0.1)
    assert signal_threshold(1.0, 10) == pytest.approx(1.0)
    assert signal_threshold(0.5, 4) == pytest.approx(0.5 * 0.75 + 0.25)
    assert signal_threshold(0.5, 2, schedule="exp") == pytest.approx(math.exp(-2.5) / 2 + 0.5)
    early = [signal_threshold(0.3, 10, schedule=s) for s in ("exp", "linear", "log")]
    assert early == sorted(early)


@pytest.mark.parametrize(
    ("bad", "match"), [({"temperature": 0.0}, "temperature"), ({"threshold": 1.0}, "threshold")]
)
def test_bad_input(bad: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        consistency_loss(torch.zeros(2, 3), torch.zeros(2, 3), **bad)
    with pytest.raises(ValueError, match="same shape"):
        consistency_loss(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="progress"):
        signal_threshold(2.0, 10)
