"""The triplet loss with semi-hard mining."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.base import Case, Exercise, Misconception
from course_lib.exercises.draws import generator, in_both_precisions, labels, normal
from course_lib.losses import semi_hard_triplet_loss

_NO_TRIPLET = "Where no triplet exists the mean is over nothing: return a 0 instead."

# Row by row for each pair (a, p): distances to the positive (T, 1) and to all rows (T, N), which rows are
# negatives (T, N), the margin -> index of the chosen negative (T,).
Choice = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(x: Tensor, y: Tensor, margin: float, about: str = "", question: str = "") -> None:
        found.append(Case({"embeddings": x, "labels": y}, {"margin": margin}, about, question))

    for _ in range(rounds):
        for n, d, classes, margin in (
            (6, 2, 2, 0.5),
            (8, 3, 3, 1.0),
            (12, 4, 3, 2.0),
            (16, 8, 4, 5.0),
            (9, 2, 3, 0.2),
        ):
            add(normal(rng, n, d), labels(rng, n, classes), margin)
        add(torch.ones(5, 3), torch.tensor([0, 0, 1, 1, 1]), 0.3, "embeddings that all coincide")
        # A single negative: between two equally near ones the choice would be a matter of taste.
        x = normal(rng, 4, 4)
        add(x[[0, 0, 1, 2, 3]], torch.tensor([0, 0, 0, 0, 1]), 4.0, "two identical rows")
        add(normal(rng, 5, 3), torch.arange(5), 1.0, "a batch in which every label is different", _NO_TRIPLET)
        add(normal(rng, 4, 3), torch.zeros(4, dtype=torch.int64), 1.0, "a batch of one class", _NO_TRIPLET)
    return in_both_precisions(found)


def squared_distances(x: Tensor) -> Tensor:
    return (x[:, None] - x[None, :]).square().sum(2)


def distances(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x[:, None] - x[None, :], dim=2)


def semi_hard(to_positive: Tensor, to_all: Tensor, negative: Tensor, margin: float) -> Tensor:
    window = negative & (to_all > to_positive) & (to_all < to_positive + margin)
    nearest = to_all.masked_fill(~window, torch.inf).argmin(1)
    return torch.where(window.any(1), nearest, farthest(to_positive, to_all, negative, margin))


def farthest(to_positive: Tensor, to_all: Tensor, negative: Tensor, margin: float) -> Tensor:
    return to_all.masked_fill(~negative, -torch.inf).argmax(1)


def nearest(to_positive: Tensor, to_all: Tensor, negative: Tensor, margin: float) -> Tensor:
    return to_all.masked_fill(~negative, torch.inf).argmin(1)


def semi_hard_or_nearest(to_positive: Tensor, to_all: Tensor, negative: Tensor, margin: float) -> Tensor:
    window = negative & (to_all > to_positive) & (to_all < to_positive + margin)
    chosen = torch.where(window.any(1, keepdim=True), window, negative)
    return to_all.masked_fill(~chosen, torch.inf).argmin(1)


def farthest_in_window(to_positive: Tensor, to_all: Tensor, negative: Tensor, margin: float) -> Tensor:
    window = negative & (to_all > to_positive) & (to_all < to_positive + margin)
    chosen = torch.where(window.any(1, keepdim=True), window, negative)
    return to_all.masked_fill(~chosen, -torch.inf).argmax(1)


def pairs(y: Tensor, *, itself: bool = False, once: bool = False) -> tuple[Tensor, Tensor]:
    """Anchors and positives of all ordered pairs of one class, where that class has a negative."""
    same = y[:, None] == y[None, :]
    kept = same if itself else same & ~torch.eye(len(y), dtype=torch.bool, device=y.device)
    kept = kept.triu() if once else kept
    anchor, positive = (kept & ~same.all(1, keepdim=True)).nonzero(as_tuple=True)
    return anchor, positive


def triplets(
    choose: Choice = semi_hard,
    *,
    measure: Callable[[Tensor], Tensor] = squared_distances,
    hinge: bool = True,
    itself: bool = False,
    once: bool = False,
    first_positive: bool = False,
    own_class: bool = False,
    detach: bool = False,
    reduce: Callable[[Tensor], Tensor] = lambda costs: costs.sum() / max(len(costs), 1),
) -> Callable[..., Tensor]:
    """The loss with one thing done differently.

    Args:
        own_class: any other row is a negative, those of the anchor's own class too.
    """

    def loss(embeddings: Tensor, labels: Tensor, *, margin: float) -> Tensor:
        distance = measure(embeddings)
        anchor, positive = pairs(labels, itself=itself, once=once)
        if len(anchor) == 0:
            return embeddings.sum() * 0
        if first_positive:
            first = F.pad(anchor[1:] != anchor[:-1], (1, 0), value=True)
            anchor, positive = anchor[first], positive[first]
        to_positive, to_all = distance[anchor, positive], distance[anchor]
        negative = labels[anchor][:, None] != labels[None, :]
        if own_class:
            rows = torch.arange(len(labels), device=labels.device)
            negative = (rows != anchor[:, None]) & (rows != positive[:, None])
        chosen = choose(to_positive.detach()[:, None], to_all.detach(), negative, margin)
        to_negative = to_all.gather(1, chosen[:, None]).squeeze(1)
        costs = to_positive - (to_negative.detach() if detach else to_negative) + margin
        return reduce(costs.clamp(min=0) if hinge else costs)

    return loss


def every_negative(embeddings: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    distance = squared_distances(embeddings)
    anchor, positive = pairs(labels)
    negative = labels[anchor][:, None] != labels[None, :]
    costs = (distance[anchor, positive][:, None] - distance[anchor] + margin).clamp(min=0)[negative]
    return costs.sum() / max(len(costs), 1)


def window_only(embeddings: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    distance = squared_distances(embeddings)
    anchor, positive = pairs(labels)
    to_positive, to_all = distance[anchor, positive][:, None], distance[anchor]
    negative = labels[anchor][:, None] != labels[None, :]
    window = negative & (to_all > to_positive) & (to_all < to_positive + margin)
    kept = window.any(1)
    nearest_one = to_all.masked_fill(~window, torch.inf)[kept].amin(1)
    costs = to_positive[kept, 0] - nearest_one + margin
    return costs.sum() / max(len(costs), 1)


def of_unit_vectors(embeddings: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    return semi_hard_triplet_loss(F.normalize(embeddings, dim=1), labels, margin=margin)


def _mean_of_the_active(costs: Tensor) -> Tensor:
    return costs.sum() / (costs > 0).sum().clamp(min=1)


SEMI_HARD_TRIPLET_LOSS = Exercise(
    "semi_hard_triplet_loss",
    semi_hard_triplet_loss,
    cases,
    (
        Misconception(
            "the nearest negative is always taken",
            "That is the hardest one; semi-hard ones are farther than the positive, yet within the margin.",
            triplets(nearest),
        ),
        Misconception(
            "the farthest negative is always taken",
            "That is the fall-back only: first look for negatives between the positive and the margin.",
            triplets(farthest),
        ),
        Misconception(
            "the nearest negative is taken where none is semi-hard",
            "The fall-back is the farthest negative, the mildest one.",
            triplets(semi_hard_or_nearest),
        ),
        Misconception(
            "the farthest negative of the window is taken",
            "Among the semi-hard negatives the nearest one teaches most.",
            triplets(farthest_in_window),
        ),
        Misconception(
            "pairs without a semi-hard negative are left out",
            "They fall back on the farthest negative and count in the mean.",
            window_only,
        ),
        Misconception(
            "every negative is used",
            "Mining picks a single negative for each anchor-positive pair.",
            every_negative,
        ),
        Misconception(
            "rows of the anchor's own class count as negatives",
            "A negative has another label than the anchor.",
            triplets(own_class=True),
        ),
        Misconception(
            "each anchor has only its first positive",
            "Every other row of its class is a positive: each makes a pair, and a triplet, of its own.",
            triplets(first_positive=True),
        ),
        Misconception(
            "distances are not squared",
            "FaceNet compares squared distances, in the window and in the loss.",
            triplets(measure=distances),
        ),
        Misconception(
            "the embeddings are normalised",
            "They are used as they are here.",
            of_unit_vectors,
        ),
        Misconception(
            "max(0, ...) is left out",
            "A triplet that is already right by a margin costs nothing; it earns nothing either.",
            triplets(hinge=False),
        ),
        Misconception(
            "only the triplets that still cost something are averaged",
            "The mean is over all anchor-positive pairs, satisfied ones included.",
            triplets(reduce=_mean_of_the_active),
        ),
        Misconception(
            "a row may be its own positive",
            "The pair (a, a) has distance 0 and teaches nothing: leave the diagonal out.",
            triplets(itself=True),
        ),
        Misconception(
            "each pair counts once instead of in both roles",
            "(a, p) and (p, a) have different anchors, so different negatives: use both.",
            triplets(once=True),
        ),
        Misconception(
            "the costs are summed",
            "The loss is their mean over the anchor-positive pairs.",
            triplets(reduce=torch.sum),
        ),
        Misconception(
            "the negative is detached",
            "Only the choice has no gradient; both distances of the chosen triplet do.",
            triplets(detach=True),
        ),
    ),
)
