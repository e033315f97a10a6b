"""What do the features know? Weighted nearest neighbours, and a linear classifier, on frozen features."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.base import Case, Exercise, Misconception
from course_lib.exercises.draws import generator, in_both_precisions, labels, normal


def vote_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(
        n: int, m: int, d: int, classes: int, k: int, temperature: float, about: str = "", question: str = ""
    ) -> None:
        """Features of any length, with a common mean, as those behind a ReLU have."""
        mean = normal(rng, d)
        tensors = {
            "bank": normal(rng, n, 1).exp() * (mean + normal(rng, n, d)),
            "queries": normal(rng, m, 1).exp() * (mean + normal(rng, m, d)),
        }
        options: dict[str, float | Tensor] = {"bank_labels": labels(rng, n, min(classes, 5))}
        options |= {"classes": classes, "k": k, "temperature": temperature}
        found.append(Case(tensors, options, about, question))

    for _ in range(rounds):
        add(20, 6, 4, 3, 5, 0.5)
        add(30, 8, 8, 4, 7, 0.2)
        add(24, 10, 5, 5, 9, 1.0)
        add(16, 5, 6, 4, 6, 0.07)
        add(12, 4, 5, 9, 4, 0.3, "classes that no image of the bank has")
        add(6, 4, 5, 3, 20, 0.4, "a bank with fewer than k images", "All of them vote then.")
        small = "exp(1 / 0.01) is beyond float32: a softmax over the neighbours is the same and stays finite."
        add(18, 5, 4, 3, 5, 0.01, "temperature 0.01", small)
        add(15, 1, 4, 3, 1, 0.2, "a single query and a single neighbour")
    return in_both_precisions(found)


Similarity = Callable[[Tensor, Tensor], Tensor]


def cosine(queries: Tensor, bank: Tensor) -> Tensor:
    return F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T


def share_out(weights: Tensor, voters: Tensor, classes: int) -> Tensor:
    """Weights (M, k) of neighbours with labels (M, k) -> what each class gets, (M, C)."""
    return weights.new_zeros(len(weights), classes).scatter_add(1, voters, weights)


def votes(
    *,
    similarity: Similarity = cosine,
    largest: bool = True,
    weigh: Callable[[Tensor, float], Tensor] = lambda s, temperature: (s / temperature).softmax(1),
    finish: Callable[[Tensor], Tensor] = lambda shares: shares,
    count: Callable[[int], int] = lambda k: k,
    every_image: bool = False,
) -> Callable[..., Tensor]:
    """Shares of the vote, with one thing done differently."""

    def counted(
        bank: Tensor, queries: Tensor, *, bank_labels: Tensor, classes: int, k: int, temperature: float
    ) -> Tensor:
        found = similarity(queries, bank)
        neighbours = len(bank) if every_image else min(count(k), len(bank))
        near, index = found.topk(neighbours, dim=1, largest=largest)
        return finish(share_out(weigh(near, temperature), bank_labels[index], classes))

    return counted


def negative_distance(queries: Tensor, bank: Tensor) -> Tensor:
    return -(queries[:, None] - bank[None, :]).norm(dim=2)


def votes_by_row(
    bank: Tensor, queries: Tensor, *, bank_labels: Tensor, classes: int, k: int, temperature: float
) -> Tensor:
    """The rows of the neighbours are taken for their labels."""
    near, index = cosine(queries, bank).topk(min(k, len(bank)), dim=1)
    return share_out((near / temperature).softmax(1), index % classes, classes)


def last_vote_only(
    bank: Tensor, queries: Tensor, *, bank_labels: Tensor, classes: int, k: int, temperature: float
) -> Tensor:
    """Votes are written into their class instead of being added."""
    near, index = cosine(queries, bank).topk(min(k, len(bank)), dim=1)
    shares, voters = (near / temperature).softmax(1), bank_labels[index]
    kept = shares.new_zeros(len(queries), classes)
    for share, voter in zip(shares.split(1, dim=1), voters.split(1, dim=1), strict=True):
        kept = kept.scatter(1, voter, share)
    return kept


KNN_VOTES = Exercise(
    "knn_votes",
    votes(),
    vote_cases,
    (
        Misconception(
            "every neighbour has one vote",
            "A near neighbour counts more: weigh its vote by exp(cosine / temperature).",
            votes(weigh=lambda s, temperature: torch.full_like(s, 1 / s.shape[1])),
        ),
        Misconception(
            "neighbours are weighed by the cosine itself",
            "The weight is exp(cosine / temperature), which tells 0.9 from 0.8 clearly.",
            votes(weigh=lambda s, temperature: s / s.sum(dim=1, keepdim=True)),
        ),
        Misconception(
            "the temperature is left out",
            "Divide the cosines by it before the exponential.",
            votes(weigh=lambda s, temperature: s.softmax(1)),
        ),
        Misconception(
            "the cosines are multiplied by the temperature",
            "They are divided by it: a small temperature trusts the nearest more.",
            votes(weigh=lambda s, temperature: (s * temperature).softmax(1)),
        ),
        Misconception(
            "the features are not normalised",
            "The similarity is the cosine: make bank and queries unit vectors first.",
            votes(similarity=lambda queries, bank: queries @ bank.T),
        ),
        Misconception(
            "only the queries are normalised",
            "Long features of the bank would win whatever they show: normalise the bank as well.",
            votes(similarity=lambda queries, bank: F.normalize(queries, dim=1) @ bank.T),
        ),
        Misconception(
            "only the bank is normalised",
            "The weight must not depend on the length of the query: normalise the queries as well.",
            votes(similarity=lambda queries, bank: queries @ F.normalize(bank, dim=1).T),
        ),
        Misconception(
            "columns are normalised instead of rows",
            "Each row is one image's feature: its length is taken along dim=1.",
            votes(similarity=lambda queries, bank: F.normalize(queries, dim=0) @ F.normalize(bank, dim=0).T),
        ),
        Misconception(
            "neighbours are found by distance",
            "Near means a large cosine here; long features are far apart though they point the same way.",
            votes(similarity=negative_distance),
        ),
        Misconception(
            "the farthest images vote",
            "The nearest have the largest cosines: topk takes those, a sort in ascending order does not.",
            votes(largest=False),
        ),
        Misconception(
            "the whole bank votes",
            "Only the k nearest do.",
            votes(every_image=True),
        ),
        Misconception(
            "one neighbour too many votes",
            "No query is in the bank, so none of the k neighbours is the image itself.",
            votes(count=lambda k: k + 1),
        ),
        Misconception(
            "the number of a neighbour is taken for its label",
            "topk gives rows of the bank; bank_labels[index] are their classes.",
            votes_by_row,
        ),
        Misconception(
            "the last vote for a class overwrites the others",
            "Neighbours of one class add up: scatter_add, not scatter or an assignment.",
            last_vote_only,
        ),
        Misconception(
            "the votes are not divided by their sum",
            "The shares of all classes add up to 1.",
            votes(weigh=lambda s, temperature: (s / temperature).exp()),
        ),
        Misconception(
            "a softmax is taken over the classes at the end",
            "A class without a vote must get exactly 0: divide by the sum of the votes instead.",
            votes(finish=lambda shares: shares.softmax(1)),
        ),
        Misconception(
            "the winner takes all",
            "Return the shares; the arg-max comes later.",
            votes(finish=lambda shares: F.one_hot(shares.argmax(1), shares.shape[1]).to(shares.dtype)),
        ),
    ),
    differentiable=False,
    vectorised=True,
    result="the share of the vote of every class, (M, classes)",
)


def probe_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(
        n: int, m: int, f: int, classes: int, steps: int, lr: float, decay: float, about: str = "",
        question: str = "", constant: bool = False,
    ) -> None:  # fmt: skip
        scale, mean = 100 * normal(rng, f).exp(), 80 * normal(rng, f)
        train, test = (mean + scale * normal(rng, count, f) for count in (n, m))
        if constant:
            train[:, 0], test[:, 0] = 2.0, 2.0
        drawn = torch.randint(classes, (n,), generator=rng)  # some classes are rarer: the bias matters
        options: dict[str, float | Tensor] = {"labels": drawn, "classes": classes, "steps": steps, "lr": lr}
        tensors = {"train": train, "test": test}
        found.append(Case(tensors, {**options, "weight_decay": decay}, about, question))

    for _ in range(rounds):
        add(12, 5, 4, 3, 5, 0.5, 0.0)
        add(20, 6, 8, 4, 10, 1.0, 0.1)
        add(15, 8, 5, 2, 20, 0.3, 0.3)
        add(9, 4, 3, 3, 1, 2.0, 0.2, "a single step")
        add(10, 4, 4, 3, 8, 0.5, 0.0, "a feature that is the same for all images", _CONSTANT, constant=True)
        add(10, 1, 4, 3, 6, 0.5, 0.1, "a single test image", _SINGLE)
    return in_both_precisions(found)


_CONSTANT = "Its standard deviation is 0: what do you divide by? Let 1e-6 be its smallest value."
_SINGLE = "Mean and standard deviation come from the training features, however few test images there are."


def standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = train.mean(0), train.std(0, correction=0).clamp_min(1e-6)
    return (train - mean) / std, (test - mean) / std


def each_by_its_own(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    return standardised(train, train)[0], standardised(test, test)[0]


def together(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    return standardised(torch.cat([train, test]), train)[1], standardised(torch.cat([train, test]), test)[1]


def unbiased(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = train.mean(0), train.std(0).clamp_min(1e-6)
    return (train - mean) / std, (test - mean) / std


def only_centred(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    return train - train.mean(0), test - train.mean(0)


def one_number_for_all(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    return (train - train.mean()) / train.std(correction=0), (test - train.mean()) / train.std(correction=0)


def unit_vectors(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    return F.normalize(train, dim=1), F.normalize(test, dim=1)


def each_row(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    return standardised(train.T, train.T)[0].T, standardised(test.T, test.T)[0].T


def probe(
    *,
    prepare: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = standardised,
    average: Callable[[int, int], int] = lambda n, classes: n,
    bias_learns: bool = True,
    bias_decays: bool = False,
    decay: Callable[[float], float] = lambda weight_decay: weight_decay,
    how_often: Callable[[int], int] = lambda steps: steps,
    direction: float = -1.0,
    finish: Callable[[Tensor], Tensor] = lambda logits: logits,
) -> Callable[..., Tensor]:
    """Logits of the test features, with one thing done differently. The gradient is written out."""

    def logits(
        train: Tensor,
        test: Tensor,
        *,
        labels: Tensor,
        classes: int,
        steps: int,
        lr: float,
        weight_decay: float,
    ) -> Tensor:
        x, x_test = prepare(train.detach(), test.detach())
        weight, bias = x.new_zeros(classes, x.shape[1]), x.new_zeros(classes)
        target = F.one_hot(labels, classes).to(x.dtype)
        for _ in range(how_often(steps)):
            error = ((x @ weight.T + bias).softmax(1) - target) / average(len(x), classes)  # (N, C)
            weight = weight + direction * lr * (error.T @ x + decay(weight_decay) * weight)
            if bias_learns:
                bias = bias + direction * lr * (error.sum(0) + bias_decays * weight_decay * bias)
        return finish(x_test @ weight.T + bias)

    return logits


def optimised(optimiser: type[torch.optim.SGD | torch.optim.Adam], *, reset: bool) -> Callable[..., Tensor]:
    """The probe trained by one of torch's optimisers, its gradients reset in every step or never."""

    def logits(
        train: Tensor,
        test: Tensor,
        *,
        labels: Tensor,
        classes: int,
        steps: int,
        lr: float,
        weight_decay: float,
    ) -> Tensor:
        x, x_test = standardised(train.detach(), test.detach())
        weight = x.new_zeros(classes, x.shape[1]).requires_grad_()
        bias = x.new_zeros(classes).requires_grad_()
        step = optimiser([weight, bias], lr=lr)
        for _ in range(steps):
            loss = F.cross_entropy(x @ weight.T + bias, labels) + weight_decay / 2 * weight.square().sum()
            if reset:
                step.zero_grad()
            loss.backward()
            step.step()
        return (x_test @ weight.T + bias).detach()

    return logits


