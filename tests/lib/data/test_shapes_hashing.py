import pytest
import torch

from course_lib.data.shapes.hashing import GOLDEN, bits, keys, mix, signed, uniform

MASK = 2**64 - 1


def split_mix(z: int) -> int:
    """SplitMix64's output function in Python's unbounded integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63), 123456789])
def test_mix_is_splitmix64(value: int) -> None:
    assert mix(torch.tensor(value)).item() == signed(split_mix(value & MASK))


def test_the_published_sequence_of_seed_zero() -> None:
    # The first three outputs of SplitMix64 seeded with 0, as every implementation lists them.
    outputs = bits(torch.tensor(0), torch.arange(1, 4)) & torch.tensor(-1)
    assert [value & MASK for value in outputs.tolist()] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]


def test_no_two_images_share_a_key() -> None:
    index = torch.cat([torch.arange(100_000), 2**40 + torch.arange(100_000)])
    assert len(keys(3, index).unique()) == len(index)


def test_uniforms_are_uniform_and_uncorrelated() -> None:
    u = uniform(keys(0, torch.arange(20_000)), torch.arange(8)).double()  # (20000, 8)
    assert 0 <= u.min() < 1e-3
    assert 1 - 1e-3 < u.max() < 1
    assert u.mean(0).sub(0.5).abs().max() < 0.01
    assert u.var(0).sub(1 / 12).abs().max() < 0.003
    correlation = torch.corrcoef(torch.cat([u[:-1], u[1:]], dim=1).T)  # factors of one image and of the next
    assert correlation.fill_diagonal_(0).abs().max() < 0.03


def test_seeds_of_any_size_and_sign() -> None:
    index = torch.arange(4)
    seeds = [0, 1, -1, 2**64 - 2, GOLDEN]
    assert len({tuple(keys(seed, index).tolist()) for seed in seeds}) == len(seeds)
