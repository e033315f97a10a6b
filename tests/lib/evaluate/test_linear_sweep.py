"""The SGD probe: torch's SGD step by step, scikit-learn's optimum in the end."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from course_lib.evaluate import linear_probe_sweep
from course_lib.evaluate.linear_sweep import train_classifiers


@pytest.fixture
def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 10, generator=rng)
    labels, truth = (torch.randint(0, 4, (n,), generator=rng) for n in (600, 400))
    train, test = (centres[y] + 1.2 * torch.randn(len(y), 10, generator=rng) for y in (labels, truth))
    return train, labels, test, truth


@pytest.mark.parametrize("batch_size", [64, 1000])
def test_steps_are_those_of_torch_sgd(data, batch_size: int) -> None:
    x, labels = data[0].double(), data[1]
    lrs = [0.01, 0.5]
    weight, bias = train_classifiers(
        x, labels, 4, lrs, epochs=3, batch_size=batch_size, momentum=0.9, weight_decay=0.01, seed=7
    )
    for i, lr in enumerate(lrs):
        layer = torch.nn.Linear(10, 4).double()
        for parameter in layer.parameters():
            torch.nn.init.zeros_(parameter)
        groups = [{"params": [layer.weight], "weight_decay": 0.01}, {"params": [layer.bias]}]
        optimiser = torch.optim.SGD(groups, lr=lr, momentum=0.9)
        per_epoch = max(1, len(x) // batch_size)
        generator = torch.Generator().manual_seed(7)
        for epoch in range(3):
            order = torch.randperm(len(x), generator=generator)
            for j, chosen in enumerate(order.split(batch_size)[:per_epoch]):
                for group in optimiser.param_groups:
                    group["lr"] = lr * (1 + np.cos(np.pi * (epoch * per_epoch + j) / (3 * per_epoch))) / 2
                optimiser.zero_grad()
                F.cross_entropy(layer(x[chosen]), labels[chosen]).backward()
                optimiser.step()
        torch.testing.assert_close(weight[i], layer.weight.T)
        torch.testing.assert_close(bias[i, 0], layer.bias)


def test_reaches_scikit_learn_s_optimum(data) -> None:
    train, labels, test, truth = data
    mean, std = train.mean(0), train.std(0, correction=0)
    peer = LogisticRegression(C=1e6, max_iter=2000).fit((train - mean) / std, labels)
    expected = peer.score((test - mean) / std, truth)
    sweep = linear_probe_sweep(*data)
    assert sweep.accuracy == pytest.approx(expected, abs=0.02)
    assert sweep.lr in sweep.validation
    assert sweep.validation[sweep.lr] == max(sweep.validation.values())


def test_same_seed_same_result_and_the_global_generator_is_left_alone(data) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = linear_probe_sweep(*data, epochs=3)
    assert torch.equal(torch.rand(3), expected)
    assert linear_probe_sweep(*data, epochs=3) == first


def test_the_test_set_does_not_choose(data) -> None:
    train, labels, test, truth = data
    first = linear_probe_sweep(*data, epochs=3)
    shuffled = linear_probe_sweep(train, labels, test.flip(0), truth, epochs=3)
    assert shuffled.lr == first.lr
    assert shuffled.validation == first.validation


def test_edge_of_the_sweep_is_told(data) -> None:
    assert linear_probe_sweep(*data, lrs=[1e-6, 0.1, 1e4], epochs=5).at_edge is False
    assert linear_probe_sweep(*data, lrs=[1e-9, 1e-8, 0.03], epochs=5).at_edge is True


@pytest.mark.parametrize("bad", [{"lrs": []}, {"lrs": [0.0]}, {"held_out": 0.0}, {"held_out": 1.0}])
def test_bad_settings(data, bad: dict) -> None:
    with pytest.raises(ValueError, match="expected positive learning rates"):
        linear_probe_sweep(*data, **bad)