LINEAR_PROBE = Exercise(
    "linear_probe",
    probe(),
    probe_cases,
    (
        Misconception(
            "the gradient of every step is added to those of all earlier ones",
            "Call optimiser.zero_grad() before .backward(), or set .grad to None.",
            optimised(torch.optim.SGD, reset=False),
        ),
        Misconception(
            "the features are not standardised",
            "Take off the mean of every column of train, and divide by its standard deviation.",
            probe(prepare=lambda train, test: (train, test)),
        ),
        Misconception(
            "the test features are not standardised",
            "The classifier has learnt on standardised features: treat test with the same mean and std.",
            probe(prepare=lambda train, test: (standardised(train, test)[0], test)),
        ),
        Misconception(
            "the test features are standardised by themselves",
            "Use mean and standard deviation of the training features for both: a test image comes alone.",
            probe(prepare=each_by_its_own),
        ),
        Misconception(
            "mean and standard deviation include the test features",
            "Nothing may be learnt from the test set: use the training features alone.",
            probe(prepare=together),
        ),
        Misconception(
            "the mean is taken off but the standard deviation is not divided out",
            "Features with large numbers would otherwise decide: divide by the standard deviation.",
            probe(prepare=only_centred),
        ),
        Misconception(
            "one mean and one standard deviation serve all features",
            "Every column has its own: mean(dim=0) and std(dim=0).",
            probe(prepare=one_number_for_all),
        ),
        Misconception(
            "the features are made unit vectors instead of standardised",
            "Here columns are brought to mean 0 and standard deviation 1; rows keep their length.",
            probe(prepare=unit_vectors),
        ),
        Misconception(
            "every image is standardised instead of every feature",
            "Mean and standard deviation run over the images, dim=0: one number for each column.",
            probe(prepare=each_row),
        ),
        Misconception(
            "the standard deviation divides by N - 1",
            "train.std(0) does so by default; here it is over N: train.std(0, correction=0).",
            probe(prepare=unbiased),
        ),
        Misconception(
            "there is no bias",
            "A class that is rarer than others needs one: logits = x @ weight.T + bias, and both learn.",
            probe(bias_learns=False),
        ),
        Misconception(
            "the weight decay is left out",
            "Add weight_decay / 2 times the sum of the squared weights to the loss.",
            probe(decay=lambda weight_decay: 0.0),
        ),
        Misconception(
            "the penalty is not halved",
            "It is weight_decay / 2 times the sum of squares, so that its gradient is weight_decay * weight.",
            probe(decay=lambda weight_decay: 2 * weight_decay),
        ),
        Misconception(
            "the bias decays too",
            "Only the weights are penalised: the bias says how frequent a class is.",
            probe(bias_decays=True),
        ),
        Misconception(
            "the cross-entropy is summed over the images",
            "It is their mean, so that lr does not depend on how many there are.",
            probe(average=lambda n, classes: 1),
        ),
        Misconception(
            "the gradient is added",
            "It points uphill: subtract it.",
            probe(direction=1.0),
        ),
        Misconception(
            "Adam takes the steps",
            "Plain gradient descent is asked: torch.optim.SGD without momentum.",
            optimised(torch.optim.Adam, reset=True),
        ),
        Misconception(
            "one step is missing",
            "Take exactly `steps` steps, and make the logits of test after the last.",
            probe(how_often=lambda steps: steps - 1),
        ),
        Misconception(
            "there is one step too many",
            "Take exactly `steps` steps, from weights that are zero.",
            probe(how_often=lambda steps: steps + 1),
        ),
        Misconception(
            "the softmax of the logits is returned",
            "Return the logits.",
            probe(finish=lambda logits: logits.softmax(1)),
        ),
    ),
    differentiable=False,
    result="the logits of the test images, (M, classes)",
)
