"""SimCLR: two views of an image must find each other among all other views in the batch.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, Algorithm 1.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from course_lib.losses import nt_xent_loss
from course_lib.methods.encoder import num_features
from course_lib.methods.gather import gather
from course_lib.models import mlp

ViewLoss = Callable[[Tensor, Tensor], Tensor]


class SimCLR(nn.Module):
    """Backbone, projection head and NT-Xent.

    The loss starts near log(2B - 1), its value when all views look alike. With several processes B is the
    joined batch, and every process returns the loss of the whole of it.

    Args:
        backbone: images (B, 3, H, W) -> features (B, F), with `num_features` = F.
        dim: width D of the projections that the loss compares; the features behind them are what is kept.
        temperature: of NT-Xent.
        loss: another loss of two projections (B, D), (B, D) in NT-Xent's place.
    """

    def __init__(
        self, backbone: nn.Module, dim: int = 64, *, temperature: float = 0.5, loss: ViewLoss | None = None
    ) -> None:
        super().__init__()
        features = num_features(backbone)
        self.backbone = backbone
        # Batch norm after every layer; on the output it scales but does not shift, and nothing has a bias.
        self.projector = mlp(features, features, dim, norm_output=True, output_scale=True)
        self.loss = loss or partial(nt_xent_loss, temperature=temperature)

    def forward(self, views: tuple[Tensor, Tensor]) -> Tensor:
        """Two views (B, 3, H, W) of the same images -> scalar loss."""
        z1, z2 = (self.projector(self.backbone(view)) for view in views)  # 2 x (B, D)
        return self.loss(gather(z1), gather(z2))
