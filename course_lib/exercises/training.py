"""Exercises that ask for a training loop: judged by what happens while it runs, not by its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trace:
    """What was seen while a training function ran: plain data, to be judged far from where it ran.

    Args:
        error: why it ended early, as a sentence; empty if it did not.
        returned: the name of the type that came back.
        features: length of the vector that the returned network makes of an image; None if it makes none.
        num_features: length of the backbone's features.
        num_projections: length of the projector's output.
        steps: how often the loss was computed.
        expected_steps: epochs times batches.
        augmented: how often the augmentation was called.
        attached: share of the steps in which the loss could reach the network by gradient.
        unprojected: share of the steps in which the loss saw features instead of projections.
        identical: share of the steps in which the two views had the same projections.
        mispaired: share of the steps in which the two views were of different images.
        backward: how often a gradient came back to the loss.
        climbing: share of those in which its sign was negative, which maximises the loss.
        accumulated: share of the backward passes after the first that found an old gradient still there.
        backbone_moved, projector_moved: whether any parameter changed.
        returned_moved: whether the returned network differs from the one handed in as it was.
        losses: the loss at each step.
        accuracy: of the k nearest neighbours, on the returned network's features.
        baseline: the same for the network as it was handed in.
    """

    error: str = ""
    returned: str = ""
    features: int | None = None
    num_features: int = 0
    num_projections: int = 0
    steps: int = 0
    expected_steps: int = 0
    augmented: int = 0
    attached: float = 1.0
    unprojected: float = 0.0
    identical: float = 0.0
    mispaired: float = 0.0
    backward: int = 0
    climbing: float = 0.0
    accumulated: float = 0.0
    backbone_moved: bool = False
    projector_moved: bool = False
    returned_moved: bool = False
    losses: tuple[float, ...] = ()
    accuracy: float = 0.0
    baseline: float = 0.0


@dataclass(frozen=True)
class MomentumTrace(Trace):
    """What else was seen while a loop with a momentum encoder and a queue ran.

    A share of the steps is a number in [0, 1]; the first steps, which show nothing yet, are left out.

    Args:
        keys_attached: share of the steps in which the keys carried a gradient.
        key_graded: whether a gradient arrived at the key encoder.
        unasked: share of the steps in which the query encoder made nothing.
        unkeyed: share of the steps in which the key encoder made nothing.
        views: augmented images per image and step.
        followed: share of the steps in which the key encoder moved.
        rate: which share of its way to the query encoder the key encoder went in a step, the median.
        expected_rate: 1 - momentum.
        resized: share of the steps in which the queue had another length than at first.
        unnormalised: share of the steps in which some row of the queue had not length 1.
        leaked: share of the steps in which a batch's keys were among their own negatives.
        unchanged: share of the steps in which the queue was the same as a step before.
        misplaced: share of the steps in which the queue held the queries of the step before.
        unremembered: share of the steps in which the queue did not hold the keys of the step before.
        forgotten: share of the steps in which it did not hold the keys of the step before that.
        returned_key: whether the returned network has the key encoder's weights.
    """

    keys_attached: float = 0.0
    key_graded: bool = False
    unasked: float = 0.0
    unkeyed: float = 0.0
    views: float = 2.0
    followed: float = 1.0
    rate: float = 0.0
    expected_rate: float = 0.0
    resized: float = 0.0
    unnormalised: float = 0.0
    leaked: float = 0.0
    unchanged: float = 0.0
    misplaced: float = 0.0
    unremembered: float = 0.0
    forgotten: float = 0.0
    returned_key: bool = False


@dataclass(frozen=True)
class Symptom:
    """A usual mistake in a training loop, and how it shows.

    Args:
        name: the mistake in a few words.
        seen: whether the exercise's kind of trace shows it.
        finding: what was seen, as a sentence.
        advice: the next sentence: where to look.
        credit: the share of the item's points that is kept: none where nothing useful can be learnt or
            nothing usable comes back, half where most of the loop is right. It is fixed: how well the
            features turn out in spite of a mistake is luck.
    """

    name: str
    seen: Callable[[Any], bool]
    finding: str
    advice: str
    credit: float = 0.5


@dataclass(frozen=True)
class TrainingExercise:
    """A training loop to write: `train(backbone, projector, images, augment=..., loss=..., epochs=..., ...)`.

    Args:
        name: also the nbgrader grade id.
        reference: the course's own loop.
        misconceptions: usual mistakes, the more fundamental first: the first that is seen is told.
        margin: how much better than the untrained network the nearest neighbours must get.
        count: training images.
        epochs, batch_size, lr: what the function is called with.
        width: of the small network.
        temperature: of the contrastive loss that it is handed.
    """

    name: str
    reference: Callable[..., object]
    misconceptions: tuple[Symptom, ...]
    margin: float
    count: int = 2048
    epochs: int = 6
    batch_size: int = 128
    lr: float = 2e-3
    width: int = 8
    temperature: float = 0.2


@dataclass(frozen=True)
class MomentumTrainingExercise(TrainingExercise):
    """A loop with a momentum encoder: `train(query_encoder, key_encoder, images, queue=..., loss=..., ...)`.

    Args:
        queue_size: keys in the queue; at least three batches, so that two earlier ones are always in it.
        momentum: of the key encoder.
    """

    queue_size: int = 256
    momentum: float = 0.98
