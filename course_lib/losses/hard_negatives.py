"""Negatives that teach more: corrected for false ones, weighted by hardness, or mixed from the hardest.

Chuang, Robinson, Lin, Torralba & Jegelka, "Debiased Contrastive Learning", NeurIPS 2020.
Robinson, Chuang, Sra & Jegelka, "Contrastive Learning with Hard Negative Samples", ICLR 2021.
Kalantidis, Sariyildiz, Pion, Weinzaepfel & Larlus, "Hard Negative Mixing for Contrastive
Learning", NeurIPS 2020.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.losses.nt_xent import nt_xent_loss
from course_lib.losses.precision import check_embeddings, check_positive, full_precision


@full_precision
def debiased_nt_xent_loss(
    z1: Tensor, z2: Tensor, *, temperature: float = 0.5, tau_plus: float = 0.1
) -> Tensor:
    """NT-Xent that takes out the false negatives it expects (Chuang et al. 2020, eq. 8).

    A share `tau_plus` of the "negatives" shows the anchor's own class. Their expected part is estimated from
    the positive and subtracted: the sum over the M = 2N - 2 negatives becomes
        G = max((sum_k exp(s_k) - tau_plus M exp(s_pos)) / (1 - tau_plus), M exp(-1 / temperature)),
    s being cosine similarities over the temperature; each view pays -log(exp(s_pos) / (exp(s_pos) + G)).
    `tau_plus` = 0 gives `nt_xent_loss`.

    Args:
        z1, z2: projections of the two views, (N, D); normalised inside.
        temperature: divides the cosine similarity.
        tau_plus: probability that two images share a class, in [0, 1): 0.1 for ten equal classes.

    Returns:
        Mean over the 2N views, a float32 scalar; 0 for N = 1, which has no negatives. Equals log(2N - 1)
        when all views coincide.

    Raises:
        ValueError: shapes differ, N = 0, temperature <= 0, or tau_plus outside [0, 1).
    """
    return hard_negative_nt_xent_loss(z1, z2, temperature=temperature, tau_plus=tau_plus, beta=0.0)


@full_precision
def hard_negative_nt_xent_loss(
    z1: Tensor, z2: Tensor, *, temperature: float = 0.5, tau_plus: float = 0.1, beta: float = 1.0
) -> Tensor:
    """Debiased NT-Xent whose negatives count by their hardness (Robinson et al. 2021, eq. 4).

    In the sum over negatives each exp(s_k) is weighted by exp(beta s_k), divided by the mean of these
    weights; the rest is `debiased_nt_xent_loss`. Gradient flows through the weights, as in the authors' code.
    `beta` = 0 gives the debiased loss, and `tau_plus` = 0 on top of it `nt_xent_loss`.

    Args:
        z1, z2: projections of the two views, (N, D); normalised inside.
        temperature: divides the cosine similarity.
        tau_plus: probability that two images share a class, in [0, 1).
        beta: how much hard negatives are preferred, >= 0; the paper uses 0.5 to 2.

    Returns:
        Mean over the 2N views, a float32 scalar; 0 for N = 1, which has no negatives. Equals log(2N - 1)
        when all views coincide.

    Raises:
        ValueError: shapes differ, N = 0, temperature <= 0, tau_plus outside [0, 1), or beta < 0.
    """
    check_embeddings(z1=z1, z2=z2)
    check_positive(temperature=temperature)
    if not 0 <= tau_plus < 1:
        raise ValueError(f"tau_plus must lie in [0, 1), got {tau_plus}")
    if not beta >= 0:
        raise ValueError(f"beta must be at least 0, got {beta}")
    if len(z1) == 1:
        return nt_xent_loss(z1, z2, temperature=temperature)  # 0: nothing to correct or weigh
    s_pos, s = positive_and_negatives(z1, z2, temperature)  # (2N,), (2N, 2N) with -inf for self and positive
    log_m = math.log(2 * len(z1) - 2)
    # the whole sum is kept as a logarithm, since exp(1 / temperature) overflows at temperature 0.01
    weighted = ((1 + beta) * s).logsumexp(dim=1)
    log_sum = weighted - (beta * s).logsumexp(dim=1) + log_m if beta else weighted
    if tau_plus:
        log_sum = log_of_difference(log_sum, s_pos + log_m + math.log(tau_plus)) - math.log1p(-tau_plus)
        log_sum = log_sum.clamp(min=log_m - 1 / temperature)
    return F.softplus(log_sum - s_pos).mean()  # -log(e^pos / (e^pos + G))


def positive_and_negatives(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Cosine similarities over the temperature: to the partner (2N,), and to the others (2N, 2N)."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    s = z @ z.T / temperature
    itself_or_partner = torch.eye(len(z1), dtype=torch.bool, device=z.device).repeat(2, 2)
    partner = s.diagonal(offset=len(z1))  # (N,), symmetric: the same for both views
    return partner.repeat(2), s.masked_fill(itself_or_partner, -torch.inf)


def log_of_difference(log_a: Tensor, log_b: Tensor) -> Tensor:
    """log(max(a - b, 0)) from log a and log b; -inf, with gradient 0, where b >= a."""
    gap = log_b - log_a
    inside = gap < 0
    log_share = (-torch.expm1(gap.where(inside, gap.new_tensor(-1.0)))).log()
    return (log_a + log_share).masked_fill(~inside, -torch.inf)


@full_precision
def mochi_negatives(
    query: Tensor,
    queue: Tensor,
    *,
    num_hard: int,
    num_mixed: int,
    num_query_mixed: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Synthetic hard negatives, mixed for each query from the hardest of the queue (Kalantidis et al. 2020).

    Draws what `mochi_mix` needs: pairs of different negatives among the `num_hard` hardest with a share
    alpha in [0, 1), and single ones with a query's share beta in [0, 0.5), so that a mixture always stays
    more negative than query. They are meant to be added to the queue's own negatives, and not in the first
    epochs, when "hard" means nothing yet.

    Args:
        query: (B, D); normalised inside.
        queue: negatives, (K, D), one a row; normalised inside, receives no gradient.
        num_hard: how many of the queue's negatives count as hard, N in the paper, <= K.
        num_mixed: mixtures of two negatives for each query, s in the paper.
        num_query_mixed: mixtures of the query and a negative for each query, s' in the paper.
        generator: makes the draws repeatable; torch's global one unless given.

    Returns:
        Unit vectors, (B, num_mixed + num_query_mixed, D): mixtures of two negatives first. Made for
        `info_nce_loss`, as its `negatives` beside the queue's.

    Raises:
        ValueError: shapes do not match, num_hard outside [1, K] (2 at least for mixtures of two), or a
            negative count.
    """
    check_queue(query, queue)
    if not (2 if num_mixed else 1) <= num_hard <= len(queue):
        raise ValueError(
            f"num_hard must lie between 1 (2 for mixtures of two) and {len(queue)}, got {num_hard}"
        )
    if num_mixed < 0 or num_query_mixed < 0:
        raise ValueError(f"counts must be at least 0, got {num_mixed} and {num_query_mixed}")
    device = query.device if generator is None else generator.device

    def ranks(low: int, high: int, count: int) -> Tensor:
        return torch.randint(low, high, (len(query), count), generator=generator, device=device)

    def shares(count: int) -> Tensor:
        return torch.rand(len(query), count, generator=generator, device=device)

    first = ranks(0, num_hard, num_mixed)
    second = (first + ranks(1, max(num_hard, 2), num_mixed)) % num_hard  # never the same one
    alpha = shares(num_mixed)
    third, beta = ranks(0, num_hard, num_query_mixed), shares(num_query_mixed) / 2
    return mochi_mix(query, queue, first=first, second=second, alpha=alpha, third=third, beta=beta)


