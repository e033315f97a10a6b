"""ResNets from timm, under the layer names that MoCo, SimSiam and SwAV released theirs."""

from torch import nn

from course_lib.models.inputs import takes_unit_images


def resnet18(*, small_images: bool = True, zero_init_residual: bool = False) -> nn.Module:
    """ResNet-18 without its classifier (He et al. 2016): 11.2 M parameters, `num_features` = 512.

    Args:
        small_images: the stem for 32 px that CIFAR-10 results are published with: one 3 x 3 convolution
            of stride 1 and no max-pooling, where ImageNet's (7 x 7, stride 2, pooling) would leave a
            32 px image 1 x 1 at the end.
        zero_init_residual: start every residual branch at zero, so that the network starts shallow.

    Returns:
        A module: images (B, 3, H, W) in [0, 1], normalised inside, -> features (B, 512).
    """
    import timm

    network = timm.create_model("resnet18", num_classes=0, zero_init_last=zero_init_residual)
    if small_images:
        stem = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        network.conv1, network.maxpool = stem, nn.Identity()
    return takes_unit_images(network)


def resnet50(*, zero_init_residual: bool = False) -> nn.Module:
    """ResNet-50 without its classifier (He et al. 2016): 23.5 M parameters, `num_features` = 2048.

    Stride 2 sits in the 3 x 3 convolutions, as in the released MoCo, SimSiam and SwAV checkpoints, and
    layers have their names (`conv1`, `bn1`, `layer1.0.conv1`, ...).

    Args:
        zero_init_residual: start every residual branch at zero, as MoCo v3 does and MoCo v1, v2 do not.

    Returns:
        A module: images (B, 3, H, W) in [0, 1], normalised inside, -> features (B, 2048).
    """
    import timm

    return takes_unit_images(timm.create_model("resnet50", num_classes=0, zero_init_last=zero_init_residual))
