"""Instance discrimination: every image is a class of its own, and a memory bank holds its weights.

Wu, Xiong, Yu & Lin, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.losses import nce_loss
from course_lib.losses.precision import full_precision
from course_lib.methods.encoder import Encoder, num_features, unit
from course_lib.methods.gather import gather


class InstanceDiscrimination(nn.Module):
    """An image must be recognised among all n images by what the bank remembers of each.

    With s = 1 / (2 D T^2), what the spread of random similarities adds, the loss starts near log(n) + s for
    the full softmax and near log(m) + 1 + s for NCE, where Z makes the average logit of the noise -log(m).

    Args:
        backbone: images (B, 3, H, W) -> features (B, F), with `num_features` = F.
        num_images: size n of the training set; the bank has a row for each image.
        dim: width D of an embedding.
        negatives: number m of noise rows drawn for each image (section 3.2), or None for the full softmax
            over all n (eq. 2): affordable up to some ten thousand images.
        momentum: share of its old value that a bank's row keeps when its image is seen again.
        temperature: divides the similarities.
    """

    bank: Tensor
    log_z: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        num_images: int,
        dim: int = 128,
        *,
        negatives: int | None = 4096,
        momentum: float = 0.5,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        if num_images < 1 or (negatives is not None and negatives < 1):
            raise ValueError(f"there must be images and negatives, got {num_images} and {negatives}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        self.encoder = Encoder(backbone, nn.Linear(num_features(backbone), dim))
        self.negatives, self.momentum, self.temperature = negatives, momentum, temperature
        self.register_buffer("bank", F.normalize(torch.randn(num_images, dim), dim=1))  # (n, D)
        self.register_buffer("log_z", torch.tensor(torch.nan))  # not a number until the first batch

    @property
    def backbone(self) -> nn.Module:
        """The encoder without its head: what to evaluate."""
        return self.encoder.backbone

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """One view (B, 3, H, W) of each image and the images' numbers (B,) -> scalar loss; updates the bank.

        Raises:
            ValueError: a number that is no row of the bank.
        """
        views, index = batch
        if index.min() < 0 or index.max() >= len(self.bank):
            raise ValueError(f"image numbers must be in [0, {len(self.bank) - 1}], got {index.tolist()}")
        v = unit(self.encoder(views))  # (B, D)
        loss = self.softmax(v, index) if self.negatives is None else self.nce(v, index)
        if self.training:
            self.remember(gather(v.detach()), gather(index))
        return loss

    def softmax(self, v: Tensor, index: Tensor) -> Tensor:
        """Cross-entropy over all images (eq. 2)."""
        return F.cross_entropy(scores(v, self.bank.clone()) / self.temperature, index)

    def nce(self, v: Tensor, index: Tensor) -> Tensor:
        """Tell the image's own row from m rows drawn at random (eqs. 4 to 7)."""
        n, m = len(self.bank), int(self.negatives or 0)
        noise = torch.randint(n, (len(v), m), device=v.device)
        rows = torch.cat([index[:, None], noise], dim=1)  # (B, 1 + m)
        exponents = scores(v, self.bank[rows]) / self.temperature  # (B, 1 + m)
        if self.log_z.isnan():
            # Z = n times the mean of exp over the noise, estimated once and then kept (eq. 8).
            sample = gather(exponents[:, 1:].detach().flatten())
            self.log_z.copy_(sample.logsumexp(0) - math.log(len(sample)) + math.log(n))
        # log P(i|v) - log(m Pn(i)), with P = exp(exponent) / Z and the noise uniform, Pn = 1/n
        logits = exponents - self.log_z - math.log(m / n)
        return nce_loss(logits[:, 0], logits[:, 1:].flatten())

    @torch.no_grad()
    def remember(self, v: Tensor, index: Tensor) -> None:
        """Mix new embeddings (B, D) into their rows of the bank and bring these back to unit length."""
        self.bank[index] = F.normalize(self.momentum * self.bank[index] + (1 - self.momentum) * v, dim=1)


@full_precision
def scores(v: Tensor, rows: Tensor) -> Tensor:
    """Dot products of embeddings (B, D) with rows (n, D) of the bank, or (B, 1 + m, D): each its own."""
    return v @ rows.T if rows.ndim == 2 else torch.einsum("bd,bmd->bm", v, rows)
