"""Fine-tuning: the pretrained weights as a starting point."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.augment import SimCLRAugment
from course_lib.data import ImageSet
from course_lib.evaluate.encoder import encoder_of
from course_lib.evaluate.features import features
from course_lib.methods import Supervised
from course_lib.train import Views, fit


def fine_tune_accuracy(
    model: nn.Module,
    train: ImageSet,
    test: ImageSet,
    *,
    epochs: int = 30,
    lr: float = 1e-3,
    weight_decay: float = 1e-4,
    batch_size: int = 32,
    augment: Callable[[Tensor], Any] | None = None,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> float:
    """Test accuracy after training backbone and a new classifier together on labelled images.

    The model itself is not changed: a copy of its backbone is trained. With a fresh network the same call is
    the supervised baseline, with the same epochs, batches and augmentation: the fair comparison for few
    labels (give `train.subset(few_label_indices(...))`). Draws come from torch's global generator.

    Args:
        model: a backbone with `num_features`, or a method with a `.backbone`.
        train, test: labelled images of the same classes.
        epochs: passes over `train`. Few images want many (SimCLR: 60 for 1 %, 30 for 10 % of the labels).
        lr, weight_decay: AdamW's, with warm-up and cosine.
        batch_size: images a step; the whole set if it is smaller.
        augment: images -> one view; crops of at least half the area and flips if not given.
        device: where to train; where the model is if not given.
        progress: show a bar.

    Returns:
        Fraction right, in [0, 1].

    Raises:
        ValueError: the two sets do not have the same classes.
    """
    if train.class_names != test.class_names:
        raise ValueError(f"the sets have other classes: {train.class_names} and {test.class_names}")
    backbone = copy.deepcopy(encoder_of(model)).requires_grad_(True)
    home = device or next(backbone.parameters()).device
    classifier = Supervised(backbone, train.num_classes).to(home)
    augment = augment or SimCLRAugment(train.images.shape[-1], min_scale=0.5, jitter=False)
    views = Views(train, augment, batch_size=min(batch_size, len(train)), labels=True, device=home)
    fit(classifier, views, epochs=epochs, lr=lr, weight_decay=weight_decay, progress=progress)
    with torch.no_grad():
        h = features(backbone, test.images, cache=False)  # (M, F)
        predicted = classifier.classifier.cpu()(h).argmax(1)
    return int((predicted == test.labels).sum()) / len(test)
