import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.methods import MoCoV3, cosine_momentum
from course_lib.models import SmallConvNet, moco_vit


def views(n: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(n, 3, 8, 8), torch.rand(n, 3, 8, 8)


def moco_v3(**options) -> MoCoV3:
    torch.manual_seed(0)
    return MoCoV3(SmallConvNet(4), 8, **{"hidden": 16, "total_steps": 10, **options})


@pytest.mark.parametrize("vit", [False, True])
def test_loss_is_algorithm_1(vit: bool) -> None:
    method, t = moco_v3(temperature=0.3, vit=vit), 0.3
    twin = copy.deepcopy(method)
    q = [F.normalize(twin.predictor(twin.base_encoder(view)), dim=1).double() for view in views()]
    k = [F.normalize(twin.momentum_encoder(view), dim=1).double() for view in views()]
    expected = 0.0
    for queries, keys in ((q[0], k[1]), (q[1], k[0])):
        for i in range(4):
            logits = torch.stack([queries[i] @ keys[j] / t for j in range(4)])
            expected += 2 * t * (logits.logsumexp(0) - logits[i]).item() / 4
    assert method(views()).item() == pytest.approx(expected, rel=1e-5)


def test_loss_at_chance() -> None:
    method = moco_v3(temperature=0.2)
    same = torch.ones(4, 8)
    loss = method.contrast(same, same) + method.contrast(same, same)
    assert loss.item() == pytest.approx(4 * 0.2 * math.log(4))


def test_momentum_rises_to_one() -> None:
    assert cosine_momentum(0.99, 0, 100) == pytest.approx(0.99)
    assert cosine_momentum(0.99, 50, 100) == pytest.approx(0.995)
    assert cosine_momentum(0.99, 100, 100) == 1
    assert cosine_momentum(0.99, 130, 100) == 1
    rising = [cosine_momentum(0.9, step, 20) for step in range(21)]
    assert rising == sorted(rising)


def test_momentum_encoder_follows_the_schedule_and_takes_no_gradient() -> None:
    method = moco_v3(momentum=0.5, total_steps=4)
    for step in range(3):
        with torch.no_grad():
            for parameter in method.base_encoder.parameters():
                parameter.add_(torch.randn_like(parameter))
        old = [p.clone() for p in method.momentum_encoder.parameters()]
        method(views()).backward()
        m = 1 - 0.5 * (1 + math.cos(math.pi * step / 4)) / 2
        for slow, before, fast in zip(
            method.momentum_encoder.parameters(), old, method.base_encoder.parameters(), strict=True
        ):
            torch.testing.assert_close(slow, m * before + (1 - m) * fast)
    assert not any(p.requires_grad for p in method.momentum_encoder.parameters())
    learning = [*method.base_encoder.parameters(), *method.predictor.parameters()]
    assert all(p.grad is not None for p in learning)
    assert method.state_dict()["step"] == 3
    assert method.backbone is method.base_encoder.backbone


def test_evaluation_changes_nothing() -> None:
    method = moco_v3(momentum=0.0).eval()
    with torch.no_grad():
        next(method.base_encoder.parameters()).add_(1)
    before = copy.deepcopy(method.state_dict())
    method(views())
    assert all(torch.equal(before[name], tensor) for name, tensor in method.state_dict().items())


def test_frozen_patches_stay_frozen() -> None:
    torch.manual_seed(0)
    method = MoCoV3(moco_vit(8, 4, width=12, depth=1, heads=3), 8, hidden=16, total_steps=10, vit=True)
    method(views()).backward()
    assert method.backbone.patch_embed.proj.weight.grad is None
    assert method.backbone.blocks[0].attn.qkv.weight.grad is not None


def test_half_precision_gives_a_float32_loss() -> None:
    method = moco_v3()
    exact = copy.deepcopy(method)(views())
    with torch.autocast("cpu", torch.bfloat16):
        loss = method(views())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.05)


@pytest.mark.parametrize("options", [{"momentum": -0.1}, {"total_steps": 0}])
def test_errors(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        moco_v3(**options)
