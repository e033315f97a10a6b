"""Heads that stand between a backbone and a loss."""

from itertools import pairwise

from torch import nn


def mlp(
    *dims: int, norm_output: bool = False, output_scale: bool = False, output_bias: bool = True
) -> nn.Sequential:
    """Multi-layer perceptron dims[0] -> ... -> dims[-1] with batch norm and ReLU between the layers.

    Args:
        dims: widths, two or more: `mlp(256, 512, 64)` has one hidden layer.
        norm_output: batch norm without scale and shift on the output too (SimSiam, MoCo v3).
        output_scale: give that batch norm its scale, still without a shift (SimCLR).
        output_bias: whether an output without batch norm has a bias (BYOL's and MoCo v3's have none).

    Raises:
        ValueError: fewer than two widths, or `output_scale` without `norm_output`.
    """
    if len(dims) < 2:
        raise ValueError(f"an MLP needs an input and an output width, got {dims}")
    if output_scale and not norm_output:
        raise ValueError("output_scale belongs to the output's batch norm: it needs norm_output=True")
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(dims[:-1]):
        # Batch norm subtracts the mean, so a bias before it would do nothing.
        layers += [nn.Linear(fan_in, fan_out, bias=False), nn.BatchNorm1d(fan_out), nn.ReLU(inplace=True)]
    layers.append(nn.Linear(dims[-2], dims[-1], bias=output_bias and not norm_output))
    if norm_output:
        norm = nn.BatchNorm1d(dims[-1], affine=output_scale)
        norm.register_parameter("bias", None)
        layers.append(norm)
    return nn.Sequential(*layers)
