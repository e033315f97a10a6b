"""What a momentum method has twice: a backbone with a head on it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def num_features(backbone: nn.Module) -> int:
    """Length F of a backbone's feature vector."""
    return int(backbone.num_features)  # type: ignore[arg-type]


class Encoder(nn.Module):
    """Images (B, 3, H, W) -> backbone -> features (B, F) -> head -> embeddings (B, D)."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.head(self.backbone(images))
        return embeddings


def unit(z: Tensor) -> Tensor:
    """Rows (B, D) on the unit sphere, in float32 at least: half precision is too coarse for a direction."""
    return F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)
