"""Random numbers that are looked up, not drawn: a hash of (seed, image, factor) in integer arithmetic.

A generator gives numbers in the order in which they are asked for, so an image would depend on its batch. A
counter-based hash (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") needs no order: every
factor of every image has its own number, the same on every device. The mixing function is SplitMix64
(Steele et al. 2014, "Fast splittable pseudorandom number generators"); it permutes the 64-bit integers, so
two images of one world can never share a key.
"""

from __future__ import annotations

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: consecutive counters land far apart


def signed(value: int) -> int:
    """The 64-bit two's complement integer with the bits of `value`: what an int64 tensor can hold."""
    return (value + 2**63) % 2**64 - 2**63


def mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64: a permutation under which one changed bit changes about half of all.

    int64 products wrap around, which is what we want; its right shifts copy the sign, hence the masks.
    """
    x = (x ^ ((x >> 30) & (2**34 - 1))) * signed(0xBF58476D1CE4E5B9)
    x = (x ^ ((x >> 27) & (2**37 - 1))) * signed(0x94D049BB133111EB)
    return x ^ ((x >> 31) & (2**33 - 1))


def keys(seed: int, indices: Tensor) -> Tensor:
    """One int64 key for each image of a world; different indices never share one."""
    start = mix(torch.tensor(signed(seed * GOLDEN), dtype=torch.int64, device=indices.device))
    return mix(indices.to(torch.int64) * signed(GOLDEN) + start)


def bits(key: Tensor, counters: Tensor) -> Tensor:
    """64 random bits for each key and counter, (...,) and (n,) -> (..., n)."""
    return mix(key.unsqueeze(-1) + counters * signed(GOLDEN))


def uniform(key: Tensor, counters: Tensor) -> Tensor:
    """float32 in [0, 1), a multiple of 2^-24 and so exact everywhere, (...,) and (n,) -> (..., n)."""
    return ((bits(key, counters) >> 40) & (2**24 - 1)).to(torch.float32) * 2.0**-24
