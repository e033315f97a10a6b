"""The vision transformer of MoCo v3, from timm's layers.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021.
Chen, Xie & He, "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021, section 4.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn

from course_lib.models.inputs import takes_unit_images


def moco_vit(
    image_size: int = 224, patch_size: int = 16, *, width: int = 384, depth: int = 12, heads: int = 12
) -> nn.Module:
    """Vision transformer with fixed positions and a patch projection that is never trained.

    Freezing the random patch projection is what keeps its training stable: sudden dips of the accuracy
    start as gradient spikes in that layer (paper, section 4.2). The defaults are its ViT-S, which has 12
    heads where timm's has 6: the tensors have the same shapes, the results differ. ViT-B: width 768.
    For 32 px images, `moco_vit(32, 4, width=192, depth=6, heads=6)` is a fair start.

    Args:
        image_size: height and width of the images; a multiple of the patch size.
        patch_size: height and width of a patch.
        width: length F of a token, `num_features`; a multiple of 4 and of `heads`.
        depth, heads: transformer blocks, and attention heads in each.

    Returns:
        A module: images (B, 3, image_size, image_size) in [0, 1], normalised inside, -> features (B, F), the
        class token after the last norm. Layers have timm's names, which are those of the released files.

    Raises:
        ValueError: a size that does not divide.
    """
    from timm.models.vision_transformer import VisionTransformer

    if image_size % patch_size:
        raise ValueError(f"image_size {image_size} is not a multiple of patch_size {patch_size}")
    if width % heads or width % 4:
        raise ValueError(f"width must be a multiple of 4 and of heads = {heads}, got {width}")
    network = VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        num_classes=0,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        weight_init="moco",  # Xavier, for queries, keys and values one by one
    )
    grid = image_size // patch_size
    positions = sincos_positions(grid, grid, width)
    table = torch.cat([torch.zeros(1, width), positions])[None]  # (1, 1 + grid^2, F), class token first
    network.pos_embed = nn.Parameter(table, requires_grad=False)

    projection = network.patch_embed.proj
    bound = math.sqrt(6 / (3 * patch_size**2 + width))  # Xavier, the convolution read as one linear layer
    nn.init.uniform_(projection.weight, -bound, bound)
    nn.init.zeros_(projection.bias)
    projection.requires_grad_(False)
    return takes_unit_images(network, image_size)


def sincos_positions(rows: int, columns: int, width: int) -> Tensor:
    """Fixed positions of a grid of patches, row after row: sines and cosines of the row, then of the column.

    This is MoCo v3's order. MAE writes the column first, so its table is the transpose of this one.

    Args:
        rows, columns: size of the grid.
        width: length of a position, a multiple of 4.

    Returns:
        (rows * columns, width), values in [-1, 1]; the quarters are sin row, cos row, sin column, cos column.
    """
    frequencies = 10_000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64), indexing="ij"
    )
    angles = [axis.reshape(-1, 1) * frequencies for axis in (row, column)]  # 2 x (rows * columns, width / 4)
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1).float()
