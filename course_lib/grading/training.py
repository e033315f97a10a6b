"""Watching a training function at work on a small Shapes world, and the verdict on what was seen.

What happens while it runs (`observe`) and what the network knows that came out of it (`backbone_accuracy`)
are found out apart: the first where the student's code runs, the second wherever one likes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from course_lib.data import load
from course_lib.evaluate import features, knn_accuracy
from course_lib.exercises.training import Trace, TrainingExercise
from course_lib.grading.answers import TimeLimit, explain
from course_lib.grading.ladder import Verdict
from course_lib.grading.watch import NUM_PROJECTIONS, watch
from course_lib.models import SmallConvNet, mlp

TEST_COUNT = 1000


def networks(exercise: TrainingExercise, seed: int) -> tuple[SmallConvNet, nn.Sequential]:
    """Backbone and projector as they are before the training, on the CPU; seeds torch's generator."""
    torch.manual_seed(seed)
    backbone = SmallConvNet(exercise.width)
    return backbone, mlp(backbone.num_features, 128, NUM_PROJECTIONS)


def observe(
    exercise: TrainingExercise, train: Callable[..., object], seed: int
) -> tuple[Trace, nn.Module | None]:
    """Call `train` on a small Shapes world of that seed, and note what it does.

    Returns:
        What was seen, without accuracies (see `with_accuracy`), and the network that `train` returned; None
        if it returned no network, or none that makes one vector of an image.

    Raises:
        NotImplementedError: as raised by `train`: an item that was left blank.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = load("shapes", "train", count=exercise.count, seed=seed).images.to(device)
    with torch.random.fork_rng(devices=[0] if device == "cuda" else []), torch.enable_grad():
        seen = watch(exercise, *(network.to(device) for network in networks(exercise, seed)))
        try:
            result = seen.call(train, images)
        except NotImplementedError:
            raise
        except (Exception, SystemExit, TimeLimit) as error:
            return replace(seen.trace(), error=explain(error)), None
    trace = seen.trace(result)
    if not isinstance(result, nn.Module):
        return trace, None
    try:
        return replace(trace, features=features(result, images[:2], cache=False).shape[1]), result
    except Exception as error:
        return replace(trace, error=f"what you return cannot be applied to images: {explain(error)}"), None


def backbone_accuracy(exercise: TrainingExercise, network: nn.Module, seed: int) -> float:
    """Accuracy of the nearest neighbours among the exercise's training images, on a network's features."""
    training = load("shapes", "train", count=exercise.count, seed=seed)
    test = load("shapes", "test", count=TEST_COUNT, seed=seed)
    bank, queries = (features(network, x.images) for x in (training, test))
    return knn_accuracy(bank, training.labels, queries, test.labels)


def with_accuracy(exercise: TrainingExercise, trace: Trace, network: nn.Module | None, seed: int) -> Trace:
    """The trace, with what the nearest neighbours make of the returned and of the untrained network."""
    if network is None:
        return trace
    with torch.random.fork_rng():
        untrained, _ = networks(exercise, seed)
    return replace(
        trace,
        accuracy=backbone_accuracy(exercise, network, seed),
        baseline=backbone_accuracy(exercise, untrained, seed),
    )


def judge_training(exercise: TrainingExercise, trace: Trace) -> Verdict:
    """The verdict on a trace: the first thing that went wrong, else whether the features got better."""
    if trace.error:
        return Verdict("runs", tuple(trace.error.split("\n")))
    for symptom in exercise.misconceptions:
        if symptom.seen(trace):
            return Verdict("training", (_filled(symptom.finding, trace), symptom.advice))
    gain = trace.accuracy - trace.baseline
    numbers = f"kNN accuracy {trace.accuracy:.2f}, with the untrained network {trace.baseline:.2f}"
    if gain < exercise.margin:
        return Verdict(
            "accuracy",
            (
                f"it runs, but the features hardly got better: {numbers};"
                f" expected at least {exercise.margin:.2f} more.",
                f"The loss went from {trace.losses[0]:.2f} to {trace.losses[-1]:.2f};"
                " is the learning rate `lr` used, and every image seen in every epoch?",
            ),
        )
    return Verdict("", (f"passed ({numbers}).",))


def _filled(sentence: str, trace: Trace) -> str:
    return sentence.format(**vars(trace))
