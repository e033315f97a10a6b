"""What autograd keeps, against sums done by hand."""

import copy

import pytest
import torch
from torch import nn

from course_lib.evaluate import backward_bytes
from course_lib.methods import MoCo, SimCLR
from course_lib.models import SmallConvNet


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(10, 20, bias=False), nn.Linear(20, 1, bias=False)

    def forward(self, x):
        return self.second(self.first(x).tanh()).sum()


def test_activations_are_counted_once_and_weights_not_at_all():
    # The input (8 x 10) for the first layer's weight, tanh's output (8 x 20) for its own derivative and for
    # the second layer's weight; 4 bytes each. The sum keeps nothing.
    assert backward_bytes(TwoLayers(), torch.randn(8, 10)) == 4 * (8 * 10 + 8 * 20)


def test_they_grow_with_the_batch():
    small, large = (backward_bytes(TwoLayers(), torch.randn(b, 10)) for b in (8, 80))
    assert large == 10 * small


def test_the_method_is_left_as_it_was():
    moco = MoCo(SmallConvNet(2), 4, queue_size=8, bn_splits=1)
    before = copy.deepcopy(moco.state_dict())
    backward_bytes(moco, (torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16)))
    assert all(torch.equal(value, before[name]) for name, value in moco.state_dict().items())
    assert all(p.grad is None for p in moco.parameters())


@pytest.mark.parametrize("batch", [8, 32])
def test_keys_need_no_memory_for_a_backward_pass(batch):
    """MoCo learns through one of its two views, SimCLR through both."""
    views = torch.rand(batch, 3, 32, 32), torch.rand(batch, 3, 32, 32)
    moco = backward_bytes(MoCo(SmallConvNet(4), 16, queue_size=64, bn_splits=1), views)
    assert moco < 0.6 * backward_bytes(SimCLR(SmallConvNet(4), 16), views)
