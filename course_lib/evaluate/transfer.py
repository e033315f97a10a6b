"""Transfer: does what was learnt on one set of images serve on another?"""

from torch import nn

from course_lib.data import ImageSet
from course_lib.evaluate.features import features
from course_lib.evaluate.few_labels import Probe
from course_lib.evaluate.linear import linear_probe_accuracy


def transfer_accuracy(
    model: nn.Module, train: ImageSet, test: ImageSet, *, probe: Probe = linear_probe_accuracy
) -> float:
    """Accuracy of a probe on frozen features of a data set, usually one the model was not trained on.

    Compare with the same call for a random network, and with `raw_pixels`: some sets are easy.

    Args:
        model: a backbone, or a method with a `.backbone`.
        train, test: labelled images of the same classes, resized to what the backbone takes.
        probe: (train features, train labels, test features, test labels) -> accuracy.

    Raises:
        ValueError: the two sets do not have the same classes.
    """
    if train.class_names != test.class_names:
        raise ValueError(f"the sets have other classes: {train.class_names} and {test.class_names}")
    return probe(features(model, train.images), train.labels, features(model, test.images), test.labels)
