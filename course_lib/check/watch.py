"""What is handed to a student's training function, and takes notes while it is used."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.augment import SimCLRAugment
from course_lib.exercises.training import MomentumTrace, MomentumTrainingExercise, Trace, TrainingExercise

NUM_PROJECTIONS = 32  # unlike the number of features, so that the two cannot be mistaken


class TooManySteps(Exception):
    """The loss was called more often than there are steps."""


class Watch:
    """Hands out the augmentation and the loss of two projections; both take notes."""

    def __init__(self, exercise: TrainingExercise, backbone: nn.Module, projector: nn.Module) -> None:
        self.exercise, self.backbone, self.projector = exercise, backbone, projector
        self.expected_steps = exercise.epochs * (exercise.count // exercise.batch_size)
        self.augment = SimCLRAugment(32)
        self.before = copy.deepcopy((backbone, projector))
        self.sources: list[Tensor] = []
        self.augmented = self.attached = self.unprojected = self.identical = self.mispaired = 0
        self.losses: list[float] = []
        self.arriving: list[float] = []
        self.incoming: list[Tensor] = []
        self.leftover: list[bool] = []
        self._watch_gradient(next(backbone.parameters()))

    def call(self, train: Callable[..., object], images: Tensor) -> object:
        """Let the student's function train on `images`."""
        return train(
            self.backbone,
            self.projector,
            images,
            augment=self.view,
            loss=self.loss,
            epochs=self.exercise.epochs,
            batch_size=self.exercise.batch_size,
            lr=self.exercise.lr,
        )

    def view(self, images: Tensor) -> Tensor:
        self.augmented += 1
        self.sources.append(images)
        return self.augment(images)

    def loss(self, z1: Tensor, z2: Tensor) -> Tensor:
        self._another_step()
        value = find_the_partner(z1, z2, self.exercise.temperature)
        self.unprojected += z1.shape[-1] != NUM_PROJECTIONS
        self.identical += torch.equal(z1, z2)
        self._note(value)
        return value

    def _another_step(self) -> None:
        if len(self.losses) >= self.expected_steps + 2:
            raise TooManySteps(
                f"the loss was called more than {self.expected_steps} times, which is epochs times batches"
            )

    def _note(self, value: Tensor) -> None:
        self.losses.append(value.item())
        self.attached += value.requires_grad
        first, *rest = self.sources or [value]
        self.mispaired += any(len(s) == len(first) and not torch.equal(s, first) for s in rest)
        self.sources.clear()
        if value.requires_grad:
            value.register_hook(lambda gradient: self.arriving.append(gradient.item()))

    def _watch_gradient(self, parameter: nn.Parameter) -> None:
        parameter.register_hook(lambda gradient: self.incoming.append(gradient.clone()))

        def compare(parameter: Tensor) -> None:
            assert parameter.grad is not None
            self.leftover.append(not torch.allclose(parameter.grad, self.incoming[-1]))

        parameter.register_post_accumulate_grad_hook(compare)

    def trace(self, result: object = None) -> Trace:
        """What was seen, all but the accuracy, once the function has returned `result`."""
        return Trace(**self.notes(result))

    def notes(self, result: object) -> dict[str, Any]:
        steps, later = max(len(self.losses), 1), self.leftover[1:]
        return {
            "returned": type(result).__name__,
            "num_features": self.backbone.num_features,
            "num_projections": NUM_PROJECTIONS,
            "steps": len(self.losses),
            "expected_steps": self.expected_steps,
            "losses": tuple(self.losses),
            "augmented": self.augmented,
            "attached": self.attached / steps,
            "unprojected": self.unprojected / steps,
            "identical": self.identical / steps,
            "mispaired": self.mispaired / steps,
            "backward": len(self.arriving),
            "climbing": share(gradient < 0 for gradient in self.arriving),
            "accumulated": share(later),
            "backbone_moved": moved(self.backbone, self.before[0]),
            "projector_moved": moved(self.projector, self.before[1]),
            "returned_moved": isinstance(result, nn.Module) and moved(result, self.before[0]),
        }


