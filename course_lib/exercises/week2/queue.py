"""MoCo in three pieces: a network that follows, a queue that wraps around, and the logits."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.base import Case, Exercise, Misconception
from course_lib.exercises.draws import generator, in_both_precisions, normal
from course_lib.exercises.small_numbers import added_to_every_length

Change = Callable[[Tensor], Tensor]


def as_it_is(x: Tensor) -> Tensor:
    return x


def detached(x: Tensor) -> Tensor:
    return x.detach()


def rows_normalised(x: Tensor) -> Tensor:
    return F.normalize(x, dim=1)


def columns_normalised(x: Tensor) -> Tensor:
    return F.normalize(x, dim=0)


def ema_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(shape: tuple[int, ...], momentum: float, about: str = "") -> None:
        tensors = {"key": normal(rng, *shape), "query": normal(rng, *shape)}
        found.append(Case(tensors, {"momentum": momentum}, about))

    for _ in range(rounds):
        add((5,), 0.9)
        add((4, 3), 0.8)
        add((6, 2, 3, 3), 0.99)
        add((7,), 0.999)
        add((4,), 0.0, "momentum 0, a copy")
        add((4,), 1.0, "momentum 1, a frozen key encoder")
    return in_both_precisions(found)


def ema(
    *,
    shares: Callable[[float], tuple[float, float]] = lambda momentum: (momentum, 1 - momentum),
    key_change: Change = detached,
    query_change: Change = detached,
) -> Callable[..., Tensor]:
    """The new weights of the key encoder, with one thing done differently."""

    def updated(key: Tensor, query: Tensor, *, momentum: float) -> Tensor:
        old, new = shares(momentum)
        return old * key_change(key) + new * query_change(query)

    return updated


EMA_UPDATE = Exercise(
    "ema_update",
    ema(),
    ema_cases,
    (
        Misconception(
            "key and query have each other's share",
            "With momentum 0.99 the key encoder keeps 99 % of itself and takes 1 % of the query encoder.",
            ema(shares=lambda m: (1 - m, m)),
        ),
        Misconception(
            "the key encoder keeps all of itself",
            "momentum times key, plus (1 - momentum) times query: the two shares add up to 1.",
            ema(shares=lambda m: (1.0, 1 - m)),
        ),
        Misconception(
            "both get the share momentum",
            "The shares are momentum and 1 - momentum: they add up to 1.",
            ema(shares=lambda m: (m, m)),
        ),
        Misconception(
            "both have the share one half",
            "The shares are momentum and 1 - momentum, whatever the momentum is.",
            ema(shares=lambda m: (0.5, 0.5)),
        ),
        Misconception(
            "the query's share is 1",
            "This is how an optimiser's velocity grows; the average gives the query the share 1 - momentum.",
            ema(shares=lambda m: (m, 1.0)),
        ),
        Misconception(
            "the query is subtracted",
            "It is an average: both are added.",
            ema(shares=lambda m: (m, m - 1)),
        ),
        Misconception(
            "the query is copied",
            "That is momentum 0: the key encoder is meant to follow slowly.",
            ema(shares=lambda m: (0.0, 1.0)),
        ),
        Misconception(
            "gradients flow through the average",
            "The key encoder learns by nothing but the average: detach both, or work under torch.no_grad().",
            ema(key_change=as_it_is, query_change=as_it_is),
        ),
        Misconception(
            "only the key is detached",
            "A gradient would still flow back into the query encoder: detach the query as well.",
            ema(query_change=as_it_is),
        ),
        Misconception(
            "only the query is detached",
            "The key must not carry its old graph along: detach it as well.",
            ema(key_change=as_it_is),
        ),
    ),
    result="the new key weights, shaped like the old ones",
)


def enqueue_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(k: int, b: int, d: int, start: int, about: str = "", question: str = "") -> None:
        keys = normal(rng, b, 1).exp() * normal(rng, b, d)
        tensors = {"queue": F.normalize(normal(rng, k, d), dim=1), "keys": keys}
        found.append(Case(tensors, {"start": start}, about, question))

    for _ in range(rounds):
        add(12, 4, 3, 4)
        add(16, 4, 6, 8)
        add(10, 3, 5, 2)
        add(10, 4, 5, 8, "keys that reach past the end")
        add(7, 5, 4, 5, "keys that reach past the end")
        add(8, 4, 3, 4, "keys that end with the queue")
        add(6, 6, 4, 2, "as many keys as places")
        add(9, 1, 4, 8, "a single key in the last place")
    return in_both_precisions(found)


Place = Callable[[int, int, int], Tensor]


def around(start: int, count: int, size: int) -> Tensor:
    return (start + torch.arange(count)) % size


def put(
    *,
    place: Place = around,
    key_norm: Change = rows_normalised,
    queue_norm: Change = as_it_is,
    keys_detached: bool = True,
    queue_detached: bool = True,
) -> Callable[..., Tensor]:
    """The new queue, with one thing done differently. `place` names a row for each of the first keys."""

    def enqueued(queue: Tensor, keys: Tensor, *, start: int) -> Tensor:
        queue, keys = queue.detach() if queue_detached else queue, keys.detach() if keys_detached else keys
        new = key_norm(keys)
        rows = place(start, len(keys), len(queue)).to(queue.device)
        return queue_norm(queue).index_copy(0, rows, new[: len(rows)])

    return enqueued


def pushed_in(queue: Tensor, keys: Tensor, *, start: int) -> Tensor:
    """First in, first out, by moving all rows: the keys are always at the end."""
    return torch.cat([queue, F.normalize(keys, dim=1)])[len(keys) :].detach()


def pushed_in_front(queue: Tensor, keys: Tensor, *, start: int) -> Tensor:
    return torch.cat([F.normalize(keys, dim=1), queue])[: len(queue)].detach()


def unchanged(queue: Tensor, keys: Tensor, *, start: int) -> Tensor:
    return queue.detach().clone()


ENQUEUE = Exercise(
    "enqueue",
    put(),
    enqueue_cases,
    (
        Misconception(
            "keys that reach past the end are dropped",
            "The queue is a ring: what does not fit at the end goes on at row 0. Think of % len(queue).",
            put(place=lambda start, count, size: torch.arange(start, min(start + count, size))),
        ),
        Misconception(
            "keys that reach past the end all go to row 0 and below",
            "Fill the queue to its end first; only the rest goes on at row 0.",
            put(
                place=lambda start, count, size: around(start if start + count <= size else 0, count, size),
            ),
        ),
        Misconception(
            "keys that reach past the end are moved up until they fit",
            "Fill the queue to its end first; the rest goes on at row 0.",
            put(place=lambda start, count, size: torch.arange(min(start, size - count), size)[:count]),
        ),
        Misconception(
            "the keys always go to row 0",
            "The oldest keys are at `start`: overwrite those.",
            put(place=lambda start, count, size: torch.arange(count)),
        ),
        Misconception(
            "the keys are one row too far",
            "The first key goes to row `start` itself.",
            put(place=lambda start, count, size: around(start + 1, count, size)),
        ),
        Misconception(
            "the ring is as long as the batch",
            "The queue closes after its own last row: % len(queue).",
            put(place=lambda start, count, size: around(start, count, count)),
        ),
        Misconception(
            "the rows are moved up and the keys put at the end",
            "Also a queue, but here rows stay where they are: write the keys from row `start` on.",
            pushed_in,
        ),
        Misconception(
            "the rows are moved down and the keys put in front",
            "Here rows stay where they are: write the keys from row `start` on.",
            pushed_in_front,
        ),
        Misconception(
            "the keys are not normalised",
            "F.normalize returns a new tensor and leaves the old one as it was: is its result used?",
            put(key_norm=as_it_is),
        ),
        Misconception(
            "columns are normalised instead of rows",
            "Each row is a key: its length is taken along dim=1.",
            put(key_norm=columns_normalised),
        ),
        Misconception(
            "the keys are written in reverse order",
            "Key 0 goes to row `start`, key 1 to the next.",
            put(key_norm=lambda keys: rows_normalised(keys).flip(0)),
        ),
        Misconception(
            "the queue stays as it was",
            "Did you write into a copy, and return the other one?",
            unchanged,
        ),
        Misconception(
            "the keys carry a gradient into the queue",
            "The queue outlives the step; the graph of its keys does not. Detach the keys.",
            put(keys_detached=False),
        ),
        Misconception(
            "nothing is detached",
            "The queue is a memory, not a part of the network: detach the queue and the keys.",
            put(keys_detached=False, queue_detached=False),
        ),
        Misconception(
            "only the keys are detached",
            "The old queue must not drag a graph along: detach it too, or clone it under torch.no_grad().",
            put(queue_detached=False),
        ),
    ),
    result="the new queue, (K, D) as before",
)


def logits_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(b: int, k: int, d: int, temperature: float, about: str = "", question: str = "") -> None:
        query = normal(rng, b, 1).exp() * normal(rng, b, d)
        tensors = {
            "query": query,
            "keys": query + normal(rng, b, d),
            "queue": F.normalize(normal(rng, k, d), dim=1),
        }
        found.append(Case(tensors, {"temperature": temperature}, about, question))

    for _ in range(rounds):
        add(4, 6, 3, 0.2)
        add(6, 16, 8, 0.07)
        add(3, 5, 4, 0.5)
        add(5, 4, 6, 1.0)
        add(24, 12, 6, 0.1)
        add(1, 9, 4, 0.2, "a single query")
    return in_both_precisions(found)


def logits(
    *,
    query_norm: Change = rows_normalised,
    key_norm: Change = rows_normalised,
    scale: Callable[[float], float] = lambda temperature: temperature,
    positive_scale: Callable[[float], float] | None = None,
    partner: Change = as_it_is,
    positive_last: bool = False,
    combine: Callable[[Tensor], Tensor] = lambda products: products.sum(dim=1, keepdim=True),
    query_change: Change = as_it_is,
    key_change: Change = detached,
    queue_change: Change = detached,
) -> Callable[..., Tensor]:
    """MoCo's logits, with one thing done differently."""

    def made(query: Tensor, keys: Tensor, queue: Tensor, *, temperature: float) -> Tensor:
        q, k = query_change(query_norm(query)), partner(key_change(key_norm(keys)))
        positive = combine(q * k) / (positive_scale or scale)(temperature)  # (B, 1)
        negative = q @ queue_change(queue).T / scale(temperature)  # (B, K)
        return torch.cat([negative, positive] if positive_last else [positive, negative], dim=1)

    return made


