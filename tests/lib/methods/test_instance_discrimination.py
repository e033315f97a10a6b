import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.methods import InstanceDiscrimination
from course_lib.models import SmallConvNet

N, D, T = 20, 8, 0.07


def method(**options) -> InstanceDiscrimination:
    torch.manual_seed(0)
    return InstanceDiscrimination(SmallConvNet(4), N, D, **options)


def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(4, 3, 8, 8), torch.tensor([3, 19, 0, 7])


def test_full_softmax_is_equation_2() -> None:
    model = method(negatives=None)
    images, index = batch()
    v, bank = F.normalize(copy.deepcopy(model).encoder(images), dim=1).double(), model.bank.double()
    p = [torch.exp(bank[i] @ v[b] / T) / torch.exp(bank @ v[b] / T).sum() for b, i in enumerate(index)]
    expected = -torch.stack(p).log().mean().item()
    loss = model((images, index))
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_nce_is_equation_7() -> None:
    model = method(negatives=5)
    images, index = batch()
    model.log_z.fill_(math.log(40.0))
    v, bank = F.normalize(copy.deepcopy(model).encoder(images), dim=1).double(), model.bank.double()
    torch.manual_seed(2)
    noise = torch.randint(N, (4, 5))
    torch.manual_seed(2)
    loss = model((images, index)).item()

    def posterior(b: int, i: int) -> Tensor:
        p = torch.exp(bank[i] @ v[b] / T) / 40.0
        return p / (p + 5 / N)

    expected = 0.0
    for b in range(4):
        expected -= posterior(b, int(index[b])).log().item() / 4
        expected -= sum((1 - posterior(b, int(j))).log().item() for j in noise[b]) / 4
    assert loss == pytest.approx(expected, rel=1e-5)


def test_z_is_estimated_once() -> None:
    model = method(negatives=500)
    images, index = batch()
    v, bank = F.normalize(copy.deepcopy(model).encoder(images), dim=1), model.bank.clone()
    model((images, index))
    exact = torch.exp(v @ bank.T / T).sum(1).mean()  # the sum over all images, which 500 draws estimate
    assert model.log_z.exp().item() == pytest.approx(exact.item(), rel=0.3)
    kept = model.log_z.clone()
    model(batch())
    assert torch.equal(model.log_z, kept)
    assert torch.equal(model.state_dict()["log_z"], kept)


def test_losses_start_near_what_the_docstring_says() -> None:
    torch.manual_seed(0)
    images, index = torch.rand(32, 3, 8, 8), torch.arange(32)
    spread = 1 / (2 * 128 * T**2)
    full = InstanceDiscrimination(SmallConvNet(8), 1000, negatives=None)
    assert full((images, index)).item() == pytest.approx(math.log(1000) + spread, abs=0.5)
    nce = InstanceDiscrimination(SmallConvNet(8), 1000, negatives=200)
    assert nce((images, index)).item() == pytest.approx(math.log(200) + 1 + spread, abs=0.5)


def test_bank_mixes_old_and_new_on_the_unit_sphere() -> None:
    model = method(negatives=None, momentum=0.5)
    images, index = batch()
    old = model.bank.clone()
    torch.testing.assert_close(old.norm(dim=1), torch.ones(N))
    v = F.normalize(copy.deepcopy(model).encoder(images), dim=1).detach()
    model((images, index))
    expected = old.clone()
    for b, i in enumerate(index):
        mixed = (old[i] + v[b]) / 2
        expected[i] = mixed / mixed.norm()
    torch.testing.assert_close(model.bank, expected)
    assert "bank" in model.state_dict()


@pytest.mark.parametrize("negatives", [None, 5])
def test_evaluation_leaves_the_bank_alone(negatives: int | None) -> None:
    model = method(negatives=negatives)
    model(batch())
    model.eval()
    bank = model.bank.clone()
    model(batch())
    assert torch.equal(model.bank, bank)
    assert model.backbone is model.encoder.backbone


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"image numbers must be in \[0, 19\]"):
        method()((batch()[0], torch.tensor([0, 1, 2, 20])))
    with pytest.raises(ValueError, match="negatives"):
        method(negatives=0)
    with pytest.raises(ValueError, match="momentum"):
        method(momentum=2.0)
