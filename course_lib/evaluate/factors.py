"""What did the features keep? Probes for the factors of Shapes, which are known and independent."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.data import Shapes
from course_lib.data.shapes.world import TEST_START
from course_lib.evaluate.inputs import standardise
from course_lib.evaluate.linear import linear_probe_accuracy


def regression_probe_r2(
    train_features: Tensor,
    train_targets: Tensor,
    test_features: Tensor,
    test_targets: Tensor,
    *,
    weight_decay: float = 1e-2,
) -> float:
    """How much of a continuous factor one matrix can read from frozen features: R^2 of ridge regression.

    Args:
        train_features, test_features: (N, F) and (M, F); standardised inside.
        train_targets, test_targets: (N, T) and (M, T), such as x and y of the centre.
        weight_decay: L2 penalty on the weights, relative to the mean squared error.

    Returns:
        Mean over targets of 1 - squared error / variance on the test set: 1 is perfect, 0 what the mean of
        the test targets gets; features that tell nothing land near 0, a little below it.

    Raises:
        ValueError: features and targets do not fit together, or a test target does not vary.
    """
    pairs = ((train_features, train_targets), (test_features, test_targets))
    if any(x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) == 0 for x, y in pairs):
        raise ValueError(
            "expected features (N, F) and targets (N, T), got "
            + " and ".join(f"{tuple(x.shape)}, {tuple(y.shape)}" for x, y in pairs)
        )
    x, x_test = standardise(train_features.double(), test_features.double())
    y, y_test = train_targets.double(), test_targets.double()
    mean = y.mean(0)
    penalty = weight_decay * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(x.T @ x / len(x) + penalty, x.T @ (y - mean) / len(x))  # (F, T)
    spread = y_test.var(0, correction=0)
    if (spread == 0).any():
        raise ValueError("a test target that does not vary cannot be explained")
    error = (x_test @ weight + mean - y_test).square().mean(0)
    return (1 - error / spread).mean().item()


def factor_scores(
    encode: Callable[[Tensor], Tensor], *, seed: int = 0, size: int = 32, train: int = 2000, test: int = 1000
) -> dict[str, float]:
    """Which factors of an image can be read from its features? Linear probes on Shapes with agreement 0.

    In the default world colour and texture follow the class, so a probe for colour would also be one for the
    class. With agreement 0 every factor is drawn by itself, and what a probe finds is that factor's own.

    Args:
        encode: uint8 images (N, 3, H, W) -> features (N, F).
        seed, size: of the world.
        train, test: images that the probes learn from and are tested on.

    Returns:
        "colour": accuracy in telling the ten palettes, chance 0.1. "position": R^2 of the main object's
        centre. "background": R^2 of the mean colour behind it. "shape": accuracy in telling the ten shapes
        by their outline alone, chance 0.1.
    """
    world = Shapes(seed=seed, size=size, agreement=0.0)
    factors = [world.factors(range(start, start + n)) for start, n in ((0, train), (TEST_START, test))]
    known, new = (encode(world.render(f)) for f in factors)

    def accuracy(labels: list[Tensor]) -> float:
        return linear_probe_accuracy(known, labels[0], new, labels[1])

    def r2(targets: list[Tensor]) -> float:
        return regression_probe_r2(known, targets[0], new, targets[1])

    return {
        "colour": accuracy([f.palette[:, 0] for f in factors]),
        "position": r2([torch.stack([f.x[:, 0], f.y[:, 0]], dim=1) for f in factors]),
        "background": r2([f.light[:, None] * f.background_colours.mean(1) for f in factors]),
        "shape": accuracy([f.shape[:, 0] for f in factors]),
    }
