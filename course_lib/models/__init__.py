"""Networks: backbones map images to features, heads map features to what a loss wants."""

from course_lib.models.backbones import resnet18, resnet50
from course_lib.models.convnet import SmallConvNet
from course_lib.models.heads import mlp
from course_lib.models.split_norm import SplitBatchNorm2d, split_batch_norm
from course_lib.models.vit import moco_vit, sincos_positions

__all__ = [
    "SmallConvNet",
    "SplitBatchNorm2d",
    "mlp",
    "moco_vit",
    "resnet18",
    "resnet50",
    "sincos_positions",
    "split_batch_norm",
]
