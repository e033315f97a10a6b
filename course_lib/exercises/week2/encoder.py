"""Train an encoder with a momentum encoder and a queue."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.augment.views import Augment
from course_lib.exercises import symptoms
from course_lib.exercises.training import MomentumTrainingExercise, Symptom
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


TRAIN_MOCO = MomentumTrainingExercise(
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
        Symptom(
            "one view is not augmented",
            lambda t: t.views < 1.5,
            "only one of the two views is augmented.",
            "Call augment twice on the same images, once for each view.",
        ),
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
    margin=0.08,  # over seven seeds the reference gained 0.15 to 0.18
    count=1536,
    epochs=8,
    batch_size=32,
)
