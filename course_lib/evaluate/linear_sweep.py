"""The linear probe as papers train it: SGD, with a sweep over learning rates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.evaluate.inputs import check_split, standardise

LEARNING_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Sweep:
    """Result of a linear probe with a sweep.

    Attributes:
        accuracy: on the test set, at the learning rate chosen, in [0, 1].
        lr: the learning rate chosen, best on the part of the training set held out for that.
        validation: learning rate -> accuracy on the part held out.
        at_edge: the choice is the smallest or largest of the sweep, so a wider sweep may find a better one.
    """

    accuracy: float
    lr: float
    validation: dict[float, float]
    at_edge: bool


def linear_probe_sweep(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    lrs: Sequence[float] = LEARNING_RATES,
    epochs: int = 50,
    batch_size: int = 256,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    held_out: float = 0.1,
    seed: int = 0,
) -> Sweep:
    """Linear classifiers trained with SGD, one for each learning rate, all at once (as DINOv2 does).

    Features are standardised (MAE puts a batch norm without parameters there), classifiers start at zero, the
    learning rate falls along half a cosine. The rate is chosen on held-out training images and the classifier
    trained again on all of them: choosing on the test set, as is often done, flatters. Papers train on
    augmented images; here features are fixed, so nothing is gained from long training.

    Args:
        train_features, test_features: (N, F) and (M, F).
        train_labels, test_labels: (N,) and (M,), integers.
        lrs: learning rates for a batch of `batch_size`.
        epochs: passes over the features.
        batch_size: features a step; all of them if there are fewer.
        momentum, weight_decay: of SGD; the decay is not applied to biases.
        held_out: share of the training set on which the rate is chosen, in (0, 1).
        seed: of the split and of the order.

    Raises:
        ValueError: features and labels do not fit together, no rates, or a share that leaves nothing.
    """
    check_split(train_features, train_labels, test_features, test_labels)
    count = round(held_out * len(train_labels))
    if not lrs or min(lrs) <= 0 or not 0 < count < len(train_labels):
        raise ValueError(
            f"expected positive learning rates and a held-out share that leaves images on both sides, got "
            f"lrs={tuple(lrs)} and held_out={held_out} of {len(train_labels)}"
        )
    order = torch.randperm(len(train_labels), generator=torch.Generator().manual_seed(seed))
    kept, held = order[count:], order[:count]
    classes = int(train_labels.max()) + 1

    def score(index: Tensor, x_test: Tensor, y_test: Tensor, rates: Sequence[float]) -> list[float]:
        x, x_test = standardise(train_features[index].float(), x_test.float())
        weight, bias = train_classifiers(
            x, train_labels[index], classes, rates,
            epochs=epochs, batch_size=batch_size, momentum=momentum, weight_decay=weight_decay, seed=seed,
        )  # fmt: skip
        predicted = (x_test @ weight + bias).argmax(-1)  # (L, M)
        return (predicted == y_test).double().mean(1).tolist()

    validation = dict(zip(lrs, score(kept, train_features[held], train_labels[held], lrs), strict=True))
    best = max(validation, key=lambda lr: validation[lr])
    accuracy = score(order, test_features, test_labels, [best])[0]
    return Sweep(accuracy, best, validation, at_edge=best in (min(lrs), max(lrs)))


def train_classifiers(
    x: Tensor,
    labels: Tensor,
    classes: int,
    lrs: Sequence[float],
    *,
    epochs: int,
    batch_size: int,
    momentum: float,
    weight_decay: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Weights (L, F, C) and biases (L, 1, C) of L softmax classifiers trained side by side from zero.

    Same steps as `torch.optim.SGD` with each learning rate; the gradient of the mean cross-entropy is written
    out, since it is short: x^T (softmax - one-hot) / B.
    """
    weight = x.new_zeros(len(lrs), x.shape[1], classes)
    bias = x.new_zeros(len(lrs), 1, classes)
    velocity_w, velocity_b = torch.zeros_like(weight), torch.zeros_like(bias)
    rates = torch.tensor(lrs, dtype=x.dtype, device=x.device).view(-1, 1, 1)
    targets = F.one_hot(labels, classes).to(x.dtype)
    generator = torch.Generator().manual_seed(seed)
    batch_size = min(batch_size, len(x))
    steps_per_epoch = len(x) // batch_size
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        for i, chosen in enumerate(order.split(batch_size)[:steps_per_epoch]):
            done = (epoch * steps_per_epoch + i) / (epochs * steps_per_epoch)
            rate = rates * 0.5 * (1 + math.cos(math.pi * done))
            error = (x[chosen] @ weight + bias).softmax(-1) - targets[chosen]  # (L, B, C)
            gradient = x[chosen].T @ error / len(chosen) + weight_decay * weight  # (L, F, C)
            weight -= rate * velocity_w.mul_(momentum).add_(gradient)
            bias -= rate * velocity_b.mul_(momentum).add_(error.mean(1, keepdim=True))
    return weight, bias