@full_precision
def mochi_mix(
    query: Tensor, queue: Tensor, *, first: Tensor, second: Tensor, alpha: Tensor, third: Tensor, beta: Tensor
) -> Tensor:
    """MoCHi with given draws (Kalantidis et al. 2020, eqs. 4 and 5).

    The queue is ranked for each query by cosine similarity; n_r is the negative of rank r, 0 the hardest.
        h  = normalise(alpha n_first + (1 - alpha) n_second)
        h' = normalise(beta q + (1 - beta) n_third)

    Args:
        query: (B, D); normalised inside. Gradient reaches it through h'.
        queue: (K, D); normalised inside, receives no gradient.
        first, second: ranks of the two negatives of each mixture, int64 (B, s).
        alpha: share of the first, (B, s).
        third: rank of the negative mixed with the query, int64 (B, s').
        beta: share of the query, (B, s').

    Returns:
        Unit vectors h, then h', (B, s + s', D).

    Raises:
        ValueError: shapes do not match.
    """
    check_queue(query, queue)
    for name, draw, share in (("first", first, alpha), ("second", second, alpha), ("third", third, beta)):
        if draw.ndim != 2 or len(draw) != len(query) or draw.shape != share.shape:
            raise ValueError(
                f"{name} and its share must both have shape ({len(query)}, s), "
                f"got {tuple(draw.shape)} and {tuple(share.shape)}"
            )
    query, queue = F.normalize(query, dim=1), F.normalize(queue.detach(), dim=1)
    first, second, third, alpha, beta = (x.to(query.device) for x in (first, second, third, alpha, beta))
    deepest = int(torch.cat([first, second, third], dim=1).max()) + 1 if first.numel() + third.numel() else 1
    if deepest > len(queue):
        raise ValueError(f"rank {deepest - 1} does not exist in a queue of {len(queue)}")
    order = (query.detach() @ queue.T).topk(deepest, dim=1).indices  # (B, deepest), hardest first

    def negative(rank: Tensor) -> Tensor:
        return queue[order.gather(1, rank)]  # (B, s, D)

    alpha, beta = alpha.to(query.dtype).unsqueeze(2), beta.to(query.dtype).unsqueeze(2)
    mixed = alpha * negative(first) + (1 - alpha) * negative(second)
    query_mixed = beta * query.unsqueeze(1) + (1 - beta) * negative(third)
    return F.normalize(torch.cat([mixed, query_mixed], dim=1), dim=2)


def check_queue(query: Tensor, queue: Tensor) -> None:
    check_embeddings(query=query)
    check_embeddings(queue=queue)
    if query.shape[1] != queue.shape[1]:
        raise ValueError(
            f"query and queue must have the same width, got {tuple(query.shape)} and {tuple(queue.shape)}"
        )
