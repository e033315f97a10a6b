import pytest
import torch
from torch import nn

from course_lib.models import SmallConvNet, SplitBatchNorm2d, split_batch_norm


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_every_part_is_normalised_by_itself(memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(4)
    nn.init.uniform_(plain.weight)
    nn.init.uniform_(plain.bias)
    parts = [nn.BatchNorm2d(4) for _ in range(3)]
    for part in parts:
        part.load_state_dict(plain.state_dict())
    split = SplitBatchNorm2d(plain, 3)
    for _ in range(2):
        maps = torch.randn(12, 4, 5, 5).to(memory_format=memory_format)
        out = split(maps)
        for i, part in enumerate(parts):
            torch.testing.assert_close(out[i::3], part(maps[i::3]))
    for statistic in ("running_mean", "running_var"):
        average = torch.stack([getattr(part, statistic) for part in parts]).mean(0)
        torch.testing.assert_close(getattr(split, statistic), average)
    assert split.num_batches_tracked == 2


def test_gradient_is_that_of_the_parts() -> None:
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(2).double()
    maps = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(4, 2, 3, 3, dtype=torch.float64)
    parts = torch.zeros_like(maps)
    parts[0::2], parts[1::2] = plain(maps[0::2]), plain(maps[1::2])
    wanted = torch.autograd.grad((parts * weights).sum(), (maps, plain.weight, plain.bias))
    split = SplitBatchNorm2d(plain, 2)
    given = torch.autograd.grad((split(maps) * weights).sum(), (maps, split.weight, split.bias))
    torch.testing.assert_close(given, wanted)


def test_replacing_keeps_tensors_and_evaluation() -> None:
    torch.manual_seed(0)
    network = SmallConvNet(4)
    network(torch.rand(8, 3, 16, 16))
    images = torch.rand(7, 3, 16, 16)
    before, names = network.eval()(images), list(network.state_dict())
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    assert split_batch_norm(network, 4) is network
    assert sum(isinstance(module, SplitBatchNorm2d) for module in network.modules()) == 5
    assert torch.equal(network(images), before)  # 7 images, in evaluation: nothing is split
    assert list(network.state_dict()) == names
    assert {id(p) for p in network.parameters()} == {id(p) for p in optimiser.param_groups[0]["params"]}


def test_errors() -> None:
    network = split_batch_norm(SmallConvNet(4), 4)
    with pytest.raises(ValueError, match="cannot split a batch of 6 into 4"):
        network(torch.rand(6, 3, 16, 16))
    with pytest.raises(ValueError, match="splits"):
        split_batch_norm(SmallConvNet(4), 0)
