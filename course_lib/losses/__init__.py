"""Losses: pure functions of tensors, one equation each.

Tensors come first, hyper-parameters are keyword-only, the result is a float32 scalar (float64 stays
float64). Whatever is normalised or averaged is said in the docstring.
"""

from course_lib.losses.consistency import consistency_loss, signal_threshold
from course_lib.losses.geometry import alignment, uniformity
from course_lib.losses.hard_negatives import (
    debiased_nt_xent_loss,
    hard_negative_nt_xent_loss,
    mochi_mix,
    mochi_negatives,
)
from course_lib.losses.lifted import lifted_structured_loss
from course_lib.losses.mining import semi_hard_negatives, semi_hard_triplet_loss
from course_lib.losses.nce import (
    info_nce_accuracy,
    info_nce_loss,
    mutual_information_bound,
    n_pair_loss,
    nce_loss,
)
from course_lib.losses.nt_xent import nt_xent_loss
from course_lib.losses.pair import contrastive_loss, triplet_loss
from course_lib.losses.soft_nn import soft_nearest_neighbor_loss

__all__ = [
    "alignment",
    "consistency_loss",
    "contrastive_loss",
    "debiased_nt_xent_loss",
    "hard_negative_nt_xent_loss",
    "info_nce_accuracy",
    "info_nce_loss",
    "lifted_structured_loss",
    "mochi_mix",
    "mochi_negatives",
    "mutual_information_bound",
    "n_pair_loss",
    "nce_loss",
    "nt_xent_loss",
    "semi_hard_negatives",
    "semi_hard_triplet_loss",
    "signal_threshold",
    "soft_nearest_neighbor_loss",
    "triplet_loss",
    "uniformity",
]
