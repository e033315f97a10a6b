"""MoCHi: harder negatives, mixed from the hardest."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.base import Case, Exercise, Misconception
from course_lib.exercises.draws import generator, in_both_precisions, normal
from course_lib.losses import mochi_mix


def cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(b: int, k: int, d: int, hard: int, s: int, s_query: int, about: str = "") -> None:
        def ranks(count: int) -> Tensor:
            return torch.randint(0, hard, (b, count), generator=rng)

        first = ranks(s)
        draws = {
            "first": first,
            "second": (first + 1) % hard,
            "alpha": torch.rand(b, s, generator=rng),
            "third": ranks(s_query),
            "beta": torch.rand(b, s_query, generator=rng) / 2,
        }
        tensors = {"query": 2 * normal(rng, b, d), "queue": normal(rng, k, 1).exp() * normal(rng, k, d)}
        found.append(Case(tensors, dict(draws), about))

    for _ in range(rounds):
        for b, k, d, hard, s, s_query in (
            (2, 6, 4, 3, 2, 2),
            (4, 10, 8, 5, 3, 1),
            (3, 16, 3, 8, 5, 4),
            (5, 8, 6, 8, 2, 3),
        ):
            add(b, k, d, hard, s, s_query)
        add(1, 6, 4, 3, 3, 2, "a single query")
        add(3, 8, 4, 4, 3, 0, "no mixtures with the query")
        add(3, 8, 4, 4, 0, 3, "mixtures with the query only")
    return in_both_precisions(found)


def unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


def mix(
    *,
    query_norm: Callable[[Tensor], Tensor] = unit,
    queue_norm: Callable[[Tensor], Tensor] = unit,
    result_norm: Callable[[Tensor], Tensor] = unit,
    hardest_first: bool = True,
    ranked: bool = True,
    swap_alpha: bool = False,
    swap_beta: bool = False,
    query_first: bool = False,
    detach_queue: bool = True,
    detach_query: bool = False,
) -> Callable[..., Tensor]:
    """The mixtures with one thing done differently."""

    def mixed(
        query: Tensor,
        queue: Tensor,
        *,
        first: Tensor,
        second: Tensor,
        alpha: Tensor,
        third: Tensor,
        beta: Tensor,
    ) -> Tensor:
        q, n = query_norm(query), queue_norm(queue.detach() if detach_queue else queue)
        q = q.detach() if detach_query else q
        order = (q @ n.T).argsort(dim=1, descending=hardest_first)
        a, b = alpha.unsqueeze(2), beta.unsqueeze(2)
        a, b = (1 - a if swap_alpha else a), (1 - b if swap_beta else b)

        def negative(rank: Tensor) -> Tensor:
            return n[order.gather(1, rank) if ranked else rank]

        h = a * negative(first) + (1 - a) * negative(second)
        h_query = b * q.unsqueeze(1) + (1 - b) * negative(third)
        return result_norm(torch.cat([h_query, h] if query_first else [h, h_query], dim=1))

    return mixed


def as_it_is(x: Tensor) -> Tensor:
    return x


MOCHI_NEGATIVES = Exercise(
    "mochi_negatives",
    mochi_mix,
    cases,
    (
        Misconception(
            "the mixtures are not normalised",
            "A mixture of unit vectors is shorter than 1: put it back on the sphere.",
            mix(result_norm=as_it_is),
        ),
        Misconception(
            "the mixtures are normalised along the wrong dimension",
            "Vectors lie along the last dimension; F.normalize takes dim=1 unless told otherwise.",
            mix(result_norm=lambda x: F.normalize(x, dim=1)),
        ),
        Misconception(
            "the queue is not normalised",
            "Long negatives would weigh more in a mixture: make every row of the queue a unit vector first.",
            mix(queue_norm=as_it_is),
        ),
        Misconception(
            "the query is not normalised",
            "beta is the share of a unit vector: normalise the query before you mix it in.",
            mix(query_norm=as_it_is),
        ),
        Misconception(
            "the easiest negatives come first",
            "Rank 0 is the negative most similar to the query: sort in descending order.",
            mix(hardest_first=False),
        ),
        Misconception(
            "ranks are used as rows of the queue",
            "Rank r is the r-th hardest negative of that query: sort the similarities, then look up.",
            mix(ranked=False),
        ),
        Misconception(
            "alpha is the share of the second negative",
            "alpha belongs to n_first, 1 - alpha to n_second.",
            mix(swap_alpha=True),
        ),
        Misconception(
            "beta is the share of the negative",
            "beta belongs to the query; below one half, the mixture stays more negative than query.",
            mix(swap_beta=True),
        ),
        Misconception(
            "the mixtures with the query come first",
            "Return the mixtures of two negatives first, then those with the query.",
            mix(query_first=True),
        ),
        Misconception(
            "the queue receives a gradient",
            "Its rows are old embeddings that no longer have a graph to learn through: detach them.",
            mix(detach_queue=False),
        ),
        Misconception(
            "the query is detached",
            "Only the queue is; the query learns through the mixtures it is part of.",
            mix(detach_query=True),
        ),
    ),
    result="the mixtures (B, s + s', D)",
)
