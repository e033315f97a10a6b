"""Watching a training function at work on a small Shapes world, and the verdict on what was seen.

What happens while it runs (`observe`) and what the network knows that came out of it (`backbone_accuracy`)
are found out apart: the first where the student's code runs, the second wherever one likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import torch
from torch import nn

from course_lib.check.answers import TimeLimit, explain
from course_lib.check.ladder import Verdict
from course_lib.check.watch import NUM_PROJECTIONS, watch
from course_lib.data import ImageSet, load
from course_lib.evaluate import features, knn_accuracy
from course_lib.exercises.training import Trace, TrainingExercise
from course_lib.models import SmallConvNet, mlp

TEST_COUNT = 1000


def networks(exercise: TrainingExercise, seed: int) -> tuple[SmallConvNet, nn.Sequential]:
    """Backbone and projector as they are handed to the student's function, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = SmallConvNet(exercise.width)
        return backbone, mlp(backbone.num_features, 128, NUM_PROJECTIONS)


def observe(
    exercise: TrainingExercise, train: Callable[..., object], seed: int, device: str | None = None
) -> tuple[Trace, nn.Module | None]:
    """Call `train` on a small Shapes world of that seed, and note what it does.

    Args:
        device: where to train; by default on the GPU if there is one.

    Returns:
        What was seen, without accuracies (see `with_accuracy`), and the network that `train` returned; None
        if it returned no network, or none that makes one vector of an image.

    Raises:
        NotImplementedError: as raised by `train`: an item that was left blank.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    images = _world("train", exercise.count, seed).images
    with torch.random.fork_rng(devices=[0] if device == "cuda" else []), torch.enable_grad(), _one_thread():
        torch.manual_seed(seed)
        seen = watch(exercise, *(network.to(device) for network in networks(exercise, seed)))
        try:
            result = seen.call(train, images.to(device))
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


@contextmanager
def _one_thread() -> Iterator[None]:
    """The same sums on a machine with any number of cores, and no wait for a core that another program has.

    The networks are so small that a second thread gains little; on two cores of which one was busy it made
    the training five times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_accuracy(
    exercise: TrainingExercise,
    trace: Trace,
    network: nn.Module | None,
    seed: int,
    world: int | None = None,
) -> Trace:
    """The trace, with what the nearest neighbours make of the returned and of the untrained network.

    Args:
        network: what `observe` returned.
        seed: what `observe` was given.
        world: seed of the Shapes world on which the two are compared; `seed` if not given.
    """
    if network is None:
        return trace
    world = seed if world is None else world
    return replace(
        trace,
        accuracy=backbone_accuracy(exercise, network, world),
        baseline=_baseline(exercise, seed, world),
    )


@lru_cache(maxsize=16)
def _baseline(exercise: TrainingExercise, seed: int, world: int) -> float:
    return backbone_accuracy(exercise, networks(exercise, seed)[0], world)


def backbone_accuracy(exercise: TrainingExercise, network: nn.Module, seed: int) -> float:
    """Of the nearest neighbours, on the network's features of the Shapes world of that seed."""
    bank, queries = _world("train", exercise.count, seed), _world("test", TEST_COUNT, seed)
    known, new = (features(network, world.images).flatten(1) for world in (bank, queries))
    return knn_accuracy(known, bank.labels, new, queries.labels)


@lru_cache(maxsize=4)
def _world(split: str, count: int, seed: int) -> ImageSet:
    return load("shapes", split, count=count, seed=seed)


def judge_training(exercise: TrainingExercise, trace: Trace) -> Verdict:
    """The verdict on a trace: the first thing that went wrong, else whether the features got better.

    A mistake that is seen costs what its symptom declares, whatever the features came to: accuracy depends on
    the world, the threads and the processor, and only tells a loop that learns from one that does not.
    """
    if trace.error:
        return Verdict("runs", tuple(trace.error.split("\n")))
    gain = trace.accuracy - trace.baseline
    for symptom in exercise.misconceptions:
        if symptom.seen(trace):
            sentences = (_filled(symptom.finding, trace), symptom.advice)
            return Verdict("training", sentences, symptom.credit, symptom.name)
    numbers = f"kNN accuracy {trace.accuracy:.2f}, with the untrained network {trace.baseline:.2f}"
    if gain < exercise.margin:
        first, last = (trace.losses[0], trace.losses[-1]) if trace.losses else (0.0, 0.0)
        return Verdict(
            "accuracy",
            (
                f"it runs, but the features hardly got better: {numbers};"
                f" expected at least {exercise.margin:.2f} more.",
                f"The loss went from {first:.2f} to {last:.2f};"
                " is the learning rate `lr` used, and every image seen in every epoch?",
            ),
        )
    return Verdict("", (f"passed ({numbers}).",), credit=1.0)


def _filled(sentence: str, trace: Trace) -> str:
    return sentence.format(**vars(trace))
