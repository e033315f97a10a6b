"""Population-based augmentation on a toy whose best policy is known, and the operations it searches over."""

import pytest
import torch
from torchvision.transforms import v2

from course_lib.augment.operations import OPERATIONS, SIGNED, UNSIGNED
from course_lib.augment.pba import (
    Policy,
    PolicyAugment,
    population_based_augmentation,
    random_policy,
)
from course_lib.augment.policies import auto_augment, rand_augment

TORCHVISION = dict(
    zip(
        OPERATIONS,
        ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
         "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"],
        strict=True,
    )
)  # fmt: skip


def gain(policy: Policy, done: int) -> float:
    """What a round teaches: most at magnitudes that grow with the rounds done, and probability 5."""
    wanted = min(9, 2 + done)
    off = (policy.magnitude - wanted).abs().sum() / 9 + (policy.probability - 5).abs().sum() / 10
    return float(1 / (1 + off))


def search(population: int, rounds: int, seed: int):
    """A toy model is the list of its rounds' gains; its score is their sum."""
    return population_based_augmentation(
        list,
        lambda state, policy: [*state, gain(policy, len(state))],
        sum,
        num_operations=3,
        population=population,
        rounds=rounds,
        seed=seed,
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_schedule_beats_fixed_random_policies(seed: int) -> None:
    found = search(32, 20, seed)
    generator = torch.Generator().manual_seed(seed)
    fixed = [
        sum(gain(policy, done) for done in range(20))
        for policy in (random_policy(3, generator) for _ in range(32))
    ]
    assert found.score > max(fixed)
    early, late = found.state[:5], found.state[-5:]
    assert sum(late) > sum(early)  # it went on improving


def test_replaying_the_schedule_gives_the_winners_score() -> None:
    """Policies of the members it was copied from are part of it, in their rounds."""
    found = search(8, 12, 0)
    assert len(found.policies) == len(found.state) == 12
    assert [gain(policy, done) for done, policy in enumerate(found.policies)] == found.state
    assert found.score == sum(found.state)


def test_schedule_stretches_and_is_reproducible() -> None:
    found, again = search(8, 10, 3), search(8, 10, 3)
    assert found.score == again.score
    assert found.at(0.0) is found.policies[0]
    assert found.at(0.55) is found.policies[5]
    assert found.at(1.0) is found.policies[-1]
    with pytest.raises(ValueError, match="progress"):
        found.at(1.1)


def test_copies_do_not_share_their_model() -> None:
    """A model that is changed in place must not change in the member it was copied from."""

    def train(state: dict, policy: Policy) -> dict:
        state["rounds"] += 1
        return state

    states = []

    def start() -> dict:
        states.append({"rounds": 0})
        return states[-1]

    population_based_augmentation(
        start, train, lambda s: s["rounds"], num_operations=1, population=8, rounds=6
    )
    assert max(state["rounds"] for state in states) == 6


def test_explore_stays_in_range_and_near() -> None:
    generator = torch.Generator().manual_seed(0)
    middle = Policy(torch.full((5000,), 5), torch.full((5000,), 5))
    moved = middle.explore(generator)
    assert 0 <= moved.probability.min() <= moved.probability.max() == 10
    assert 0 <= moved.magnitude.min() <= moved.magnitude.max() == 9
    near = ((moved.magnitude - 5).abs() <= 3).float().mean()
    assert near == pytest.approx(0.8 + 0.2 * 0.7, abs=0.02)  # 7 of 10 magnitudes lie near anyway
    ends = Policy(torch.tensor([0, 10]), torch.tensor([0, 9])).explore(generator)
    assert ((ends.probability >= 0) & (ends.probability <= 10)).all()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("level", [0.3, 1.0])
def test_operations_are_randaugments(name: str, level: float, images: torch.Tensor) -> None:
    image = (images[0] * 255).to(torch.uint8)
    randaugment = v2.RandAugment()
    bins, signed = randaugment._AUGMENTATION_SPACE[TORCHVISION[name]]
    assert signed == (name in SIGNED)
    ladder = bins(31, 32, 32)
    magnitude = 0.0 if ladder is None else float(ladder[round(level * 30)])
    for sign in (1, -1) if signed else (1,):
        theirs = randaugment._apply_image_or_video_transform(
            image, TORCHVISION[name], sign * magnitude, "nearest", {torch.Tensor: None}
        )
        ours = OPERATIONS[name](image, sign * level)
        # torchvision keeps its ladder in float32: where a product falls on a whole number, one value off.
        assert (ours.int() - theirs.int()).abs().max() <= 1
        assert (ours != theirs).float().mean() < 0.02


def test_policy_augment() -> None:
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8)
    count = len(OPERATIONS)
    never = PolicyAugment(Policy(torch.zeros(count), torch.full((count,), 9)))
    torch.testing.assert_close(never(images), images.float() / 255)
    always = PolicyAugment(Policy(torch.full((count,), 10), torch.full((count,), 9)))
    torch.manual_seed(0)
    changed = (always(images) != images.float() / 255).flatten(1).any(1).float().mean()
    assert 0.5 < changed < 0.95  # two in ten images get no operation
    with pytest.raises(ValueError, match="operations"):
        PolicyAugment(Policy(torch.zeros(3), torch.zeros(3)))
    assert set(SIGNED) | set(UNSIGNED) == set(OPERATIONS)


@pytest.mark.parametrize(
    "augment", [auto_augment(), auto_augment("imagenet"), rand_augment(), rand_augment(3, 20)]
)
def test_policies_draw_for_each_image(augment) -> None:
    image = torch.randint(0, 256, (1, 3, 20, 20), dtype=torch.uint8)
    torch.manual_seed(0)
    out = augment(image.expand(60, -1, -1, -1))
    assert out.shape == (60, 3, 20, 20)
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1
    assert len(out.flatten(1).unique(dim=0)) > 20
    torch.manual_seed(0)
    assert torch.equal(augment(image.float().expand(60, -1, -1, -1) / 255), out)


def test_bad_search_and_policy() -> None:
    with pytest.raises(ValueError, match="population"):
        search(3, 5, 0)
    with pytest.raises(ValueError, match="cifar10"):
        auto_augment("mnist")
