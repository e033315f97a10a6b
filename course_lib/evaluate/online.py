"""Probes for the training loop: called with the method after every epoch, never part of its loss."""

from collections.abc import Callable

from torch import Tensor, nn

from course_lib.data import ImageSet
from course_lib.evaluate.collapse import effective_rank, feature_std
from course_lib.evaluate.features import features
from course_lib.evaluate.knn import knn_accuracy


def online_knn(
    train: ImageSet, test: ImageSet, *, k: int = 20, temperature: float = 0.07
) -> Callable[[nn.Module], float]:
    """A probe for `fit`: kNN accuracy of the method's backbone. A few thousand images are enough to watch.

    Choose nothing by it if `test` is the set on which you report.
    """

    def probe(method: nn.Module) -> float:
        return knn_accuracy(
            features(method, train.images),
            train.labels,
            features(method, test.images),
            test.labels,
            k=k,
            temperature=temperature,
        )

    return probe


def collapse_meter(images: Tensor) -> Callable[[nn.Module], dict[str, float]]:
    """A meter for `fit`: standard deviation and effective rank of the backbone's features of these images.

    A collapsed method has a low loss, if it has no negatives; these two numbers then fall towards zero.
    """

    def meter(method: nn.Module) -> dict[str, float]:
        found = features(method, images)
        return {"feature std": feature_std(found), "effective rank": effective_rank(found)}

    return meter
