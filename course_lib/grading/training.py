"""Watching a training function at work on a small Shapes world, and the verdict on what was seen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.augment import SimCLRAugment
from course_lib.data import ImageSet, load
from course_lib.evaluate import features, knn_accuracy
from course_lib.exercises.training import Trace, TrainingExercise
from course_lib.grading.answers import TimeLimit, explain
from course_lib.grading.ladder import Verdict
from course_lib.losses import nt_xent_loss
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
        value = nt_xent_loss(z1, z2, temperature=self.temperature)
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


def observe(exercise: TrainingExercise, train: Callable[..., object], seed: int) -> Trace:
    """Call `train` on a small Shapes world of that seed, and note what it does.

    Raises:
        NotImplementedError: as raised by `train`: an item that was left blank.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training = load("shapes", "train", count=exercise.count, seed=seed)
    steps = exercise.epochs * (exercise.count // exercise.batch_size)
    watch = _Watch(steps, SimCLRAugment(32), exercise.temperature)
    with torch.random.fork_rng(devices=[0] if device == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seed)
        backbone = SmallConvNet(exercise.width).to(device)
        projector = mlp(backbone.num_features, 128, NUM_PROJECTIONS).to(device)
        before = copy.deepcopy((backbone, projector))
        watch.watch_gradient(next(backbone.parameters()))
        notes = Trace(
            expected_steps=steps,
            num_features=backbone.num_features,
            num_projections=NUM_PROJECTIONS,
        )
        try:
            result = train(
                backbone,
                projector,
                training.images.to(device),
                augment=watch.view,
                loss=watch.loss,
                epochs=exercise.epochs,
                batch_size=exercise.batch_size,
                lr=exercise.lr,
            )
        except NotImplementedError:
            raise
        except (Exception, SystemExit, TimeLimit) as error:
            return replace(notes, error=explain(error))
    notes = replace(
        notes,
        **_counts(watch),
        returned=type(result).__name__,
        backbone_moved=_moved(backbone, before[0]),
        projector_moved=_moved(projector, before[1]),
        returned_moved=isinstance(result, nn.Module) and _moved(result, before[0]),
    )
    if not isinstance(result, nn.Module):
        return notes
    return _probed(notes, result, before[0], training, seed)


def _probed(notes: Trace, result: nn.Module, untrained: nn.Module, training: ImageSet, seed: int) -> Trace:
    """The notes, with what the nearest neighbours make of the returned and of the untrained network."""
    test = load("shapes", "test", count=TEST_COUNT, seed=seed)

    def probe(network: nn.Module) -> tuple[int, float]:
        bank, queries = (features(network, x.images).flatten(1) for x in (training, test))
        return bank.shape[1], knn_accuracy(bank, training.labels, queries, test.labels)

    try:
        width, accuracy = probe(result)
    except Exception as error:
        return replace(notes, error=f"what you return cannot be applied to images: {explain(error)}")
    return replace(notes, features=width, accuracy=accuracy, baseline=probe(untrained)[1])


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


def _moved(network: nn.Module, before: nn.Module) -> bool:
    old, new = dict(before.named_parameters()), dict(network.named_parameters())
    return old.keys() != new.keys() or any(not torch.equal(old[name], new[name]) for name in old)


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
