import math

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.evaluate import collapse_meter, effective_rank, feature_std


def test_feature_std_of_even_and_of_collapsed_features() -> None:
    torch.manual_seed(0)
    even = torch.randn(20_000, 16)
    assert feature_std(even) == pytest.approx(1 / math.sqrt(16), rel=0.02)
    assert feature_std(torch.ones(10, 16) * torch.rand(10, 1)) == pytest.approx(0, abs=1e-6)


def test_feature_std_matches_the_formula() -> None:
    x = np.random.default_rng(0).standard_normal((30, 5))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert feature_std(torch.tensor(x)) == pytest.approx(unit.std(0).mean())


def test_effective_rank_matches_the_formula() -> None:
    x = np.random.default_rng(0).standard_normal((40, 6)) * [5, 3, 1, 1, 0.1, 0.01]
    shares = np.linalg.svd(x - x.mean(0), compute_uv=False)
    shares /= shares.sum()
    assert effective_rank(torch.tensor(x)) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_effective_rank_counts_directions() -> None:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(50, 50)).Q  # orthogonal
    assert effective_rank(torch.cat([basis, -basis])) == pytest.approx(50, rel=1e-6)
    line = torch.randn(100, 1) * basis[:1] + 100  # a large common mean does not count
    assert effective_rank(line) == pytest.approx(1, abs=0.01)
    plane = torch.cat([basis[:2], -basis[:2]]).repeat(9, 1)
    assert effective_rank(plane) == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_rounding_noise_is_not_a_direction(noise: float) -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 64).expand(500, 64) * (1 + noise * torch.randn(500, 64))
    assert effective_rank(features) == 0


@pytest.mark.parametrize("meter", [feature_std, effective_rank])
def test_bad_input(meter) -> None:
    with pytest.raises(ValueError, match="N >= 2"):
        meter(torch.ones(1, 4))
    with pytest.raises(ValueError, match="not finite"):
        meter(torch.tensor([[1.0, torch.nan], [0, 1]]))


def test_meter_for_the_loop_sees_a_collapsed_backbone() -> None:
    images = torch.randint(0, 256, (20, 3, 4, 4), dtype=torch.uint8)
    method = nn.Module()
    method.backbone = nn.Sequential(nn.Flatten(), nn.Linear(48, 8))
    meter = collapse_meter(images)
    healthy = meter(method)
    nn.init.zeros_(method.backbone[1].weight)
    collapsed = meter(method)
    assert healthy["effective rank"] > 3
    assert collapsed["effective rank"] == 0
    assert collapsed["feature std"] == pytest.approx(0, abs=1e-7) != healthy["feature std"]
