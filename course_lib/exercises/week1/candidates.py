"""One positive among K negatives: N-pair's loss, and how often the positive is found."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.base import Case, Exercise, Misconception
from course_lib.exercises.draws import generator, in_both_precisions, normal
from course_lib.exercises.small_numbers import small_numbers
from course_lib.losses import info_nce_accuracy, n_pair_loss

_OVERFLOW = (
    "exp of a difference of several hundred is beyond float32: use logsumexp, softplus or cross_entropy."
)


def n_pair_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    cases = []

    def add(n: int, k: int, d: int, scale: float = 1.0, about: str = "", question: str = "") -> None:
        anchor, positive, negatives = normal(rng, n, d), normal(rng, n, d), normal(rng, n, k, d)
        tensors = {"anchor": scale * anchor, "positive": scale * positive, "negatives": scale * negatives}
        cases.append(Case(tensors, {}, about, question))

    for _ in range(rounds):
        for n, k, d in ((2, 3, 4), (4, 2, 3), (6, 10, 8), (3, 3, 3)):
            add(n, k, d)
        add(4, 1, 5, about="a single negative each")
        add(1, 6, 5, about="a batch of one anchor")
        add(3, 4, 8, scale=0.01, about="short vectors")
        add(4, 6, 16, scale=12.0, about="long vectors", question=_OVERFLOW)
        same = torch.ones(2, 4)
        tensors = {"anchor": same, "positive": same, "negatives": torch.ones(2, 5, 4)}
        cases.append(Case(tensors, {}, "embeddings that all coincide"))
    return in_both_precisions(cases)


def scores(anchor: Tensor, positive: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Dot products with the positive (N,) and with the negatives (N, K)."""
    return (anchor * positive).sum(1), torch.einsum("nd,nkd->nk", anchor, negatives)


