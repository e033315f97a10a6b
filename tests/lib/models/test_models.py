import pytest
import torch

from course_lib.models import SmallConvNet, mlp


@pytest.mark.parametrize("size", [8, 32, 64])
def test_convnet_shapes(size: int) -> None:
    net = SmallConvNet(width=8)
    assert net(torch.rand(2, 3, size, size)).shape == (2, net.num_features) == (2, 64)


def test_convnet_is_small() -> None:
    parameters = sum(p.numel() for p in SmallConvNet().parameters())
    assert 300_000 < parameters < 500_000  # "about 0.4 M"


def test_convnet_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"expected images \(B, 3, H, W\)"):
        SmallConvNet()(torch.rand(2, 1, 32, 32))
    with pytest.raises(ValueError, match="width"):
        SmallConvNet(width=0)


def test_mlp_layers() -> None:
    net = mlp(16, 32, 8)
    assert [type(layer).__name__ for layer in net] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert net(torch.rand(4, 16)).shape == (4, 8)


def test_mlp_norm_output_is_standardised() -> None:
    out = mlp(16, 32, 8, norm_output=True)(torch.rand(64, 16))
    torch.testing.assert_close(out.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(0, unbiased=False), torch.ones(8), atol=1e-2, rtol=0)


def test_mlp_needs_two_widths() -> None:
    with pytest.raises(ValueError, match="input and an output"):
        mlp(16)


def test_mlp_output_can_be_scaled_but_not_shifted() -> None:
    head = mlp(16, 32, 8, norm_output=True, output_scale=True)
    assert [name for name, _ in head.named_parameters()] == [
        "0.weight",
        "1.weight",
        "1.bias",
        "3.weight",
        "4.weight",
    ]
    head(torch.rand(4, 16)).square().sum().backward()
    assert all(p.grad is not None for p in head.parameters())
    with pytest.raises(ValueError, match="norm_output"):
        mlp(16, 8, output_scale=True)


def test_mlp_output_without_bias() -> None:
    assert mlp(16, 32, 8, output_bias=False)[-1].bias is None
    assert mlp(16, 32, 8)[-1].bias is not None
