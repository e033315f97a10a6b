"""Two processes with different images each must do what one process does with all of them."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from course_lib.methods import InstanceDiscrimination, MoCo, MoCoV2, MoCoV3, SimCLR, gather
from course_lib.models import SmallConvNet

WORLD, BATCH, STEPS = 2, 4, 2
IMAGES = 2 * WORLD * BATCH

BUILD = {
    "simclr": lambda: SimCLR(SmallConvNet(4), 8, temperature=0.2),
    "moco": lambda: MoCo(SmallConvNet(4), 8, queue_size=16, momentum=0.9, bn_splits=1),
    "moco symmetric": lambda: MoCoV2(
        SmallConvNet(4), 8, queue_size=16, momentum=0.9, symmetric=True, bn_splits=1
    ),
    "moco v3": lambda: MoCoV3(SmallConvNet(4), 8, hidden=16, total_steps=4, momentum=0.5),
    "moco v3 vit": lambda: MoCoV3(SmallConvNet(4), 8, hidden=16, total_steps=4, momentum=0.5, vit=True),
    "bank": lambda: InstanceDiscrimination(SmallConvNet(4), IMAGES, 8, negatives=None),
}


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    method = BUILD[name]().double()
    for parameter in method.parameters():  # else the two encoders are equal and biases are zero
        parameter.data += 0.1 * torch.randn_like(parameter)
    return method


def batches(name: str) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    steps = [torch.rand(2, WORLD * BATCH, 3, 8, 8, dtype=torch.float64).unbind() for _ in range(STEPS)]
    if name == "bank":
        order = torch.randperm(IMAGES).chunk(STEPS)
        return [(views[0], index) for views, index in zip(steps, order, strict=True)]
    return steps


def train(name: str, rank: int | None) -> dict[str, Tensor]:
    """Two steps of SGD; the losses, every parameter and buffer after them, and the last gradients."""
    method = build(name).train()
    for module in method.modules():  # batch statistics of half a batch are others than those of the whole
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()
    # Evaluation's batch norm is fixed; `training` must stay true elsewhere, for momentum and queue.
    call = method if rank is None else DistributedDataParallel(method)
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.5)
    result = {}
    for step, batch in enumerate(batches(name)):
        mine = batch if rank is None else tuple(part.chunk(WORLD)[rank] for part in batch)
        loss = call(mine)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        result[f"loss {step}"] = loss.detach()
    result |= {f"grad of {n}": p.grad for n, p in method.named_parameters() if p.grad is not None}
    return result | method.state_dict()


def shuffling_moco() -> tuple[nn.Module, Tensor]:
    return build("moco").train(), batches("moco")[0][0]


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    results = {name: train(name, rank) for name in BUILD}
    x = torch.arange(3.0) + 10 * rank
    x.requires_grad_()
    joined = gather(x)
    (joined * torch.arange(6.0) * (rank + 1)).sum().backward()
    results["gather"] = {"value": joined.detach(), "grad": x.grad}
    method, view = shuffling_moco()
    torch.manual_seed(5 + rank)
    results["keys"] = {"keys": method.keys(view.chunk(WORLD)[rank])}
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    folder = tmp_path_factory.mktemp("two_processes")
    mp.spawn(work, args=(folder,), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("name", BUILD)
def test_two_processes_do_what_one_does_with_the_joined_batch(two, name: str) -> None:
    one, (first, second) = train(name, None), (results[name] for results in two)
    assert any(key.startswith("grad of") for key in one)
    for key, expected in one.items():
        if key.startswith("loss"):
            torch.testing.assert_close((first[key] + second[key]) / 2, expected)
        else:
            for given in (first[key], second[key]):  # the bank's Z is not a number in the full softmax
                torch.testing.assert_close(given, expected, equal_nan=True)


def test_simclr_returns_the_joined_loss_on_every_process(two) -> None:
    assert torch.equal(two[0]["simclr"]["loss 0"], two[1]["simclr"]["loss 0"])


def test_gather_joins_in_order_and_adds_up_gradients(two) -> None:
    for rank, results in enumerate(two):
        assert results["gather"]["value"].tolist() == [0, 1, 2, 10, 11, 12]
        assert results["gather"]["grad"].tolist() == [3.0 * (3 * rank + i) for i in range(3)]


def test_gather_is_the_identity_in_one_process() -> None:
    x = torch.rand(3, 2, requires_grad=True)
    assert gather(x) is x


def test_keys_are_normalised_in_batches_drawn_from_both_processes(two) -> None:
    method, view = shuffling_moco()
    torch.manual_seed(5)  # process 0's order counts
    order = torch.randperm(WORLD * BATCH)
    expected = torch.empty(WORLD * BATCH, 8, dtype=torch.float64)
    for rows in order.chunk(WORLD):
        expected[rows] = nn.functional.normalize(method.encoder_k(view[rows]), dim=1).detach()
    for results in two:
        torch.testing.assert_close(results["keys"]["keys"], expected)
