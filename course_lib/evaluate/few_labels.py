"""Few labels: what a representation is worth when labelling is dear."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.data import ImageSet
from course_lib.evaluate.features import features
from course_lib.evaluate.linear import linear_probe_accuracy

Probe = Callable[[Tensor, Tensor, Tensor, Tensor], float]


def few_label_indices(
    labels: Tensor, *, fraction: float | None = None, labels_per_class: int | None = None, seed: int = 0
) -> Tensor:
    """A random choice of images with the same number from each class.

    With one seed, a smaller choice is part of every larger one, so a curve over the number of labels adds
    images and never swaps them.

    Args:
        labels: (N,), integers.
        fraction: share of all labels, such as 0.01 or 0.1; rounded, at least one from each class.
        labels_per_class: instead of `fraction`.
        seed: of the choice.

    Returns:
        Indices into `labels`, sorted.

    Raises:
        ValueError: both or neither of the two numbers, one out of range, or a class with too few images.
    """
    classes = labels.unique()
    if (fraction is None) == (labels_per_class is None):
        raise ValueError(f"give fraction or labels_per_class, got {fraction} and {labels_per_class}")
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction must be in (0, 1], got {fraction}")
        labels_per_class = max(1, round(fraction * len(labels) / len(classes)))
    assert labels_per_class is not None
    if labels_per_class < 1:
        raise ValueError(f"labels_per_class must be at least 1, got {labels_per_class}")
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in classes.tolist():
        members = (labels == label).nonzero().squeeze(1)
        if len(members) < labels_per_class:
            raise ValueError(
                f"class {label} has {len(members)} images, but {labels_per_class} were asked for"
            )
        chosen.append(members[torch.randperm(len(members), generator=generator)[:labels_per_class]])
    return torch.cat(chosen).sort().values


def few_label_accuracy(
    model: nn.Module,
    train: ImageSet,
    test: ImageSet,
    *,
    fraction: float | None = None,
    labels_per_class: int | None = None,
    seed: int = 0,
    probe: Probe = linear_probe_accuracy,
) -> float:
    """Accuracy of a probe that may use a few labels only; the features stay frozen.

    For fine-tuning on few labels: `fine_tune_accuracy(model, train.subset(few_label_indices(...)), test)`.

    Args:
        model: a backbone, or a method with a `.backbone`.
        train, test: labelled images; the probe sees the labels of the chosen part of `train`.
        fraction, labels_per_class, seed: see `few_label_indices`.
        probe: (train features, train labels, test features, test labels) -> accuracy.

    Returns:
        Fraction right, in [0, 1].
    """
    chosen = few_label_indices(train.labels, fraction=fraction, labels_per_class=labels_per_class, seed=seed)
    known = features(model, train.images)[chosen]  # all of them, so that other choices find them computed
    return probe(known, train.labels[chosen], features(model, test.images), test.labels)