class MomentumWatch(Watch):
    """Hands out two encoders, a queue and the loss of queries, keys and queue."""

    exercise: MomentumTrainingExercise

    def __init__(self, exercise: MomentumTrainingExercise, backbone: nn.Module, projector: nn.Module) -> None:
        super().__init__(exercise, backbone, projector)
        self.query_encoder = nn.Sequential(backbone, projector)
        self.key_encoder = copy.deepcopy(self.query_encoder)
        device = next(backbone.parameters()).device
        self.queue = F.normalize(torch.randn(exercise.queue_size, NUM_PROJECTIONS, device=device), dim=1)
        self.seen: dict[str, Tensor] = {}  # what each encoder's first layer was given since the last loss
        self.last_queue = self.queue
        self.past: list[tuple[Tensor, Tensor]] = []  # queries and keys of the last two steps, unit vectors
        self.old_key = self._weights(self.key_encoder)
        self.rates: list[float] = []
        self.images = 0
        self.steps: defaultdict[str, list[bool]] = defaultdict(list)  # what was so, at each step, by its name
        self._watch_input("query", self.query_encoder)
        self._watch_input("key", self.key_encoder)

    def call(self, train: Callable[..., object], images: Tensor) -> object:
        return train(
            self.query_encoder,
            self.key_encoder,
            images,
            queue=self.queue.clone(),
            augment=self.view,
            loss=self.loss,
            epochs=self.exercise.epochs,
            batch_size=self.exercise.batch_size,
            lr=self.exercise.lr,
            momentum=self.exercise.momentum,
        )

    def view(self, images: Tensor) -> Tensor:
        self.images += len(images)
        return super().view(images)

    def loss(self, query: Tensor, keys: Tensor, queue: Tensor) -> Tensor:  # type: ignore[override]
        """InfoNCE on cosines; a queue that is not normalised is taken as it is."""
        self._another_step()
        shapes = [tuple(x.shape) for x in (query, keys, queue)]
        if any(len(shape) != 2 or shape[1] != NUM_PROJECTIONS for shape in shapes) or len(query) != len(keys):
            raise ValueError(
                f"the loss takes queries (B, {NUM_PROJECTIONS}), keys (B, {NUM_PROJECTIONS}) and a queue"
                f" (K, {NUM_PROJECTIONS}), got {shapes[0]}, {shapes[1]} and {shapes[2]}"
            )
        queue = queue.detach().clone()
        q, k = F.normalize(query, dim=1), F.normalize(keys, dim=1)
        value = find_the_key(q, k, queue, self.exercise.temperature)
        self._note_encoders(keys)
        self._note_queue(q.detach(), k.detach(), queue)
        self._note(value)
        return value

    def _watch_input(self, name: str, encoder: nn.Module) -> None:
        first = next(module for module in encoder.modules() if list(module.parameters(recurse=False)))

        # A copy of the encoder copies this hook with it: only the encoder that was handed out counts.
        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if module is first:
                self.seen[name] = inputs[0].detach()

        first.register_forward_pre_hook(note)

    def _note_encoders(self, keys: Tensor) -> None:
        self.steps["keys_attached"].append(keys.requires_grad)
        self.steps["unasked"].append("query" not in self.seen)
        self.steps["unkeyed"].append("key" not in self.seen)
        self.identical += len(self.seen) == 2 and torch.equal(self.seen["query"], self.seen["key"])
        self.seen.clear()
        query, key = self._weights(self.query_encoder), self._weights(self.key_encoder)
        way = query - self.old_key
        if way.any():  # at first the two are the same, and nothing can be seen
            self.rates.append(float((key - self.old_key) @ way / (way @ way)))
        self.old_key = key

    @staticmethod
    def _weights(encoder: nn.Module) -> Tensor:
        """The first layer's weights, as a vector: what happens to them happens to all."""
        return next(encoder.parameters()).detach().double().flatten().clone()

    def _note_queue(self, query: Tensor, keys: Tensor, queue: Tensor) -> None:
        steps = self.steps
        steps["resized"].append(queue.shape != self.queue.shape)
        steps["unnormalised"].append(bool(((queue.norm(dim=1) - 1).abs() > 1e-2).any()))
        steps["leaked"].append(held(keys, queue))
        if self.past:
            last_query, last_keys = self.past[-1]
            steps["unchanged"].append(torch.equal(queue, self.last_queue))
            steps["misplaced"].append(held(last_query, queue))
            steps["unremembered"].append(not held(last_keys, queue))
        if len(self.past) == 2:
            steps["forgotten"].append(not held(self.past[0][1], queue))
        self.last_queue = queue
        self.past = [*self.past[-1:], (query, keys)]

    def trace(self, result: object = None) -> MomentumTrace:
        images = max(len(self.losses), 1) * self.exercise.batch_size
        shares: dict[str, Any] = {name: share(seen) for name, seen in self.steps.items()}
        return MomentumTrace(
            **self.notes(result),
            **shares,
            views=self.images / images,
            followed=share(rate != 0 for rate in self.rates) if self.rates else 1.0,
            rate=median(self.rates) if self.rates else 0.0,
            expected_rate=1 - self.exercise.momentum,
            key_graded=any(p.grad is not None for p in self.key_encoder.parameters()),
            returned_key=isinstance(result, nn.Module)
            and moved(self.key_encoder[0], self.backbone)
            and not moved(result, self.key_encoder[0]),
        )


def watch(exercise: TrainingExercise, backbone: nn.Module, projector: nn.Module) -> Watch:
    """What an exercise of this kind hands out."""
    if isinstance(exercise, MomentumTrainingExercise):
        return MomentumWatch(exercise, backbone, projector)
    return Watch(exercise, backbone, projector)


# The losses that are handed out are written here in other words than the labs ask for: while a lab is graded,
# course_lib's own are withheld.
def find_the_partner(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """Each view finds its partner among the views of the other side."""
    logits = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T / temperature  # (N, N)
    target = torch.arange(len(z1), device=z1.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def find_the_key(query: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE of unit vectors (B, D), (B, D) against a queue (K, D), by how far the queue is ahead."""
    ahead = (query @ queue.T / temperature).logsumexp(dim=1) - (query * keys).sum(dim=1) / temperature  # (B,)
    return F.softplus(ahead).mean()


def held(rows: Tensor, queue: Tensor) -> bool:
    """Whether at least nine in ten of the unit vectors (B, D) are rows of the queue (K, D), of any length."""
    if queue.shape[1:] != rows.shape[1:] or len(queue) == 0:
        return False
    distance = torch.cdist(rows, F.normalize(queue, dim=1), compute_mode="donot_use_mm_for_euclid_dist")
    return bool((distance.amin(dim=1) < 1e-4).float().mean() >= 0.9)


def moved(network: nn.Module, before: nn.Module) -> bool:
    """Whether any parameter differs."""
    old, new = dict(before.named_parameters()), dict(network.named_parameters())
    if old.keys() != new.keys():
        return True
    return any(not torch.equal(old[name].cpu(), new[name].cpu()) for name in old)


def share(seen: Iterable[bool]) -> float:
    """The share of what is true among what was seen; 0 if nothing was."""
    found = list(seen)
    return sum(found) / max(len(found), 1)
