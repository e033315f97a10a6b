import math

import pytest
import torch

from course_lib.losses import nt_xent_loss
from course_lib.methods import InstanceDiscrimination, MoCo, MoCoV2, MoCoV3, SimCLR, Supervised
from course_lib.models import SmallConvNet


def test_simclr_is_nt_xent_of_the_projections() -> None:
    torch.manual_seed(0)
    method = SimCLR(SmallConvNet(4), dim=16, temperature=0.2)
    views = (torch.rand(8, 3, 16, 16), torch.rand(8, 3, 16, 16))
    loss = method(views)
    z1, z2 = (method.projector(method.backbone(view)) for view in views)
    torch.testing.assert_close(loss, nt_xent_loss(z1, z2, temperature=0.2))
    loss.backward()
    assert all(p.grad is not None for p in method.parameters())


def test_simclr_takes_another_loss() -> None:
    method = SimCLR(SmallConvNet(4), loss=lambda z1, z2: (z1 - z2).square().mean())
    view = torch.rand(8, 3, 16, 16)
    assert method((view, view)).item() == pytest.approx(0, abs=1e-9)


def test_supervised_starts_near_chance() -> None:
    torch.manual_seed(0)
    method = Supervised(SmallConvNet(8), num_classes=10)
    loss = method((torch.rand(64, 3, 32, 32), torch.arange(64) % 10))
    assert loss.item() == pytest.approx(math.log(10), abs=0.3)


def test_simclr_head_has_batch_norm_everywhere_and_no_bias() -> None:
    head = SimCLR(SmallConvNet(4), dim=16).projector
    assert [type(layer).__name__ for layer in head] == [
        "Linear",
        "BatchNorm1d",
        "ReLU",
        "Linear",
        "BatchNorm1d",
    ]
    assert [name for name, _ in head.named_parameters()] == [
        "0.weight",
        "1.weight",
        "1.bias",
        "3.weight",
        "4.weight",
    ]


@pytest.mark.parametrize(
    ("build", "chance"),
    [
        (lambda: SimCLR(SmallConvNet(8), 32), math.log(31)),
        (lambda: MoCo(SmallConvNet(8), 32, queue_size=64, momentum=0.9, bn_splits=2), math.log(65)),
        (
            lambda: MoCoV2(SmallConvNet(8), 32, queue_size=64, momentum=0.9, symmetric=True, bn_splits=2),
            math.log(65),
        ),
        (lambda: MoCoV3(SmallConvNet(8), 32, hidden=64, total_steps=40, momentum=0.9), 0.8 * math.log(16)),
        (
            lambda: InstanceDiscrimination(SmallConvNet(8), 16, 32, negatives=None, temperature=0.2),
            math.log(16),
        ),
        (
            lambda: InstanceDiscrimination(SmallConvNet(8), 256, 32, negatives=64, temperature=0.2),
            math.log(64) + 1,
        ),
    ],
    ids=["simclr", "moco", "moco v2 symmetric", "moco v3", "full softmax", "nce"],
)
def test_methods_learn_to_tell_sixteen_images_apart(build, chance: float) -> None:
    torch.manual_seed(0)
    method, images = build(), torch.rand(16, 3, 8, 8)
    optimiser = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(40):
        views = [(images + 0.1 * torch.randn_like(images)).clamp(0, 1) for _ in range(2)]
        by_number = isinstance(method, InstanceDiscrimination)
        loss = method((views[0], torch.arange(16) if by_number else views[1]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.75 * chance
