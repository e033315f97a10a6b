"""The soft nearest neighbour loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.base import Case, Exercise, Misconception
from course_lib.exercises.draws import generator, in_both_precisions, labels, normal
from course_lib.losses import soft_nearest_neighbor_loss

_SQUARE_ROOT = (
    "The slope of a square root is infinite at 0, and 0 times infinity is NaN: torch.cdist or"
    " torch.linalg.vector_norm take the gradient there as 0."
)
_ALONE = "A row whose label occurs once has no positive, and log(0) is -inf: leave such rows out of the mean."
_NOBODY = "No row has a positive, so the mean is over nothing: return a 0 instead."
_UNDERFLOW = "exp(-distance / temperature) is 0 for far points, and log(0) is -inf: use logsumexp."


def cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(x: Tensor, y: Tensor, temperature: float, about: str = "", question: str = "") -> None:
        found.append(Case({"embeddings": x, "labels": y}, {"temperature": temperature}, about, question))

    for _ in range(rounds):
        for n, d, classes, temperature in ((4, 2, 2, 1.0), (8, 3, 2, 0.5), (12, 5, 3, 2.0), (16, 8, 4, 0.3)):
            add(normal(rng, n, d), labels(rng, n, classes), temperature, question=_SQUARE_ROOT)
        add(normal(rng, 6, 3), torch.tensor([0, 0, 1, 1, 1, 2]), 0.7, "a label that occurs once", _ALONE)
        x = normal(rng, 5, 4)
        add(x[[0, 0, 1, 2, 3]], torch.tensor([0, 1, 0, 1, 1]), 0.5, "two identical rows", _SQUARE_ROOT)
        add(
            torch.ones(6, 3),
            torch.tensor([0, 1, 0, 1, 0, 1]),
            0.5,
            "embeddings that all coincide",
            _SQUARE_ROOT,
        )
        far = 200 * torch.arange(6.0)[:, None] + normal(rng, 6, 3)
        add(far, torch.tensor([0, 1, 2, 0, 1, 2]), 0.5, "points far apart", _UNDERFLOW)
        add(normal(rng, 4, 3), torch.arange(4), 1.0, "a batch in which every label is different", _NOBODY)
    return in_both_precisions(found)


def distances(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x[:, None] - x[None, :], dim=2)


def squared_distances(x: Tensor) -> Tensor:
    return (x[:, None] - x[None, :]).square().sum(2)


def not_itself(n: int, device: torch.device) -> Tensor:
    return ~torch.eye(n, dtype=torch.bool, device=device)


def log_probabilities(
    x: Tensor,
    y: Tensor,
    temperature: float,
    *,
    measure: Callable[[Tensor], Tensor] = distances,
    self_above: bool = False,
    self_below: bool = False,
    positives_below: bool = True,
) -> Tensor:
    """log p of a neighbour of the own class for each row that has one: (A,)."""
    logits = -measure(x) / temperature
    others = not_itself(len(y), y.device)
    same = y[:, None] == y[None, :]
    anchors = (same & others).any(1)
    above = same if self_above else same & others
    below = torch.ones_like(same) if self_below else others
    below = below if positives_below else below & ~same
    log_above = logits.masked_fill(~above, -torch.inf)[anchors].logsumexp(1)
    return log_above - logits.masked_fill(~below, -torch.inf)[anchors].logsumexp(1)


def mean_or_zero(terms: Tensor) -> Tensor:
    return terms.sum() / max(len(terms), 1)


def with_probabilities(
    reduce: Callable[[Tensor], Tensor] = lambda log_p: -mean_or_zero(log_p),
    change: Callable[[float], float] = lambda temperature: temperature,
    **options: object,
) -> Callable[..., Tensor]:
    """The loss with one thing done differently."""
    chances: Callable[..., Tensor] = partial(log_probabilities, **options)  # type: ignore[arg-type]
    return lambda embeddings, labels, *, temperature: reduce(chances(embeddings, labels, change(temperature)))


def of_unit_vectors(embeddings: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    return soft_nearest_neighbor_loss(F.normalize(embeddings, dim=1), labels, temperature=temperature)


def divided_by_all_rows(embeddings: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    return -log_probabilities(embeddings, labels, temperature).sum() / len(labels)


def single_rows_dropped(embeddings: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    kept = (labels[:, None] == labels[None, :]).sum(1) > 1
    if not kept.any():
        return 0 * embeddings.sum()
    return soft_nearest_neighbor_loss(embeddings[kept], labels[kept], temperature=temperature)


def mean_over_the_positives(
    embeddings: Tensor, labels: Tensor, *, temperature: float, inside: bool
) -> Tensor:
    others = not_itself(len(labels), labels.device)
    positive = (labels[:, None] == labels[None, :]) & others
    logits = -distances(embeddings) / temperature
    log_p = logits - logits.masked_fill(~others, -torch.inf).logsumexp(1, keepdim=True)
    log_p, positive = log_p[positive.any(1)], positive[positive.any(1)]
    count = positive.sum(1)
    if inside:
        return -mean_or_zero(log_p.masked_fill(~positive, -torch.inf).logsumexp(1) - count.log())
    return -mean_or_zero(log_p.masked_fill(~positive, 0).sum(1) / count)


def tiny_number_in_the_log(embeddings: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    return -mean_or_zero((log_probabilities(embeddings, labels, temperature).exp() + 1e-8).log())


def _log_of_the_mean(log_p: Tensor) -> Tensor:
    return (
        log_p.new_tensor(float(max(len(log_p), 1))).log() - log_p.logsumexp(0) if len(log_p) else log_p.sum()
    )


SOFT_NEAREST_NEIGHBOR_LOSS = Exercise(
    "soft_nearest_neighbor_loss",
    soft_nearest_neighbor_loss,
    cases,
    (
        Misconception(
            "a row may be its own neighbour",
            "Its distance to itself is 0 and always wins: leave the diagonal out, above and below.",
            with_probabilities(self_above=True, self_below=True),
        ),
        Misconception(
            "the row itself stays in the denominator",
            "The sum below runs over k different from i, as the sum above does.",
            with_probabilities(self_below=True),
        ),
        Misconception(
            "the denominator has the other classes only",
            "The sum below runs over all other rows, positives included.",
            with_probabilities(positives_below=False),
        ),
        Misconception(
            "distances are squared",
            "This exercise follows the lecture: plain Euclidean distances.",
            with_probabilities(measure=squared_distances),
        ),
        Misconception(
            "the embeddings are normalised",
            "They are used as they are: the loss measures distances, not angles.",
            of_unit_vectors,
        ),
        Misconception(
            "the temperature is left out",
            "Divide the distances by it before the exponential.",
            with_probabilities(change=lambda temperature: 1.0),
        ),
        Misconception(
            "the distances are multiplied by the temperature",
            "They are divided by it.",
            with_probabilities(change=lambda temperature: 1 / temperature),
        ),
        Misconception(
            "the distances enter with a plus sign",
            "Near points must get the large weights: exp(-distance / temperature).",
            with_probabilities(change=lambda temperature: -temperature),
        ),
        Misconception(
            "rows without a positive count as 0 in the mean",
            "Divide by the number of rows that have a positive.",
            divided_by_all_rows,
        ),
        Misconception(
            "a row without a positive is nobody's neighbour either",
            "It has no term of its own in the mean, but stays in the denominators of the others.",
            single_rows_dropped,
        ),
        Misconception(
            "each positive gets its own logarithm and these are averaged",
            "That is supervised contrastive learning; here one logarithm holds the sum over all positives.",
            partial(mean_over_the_positives, inside=False),
        ),
        Misconception(
            "the positives are averaged instead of summed",
            "The chances of all positives add up.",
            partial(mean_over_the_positives, inside=True),
        ),
        Misconception(
            "the mean over the rows is taken before the logarithm",
            "Each row has its own -log p; the mean comes last.",
            with_probabilities(_log_of_the_mean),
        ),
        Misconception(
            "the terms are summed",
            "The loss is their mean over the rows that have a positive.",
            with_probabilities(lambda log_p: -log_p.sum()),
        ),
        Misconception(
            "the minus sign is missing",
            "The loss is minus the log-probability.",
            with_probabilities(mean_or_zero),
        ),
        Misconception(
            "1e-8 is added inside the logarithm",
            "It cuts the loss off at 18.4 where it should go on growing: use logsumexp.",
            tiny_number_in_the_log,
        ),
    ),
)
