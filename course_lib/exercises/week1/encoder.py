"""Train an encoder with a contrastive loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.augment.views import Augment
from course_lib.exercises import symptoms
from course_lib.exercises.training import Note, Symptom, Watch
from course_lib.exercises.view_training import NUM_PROJECTIONS, ViewTraining, ViewWatch
from course_lib.methods.simclr import ViewLoss


def train_encoder(
    backbone: nn.Module,
    projector: nn.Module,
    images: Tensor,
    *,
    augment: Augment,
    loss: ViewLoss,
    epochs: int,
    batch_size: int,
    lr: float,
) -> nn.Module:
    """Train backbone and projector on two views of every image; returns the backbone."""
    optimiser = torch.optim.AdamW([*backbone.parameters(), *projector.parameters()], lr=lr)
    for _ in range(epochs):
        for index in torch.randperm(len(images), device=images.device).split(batch_size):
            z1, z2 = (projector(backbone(augment(images[index]))) for _ in range(2))
            optimiser.zero_grad()
            loss(z1, z2).backward()
            optimiser.step()
    return backbone


class PairWatch(ViewWatch):
    """Hands out a loss of the projections of two views."""

    NOTES: ClassVar[Mapping[str, Note]] = {
        **ViewWatch.NOTES,
        "unprojected": 0.0,  # share of the steps in which the loss saw features instead of projections
        "one_sided": 0.0,  # share of the steps in which one of the two views carried no gradient
    }

    def __init__(self, exercise: ViewTraining, networks: tuple[nn.Module, ...], seed: int) -> None:
        super().__init__(exercise, networks, seed)
        self.unprojected = self.one_sided = 0

    def call(self, train: Callable[..., object]) -> object:
        return train(
            self.backbone,
            self.projector,
            self.images(),
            augment=self.view,
            loss=self.loss,
            epochs=self.exercise.epochs,
            batch_size=self.exercise.batch_size,
            lr=self.exercise.lr,
        )

    def loss(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Each view finds its partner among the views of the other side: not quite what the lab asks for,
        whose losses are withheld while it is graded."""
        begins = self.begin()
        logits = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T / self.exercise.temperature  # (N, N)
        target = torch.arange(len(z1), device=z1.device)
        value = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        if begins:
            self.unprojected += z1.shape[-1] != NUM_PROJECTIONS
            self.identical += torch.equal(z1, z2)
            self.one_sided += z1.requires_grad != z2.requires_grad
        self.note(value, begins=begins)
        return value

    def notes(self, result: object) -> dict[str, Note]:
        steps = max(len(self.losses), 1)
        own = {"unprojected": self.unprojected / steps, "one_sided": self.one_sided / steps}
        return {**super().notes(result), **own}


@dataclass(frozen=True)
class EncoderTraining(ViewTraining):
    """`train(backbone, projector, images, augment=..., loss=..., epochs=..., batch_size=..., lr=...)`."""

    watch: ClassVar[type[Watch]] = PairWatch


TRAIN_ENCODER = EncoderTraining(
    "train_encoder",
    train_encoder,
    (
        Symptom(
            "the loss is never called",
            lambda t: t.steps == 0,
            "the loss was never computed.",
            "Call loss(z1, z2) on the projections of the two views, in every step.",
            credit=0.0,
        ),
        Symptom(
            "the projections are detached",
            lambda t: t.attached < 0.5,
            "the loss cannot reach the network: its projections carry no gradient.",
            "Is there a torch.no_grad() or a .detach() before the loss?",
            credit=0.0,
        ),
        Symptom(
            "only the backbone is applied",
            lambda t: t.unprojected > 0.5,
            "the loss compares the {num_features} features of the backbone, not the projections.",
            "Give it projector(backbone(view)): behind a projector the features may keep more than it asks.",
        ),
        symptoms.BACKWARD_IS_NEVER_CALLED,
        Symptom(
            "the sign of the loss is wrong",
            lambda t: t.climbing > 0.5,
            "the loss is maximised: the two views of an image are pushed apart.",
            "Call .backward() on the loss itself, not on its negative (and no maximize=True).",
            credit=0.0,
        ),
        symptoms.AUGMENTATION_IS_NOT_USED,
        Symptom(
            "both views are identical",
            lambda t: t.identical > 0.5,
            "the two views have identical projections: finding the partner is trivial.",
            "Call augment twice on the same images, once for each view.",
            credit=0.0,
        ),
        symptoms.VIEWS_ARE_MADE_ONCE,
        symptoms.ONE_VIEW_IS_NOT_AUGMENTED,
        symptoms.VIEWS_ARE_OF_DIFFERENT_IMAGES,
        Symptom(
            "one view is detached",
            lambda t: t.one_sided > 0.5,
            "one of the two views carries no gradient.",
            "Both views learn: no .detach() and no torch.no_grad() around either.",
        ),
        Symptom(
            "the backbone is not trained",
            lambda t: t.projector_moved and not (t.backbone_moved or t.returned_moved),
            "only the projector changed, the backbone did not.",
            "Hand the parameters of both to the optimiser.",
            credit=0.0,
        ),
        symptoms.ZERO_GRAD_IS_MISSING,
        Symptom(
            "the parameters never change",
            lambda t: not (t.backbone_moved or t.projector_moved or t.returned_moved),
            "no parameter changed, though gradients were computed.",
            "Is optimiser.step() called in every step?",
            credit=0.0,
        ),
        Symptom(
            "the projector is not trained",
            lambda t: t.backbone_moved and not t.projector_moved,
            "only the backbone changed, the projector did not.",
            "Hand the parameters of both to the optimiser.",
        ),
        symptoms.TRAINING_ENDS_TOO_EARLY,
        symptoms.NETWORK_IS_IN_EVALUATION_MODE,
        symptoms.IMAGES_ARE_DRAWN_WITH_REPLACEMENT,
        symptoms.IMAGES_ARE_NOT_SHUFFLED,
        Symptom(
            "nothing is returned",
            lambda t: t.returned == "NoneType",
            "you return None.",
            "Is a `return` missing at the end?",
            credit=0.0,
        ),
        Symptom(
            "several things are returned",
            lambda t: t.features is None,
            "you return a {returned}.",
            "Return the trained backbone, nothing else.",
            credit=0.0,
        ),
        Symptom(
            "the projector is returned too",
            lambda t: t.features == t.num_projections,
            "what you return gives {num_projections} projections for an image, not {num_features} features.",
            "The projector is thrown away after training: return the backbone.",
            credit=0.0,
        ),
        Symptom(
            "the returned network is not the trained one",
            lambda t: not t.returned_moved,
            "the network you return is as untrained as the one you were given.",
            "Return the backbone whose parameters the optimiser changed.",
            credit=0.0,
        ),
    ),
    margin=0.2,  # half-way between what learns and what does not: benchmarks/results/training_margins.md
)
