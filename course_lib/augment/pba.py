"""Population-based augmentation: a schedule of policies, found while a population of models trains.

Ho, Liang, Stoica, Abbeel & Chen, "Population Based Augmentation", ICML 2019, algorithms 1 and 2. A policy
gives every operation a probability and a magnitude. A population trains in parallel, each member with its own
policy. After each round the worst quarter copies the best quarter, model and policy (exploit), and changes
the copied policy a little (explore). The answer is not one policy but the sequence the winner went through.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

PROBABILITIES, MAGNITUDES = 11, 10  # probability 0, 0.1, ... 1; magnitude 0 ... 9

State = TypeVar("State")


@dataclass(frozen=True, eq=False)
class Policy:
    """A probability and a magnitude for each operation.

    Attributes:
        probability: (K,), whole numbers from 0 to 10, tenths.
        magnitude: (K,), whole numbers from 0 to 9.
    """

    probability: Tensor
    magnitude: Tensor

    def explore(self, generator: torch.Generator) -> Policy:
        """A neighbour: each number is drawn anew with probability 0.2, else moved up or down by 0 to 3."""
        return Policy(
            _perturb(self.probability, PROBABILITIES, generator),
            _perturb(self.magnitude, MAGNITUDES, generator),
        )


def random_policy(num_operations: int, generator: torch.Generator) -> Policy:
    """Probabilities and magnitudes uniform over their ranges."""
    return Policy(
        torch.randint(PROBABILITIES, (num_operations,), generator=generator),
        torch.randint(MAGNITUDES, (num_operations,), generator=generator),
    )


def _perturb(values: Tensor, levels: int, generator: torch.Generator) -> Tensor:
    def draw(high: int) -> Tensor:
        return torch.randint(high, values.shape, generator=generator)

    sign = 2 * draw(2) - 1
    moved = (values + sign * draw(4)).clamp(0, levels - 1)
    return torch.where(torch.rand(values.shape, generator=generator) < 0.2, draw(levels), moved)


@dataclass
class Member(Generic[State]):
    """One of the population: a model in whatever form the caller keeps it, and its policies."""

    state: State
    policy: Policy
    past: list[Policy]
    score: float = float("-inf")


@dataclass(frozen=True)
class Schedule(Generic[State]):
    """What the search leaves: the winner's policy for each round, its model and its score."""

    policies: list[Policy]
    state: State
    score: float

    def at(self, progress: float) -> Policy:
        """The policy when a share `progress` in [0, 1] of a new training, of any length, is done."""
        if not 0 <= progress <= 1:
            raise ValueError(f"expected progress in [0, 1], got {progress}")
        return self.policies[min(int(progress * len(self.policies)), len(self.policies) - 1)]


def population_based_augmentation(
    start: Callable[[], State],
    train: Callable[[State, Policy], State],
    evaluate: Callable[[State], float],
    *,
    num_operations: int,
    population: int = 16,
    rounds: int = 20,
    seed: int = 0,
) -> Schedule[State]:
    """Search for a schedule of augmentation policies.

    Args:
        start: a fresh model (or model and optimiser); called once for each member.
        train: (model, policy) -> the model after one more round of training with that policy.
        evaluate: score of a model on images kept aside; larger is better.
        num_operations: K, operations a policy speaks of.
        population: members; at least 4, so that a quarter is somebody.
        rounds: of training; after each but the last, the worst quarter is replaced.
        seed: of the search's own draws.

    Returns:
        The schedule of the member that is best after the last round: `rounds` policies, those of the members
        it was copied from included. The cost is `population` trainings, not the thousands of AutoAugment.

    Raises:
        ValueError: a population below 4, or no operation or round.
    """
    if population < 4 or rounds < 1 or num_operations < 1:
        raise ValueError(
            "expected population >= 4, rounds >= 1 and num_operations >= 1, "
            f"got {population}, {rounds} and {num_operations}"
        )
    generator = torch.Generator().manual_seed(seed)
    members = [Member(start(), random_policy(num_operations, generator), []) for _ in range(population)]
    for remaining in reversed(range(rounds)):
        for member in members:
            member.state = train(member.state, member.policy)
            member.score = evaluate(member.state)
            member.past.append(member.policy)
        members.sort(key=lambda member: member.score, reverse=True)
        if remaining:
            exploit_and_explore(members, generator)
    return Schedule(members[0].past, members[0].state, members[0].score)


def exploit_and_explore(members: list[Member[State]], generator: torch.Generator) -> None:
    """Of members sorted best first, the worst quarter becomes a copy of the best one with new policies."""
    quarter = len(members) // 4
    for good, bad in zip(members[:quarter], members[-quarter:], strict=True):
        bad.state, bad.score, bad.past = copy.deepcopy(good.state), good.score, list(good.past)
        bad.policy = good.policy.explore(generator)


class PolicyAugment:
    """Apply a policy over RandAugment's operations, image by image.

    For each image 0, 1 or 2 operations are wanted, with probability 0.2, 0.3 and 0.5. The operations are gone
    through in random order, each is applied with its probability, until there are as many (algorithm 1).
    Each operation stands once in the policy; the paper lists each twice.

    Args:
        policy: probabilities and magnitudes of `operations.OPERATIONS`, in that order.
    """

    def __init__(self, policy: Policy) -> None:
        from course_lib.augment.operations import OPERATIONS

        if len(policy.probability) != len(OPERATIONS):
            raise ValueError(
                f"expected a policy over {len(OPERATIONS)} operations, got {len(policy.probability)}"
            )
        self.policy = policy

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), uint8 or float in [0, 1] -> the same shape, float32 in [0, 1]."""
        images = images if images.dtype == torch.uint8 else (images * 255).round().to(torch.uint8)
        return torch.stack([self._one(image) for image in images]).float() / 255

    def _one(self, image: Tensor) -> Tensor:
        from course_lib.augment.operations import OPERATIONS, SIGNED

        wanted = int(torch.multinomial(torch.tensor([0.2, 0.3, 0.5]), 1))
        names = list(OPERATIONS)
        for index in torch.randperm(len(names)).tolist():
            if wanted == 0:
                break
            if torch.rand(()) * (PROBABILITIES - 1) < self.policy.probability[index]:
                level = int(self.policy.magnitude[index]) / (MAGNITUDES - 1)
                away = names[index] in SIGNED and torch.rand(()) < 0.5
                image = OPERATIONS[names[index]](image, -level if away else level)
                wanted -= 1
        return image
