"""Watching a training function at work on a small Shapes world, and the verdict on what was seen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.augment import SimCLRAugment
from course_lib.data import ImageSet, load
from course_lib.evaluate import features, knn_accuracy
from course_lib.exercises.training import Trace, TrainingExercise
from course_lib.grading.answers import TimeLimit, explain
from course_lib.grading.ladder import HALF, Verdict
from course_lib.models import SmallConvNet, mlp

NUM_PROJECTIONS = 32  # unlike the number of features, so that the two cannot be mistaken
TEST_COUNT = 1000


class TooManySteps(Exception):
    """The loss was called more often than there are steps."""


@dataclass
class _Watch:
    """The augmentation and the loss that are handed to the student's function; both take notes."""

    expected_steps: int
    augment: SimCLRAugment
    temperature: float
    sources: list[Tensor] = field(default_factory=list)
    augmented: int = 0
    losses: list[float] = field(default_factory=list)
    attached: int = 0
    unprojected: int = 0
    identical: int = 0
    mispaired: int = 0
    arriving: list[float] = field(default_factory=list)
    incoming: list[Tensor] = field(default_factory=list)
    leftover: list[bool] = field(default_factory=list)

    def view(self, images: Tensor) -> Tensor:
        self.augmented += 1
        self.sources.append(images)
        return self.augment(images)

    def loss(self, z1: Tensor, z2: Tensor) -> Tensor:
        if len(self.losses) >= self.expected_steps + 2:
            raise TooManySteps(
                f"the loss was called more than {self.expected_steps} times, which is epochs times batches"
            )
        value = _find_the_partner(z1, z2, self.temperature)
        self.losses.append(value.item())
        self.attached += value.requires_grad
        self.unprojected += z1.shape[-1] != NUM_PROJECTIONS
        self.identical += torch.equal(z1, z2)
        first, *rest = self.sources or [z1]
        self.mispaired += any(len(s) == len(first) and not torch.equal(s, first) for s in rest)
        self.sources.clear()
        if value.requires_grad:
            value.register_hook(lambda gradient: self.arriving.append(gradient.item()))
        return value

    def watch_gradient(self, parameter: nn.Parameter) -> None:
        parameter.register_hook(lambda gradient: self.incoming.append(gradient.clone()))

        def compare(parameter: Tensor) -> None:
            assert parameter.grad is not None
            self.leftover.append(not torch.allclose(parameter.grad, self.incoming[-1]))

        parameter.register_post_accumulate_grad_hook(compare)


def _find_the_partner(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """Each view finds its partner among the views of the other side; what a lab asks for must not be here."""
    logits = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T / temperature  # (N, N)
    target = torch.arange(len(z1), device=z1.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def networks(exercise: TrainingExercise, seed: int) -> tuple[nn.Module, nn.Module]:
    """Backbone and projector as they are handed to the student's function, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = SmallConvNet(exercise.width)
        return backbone, mlp(backbone.num_features, 128, NUM_PROJECTIONS)


def observe(
    exercise: TrainingExercise, train: Callable[..., object], seed: int, device: str | None = None
) -> tuple[Trace, nn.Module | None]:
    """Call `train` on a small Shapes world of that seed; returns what it did, and the network it returned.

    How good the network is, `with_accuracy` finds out.

    Args:
        device: where to train; by default on the GPU if there is one.

    Raises:
        NotImplementedError: as raised by `train`: an item that was left blank.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    steps = exercise.epochs * (exercise.count // exercise.batch_size)
    watch = _Watch(steps, SimCLRAugment(32), exercise.temperature)
    before = networks(exercise, seed)
    backbone, projector = (network.to(device) for network in copy.deepcopy(before))
    notes = Trace(
        expected_steps=steps,
        num_features=before[0].num_features,  # type: ignore[arg-type]
        num_projections=NUM_PROJECTIONS,
    )
    watch.watch_gradient(next(backbone.parameters()))
    with torch.random.fork_rng(devices=[0] if device == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seed)
        try:
            result = train(
                backbone,
                projector,
                _world("train", exercise.count, seed).images.to(device),
                augment=watch.view,
                loss=watch.loss,
                epochs=exercise.epochs,
                batch_size=exercise.batch_size,
                lr=exercise.lr,
            )
        except NotImplementedError:
            raise
        except (Exception, SystemExit, TimeLimit) as error:
            return replace(notes, error=explain(error)), None
    notes = replace(
        notes,
        **_counts(watch),
        returned=type(result).__name__,
        backbone_moved=moved(backbone, before[0]),
        projector_moved=moved(projector, before[1]),
    )
    if not isinstance(result, nn.Module):
        return notes, None
    try:
        width = features(result, _world("train", exercise.count, seed).images[:2], cache=False).shape[1]
    except Exception as error:
        return replace(notes, error=f"what you return cannot be applied to images: {explain(error)}"), None
    return replace(notes, features=width, returned_moved=moved(result, before[0])), result


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


def _counts(watch: _Watch) -> dict[str, Any]:
    steps, later = max(len(watch.losses), 1), watch.leftover[1:]
    return {
        "steps": len(watch.losses),
        "losses": tuple(watch.losses),
        "augmented": watch.augmented,
        "attached": watch.attached / steps,
        "unprojected": watch.unprojected / steps,
        "identical": watch.identical / steps,
        "mispaired": watch.mispaired / steps,
        "backward": len(watch.arriving),
        "climbing": sum(g < 0 for g in watch.arriving) / max(len(watch.arriving), 1),
        "accumulated": sum(later) / max(len(later), 1),
    }


def moved(network: nn.Module, before: nn.Module) -> bool:
    old, new = dict(before.named_parameters()), dict(network.named_parameters())
    return old.keys() != new.keys() or any(not torch.equal(old[name].cpu(), new[name].cpu()) for name in old)


def judge_training(exercise: TrainingExercise, trace: Trace) -> Verdict:
    """The verdict on a trace: the first thing that went wrong, else whether the features got better.

    Features that got better earn half the points although something went wrong on the way.
    """
    if trace.error:
        return Verdict("runs", tuple(trace.error.split("\n")))
    gain = trace.accuracy - trace.baseline
    for symptom in exercise.misconceptions:
        if symptom.seen(trace):
            sentences = (_filled(symptom.finding, trace), symptom.advice)
            return Verdict("training", sentences, HALF if gain >= exercise.margin else 0.0, symptom.name)
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
