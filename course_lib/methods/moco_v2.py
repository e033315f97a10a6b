"""MoCo v2: what MoCo gains from SimCLR's head and augmentation, without SimCLR's batch.

Chen, Fan, Girshick & He, "Improved Baselines with Momentum Contrastive Learning", 2020.
"""

from torch import nn

from course_lib.methods.encoder import num_features
from course_lib.methods.moco import MoCo


class MoCoV2(MoCo):
    """MoCo with a two-layer head and temperature .2 (paper, Table 1).

    The rest of what is new stands outside this class: blur and stronger colours in the augmentation, a cosine
    schedule in the training loop. Chance is log(K + 1).

    Args:
        backbone, dim, queue_size, momentum, temperature, symmetric, bn_splits: as in `MoCo`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        dim: int = 128,
        *,
        queue_size: int = 65_536,
        momentum: float = 0.999,
        temperature: float = 0.2,
        symmetric: bool = False,
        bn_splits: int = 8,
    ) -> None:
        features = num_features(backbone)
        super().__init__(
            backbone,
            dim,
            queue_size=queue_size,
            momentum=momentum,
            temperature=temperature,
            symmetric=symmetric,
            bn_splits=bn_splits,
            head=nn.Sequential(
                nn.Linear(features, features), nn.ReLU(inplace=True), nn.Linear(features, dim)
            ),
        )
