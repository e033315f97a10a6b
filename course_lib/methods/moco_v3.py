"""MoCo v3: no queue; the negatives are the batch's other keys, and a predictor stands on the query's side.

Chen, Xie & He, "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021, Algorithm 1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.losses.precision import full_precision
from course_lib.methods.encoder import Encoder, num_features, unit
from course_lib.methods.gather import gather, rank
from course_lib.methods.momentum import cosine_momentum, ema_update, momentum_copy
from course_lib.models import mlp


class MoCoV3(nn.Module):
    """A view's prediction must find the momentum encoder's key of the other view among the batch's keys.

    The loss starts near 4 T log(B), B being the joined batch of all processes: each of two directions is a
    cross-entropy times 2T. Each process returns the mean over its own images.

    Args:
        backbone: images (B, 3, H, W) -> features (B, F), with `num_features` = F.
        dim: width D of predictions and keys.
        hidden: width of the hidden layers of projector and predictor.
        total_steps: batches in the whole of training; the momentum reaches 1 at the last.
        momentum: of the momentum encoder at the start (.996 for the released ResNet-50 of 1000 epochs).
        temperature: T (1 for the released ResNets).
        vit: the heads of a ViT, a three-layer projector and batch norm after the predictor; else those of a
            ResNet, a two-layer projector and none after the predictor.
    """

    step: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        dim: int = 256,
        *,
        hidden: int = 4096,
        total_steps: int,
        momentum: float = 0.99,
        temperature: float = 0.2,
        vit: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1 or total_steps < 1:
            raise ValueError(
                f"momentum must be in [0, 1] and total_steps at least 1, got {momentum} and {total_steps}"
            )
        widths = (
            [num_features(backbone), hidden, hidden, dim] if vit else [num_features(backbone), hidden, dim]
        )
        self.base_encoder = Encoder(backbone, mlp(*widths, norm_output=True))
        self.momentum_encoder = momentum_copy(self.base_encoder)
        self.predictor = mlp(dim, hidden, dim, norm_output=vit, output_bias=False)
        self.momentum, self.temperature, self.total_steps = momentum, temperature, total_steps
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @property
    def backbone(self) -> nn.Module:
        """The base encoder's backbone: the one that learns, and the one to evaluate."""
        return self.base_encoder.backbone

    def forward(self, views: tuple[Tensor, Tensor]) -> Tensor:
        """Two views (B, 3, H, W) of the same images -> scalar loss; in training, also moves the encoder."""
        q1, q2 = (self.predictor(self.base_encoder(view)) for view in views)  # 2 x (B, D)
        with torch.no_grad():
            if self.training:
                momentum = cosine_momentum(self.momentum, int(self.step), self.total_steps)
                ema_update(self.momentum_encoder, self.base_encoder, momentum)
                self.step += 1
            k1, k2 = (self.momentum_encoder(view) for view in views)
        return self.contrast(q1, k2) + self.contrast(q2, k1)

    def contrast(self, queries: Tensor, keys: Tensor) -> Tensor:
        """2T times the cross-entropy of picking the own key of (B, D) among all processes' keys: a scalar."""
        logits = similarity(unit(queries), gather(unit(keys))) / self.temperature  # (B, W B)
        own = torch.arange(len(queries), device=logits.device) + rank() * len(queries)
        # 2T makes up for the gradient's 1/T, so that the learning rate need not change with the temperature.
        return 2 * self.temperature * F.cross_entropy(logits, own)


@full_precision
def similarity(queries: Tensor, keys: Tensor) -> Tensor:
    """Dot products (N, D), (M, D) -> (N, M), in full precision under autocast too."""
    return queries @ keys.T
