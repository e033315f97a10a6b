"""A convolutional network small enough to be trained from scratch while a student waits."""

import torch.nn.functional as F
from torch import Tensor, nn


def _block(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class SmallConvNet(nn.Module):
    """Five 3 x 3 convolutions and a global average: about 0.4 M parameters at width 32.

    The first layer has stride 2: at 32 px it cuts the cost of everything behind it by four
    and costs little accuracy on images this small.

    Args:
        width: channels of the first layer; the last has eight times as many.

    Attributes:
        num_features: length F of the feature vector, 8 * width.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.num_features = 8 * width
        self.layers = nn.Sequential(
            _block(3, width, stride=2),
            _block(width, 2 * width, stride=1),
            _block(2 * width, 2 * width, stride=2),
            _block(2 * width, 4 * width, stride=1),
            _block(4 * width, 8 * width, stride=2),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (B, 3, H, W), at least 8 px a side -> features (B, F)."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"expected images (B, 3, H, W), got {tuple(images.shape)}")
        maps = self.layers((images - 0.5) / 0.25)  # (B, F, H/8, W/8)
        return F.adaptive_avg_pool2d(maps, 1).flatten(1)
