"""Unsupervised data augmentation: an image and its augmented version should get the same prediction.

Xie, Dai, Hovy, Luong & Le, "Unsupervised Data Augmentation for Consistency Training", NeurIPS 2020.
"""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from course_lib.losses.precision import check_embeddings, check_positive, full_precision


@full_precision
def consistency_loss(
    augmented: Tensor, original: Tensor, *, temperature: float = 0.4, threshold: float = 0.8
) -> Tensor:
    """KL divergence from the sharpened prediction on the original to that on the augmented image (eq. 1).

    No gradient flows through the original: it is the target. Images on whose original the network is not
    confident are left out, yet still counted in the mean, so that early in training the loss is small.

    Args:
        augmented: logits of the augmented images, (N, C).
        original: logits of the same images without strong augmentation, (N, C).
        temperature: divides the original's logits; below 1 it sharpens the target. 1 leaves it alone.
        threshold: an image counts if its largest probability, not sharpened, is above this; 0 keeps all.

    Returns:
        Sum over the confident images divided by N, a float32 scalar, never negative. 0 when none is
        confident, and, at temperature 1, when both predictions agree.

    Raises:
        ValueError: shapes differ or are not (N, C), temperature <= 0, or threshold not in [0, 1).
    """
    check_embeddings(augmented=augmented, original=original)
    check_positive(temperature=temperature)
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be in [0, 1), got {threshold}")
    original = original.detach()
    target = F.log_softmax(original / temperature, dim=1)
    divergence = F.kl_div(F.log_softmax(augmented, dim=1), target, reduction="none", log_target=True).sum(1)
    confident = original.softmax(dim=1).amax(dim=1) > threshold  # (N,)
    return divergence[confident].sum() / len(divergence)


def signal_threshold(
    progress: float, num_classes: int, *, schedule: Literal["linear", "log", "exp"] = "linear"
) -> float:
    """Training-signal annealing: above which probability of its true class a labelled image is left out.

    With few labels the network learns them by heart long before it has seen the unlabelled images; so the
    threshold rises from chance 1 / C to 1, and labels are released slowly (UDA, section 2.3 and figure 2).

    Args:
        progress: share of the training done, from 0 to 1.
        num_classes: C.
        schedule: "exp" releases most of the signal at the end, for few labels; "log" most at the start.

    Raises:
        ValueError: progress is not in [0, 1], fewer than two classes, or an unknown schedule.
    """
    if not 0 <= progress <= 1 or num_classes < 2:
        raise ValueError(
            f"expected progress in [0, 1] and at least 2 classes, got {progress} and {num_classes}"
        )
    released = {
        "linear": progress,
        "log": 1 - math.exp(-5 * progress),
        "exp": math.exp(5 * (progress - 1)),
    }
    if schedule not in released:
        raise ValueError(f"schedule must be one of {sorted(released)}, got {schedule!r}")
    return released[schedule] * (1 - 1 / num_classes) + 1 / num_classes
