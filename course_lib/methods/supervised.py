"""The supervised baseline: the same backbone, the same views, and the labels."""

import torch.nn.functional as F
from torch import Tensor, nn


class Supervised(nn.Module):
    """Backbone and linear classifier under cross-entropy; the loss starts near log(num_classes).

    Args:
        backbone: images (B, 3, H, W) -> features (B, F), with `num_features` = F.
        num_classes: number of labels.
    """

    def __init__(self, backbone: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(int(backbone.num_features), num_classes)  # type: ignore[arg-type]

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Views (B, 3, H, W) and their labels (B,) -> scalar loss."""
        images, labels = batch
        return F.cross_entropy(self.classifier(self.backbone(images)), labels)
