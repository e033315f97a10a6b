import copy
import json
import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.models import moco_vit, resnet18, resnet50, sincos_positions
from course_lib.models.inputs import IMAGENET_MEAN, IMAGENET_STD

KEYS = Path(__file__).parents[1] / "methods" / "keys"


def official(file: str, prefix: str, *heads: str) -> dict[str, tuple[int, ...]]:
    names = json.loads((KEYS / file).read_text())
    return {
        name.removeprefix(prefix): tuple(shape)
        for name, shape in names
        if name.startswith(prefix) and not name.removeprefix(prefix).startswith(heads)
    }


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(
    ("small_images", "size", "map_size"), [(True, 32, 4), (False, 32, 1), (False, 64, 2)]
)
def test_resnet18_stem(small_images: bool, size: int, map_size: int) -> None:
    network = resnet18(small_images=small_images)
    assert network(torch.rand(2, 3, size, size)).shape == (2, network.num_features) == (2, 512)
    assert network.forward_features(torch.rand(2, 3, size, size)).shape == (2, 512, map_size, map_size)


def test_resnet18_size() -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in resnet18().parameters())
    assert parameters == 11_168_832  # the 11.2 M of the docstring


def test_resnet50_has_the_released_names() -> None:
    with torch.device("meta"):
        network = resnet50()
    assert shapes(network) == official("moco_v1_r50.json", "module.encoder_q.", "fc.")
    assert network.num_features == 2048
    assert network.layer2[0].conv2.stride == (2, 2)  # not in conv1: shapes would not tell


def test_residual_branches_start_at_zero_only_when_asked() -> None:
    assert resnet18().layer1[0].bn2.weight.all()
    assert not resnet18(zero_init_residual=True).layer1[0].bn2.weight.any()


@pytest.mark.parametrize(("file", "width"), [("mocov3_vit_small.json", 384), ("mocov3_vit_base.json", 768)])
def test_vit_has_the_released_names(file: str, width: int) -> None:
    with torch.device("meta"):
        network = moco_vit(width=width)
    assert shapes(network) == official(file, "module.base_encoder.", "head.")
    assert network.blocks[0].attn.num_heads == 12  # timm's ViT-S has 6


def layer_norm(x: Tensor, norm: nn.Module) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight + norm.bias


def test_vit_matches_the_paper_written_out() -> None:
    torch.manual_seed(0)
    heads, width, patch = 3, 12, 4
    network = moco_vit(8, patch, width=width, depth=2, heads=heads).double().eval()
    for parameter in network.parameters():  # biases and scales start at 0 and 1, where mistakes would hide
        parameter.data += 0.1 * torch.randn_like(parameter)
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)

    mean, std = (torch.tensor(c).double().view(3, 1, 1) for c in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = (images - mean) / std
    weight, bias = network.patch_embed.proj.weight, network.patch_embed.proj.bias
    patches = [pixels[:, :, r : r + patch, c : c + patch] for r in (0, 4) for c in (0, 4)]
    tokens = [torch.einsum("bchw,fchw->bf", p, weight) + bias for p in patches]
    x = torch.stack([network.cls_token[0, 0].expand(2, -1), *tokens], dim=1) + network.pos_embed
    for block in network.blocks:
        q, k, v = (layer_norm(x, block.norm1) @ block.attn.qkv.weight.T + block.attn.qkv.bias).chunk(3, -1)
        mixed = []
        for h in range(heads):
            part = slice(h * width // heads, (h + 1) * width // heads)
            attention = (q[..., part] @ k[..., part].transpose(1, 2) / (width // heads) ** 0.5).softmax(-1)
            mixed.append(attention @ v[..., part])
        x = x + torch.cat(mixed, -1) @ block.attn.proj.weight.T + block.attn.proj.bias
        hidden = F.gelu(layer_norm(x, block.norm2) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias)
        x = x + hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias
    torch.testing.assert_close(network(images), layer_norm(x, network.norm)[:, 0], rtol=1e-6, atol=1e-6)


def test_vit_keeps_patches_and_positions_fixed() -> None:
    network = moco_vit(8, 4, width=12, depth=1, heads=3)
    network(torch.rand(2, 3, 8, 8)).square().sum().backward()
    still = {name for name, p in network.named_parameters() if p.grad is None}
    assert still == {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert not network.pos_embed[0, 0].any()  # the class token has no position


def test_vit_starts_from_xavier_for_queries_keys_and_values_apart() -> None:
    torch.manual_seed(0)
    network = moco_vit(32, 4, width=192, depth=1, heads=3)
    for name, fan_in, fan_out in [("attn.qkv", 192, 192), ("attn.proj", 192, 192), ("mlp.fc1", 192, 768)]:
        layer = network.get_submodule(f"blocks.0.{name}")
        bound = (6 / (fan_in + fan_out)) ** 0.5
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()
    projection = network.patch_embed.proj.weight
    bound = (6 / (3 * 16 + 192)) ** 0.5
    assert 0.99 * bound < projection.abs().max() <= bound


def test_positions_are_row_first() -> None:
    width, columns = 16, 3
    table = sincos_positions(2, columns, width)
    for row in range(2):
        for column in range(columns):
            angles = [[place / 10_000 ** (j / 4) for j in range(4)] for place in (row, column)]
            expected = torch.cat([f(torch.tensor(a)) for a in angles for f in (torch.sin, torch.cos)])
            torch.testing.assert_close(table[row * columns + column], expected)


@pytest.mark.parametrize(
    "build", [resnet18, lambda: moco_vit(16, 4, width=12, depth=1, heads=3)], ids=["resnet18", "vit"]
)
def test_backbones_take_images_in_the_unit_interval(build) -> None:
    network = build()
    with pytest.raises(ValueError, match=r"expected images \(B, 3"):
        network(torch.rand(2, 1, 16, 16))
    with pytest.raises(TypeError, match="uint8"):
        network(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    assert "mean" not in network.state_dict()
    images = torch.rand(2, 3, 16, 16)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(twin.eval()(images), network.eval()(images))


def test_vit_refuses_what_does_not_divide() -> None:
    with pytest.raises(ValueError, match=r"expected images \(B, 3, 16, 16\), got \(2, 3, 32, 32\)"):
        moco_vit(16, 4, width=12, depth=1, heads=3)(torch.rand(2, 3, 32, 32))
    with pytest.raises(ValueError, match="image_size 30"):
        moco_vit(30, 4)
    with pytest.raises(ValueError, match="width"):
        moco_vit(32, 4, width=100, heads=3)
