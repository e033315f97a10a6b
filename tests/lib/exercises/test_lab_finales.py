"""What the labs say of their last pictures holds with three seeds."""

import pytest
import torch
from labs import run
from torch import Tensor


def nearest_to_themselves(cosines: Tensor) -> int:
    return int((cosines.argmax(dim=1) == torch.arange(len(cosines))).sum())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lab1_beats_what_costs_nothing(seed: int) -> None:
    lab = run(1, seed)
    *others, trained = lab["scores"].values()
    assert trained > max(others) + 0.03
    assert (
        lab["scores"]["8 x 8 pixels"] > lab["scores"]["raw pixels"] > lab["scores"]["the network, untrained"]
    )
    assert 5.3 < lab["losses"][0] < 5.6
    assert 3.5 < sum(lab["losses"][-8:]) / 8 < 4.5
    before, after = map(nearest_to_themselves, lab["cosines"].values())
    assert before <= 5
    assert after >= 7


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lab2_beats_what_costs_nothing_by_the_linear_probe(seed: int) -> None:
    lab = run(2, seed)
    marks, losses = lab["marks"], lab["losses"]
    linear, neighbours = marks.pop("MoCo, linear"), marks.pop("MoCo, neighbours")
    assert linear > max(marks.values()) + 0.1
    assert neighbours > marks["untrained network, neighbours"] + 0.1
    assert neighbours > marks["8 x 8 pixels, neighbours"]
    assert marks["8 x 8 pixels, neighbours"] > marks["8 x 8 pixels, linear"] + 0.05
    assert marks["untrained network, linear"] > marks["untrained network, neighbours"] + 0.03
    chance = 5.55
    assert losses[0] < max(losses) - 1
    assert max(losses) < chance
    assert losses.index(max(losses)) < 40
    assert sum(losses[-30:]) / 30 < max(losses) - 0.8
    by_k = lab["by_k"]
    assert by_k[1] > by_k[20] + 0.1
    assert 2 / 257 < lab["found"] < 0.1
