"""Released MoCo checkpoints into the course's models.

A released file holds a dictionary whose "state_dict" names every tensor `module.<encoder>.<layer>`, the head
being the encoder's last layer. The key map is all there is to loading one:

    module.encoder_q.fc.*, module.encoder_k.fc.*                      -> encoder_q.head.*, encoder_k.head.*
    module.base_encoder.head.*, module.momentum_encoder.head.*        -> the same without `module.`
    module.base_encoder.fc.*, module.momentum_encoder.fc.* (ResNet)   -> base_encoder.head.*, ...
    any other module.<encoder>.*                                      -> <encoder>.backbone.*
    module.queue, module.queue_ptr, module.predictor.*                -> the same without `module.`
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ENCODERS = ("encoder_q", "encoder_k", "base_encoder", "momentum_encoder")
Checkpoint = str | Path | Mapping[str, Any]


def course_names(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released state dict under the course's names, by the map above."""
    return {_course_name(name): tensor for name, tensor in official.items()}


def load_official(method: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a released checkpoint into a `MoCo`, `MoCoV2` or `MoCoV3` of the same size.

    Args:
        method: changed in place. The released sizes are the constructors' defaults, on `resnet50()` or
            `moco_vit()`.
        checkpoint: the file's path, or what `torch.load` returned.

    Raises:
        RuntimeError: a tensor is missing, left over, or of another shape; PyTorch's message lists them.
    """
    tensors = course_names(_state_dict(checkpoint))
    if "step" in dict(method.named_buffers(recurse=False)):
        tensors["step"] = method.state_dict()["step"]  # MoCo v3's place in training, which no file records
    method.load_state_dict(tensors)


def load_official_backbone(backbone: nn.Module, checkpoint: Checkpoint) -> None:
    """Load only the trained backbone, that of the query or base encoder, from a released checkpoint.

    Args:
        backbone: `resnet50()` or `moco_vit()`; changed in place.
        checkpoint: as in `load_official`.

    Raises:
        ValueError: the checkpoint has neither encoder.
        RuntimeError: a tensor is missing, left over, or of another shape.
    """
    prefixes = ("encoder_q.backbone.", "base_encoder.backbone.")
    tensors = {
        name.removeprefix(prefix): tensor
        for name, tensor in course_names(_state_dict(checkpoint)).items()
        for prefix in prefixes
        if name.startswith(prefix)
    }
    if not tensors:
        raise ValueError("not a MoCo checkpoint: no name starts with module.encoder_q or module.base_encoder")
    backbone.load_state_dict(tensors)


def _course_name(name: str) -> str:
    name = name.removeprefix("module.")
    encoder, _, layer = name.partition(".")
    if encoder not in ENCODERS:
        return name
    if layer.startswith(("fc.", "head.")):
        return f"{encoder}.head.{layer.partition('.')[2]}"
    return f"{encoder}.backbone.{layer}"


def _state_dict(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    if isinstance(checkpoint, str | Path):
        checkpoint = dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    state: Mapping[str, Tensor] = checkpoint.get("state_dict", checkpoint)
    return state
