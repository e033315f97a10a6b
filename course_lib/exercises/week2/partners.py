"""From projections to "who looks at whom", and one step of SimCLR on it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.base import Case, Exercise, Misconception
from course_lib.exercises.draws import generator, in_both_precisions, normal
from course_lib.exercises.small_numbers import added_to_every_length
from course_lib.losses import nt_xent_loss


def probability_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(image: Tensor, d: int, temperature: float, about: str = "", question: str = "") -> None:
        z = normal(rng, len(image), 1).exp() * normal(rng, len(image), d)
        found.append(Case({"z": z}, {"image": image, "temperature": temperature}, about, question))

    def shuffled(n: int) -> Tensor:
        return torch.arange(n).repeat(2)[torch.randperm(2 * n, generator=rng)]

    for _ in range(rounds):
        add(shuffled(3), 4, 0.5)
        add(shuffled(5), 8, 0.2)
        add(shuffled(8), 6, 1.0)
        add(shuffled(12), 16, 0.3)
        add(torch.arange(4).repeat(2), 5, 0.5)
        add(10 * shuffled(3) + 7, 5, 0.4, "images with numbers that do not start at 0")
        add(torch.tensor([3, 3]), 4, 0.5, "two views of a single image", "Who is the only candidate?")
    return in_both_precisions(found)


def cosines(z: Tensor) -> Tensor:
    z = F.normalize(z, dim=1)
    return z @ z.T


def itself(z: Tensor) -> Tensor:
    return torch.eye(len(z), dtype=torch.bool, device=z.device)


def partner_of(z: Tensor, image: Tensor) -> Tensor:
    """(M, M), True where row and column are the two views of an image."""
    return (image[:, None] == image[None, :]) & ~itself(z)


def probability(
    *,
    similarity: Callable[[Tensor], Tensor] = cosines,
    scale: Callable[[float], float] = lambda temperature: temperature,
    fill: float | None = -torch.inf,
    dim: int = 1,
    partner: Callable[[Tensor, Tensor], Tensor] = partner_of,
) -> Callable[..., Tensor]:
    """What every view gives to its partner, with one thing done differently."""

    def given(z: Tensor, *, image: Tensor, temperature: float) -> Tensor:
        logits = similarity(z) / scale(temperature)
        if fill is not None:
            logits = logits.masked_fill(itself(z), fill)
        return (logits.softmax(dim) * partner(z, image)).sum(dim=1)

    return given


def halves(z: Tensor, image: Tensor) -> Tensor:
    rows = torch.arange(len(z), device=z.device)
    return F.one_hot((rows + len(z) // 2) % len(z), len(z)).bool()


def neighbours(z: Tensor, image: Tensor) -> Tensor:
    return F.one_hot(torch.arange(len(z), device=z.device) ^ 1, len(z)).bool()


def same_image(z: Tensor, image: Tensor) -> Tensor:
    return image[:, None] == image[None, :]


def most_similar(z: Tensor, image: Tensor) -> Tensor:
    found = cosines(z).masked_fill(itself(z), -torch.inf).argmax(dim=1)
    return F.one_hot(found, len(z)).bool()


def no_positive_below(z: Tensor, *, image: Tensor, temperature: float) -> Tensor:
    weights = (cosines(z) / temperature).exp()
    partner = partner_of(z, image)
    below = weights.masked_fill(itself(z) | partner, 0.0).sum(dim=1)
    return (weights * partner).sum(dim=1) / below


PARTNER_PROBABILITY = Exercise(
    "partner_probability",
    probability(),
    probability_cases,
    (
        Misconception(
            "the diagonal is kept",
            "Every view then competes with itself, and wins: set the diagonal to -inf before the softmax.",
            probability(fill=None),
        ),
        Misconception(
            "the diagonal is set to 0 instead of -inf",
            "exp(0) is 1, so the view itself still counts in the sum: what has exponential 0?",
            probability(fill=0.0),
        ),
        Misconception(
            "a view counts as its own partner",
            "`image` is the same for a view and itself, too: the partner is the other row with that number.",
            probability(fill=None, partner=same_image),
        ),
        Misconception(
            "the partner of row i is taken to be half a batch away",
            "Here the views come in any order: `image` says which rows belong together.",
            probability(partner=halves),
        ),
        Misconception(
            "the partner of row i is taken to be its neighbour",
            "Here the views come in any order: `image` says which rows belong together.",
            probability(partner=neighbours),
        ),
        Misconception(
            "the most similar view is taken for the partner",
            "Whether it is the partner is what the network must learn: `image` knows it already.",
            probability(partner=most_similar),
        ),
        Misconception(
            "the projections are not normalised",
            "The similarity is the cosine: divide every row by its length first.",
            probability(similarity=lambda z: z @ z.T),
        ),
        Misconception(
            "columns are normalised instead of rows",
            "Each row is one view's projection: its length is taken along dim=1.",
            probability(similarity=lambda z: F.normalize(z, dim=0) @ F.normalize(z, dim=0).T),
        ),
        Misconception(
            "the temperature is left out",
            "Divide the cosines by it before the softmax.",
            probability(scale=lambda temperature: 1.0),
        ),
        Misconception(
            "the cosines are multiplied by the temperature",
            "They are divided by it: a small temperature makes the differences larger.",
            probability(scale=lambda temperature: 1 / temperature),
        ),
        *added_to_every_length(
            lambda normalise: probability(similarity=lambda z: normalise(z) @ normalise(z).T)
        ),
        Misconception(
            "both factors are divided by the temperature",
            "z / T times z / T divides the cosine by T twice: once is meant.",
            probability(scale=lambda temperature: temperature**2),
        ),
        Misconception(
            "the softmax runs over the columns",
            "The candidates of view i stand in row i: take the softmax along dim=1.",
            probability(dim=0),
        ),
        Misconception(
            "the partner is missing from the denominator",
            "The candidates are all other views, the partner among them; only the view itself is none.",
            no_positive_below,
        ),
        Misconception(
            "the result is minus the logarithm",
            "Return the probabilities themselves; the loss is made of them later.",
            lambda z, *, image, temperature: -probability()(z, image=image, temperature=temperature).log(),
        ),
    ),
    vectorised=True,
    result="one probability a view, (M,)",
)


def step_cases(seed: int, rounds: int) -> list[Case]:
    rng = generator(seed)
    found = []

    def add(n: int, p: int, f: int, d: int, lr: float, temperature: float, about: str = "") -> None:
        view1 = normal(rng, n, p)
        tensors = {
            "view1": view1,
            "view2": view1 + 0.5 * normal(rng, n, p),
            "encoder": normal(rng, f, p) / p**0.5,
            "projector": normal(rng, d, f) / f**0.5,
        }
        found.append(Case(tensors, {"lr": lr, "temperature": temperature}, about))

    for _ in range(rounds):
        add(4, 6, 5, 3, 1.0, 0.5)
        add(6, 8, 7, 4, 0.5, 0.2)
        add(8, 5, 12, 6, 2.0, 1.0)
        add(5, 10, 6, 6, 3.0, 0.4)
        add(3, 7, 9, 4, 1.5, 0.3)
        add(4, 6, 5, 3, 0.0, 0.5, "learning rate 0")
    return in_both_precisions(found)


Loss = Callable[[Tensor, Tensor, float], Tensor]


def course_loss(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    return nt_xent_loss(z1, z2, temperature=temperature)


def step(
    *,
    loss: Loss = course_loss,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    project: bool = True,
    detach_second: bool = False,
    update: Callable[[Tensor, Tensor, float], Tensor] = lambda weight, gradient, lr: weight - lr * gradient,
) -> Callable[..., Tensor]:
    """One step of SimCLR with a linear encoder and projector, with one thing done differently."""

    def stepped(
        view1: Tensor, view2: Tensor, encoder: Tensor, projector: Tensor, *, lr: float, temperature: float
    ) -> Tensor:
        weight = encoder.detach().clone().requires_grad_()
        h1, h2 = (activation(view.detach() @ weight.T) for view in (view1, view2))
        z1, z2 = (h @ projector.detach().T if project else h for h in (h1, h2))
        value = loss(z1, z2.detach() if detach_second else z2, temperature)
        (gradient,) = torch.autograd.grad(value, weight)
        return update(weight.detach(), gradient, lr)

    return stepped


def other_view_only(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    logits = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(z1), device=z1.device))


def diagonal_kept(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    logits = cosines(torch.cat([z1, z2])) / temperature
    rows = torch.arange(len(logits), device=z1.device)
    return F.cross_entropy(logits, (rows + len(z1)) % len(rows))


SIMCLR_STEP = Exercise(
    "simclr_step",
    step(),
    step_cases,
    (
        Misconception(
            "the loss is climbed instead of descended",
            "The gradient points uphill: subtract lr times the gradient.",
            step(update=lambda weight, gradient, lr: weight + lr * gradient),
        ),
        Misconception(
            "the gradient is returned instead of the new weights",
            "Return encoder - lr * gradient.",
            step(update=lambda weight, gradient, lr: gradient),
        ),
        Misconception(
            "the learning rate is left out",
            "The step is lr times the gradient.",
            step(update=lambda weight, gradient, lr: weight - gradient),
        ),
        Misconception(
            "the encoder stays as it was",
            "Did the gradient arrive at the weights that you return?",
            step(update=lambda weight, gradient, lr: weight.clone()),
        ),
        Misconception(
            "no gradient flows through the second view",
            "In SimCLR both views learn: make z1 and z2 with the same weights, and detach neither.",
            step(detach_second=True),
        ),
        Misconception(
            "the loss compares features instead of projections",
            "The projector stands between the features and the loss: z = h @ projector.T.",
            step(project=False),
        ),
        Misconception(
            "the ReLU is missing",
            "h = relu(view @ encoder.T): without it encoder and projector are one matrix.",
            step(activation=lambda x: x),
        ),
        Misconception(
            "the temperature is left out",
            "Divide the cosines by it.",
            step(loss=lambda z1, z2, temperature: course_loss(z1, z2, 1.0)),
        ),
        Misconception(
            "the loss is summed over the views",
            "It is their mean, so that the step does not grow with the batch.",
            step(loss=lambda z1, z2, temperature: 2 * len(z1) * course_loss(z1, z2, temperature)),
        ),
        Misconception(
            "the loss is the sum of the two views' means",
            "NT-Xent is the mean over all 2N views.",
            step(loss=lambda z1, z2, temperature: 2 * course_loss(z1, z2, temperature)),
        ),
        Misconception(
            "each view in view1 competes with those in view2 only",
            "The views of its own side are negatives as well, and every one of the 2N views is an anchor.",
            step(loss=other_view_only),
        ),
        Misconception(
            "the diagonal of the similarity matrix is kept",
            "A view is no candidate of its own: set the diagonal to -inf before the softmax.",
            step(loss=diagonal_kept),
        ),
    ),
    differentiable=False,
    result="the new weights of the encoder, (F, P)",
)
