import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from course_lib.methods import MoCo, MoCoV2, MoCoV3, load_official, load_official_backbone
from course_lib.methods.official import course_names
from course_lib.models import moco_vit, resnet18, resnet50

KEYS = Path(__file__).parent / "keys"
RELEASED = {
    "moco_v1_r50": lambda: MoCo(resnet50()),
    "moco_v2_r50": lambda: MoCoV2(resnet50()),
    "mocov3_r50": lambda: MoCoV3(resnet50(), total_steps=1),
    "mocov3_vit_small": lambda: MoCoV3(moco_vit(), total_steps=1, vit=True),
    "mocov3_vit_base": lambda: MoCoV3(moco_vit(width=768), total_steps=1, vit=True),
}


def released_names(file: str) -> dict[str, list[int]]:
    return dict(json.loads((KEYS / f"{file}.json").read_text()))


@pytest.mark.parametrize("file", RELEASED)
def test_a_model_of_the_released_size_has_the_released_tensors(file: str) -> None:
    with torch.device("meta"):  # names and shapes without numbers
        method = RELEASED[file]()
        tensors = {name: torch.empty(shape) for name, shape in released_names(file).items()}
    ours = {name: list(tensor.shape) for name, tensor in method.state_dict().items() if name != "step"}
    assert ours == {name: list(tensor.shape) for name, tensor in course_names(tensors).items()}
    load_official(method, {"state_dict": tensors})
    load_official_backbone(method.backbone, {"state_dict": tensors})


def as_released(method: nn.Module, head: str) -> dict[str, Tensor]:
    """The method's tensors, with other values, under the names that a released file would give them."""
    names = [name for name in method.state_dict() if name != "step"]
    released = ["module." + n.replace(".backbone.", ".").replace(".head.", f".{head}.") for n in names]
    return {
        new: torch.randn_like(tensor)
        if (tensor := method.state_dict()[old]).is_floating_point()
        else tensor + 3
        for old, new in zip(names, released, strict=True)
    }


@pytest.mark.parametrize(
    ("build", "encoders", "head"),
    [
        (lambda: MoCo(resnet18(), 8, queue_size=16), ("encoder_q", "encoder_k"), "fc"),
        (lambda: MoCoV2(resnet18(), 8, queue_size=16), ("encoder_q", "encoder_k"), "fc"),
        (
            lambda: MoCoV3(moco_vit(8, 4, width=12, depth=2, heads=3), 8, hidden=16, total_steps=5, vit=True),
            ("base_encoder", "momentum_encoder"),
            "head",
        ),
    ],
    ids=["v1", "v2", "v3"],
)
def test_values_land_in_their_places(build, encoders: tuple[str, str], head: str, tmp_path: Path) -> None:
    method = build()
    released = as_released(method, head)
    torch.save({"epoch": 200, "arch": "x", "state_dict": released}, tmp_path / "released.pth.tar")
    load_official(method, tmp_path / "released.pth.tar")
    for encoder in encoders:
        part = method.get_submodule(encoder)
        values = {
            name.removeprefix(f"module.{encoder}."): tensor
            for name, tensor in released.items()
            if name.startswith(f"module.{encoder}.")
        }
        assert len(values) == len(part.state_dict())
        for name, tensor in part.backbone.state_dict().items():
            assert torch.equal(tensor, values[name])
        for name, tensor in part.head.state_dict().items():
            assert torch.equal(tensor, values[f"{head}.{name}"])
    alone = build().backbone
    load_official_backbone(alone, str(tmp_path / "released.pth.tar"))
    expected = method.get_submodule(encoders[0]).backbone.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in alone.state_dict().items())


def test_a_checkpoint_of_another_size_or_model_is_refused() -> None:
    method = MoCo(resnet18(), 8, queue_size=16)
    released = as_released(method, "fc")
    with pytest.raises(RuntimeError, match="queue"):
        load_official(MoCo(resnet18(), 8, queue_size=32), released)
    with pytest.raises(RuntimeError, match="Missing key"):
        load_official(MoCoV2(resnet18(), 8, queue_size=16), released)
    with pytest.raises(ValueError, match="not a MoCo checkpoint"):
        load_official_backbone(resnet18(), {"state_dict": {"conv1.weight": torch.zeros(1)}})