def keys_as_negatives(query: Tensor, keys: Tensor, queue: Tensor, *, temperature: float) -> Tensor:
    return logits()(query, keys, rows_normalised(keys.detach()), temperature=temperature)


def changed(change: Change) -> Callable[..., Tensor]:
    return lambda query, keys, queue, *, temperature: change(
        logits()(query, keys, queue, temperature=temperature)
    )


MOCO_LOGITS = Exercise(
    "moco_logits",
    logits(),
    logits_cases,
    (
        Misconception(
            "the query is not normalised",
            "The logits are cosines: make every query a unit vector first.",
            logits(query_norm=as_it_is),
        ),
        Misconception(
            "the keys are not normalised",
            "A long key would score high whatever it shows: make every key a unit vector first.",
            logits(key_norm=as_it_is),
        ),
        Misconception(
            "neither queries nor keys are normalised",
            "The logits are cosines. F.normalize returns a new tensor: is its result used?",
            logits(query_norm=as_it_is, key_norm=as_it_is),
        ),
        Misconception(
            "columns are normalised instead of rows",
            "Each row is an embedding: its length is taken along dim=1.",
            logits(query_norm=columns_normalised, key_norm=columns_normalised),
        ),
        Misconception(
            "the positive stands in the last column",
            "It stands in column 0, so that the target of every row is class 0.",
            logits(positive_last=True),
        ),
        Misconception(
            "the products of the positive are averaged",
            "A dot product is their sum: with a mean it is smaller by the number of dimensions.",
            logits(combine=lambda products: products.mean(dim=1, keepdim=True)),
        ),
        Misconception(
            "the negatives are the keys of the batch",
            "In MoCo the negatives come from the queue: query @ queue.T.",
            keys_as_negatives,
        ),
        *added_to_every_length(lambda normalise: logits(query_norm=normalise, key_norm=normalise)),
        Misconception(
            "a query is paired with the key of its neighbour",
            "Row i of `keys` is the other view of the image in row i of `query`.",
            logits(partner=lambda keys: keys.roll(1, 0)),
        ),
        Misconception(
            "the temperature is left out",
            "Divide the cosines by it.",
            logits(scale=lambda temperature: 1.0),
        ),
        Misconception(
            "the cosines are multiplied by the temperature",
            "They are divided by it: a small temperature makes the differences larger.",
            logits(scale=lambda temperature: 1 / temperature),
        ),
        Misconception(
            "only the negatives are divided by the temperature",
            "Positive and negatives compete in one softmax: put them together first, then divide.",
            logits(positive_scale=lambda temperature: 1.0),
        ),
        Misconception(
            "only the positive is divided by the temperature",
            "Positive and negatives compete in one softmax: put them together first, then divide.",
            logits(scale=lambda temperature: 1.0, positive_scale=lambda temperature: temperature),
        ),
        Misconception(
            "the softmax is already taken",
            "Return the logits; F.cross_entropy takes the softmax itself.",
            changed(lambda x: x.softmax(1)),
        ),
        Misconception(
            "the logarithm of the softmax is already taken",
            "Return the logits; F.cross_entropy takes the softmax itself.",
            changed(lambda x: x.log_softmax(1)),
        ),
        Misconception(
            "the keys receive a gradient",
            "The key encoder follows by momentum and learns from nothing else: detach the keys.",
            logits(key_change=as_it_is),
        ),
        Misconception(
            "the queue receives a gradient",
            "Its rows were made in earlier steps and have no graph any more: detach the queue.",
            logits(queue_change=as_it_is),
        ),
        Misconception(
            "keys and queue receive a gradient",
            "Only the query learns: detach the keys and the queue.",
            logits(key_change=as_it_is, queue_change=as_it_is),
        ),
        Misconception(
            "the query is detached",
            "The query is the one side that learns.",
            logits(query_change=detached),
        ),
    ),
    vectorised=True,
    result="the logits (B, 1 + K)",
)
