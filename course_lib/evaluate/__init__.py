"""Probes: what do frozen features know?"""

from course_lib.evaluate.clustering import Clustering, clustering_accuracy, clustering_scores
from course_lib.evaluate.collapse import effective_rank, feature_std
from course_lib.evaluate.encoder import encoder_of
from course_lib.evaluate.factors import factor_scores, regression_probe_r2
from course_lib.evaluate.features import features, raw_pixels
from course_lib.evaluate.few_labels import few_label_accuracy, few_label_indices
from course_lib.evaluate.finetune import fine_tune_accuracy
from course_lib.evaluate.knn import best_knn_accuracy, knn_accuracy
from course_lib.evaluate.linear import linear_probe_accuracy
from course_lib.evaluate.linear_sweep import Sweep, linear_probe_sweep
from course_lib.evaluate.memory import backward_bytes
from course_lib.evaluate.online import collapse_meter, online_knn
from course_lib.evaluate.retrieval import retrieval_scores
from course_lib.evaluate.scoreboard import REFERENCES, Scoreboard
from course_lib.evaluate.transfer import transfer_accuracy

__all__ = [
    "REFERENCES",
    "Clustering",
    "Scoreboard",
    "Sweep",
    "backward_bytes",
    "best_knn_accuracy",
    "clustering_accuracy",
    "clustering_scores",
    "collapse_meter",
    "effective_rank",
    "encoder_of",
    "factor_scores",
    "feature_std",
    "features",
    "few_label_accuracy",
    "few_label_indices",
    "fine_tune_accuracy",
    "knn_accuracy",
    "linear_probe_accuracy",
    "linear_probe_sweep",
    "online_knn",
    "raw_pixels",
    "regression_probe_r2",
    "retrieval_scores",
    "transfer_accuracy",
]
