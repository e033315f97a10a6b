"""NT-Xent three times over: as a double loop, as one matrix, and such that nothing overflows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.base import Case, Exercise, Misconception
from course_lib.exercises.draws import generator, in_both_precisions, normal
from course_lib.exercises.small_numbers import added_to_every_length, small_numbers
from course_lib.losses import nt_xent_loss

_OVERFLOW = (
    "exp(1 / 0.01) is beyond float32: which exp followed by a log can be one logsumexp or cross_entropy?"
)
_HALF = "In float16 a square above 65504 is inf: cast up with .float() before you normalise."


def _pair(z1: Tensor, z2: Tensor, temperature: float, about: str = "", question: str = "") -> Case:
    return Case({"z1": z1, "z2": z2}, {"temperature": temperature}, about, question)


def ordinary_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    cases = []
    for _ in range(rounds):
        for n, d, temperature in ((2, 3, 0.5), (3, 8, 0.2), (5, 4, 1.0), (8, 16, 0.1)):
            cases.append(_pair(normal(rng, n, d), normal(rng, n, d), temperature))
        z = normal(rng, 4, 5)
        cases.append(_pair(z, z + 0.1 * normal(rng, 4, 5), 0.5))
        cases.append(
            _pair(
                torch.ones(3, 4),
                torch.ones(3, 4),
                0.5,
                "views that all coincide",
                "No part of the loss is infinite here: is something divided by zero?",
            )
        )
        cases.append(
            _pair(
                normal(rng, 1, 4),
                normal(rng, 1, 4),
                0.5,
                "a batch of one image",
                "Its view has one candidate, the partner, and finds it: the loss is log(1) = 0.",
            )
        )
    return in_both_precisions(cases)


def batches_of_two_sizes(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed + 1)
    large = [_pair(normal(rng, 24, 8), normal(rng, 24, 8), 0.3) for _ in range(rounds)]
    return ordinary_cases(seed, rounds) + in_both_precisions(large)


def hard_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed + 2)
    full, half = [], []
    for _ in range(rounds):
        z = normal(rng, 6, 8)
        near = z + 0.05 * normal(rng, 6, 8)
        full.append(_pair(z, near, 0.01, "temperature 0.01", _OVERFLOW))
        full.append(_pair(z, -near, 0.01, "temperature 0.01 and opposite views", _OVERFLOW))
        full.append(_pair(1000 * z, 1000 * near, 0.5, "vectors a thousand times longer"))
        pair = _pair(normal(rng, 5, 8), normal(rng, 5, 8), 0.1)
        half += [pair.to(dtype=torch.float16), pair.to(dtype=torch.bfloat16)]
        half.append(_pair(z, near, 0.05, "half precision", _OVERFLOW).to(dtype=torch.float16))
        long = _pair(1000 * z, 1000 * near, 0.5, "long vectors in half precision", _HALF)
        half.append(long.to(dtype=torch.float16))
    return ordinary_cases(seed, rounds) + in_both_precisions(full) + half


def stacked(z1: Tensor, z2: Tensor) -> Tensor:
    """Both views in at least float32, one below the other: (2N, D)."""
    z = torch.cat([z1, z2])
    return z.to(torch.promote_types(z.dtype, torch.float32))


def similarities(z1: Tensor, z2: Tensor, dim: int = 1) -> Tensor:
    z = F.normalize(stacked(z1, z2), dim=dim)
    return z @ z.T


def partners(logits: Tensor) -> Tensor:
    rows = len(logits)
    return (torch.arange(rows, device=logits.device) + rows // 2) % rows


def without_diagonal(logits: Tensor, fill: float = -torch.inf) -> Tensor:
    return logits.masked_fill(torch.eye(len(logits), dtype=torch.bool, device=logits.device), fill)


def per_view(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    logits = without_diagonal(similarities(z1, z2) / temperature)
    return F.cross_entropy(logits, partners(logits), reduction="none")


def from_logits(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """NT-Xent whose (2N, 2N) logits, diagonal included, pass through `change`."""

    def loss(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        logits = change(similarities(z1, z2) / temperature)
        return F.cross_entropy(logits, partners(logits))

    return loss


def reduced(reduce: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """NT-Xent whose 2N terms are put together by `reduce`."""
    return lambda z1, z2, *, temperature: reduce(per_view(z1, z2, temperature))


def with_temperature(change: Callable[[float], float]) -> Callable[..., Tensor]:
    return lambda z1, z2, *, temperature: per_view(z1, z2, change(temperature)).mean()


def wrong_dimension(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    logits = without_diagonal(similarities(z1, z2, dim=0) / temperature)
    return F.cross_entropy(logits, partners(logits))


def normalised_in_half_precision(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = without_diagonal(stacked(z, z[:0]) @ stacked(z, z[:0]).T / temperature)
    return F.cross_entropy(logits, partners(logits))


def own_partner(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    logits = similarities(z1, z2) / temperature
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def smallest_cosine_on_the_diagonal(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    logits = without_diagonal(similarities(z1, z2), -1.0) / temperature
    return F.cross_entropy(logits, partners(logits))


def neighbours_as_partners(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    logits = without_diagonal(similarities(z1, z2) / temperature)
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device) ^ 1)


def other_side_only(z1: Tensor, z2: Tensor, *, temperature: float, directions: int) -> Tensor:
    logits = similarities(z1, z2)[: len(z1), len(z1) :] / temperature
    target = torch.arange(len(z1), device=logits.device)
    return (
        sum((F.cross_entropy(x, target) for x in (logits, logits.T)[:directions]), logits.new_zeros(()))
        / directions
    )


def no_positive_below(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    logits = without_diagonal(similarities(z1, z2) / temperature)
    target = partners(logits)[:, None]
    below = logits.scatter(1, target, -torch.inf).logsumexp(dim=1)
    return (below - logits.gather(1, target).squeeze(1)).mean()


def tiny_number_in_the_log(eps: float) -> Callable[..., Tensor]:
    return lambda z1, z2, *, temperature: -((-per_view(z1, z2, temperature)).exp() + eps).log().mean()


def with_other_lengths(normalise: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def loss(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        z = normalise(stacked(z1, z2))
        logits = without_diagonal(z @ z.T / temperature)
        return F.cross_entropy(logits, partners(logits))

    return loss


def running_sum_never_reset(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    weights = without_diagonal(similarities(z1, z2) / temperature).exp()
    positive = weights.gather(1, partners(weights)[:, None]).squeeze(1)
    return (weights.sum(dim=1).cumsum(0).log() - positive.log()).mean()


def one_subtracted(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    logits = similarities(z1, z2) / temperature
    positive = logits.gather(1, partners(logits)[:, None]).squeeze(1)
    return ((logits.exp().sum(dim=1) - 1).log() - positive).mean()


def softmax_over_the_matrix(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    logits = without_diagonal(similarities(z1, z2) / temperature)
    positive = logits.gather(1, partners(logits)[:, None]).squeeze(1)
    return (logits.flatten().logsumexp(dim=0) - positive).mean()


MISCONCEPTIONS = (
    Misconception(
        "the diagonal is kept",
        "Every view then competes with itself, and always wins: set the diagonal to -inf before the softmax.",
        from_logits(lambda logits: logits),
    ),
    Misconception(
        "the diagonal is set to 0 instead of -inf",
        "exp(0) is 1, so the view itself still counts in the sum: what has exponential 0?",
        from_logits(lambda logits: without_diagonal(logits, 0.0)),
    ),
    Misconception(
        "the diagonal is set to the smallest cosine, -1",
        "exp(-1 / temperature) is small but not 0, so the view itself still counts: what has exponential 0?",
        smallest_cosine_on_the_diagonal,
    ),
    Misconception(
        "each view has to find itself",
        "The target of row i is its partner, row (i + N) % 2N, and row i itself is no candidate.",
        own_partner,
    ),
    Misconception(
        "the projections are not normalised",
        "The similarity is the cosine: divide every row by its length first.",
        with_other_lengths(lambda z: z),
    ),
    Misconception(
        "columns are normalised instead of rows",
        "Each row is one view's projection: its length is taken along dim=1.",
        wrong_dimension,
    ),
    Misconception(
        "the temperature is left out",
        "Divide the cosines by it before the exponential.",
        with_temperature(lambda temperature: 1.0),
    ),
    Misconception(
        "the cosines are multiplied by the temperature",
        "They are divided by it: a small temperature makes the differences larger.",
        with_temperature(lambda temperature: 1 / temperature),
    ),
    Misconception(
        "both factors are divided by the temperature",
        "z / T times z / T divides the cosine by T twice: once is meant.",
        with_temperature(lambda temperature: temperature**2),
    ),
    Misconception(
        "the softmax is taken before cross_entropy, which takes it again",
        "F.cross_entropy wants the logits themselves.",
        from_logits(lambda logits: without_diagonal(logits).softmax(dim=1)),
    ),
    Misconception(
        "the sum below goes on from view to view",
        "Every view has a denominator of its own: begin with 0 again for each.",
        running_sum_never_reset,
    ),
    Misconception(
        "1 is subtracted for the view itself",
        "Its own term is exp(1 / temperature), since its cosine with itself is 1: leave it out of the sum.",
        one_subtracted,
    ),
    Misconception(
        "one softmax is taken over the whole matrix",
        "Every view chooses for itself: the sum below runs over its own row.",
        softmax_over_the_matrix,
    ),
    Misconception(
        "the positive is missing from the denominator",
        "The sum below runs over every k except i itself; the partner is one of them.",
        no_positive_below,
    ),
    Misconception(
        "only the views in z1 are anchors",
        "Every one of the 2N views must find its partner; those in z2 too.",
        reduced(lambda losses: losses[: len(losses) // 2].mean()),
    ),
    Misconception(
        "each view in z1 competes with the views in z2 only",
        "The other views of its own side are negatives as well: there are 2N - 1 candidates, and 2N anchors.",
        partial(other_side_only, directions=1),
    ),
    Misconception(
        "each view competes with the other side only",
        "The other views of its own side are negatives as well: there are 2N - 1 candidates.",
        partial(other_side_only, directions=2),
    ),
    Misconception(
        "the partner of row i is its neighbour in the stack",
        "With z1 above z2, the partner of row i is row i + N; only interleaved rows are neighbours.",
        neighbours_as_partners,
    ),
    Misconception(
        "the terms are summed",
        "The loss is their mean over the 2N views, so that it does not grow with the batch.",
        reduced(torch.sum),
    ),
    Misconception(
        "the sum is divided by N",
        "There are 2N views, so 2N terms: divide by 2N.",
        reduced(lambda losses: 2 * losses.mean()),
    ),
    Misconception(
        "the sum is divided by 2N - 1",
        "2N - 1 is the number of candidates of a view; the views are 2N, and so are the terms.",
        reduced(lambda losses: losses.sum() / max(len(losses) - 1, 1)),
    ),
    Misconception(
        "the minus sign is missing",
        "The loss is minus the log-probability: it falls when the partner becomes more likely.",
        reduced(lambda losses: -losses.mean()),
    ),
    Misconception(
        "the mean is taken before the logarithm",
        "Each view has its own -log p; the mean comes last.",
        reduced(lambda losses: -(-losses).exp().mean().log()),
    ),
    Misconception(
        "the second view is detached",
        "Both views learn: gradient flows through z1 and z2.",
        lambda z1, z2, *, temperature: per_view(z1, z2.detach(), temperature).mean(),
    ),
)

_TINY_NUMBERS = (
    *small_numbers(
        "inside the logarithm",
        "It hides an overflow and cuts the loss off: cross_entropy on the logits needs no such thing.",
        tiny_number_in_the_log,
    ),
    *added_to_every_length(with_other_lengths),
)

_CAST_TOO_LATE = Misconception(
    "the projections are normalised in half precision and cast up afterwards",
    "Lengths overflow and digits are lost on the way: cast up first of all.",
    normalised_in_half_precision,
)

_K_IS_I = Misconception(
    "k = i stays in the sum",
    "A view is not its own candidate: skip k = i in the denominator.",
    MISCONCEPTIONS[0].function,
)

NT_XENT_NAIVE = Exercise(
    "nt_xent_naive", nt_xent_loss, ordinary_cases, (_K_IS_I, *MISCONCEPTIONS[4:], *_TINY_NUMBERS)
)
NT_XENT_VECTORISED = Exercise(
    "nt_xent_vectorised",
    nt_xent_loss,
    batches_of_two_sizes,
    (*MISCONCEPTIONS, *_TINY_NUMBERS),
    vectorised=True,
)
NT_XENT_LOSS = Exercise(
    "nt_xent_loss",
    nt_xent_loss,
    hard_cases,
    (*MISCONCEPTIONS, *_TINY_NUMBERS, _CAST_TOO_LATE),
    vectorised=True,
)
