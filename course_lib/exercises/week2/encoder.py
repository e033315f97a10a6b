"""Train an encoder with a momentum encoder and a queue."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.augment.views import Augment
from course_lib.exercises import symptoms
from course_lib.exercises.training import Note, Symptom, Watch, moved
from course_lib.exercises.view_training import NUM_PROJECTIONS, ViewTraining, ViewWatch, share
from course_lib.methods.momentum import ema_update

QueueLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def train_moco(
    query_encoder: nn.Sequential,
    key_encoder: nn.Sequential,
    images: Tensor,
    *,
    queue: Tensor,
    augment: Augment,
    loss: QueueLoss,
    epochs: int,
    batch_size: int,
    lr: float,
    momentum: float,
) -> nn.Module:
    """Train the query encoder against a queue of keys; returns its backbone, query_encoder[0]."""
    optimiser = torch.optim.AdamW(query_encoder.parameters(), lr=lr)
    start = 0
    for _ in range(epochs):
        for index in torch.randperm(len(images), device=images.device).split(batch_size):
            view1, view2 = augment(images[index]), augment(images[index])
            ema_update(key_encoder, query_encoder, momentum)
            with torch.no_grad():
                keys = F.normalize(key_encoder(view2), dim=1)  # (B, D)
            optimiser.zero_grad()
            loss(query_encoder(view1), keys, queue).backward()
            optimiser.step()
            rows = (start + torch.arange(len(keys), device=queue.device)) % len(queue)
            queue = queue.index_copy(0, rows, keys)
            start = (start + len(keys)) % len(queue)
    return query_encoder[0]


class MomentumWatch(ViewWatch):
    """Hands out two encoders, a queue and the loss of queries, keys and queue."""

    NOTES: ClassVar[Mapping[str, Note]] = {
        **ViewWatch.NOTES,
        # Shares of the steps; the first ones, which show nothing yet, are left out.
        "keys_attached": 0.0,  # the keys carried a gradient
        "unasked": 0.0,  # the query encoder made nothing
        "unkeyed": 0.0,  # the key encoder made nothing
        "followed": 1.0,  # the key encoder moved
        "resized": 0.0,  # the queue had another length than at first
        "unnormalised": 0.0,  # some row of the queue had not length 1
        "leaked": 0.0,  # a batch's keys were among their own negatives
        "unchanged": 0.0,  # the queue was the same as a step before
        "misplaced": 0.0,  # the queue held the queries of the step before
        "unremembered": 0.0,  # the queue did not hold the keys of the step before
        "forgotten": 0.0,  # it did not hold the keys of the step before that
        # Of the whole run.
        "rate": 0.0,  # share of its way to the query encoder that the key encoder went in a step, the median
        "expected_rate": 0.0,  # 1 - momentum
        "key_graded": False,  # whether a gradient arrived at the key encoder
        "returned_key": False,  # whether the returned network has the key encoder's weights
    }

    exercise: MomentumTraining

    def __init__(self, exercise: MomentumTraining, networks: tuple[nn.Module, ...], seed: int) -> None:
        super().__init__(exercise, networks, seed)
        self.query_encoder = nn.Sequential(*networks)
        self.key_encoder = copy.deepcopy(self.query_encoder)
        rows = torch.randn(exercise.queue_size, NUM_PROJECTIONS, device=self.device)
        self.queue = F.normalize(rows, dim=1)
        self.seen: dict[str, Tensor] = {}  # what each encoder's first layer was given since the last loss
        self.last_queue = self.queue
        # Queries and keys of the last two steps, unit vectors.
        self.past: list[list[tuple[Tensor, Tensor]]] = []
        self.old_key = self._weights(self.key_encoder)
        self.rates: list[float] = []
        self.steps: defaultdict[str, list[bool]] = defaultdict(list)  # what was so, at each step, by its name
        self._watch_input("query", self.query_encoder)
        self._watch_input("key", self.key_encoder)

    def call(self, train: Callable[..., object]) -> object:
        return train(
            self.query_encoder,
            self.key_encoder,
            self.images(),
            queue=self.queue.clone(),
            augment=self.view,
            loss=self.loss,
            epochs=self.exercise.epochs,
            batch_size=self.exercise.batch_size,
            lr=self.exercise.lr,
            momentum=self.exercise.momentum,
        )

    def loss(self, query: Tensor, keys: Tensor, queue: Tensor) -> Tensor:
        """InfoNCE on cosines, by how far the queue is ahead: other words than the lab asks for, whose losses
        are withheld while it is graded. A queue that is not normalised is taken as it is."""
        begins = self.begin()
        shapes = [tuple(x.shape) for x in (query, keys, queue)]
        if any(len(shape) != 2 or shape[1] != NUM_PROJECTIONS for shape in shapes) or len(query) != len(keys):
            raise ValueError(
                f"the loss takes queries (B, {NUM_PROJECTIONS}), keys (B, {NUM_PROJECTIONS}) and a queue"
                f" (K, {NUM_PROJECTIONS}), got {shapes[0]}, {shapes[1]} and {shapes[2]}"
            )
        queue = queue.detach().clone()
        q, k, temperature = F.normalize(query, dim=1), F.normalize(keys, dim=1), self.exercise.temperature
        ahead = (q @ queue.T / temperature).logsumexp(dim=1) - (q * k).sum(dim=1) / temperature  # (B,)
        value = F.softplus(ahead).mean()
        if begins:
            self._note_encoders(keys)
            self._note_queue(queue)
        self._note_batch(q.detach(), k.detach(), queue)
        self.note(value, begins=begins)
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

    def _note_queue(self, queue: Tensor) -> None:
        """What became of the queue since the last step."""
        steps = self.steps
        steps["resized"].append(queue.shape != self.queue.shape)
        steps["unnormalised"].append(bool(((queue.norm(dim=1) - 1).abs() > 1e-2).any()))
        if self.past:
            steps["unchanged"].append(torch.equal(queue, self.last_queue))
            steps["misplaced"].append(any(self._held(query, queue) for query, _ in self.past[-1]))
            steps["unremembered"].append(not any(self._held(keys, queue) for _, keys in self.past[-1]))
        if len(self.past) == 2:
            steps["forgotten"].append(not any(self._held(keys, queue) for _, keys in self.past[0]))
        self.last_queue = queue
        self.past = [*self.past[-1:], []]

    def _note_batch(self, query: Tensor, keys: Tensor, queue: Tensor) -> None:
        """Of a symmetric loss there are two a step."""
        self.steps["leaked"].append(self._held(keys, queue))
        self.past[-1].append((query, keys))

    def notes(self, result: object) -> dict[str, Note]:
        return {
            **super().notes(result),
            **{name: share(seen) for name, seen in self.steps.items()},
            "followed": share(rate != 0 for rate in self.rates) if self.rates else 1.0,
            "rate": median(self.rates) if self.rates else 0.0,
            "expected_rate": 1 - self.exercise.momentum,
            "key_graded": any(p.grad is not None for p in self.key_encoder.parameters()),
            "returned_key": isinstance(result, nn.Module)
            and moved(self.key_encoder[0], self.backbone)
            and not moved(result, self.key_encoder[0]),
        }

    @staticmethod
    def _held(rows: Tensor, queue: Tensor) -> bool:
        """Whether nine in ten of the unit vectors (B, D), or more, are rows of the queue (K, D), rescaled."""
        if queue.shape[1:] != rows.shape[1:] or len(queue) == 0:
            return False
        distance = torch.cdist(rows, F.normalize(queue, dim=1), compute_mode="donot_use_mm_for_euclid_dist")
        return bool((distance.amin(dim=1) < 1e-4).float().mean() >= 0.9)


@dataclass(frozen=True)
class MomentumTraining(ViewTraining):
    """`train(query_encoder, key_encoder, images, queue=..., augment=..., loss=..., epochs=..., ...)`.

    Args:
        queue_size: keys in the queue; at least three batches, so that two earlier ones are always in it.
        momentum: of the key encoder.
    """

    watch: ClassVar[type[Watch]] = MomentumWatch

    queue_size: int = 256
    momentum: float = 0.98


TRAIN_MOCO = MomentumTraining(
    "train_moco",
    train_moco,
    (
        Symptom(
            "the loss is never called",
            lambda t: t.steps == 0,
            "the loss was never computed.",
            "Call loss(query, keys, queue) in every step.",
            credit=0.0,
        ),
        Symptom(
            "the query is not the query encoder's",
            lambda t: t.unasked > 0.5,
            "the query encoder makes nothing: who computes the queries?",
            "Queries are query_encoder(view 1), keys are key_encoder(view 2).",
            credit=0.0,
        ),
        Symptom(
            "the key encoder is not used",
            lambda t: t.unkeyed > 0.5,
            "the key encoder that you were given makes nothing: who computes the keys?",
            "Queries are query_encoder(view 1), keys are key_encoder(view 2): no other copy is needed.",
        ),
        Symptom(
            "the queries are detached",
            lambda t: t.attached < 0.5,
            "the loss cannot reach the query encoder: its queries carry no gradient.",
            "Is the query inside torch.no_grad(), or detached? Only the keys are.",
            credit=0.0,
        ),
        Symptom(
            "the key encoder receives gradients",
            lambda t: t.keys_attached > 0.5,
            "the keys carry a gradient back into the key encoder.",
            "The key encoder learns by momentum alone: make the keys under torch.no_grad().",
        ),
        Symptom(
            "the encoders are swapped",
            lambda t: t.key_graded,
            "a gradient arrives at the key encoder.",
            "Queries are query_encoder(view 1); keys are key_encoder(view 2), without gradient.",
            credit=0.0,
        ),
        symptoms.BACKWARD_IS_NEVER_CALLED,
        Symptom(
            "the sign of the loss is wrong",
            lambda t: t.climbing > 0.5,
            "the loss is maximised: queries are pushed away from their own keys.",
            "Call .backward() on the loss itself, not on its negative (and no maximize=True).",
            credit=0.0,
        ),
        symptoms.AUGMENTATION_IS_NOT_USED,
        Symptom(
            "both views are identical",
            lambda t: t.identical > 0.5,
            "query encoder and key encoder get the very same view: finding the key is trivial.",
            "Call augment twice on the same images, once for each view.",
            credit=0.0,
        ),
        symptoms.VIEWS_ARE_MADE_ONCE,
        symptoms.ONE_VIEW_IS_NOT_AUGMENTED,
        symptoms.VIEWS_ARE_OF_DIFFERENT_IMAGES,
        Symptom(
            "the queue grows",
            lambda t: t.resized > 0,
            "the queue does not keep its length.",
            "New keys take the place of the oldest: overwrite rows instead of adding some.",
        ),
        Symptom(
            "the keys are enqueued before they are used",
            lambda t: t.leaked > 0.5,
            "the keys of a batch are in the queue already when the loss is computed.",
            "Every query then has its own key among its negatives: enqueue after the loss.",
        ),
        Symptom(
            "the queue never changes",
            lambda t: t.unchanged > 0.5,
            "the queue stays the same from step to step: its negatives come from no image.",
            "Put the keys into the queue after the loss. `enqueue` returns a new queue: is its result used?",
        ),
        Symptom(
            "the queue is not normalised",
            lambda t: t.unnormalised > 0.5,
            "rows of the queue do not have length 1.",
            "Positives are cosines, so negatives must be, too: normalise the keys that you enqueue.",
        ),
        Symptom(
            "the queries are enqueued",
            lambda t: t.misplaced > 0.5,
            "the queue holds queries instead of keys.",
            "Negatives come from the key encoder, as the positive does: enqueue the keys.",
        ),
        Symptom(
            "the queue holds something else",
            lambda t: t.unremembered > 0.5,
            "the keys of a step are not in the queue at the next.",
            "Enqueue all the keys of the batch, as they are but for their length.",
        ),
        Symptom(
            "always the same rows are overwritten",
            lambda t: t.forgotten > 0.5,
            "the keys of a step are gone two steps later: the queue holds one batch of keys.",
            "Move `start` on by the number of keys, and around: (start + B) % K.",
        ),
        Symptom(
            "the backbone is not trained",
            lambda t: t.projector_moved and not (t.backbone_moved or t.returned_moved),
            "only the projector changed, the backbone did not.",
            "Hand query_encoder.parameters() to the optimiser, all of them.",
            credit=0.0,
        ),
        symptoms.ZERO_GRAD_IS_MISSING,
        Symptom(
            "the parameters never change",
            lambda t: not (t.backbone_moved or t.projector_moved or t.returned_moved),
            "no parameter of the query encoder changed, though gradients were computed.",
            "Is optimiser.step() called in every step, and does the optimiser know the query encoder?",
            credit=0.0,
        ),
        Symptom(
            "the projector is not trained",
            lambda t: t.backbone_moved and not t.projector_moved,
            "only the backbone changed, the projector did not.",
            "Hand query_encoder.parameters() to the optimiser, all of them.",
        ),
        Symptom(
            "the key encoder never moves",
            lambda t: t.followed == 0,
            "the key encoder never moved: it still is the untrained network.",
            "Update its parameters in every step. An update that is computed but not stored changes nothing.",
        ),
        Symptom(
            "the key encoder moves in few steps only",
            lambda t: t.followed < 0.9,
            "the key encoder moved in only {followed:.0%} of the steps.",
            "Update it in every step, inside the inner loop.",
        ),
        Symptom(
            "the key encoder is a copy",
            lambda t: t.rate > 0.99,
            "the key encoder is a plain copy of the query encoder: momentum 0.",
            "It keeps the share `momentum` of its weights, and takes 1 - momentum of the query encoder's.",
        ),
        Symptom(
            "the momentum is applied the wrong way round",
            lambda t: abs(t.rate - (1 - t.expected_rate)) < 0.02,
            "the key encoder goes {rate:.0%} of the way to the query encoder in a step.",
            "It keeps the share `momentum` of its own weights: momentum and 1 - momentum are swapped.",
        ),
        Symptom(
            "the key encoder follows at another pace",
            lambda t: not 0.3 < t.rate / t.expected_rate < 3,
            "the key encoder goes {rate:.0%} of the way to the query encoder in a step; expected"
            " {expected_rate:.0%}.",
            "Once a step, for every parameter: key = momentum * key + (1 - momentum) * query.",
        ),
        symptoms.TRAINING_ENDS_TOO_EARLY,
        symptoms.NETWORK_IS_IN_EVALUATION_MODE,
        symptoms.IMAGES_ARE_DRAWN_WITH_REPLACEMENT,
        symptoms.IMAGES_ARE_NOT_SHUFFLED,
        Symptom(
            "nothing is returned",
            lambda t: t.returned == "NoneType",
            "you return nothing.",
            "`return query_encoder[0]`, after both loops.",
            credit=0.0,
        ),
        Symptom(
            "several things are returned",
            lambda t: t.features is None,
            "you return a {returned}, not a network.",
            "Return the backbone alone: query_encoder[0].",
            credit=0.0,
        ),
        Symptom(
            "the projector is returned too",
            lambda t: t.features == t.num_projections,
            "what you return makes projections, {num_projections} numbers an image, not the {num_features}"
            " features.",
            "Return query_encoder[0]: what comes before the projector is more useful than what comes after.",
            credit=0.0,
        ),
        Symptom(
            "the key encoder is returned",
            lambda t: t.returned_key,
            "what you return is the key encoder's backbone.",
            "The query encoder is the one that learns, and the one to keep: return query_encoder[0].",
        ),
        Symptom(
            "the returned network is not the trained one",
            lambda t: not t.returned_moved,
            "the network that you return is the untrained one.",
            "Return the backbone whose parameters the optimiser had.",
            credit=0.0,
        ),
    ),
    margin=0.2,  # half-way between what learns and what does not: benchmarks/results/training_margins.md
    count=1536,
    epochs=8,
    batch_size=32,
)
