import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.methods import MoCo, MoCoV2
from course_lib.models import SmallConvNet

B, D = 4, 8


def views(seed: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.rand(B, 3, 8, 8), torch.rand(B, 3, 8, 8)


def moco(kind: type[MoCo] = MoCo, **options) -> MoCo:
    torch.manual_seed(0)
    return kind(SmallConvNet(4), D, **{"queue_size": 12, "bn_splits": 1, **options})


def in_float64(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> float:
    """Algorithm 1's loss, one query at a time."""
    q, k, queue = (x.detach().double() for x in (q, k, queue))
    losses = []
    for i in range(len(q)):
        logits = [q[i] @ k[i] / temperature] + [
            q[i] @ queue[:, j] / temperature for j in range(queue.shape[1])
        ]
        losses.append(torch.stack(logits).logsumexp(0) - logits[0])
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize(("kind", "temperature"), [(MoCo, 0.07), (MoCoV2, 0.2)])
def test_loss_is_algorithm_1(kind: type[MoCo], temperature: float) -> None:
    method = moco(kind)
    twin = copy.deepcopy(method)
    view1, view2 = views()
    q = F.normalize(twin.encoder_q(view1), dim=1)
    k = F.normalize(twin.encoder_k(view2), dim=1)
    expected = in_float64(q, k, method.queue.clone(), temperature)
    assert method((view1, view2)).item() == pytest.approx(expected, rel=1e-5)


def test_symmetric_loss_is_the_mean_of_both_directions_over_the_same_queue() -> None:
    method = moco(MoCoV2, symmetric=True, queue_size=16)
    queue, (view1, view2) = method.queue.clone(), views()
    encode = [F.normalize(e(v), dim=1) for e in (method.encoder_q, method.encoder_k) for v in (view1, view2)]
    q1, q2, k1, k2 = encode
    expected = (in_float64(q1, k2, queue, 0.2) + in_float64(q2, k1, queue, 0.2)) / 2
    assert method((view1, view2)).item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(method.queue[:, : 2 * B], torch.cat([k2, k1]).T)
    assert torch.equal(method.queue[:, 2 * B :], queue[:, 2 * B :])
    assert method.queue_ptr.tolist() == [2 * B]


@pytest.mark.parametrize("kind", [MoCo, MoCoV2])
def test_queue_starts_on_the_unit_sphere_and_stays_there(kind: type[MoCo]) -> None:
    method = moco(kind)
    for seed in range(5):
        torch.testing.assert_close(method.queue.norm(dim=0), torch.ones(12))
        method(views(seed))
    assert not method.queue.requires_grad


def test_loss_starts_below_chance_and_rises_to_it_as_the_queue_fills() -> None:
    torch.manual_seed(0)
    method = MoCoV2(SmallConvNet(8), 128, queue_size=256, bn_splits=1)
    losses = [method((torch.rand(32, 3, 8, 8), torch.rand(32, 3, 8, 8))).item() for _ in range(9)]
    assert losses[0] < math.log(257) - 1
    assert losses == sorted(losses)
    assert losses[-1] == pytest.approx(math.log(257), abs=0.3)


def test_queue_wraps_around_and_forgets_the_oldest_first() -> None:
    method = moco(queue_size=12)
    seen = [F.normalize(torch.randn(B, D), dim=1) for _ in range(5)]
    for keys in seen:
        method.enqueue(keys)
    assert torch.equal(method.queue, torch.cat([seen[3], seen[4], seen[2]]).T)
    assert method.queue_ptr.tolist() == [8]


@pytest.mark.parametrize("queue_size", [10, 2])
def test_queue_must_hold_whole_batches(queue_size: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of the keys a step, got {queue_size} and 4"):
        moco(queue_size=queue_size)(views())


def test_queue_travels_in_the_state_dict() -> None:
    method, other = moco(), moco()
    method(views())
    other.load_state_dict(method.state_dict())
    assert {"queue", "queue_ptr"} <= set(method.state_dict())
    assert torch.equal(other.queue, method.queue)
    assert other.queue_ptr.tolist() == [B]
    assert other(views(2)).item() == method(views(2)).item()


def test_key_encoder_moves_before_it_encodes() -> None:
    method = moco(momentum=0.75)
    with torch.no_grad():
        for parameter in method.encoder_q.parameters():
            parameter.add_(torch.randn_like(parameter))
    old = [p.clone() for p in method.encoder_k.parameters()]
    statistics = method.encoder_k.backbone.layers[0][1].running_mean
    view1, view2 = views()
    method((view1, view2))
    for slow, before, fast in zip(
        method.encoder_k.parameters(), old, method.encoder_q.parameters(), strict=True
    ):
        torch.testing.assert_close(slow, 0.75 * before + 0.25 * fast)
    torch.testing.assert_close(method.queue[:, :B].T, F.normalize(method.encoder_k(view2), dim=1))
    assert statistics.any()  # its own running statistics, from its own views
    assert not torch.equal(statistics, method.backbone.layers[0][1].running_mean)


def test_only_the_query_learns() -> None:
    method = moco()
    method(views()).backward()
    assert all(p.grad is not None for p in method.encoder_q.parameters())
    assert not any(p.requires_grad or p.grad is not None for p in method.encoder_k.parameters())
    assert method.backbone is method.encoder_q.backbone


def test_evaluation_changes_nothing() -> None:
    method = moco(momentum=0.0).eval()
    with torch.no_grad():
        next(method.encoder_q.parameters()).add_(1)
    before = copy.deepcopy(method.state_dict())
    method(views())
    assert all(torch.equal(before[name], tensor) for name, tensor in method.state_dict().items())


def test_split_batch_norm_shuffles_the_keys_among_the_parts() -> None:
    method = moco(bn_splits=2)
    view = views()[1]
    torch.manual_seed(7)
    keys = method.keys(view)
    torch.manual_seed(7)
    order = torch.randperm(B)
    expected = torch.empty(B, D)
    expected[order] = F.normalize(method.encoder_k(view[order]), dim=1).detach()
    torch.testing.assert_close(keys, expected)
    assert not torch.allclose(keys, F.normalize(method.encoder_k(view), dim=1), atol=1e-3)


def test_half_precision_gives_float32_loss_and_queue() -> None:
    method = moco(MoCoV2)
    exact = copy.deepcopy(method)(views())
    with torch.autocast("cpu", torch.bfloat16):
        loss = method(views())
    assert loss.dtype == method.queue.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.05)


def test_heads() -> None:
    assert isinstance(moco().encoder_q.head, nn.Linear)
    assert [type(layer).__name__ for layer in moco(MoCoV2).encoder_q.head] == ["Linear", "ReLU", "Linear"]


def test_momentum_must_be_a_share() -> None:
    with pytest.raises(ValueError, match="momentum"):
        moco(momentum=1.1)