def margins(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    """By how much each negative outscores the positive, with a 0 for the positive itself: (N, 1 + K)."""
    to_positive, to_negatives = scores(anchor, positive, negatives)
    return F.pad(to_negatives - to_positive[:, None], (1, 0))


def n_pair(
    change: Callable[[Tensor], Tensor], reduce: Callable[[Tensor], Tensor] = torch.mean
) -> Callable[..., Tensor]:
    """N-pair loss whose margins (N, 1 + K) pass through `change`, and whose terms through `reduce`."""
    return lambda anchor, positive, negatives: reduce(
        change(margins(anchor, positive, negatives)).logsumexp(dim=1)
    )


def _mean_of_the_negatives(m: Tensor) -> Tensor:
    k = m.shape[1] - 1
    return m - F.pad(m.new_full((k,), float(k)).log(), (1, 0))


def n_pair_of_unit_vectors(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    return n_pair_loss(*(F.normalize(x, dim=-1) for x in (anchor, positive, negatives)))


def n_pair_of_distances(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    to_positive = (anchor - positive).square().sum(1)
    to_negatives = (anchor[:, None] - negatives).square().sum(2)
    return F.pad(to_positive[:, None] - to_negatives, (1, 0)).logsumexp(dim=1).mean()


def positive_last_with_target_0(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    to_positive, to_negatives = scores(anchor, positive, negatives)
    return -torch.cat([to_negatives, to_positive[:, None]], dim=1).log_softmax(1)[:, 0].mean()


def tiny_number_in_the_log(eps: float) -> Callable[..., Tensor]:
    return lambda anchor, positive, negatives: (
        -((-margins(anchor, positive, negatives).logsumexp(dim=1)).exp() + eps).log().mean()
    )


def softmax_over_the_batch(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    to_positive, to_negatives = scores(anchor, positive, negatives)
    return -torch.cat([to_positive[:, None], to_negatives], dim=1).log_softmax(0)[:, 0].mean()


N_PAIR_LOSS = Exercise(
    "n_pair_loss",
    n_pair_loss,
    n_pair_cases,
    (
        Misconception(
            "the 1 in log(1 + ...) is left out",
            "The 1 is exp(0), the positive's place among the candidates; without it the loss has no floor.",
            n_pair(lambda m: m[:, 1:]),
        ),
        Misconception(
            "the embeddings are normalised",
            "N-pair compares plain dot products; the lengths count.",
            n_pair_of_unit_vectors,
        ),
        Misconception(
            "the difference of the scores has the wrong sign",
            "Negative minus positive: the loss must grow when a negative scores high.",
            n_pair(lambda m: -m),
        ),
        Misconception(
            "the exponentials of the negatives are averaged",
            "They are summed: more negatives make the task harder.",
            n_pair(_mean_of_the_negatives),
        ),
        Misconception(
            "squared distances are compared instead of dot products",
            "N-pair scores a candidate by its dot product with the anchor.",
            n_pair_of_distances,
        ),
        Misconception(
            "the terms of the anchors are summed",
            "The loss is their mean over the batch.",
            n_pair(lambda m: m, torch.sum),
        ),
        Misconception(
            "the mean over the batch is taken before the logarithm",
            "Each anchor has its own log(1 + ...); the mean comes last.",
            n_pair(lambda m: m, lambda terms: terms.logsumexp(0) - terms.new_tensor(float(len(terms))).log()),
        ),
        Misconception(
            "log(1 + ...) is taken for each negative apart and summed",
            "All K negatives stand in one sum inside one logarithm.",
            lambda anchor, positive, negatives: (
                F.softplus(margins(anchor, positive, negatives)[:, 1:]).sum(1).mean()
            ),
        ),
        Misconception(
            "the positive stands last and the target is 0",
            "The target is the column of the positive: put it first, or say where it stands.",
            positive_last_with_target_0,
        ),
        *small_numbers(
            "inside the logarithm",
            "It cuts the loss off where it should go on growing: use logsumexp, softplus or cross_entropy.",
            tiny_number_in_the_log,
        ),
        Misconception(
            "the softmax runs over the batch instead of the candidates",
            "The candidates of an anchor compete with each other: take it along dim=1.",
            softmax_over_the_batch,
        ),
        Misconception(
            "the minus sign of -log p is missing",
            "The loss falls when the positive becomes more likely, and is never negative.",
            n_pair(lambda m: m, lambda terms: -terms.mean()),
        ),
        Misconception(
            "the negatives are detached",
            "Negatives are embeddings of the same network: they learn too.",
            lambda anchor, positive, negatives: n_pair_loss(anchor, positive, negatives.detach()),
        ),
    ),
)


def accuracy_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    cases = []

    def add(query: Tensor, positive: Tensor, negatives: Tensor, about: str = "") -> None:
        cases.append(Case({"query": query, "positive": positive, "negatives": negatives}, {}, about))

    for _ in range(rounds):
        for n, k, d in ((10, 2, 3), (16, 5, 8), (25, 3, 4), (40, 7, 16)):
            query = normal(rng, n, d)
            lengths = normal(rng, n, k, 1).exp()
            add(query, 0.7 * query + normal(rng, n, d), lengths * normal(rng, n, k, d))
        query = normal(rng, 6, 8)
        add(query, query, -query[:, None].expand(6, 3, 8), "positives that are always found")
        add(query, -query, query[:, None].expand(6, 3, 8), "positives that are never found")
        add(normal(rng, 1, 4), normal(rng, 1, 4), normal(rng, 1, 9, 4), "a single query")
        ones = torch.ones(4, 3)
        add(ones, ones, torch.ones(4, 5, 3), "an encoder that maps everything to one point")
    return in_both_precisions(cases)


def found(wins: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Mean of `wins`, which gets the scores of the positive (N, 1) and of the negatives (N, K)."""

    def accuracy(query: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
        to_positive, to_negatives = scores(query, positive, negatives)
        return wins(to_positive[:, None], to_negatives).to(query.dtype).mean()

    return accuracy


def cosine_accuracy(query: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    return info_nce_accuracy(*(F.normalize(x, dim=-1) for x in (query, positive, negatives)))


def nearest_accuracy(query: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    to_positive = (query - positive).norm(dim=1, keepdim=True)
    return (to_positive < (query[:, None] - negatives).norm(dim=2)).all(1).to(query.dtype).mean()


INFO_NCE_ACCURACY = Exercise(
    "info_nce_accuracy",
    info_nce_accuracy,
    accuracy_cases,
    (
        Misconception(
            "a tie counts as found",
            "An encoder that maps everything to one point would look perfect: demand strictly more.",
            found(lambda p, n: (p >= n).all(1)),
        ),
        Misconception(
            "the share of beaten negatives is averaged",
            "A query counts only if its positive beats all of its negatives, the best one included.",
            found(lambda p, n: p > n),
        ),
        Misconception(
            "beating one negative is enough",
            "A query counts only if its positive beats all of its negatives.",
            found(lambda p, n: (p > n).any(1)),
        ),
        Misconception(
            "the positive is compared with the mean of the negatives",
            "It must beat the best of them: take the maximum.",
            found(lambda p, n: p[:, 0] > n.mean(1)),
        ),
        Misconception(
            "cosines are compared instead of dot products",
            "The scores of InfoNCE are dot products: a long negative scores higher.",
            cosine_accuracy,
        ),
        Misconception(
            "distances are compared instead of dot products",
            "The scores of InfoNCE are dot products.",
            nearest_accuracy,
        ),
        Misconception(
            "misses are counted instead of hits",
            "Accuracy is the share of queries whose positive wins.",
            found(lambda p, n: (p <= n).any(1)),
        ),
        Misconception(
            "hits are counted but not divided by the number of queries",
            "Return a share between 0 and 1.",
            lambda query, positive, negatives: info_nce_accuracy(query, positive, negatives) * len(query),
        ),
        Misconception(
            "the answer is in percent",
            "Return a share between 0 and 1.",
            lambda query, positive, negatives: 100 * info_nce_accuracy(query, positive, negatives),
        ),
    ),
    differentiable=False,
    result="a scalar: the share of the queries",
)
