"""MoCo: a queue of earlier keys supplies the negatives, so that their number does not depend on the batch.

He, Fan, Wu, Xie & Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020,
Algorithm 1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.losses import info_nce_loss
from course_lib.methods.encoder import Encoder, num_features, unit
from course_lib.methods.gather import gather, own_rows, shared_permutation
from course_lib.methods.momentum import ema_update, momentum_copy
from course_lib.models import split_batch_norm


class MoCo(nn.Module):
    """A query must find its key, the other view of its image, among the keys of earlier batches.

    The key encoder follows the query encoder slowly, so that keys made at different times can still be
    compared: at momentum 0 the queue is full of what other networks said.

    Chance is log(K + 1). The loss starts below it and rises at first: an untrained encoder tells its own keys
    from the queue's random start easily, and learns only from the moment when the queue holds its own keys.

    Args:
        backbone: images (B, 3, H, W) -> features (B, F), with `num_features` = F. With `bn_splits` > 1 its
            batch norms are replaced in place.
        dim: width D of queries and keys.
        queue_size: number K of negatives, a multiple of the keys a step (B, or 2B if symmetric; times the
            number of processes). Choose it well below the size of the data set, or an image meets its own
            old keys.
        momentum: of the key encoder.
        temperature: of InfoNCE.
        symmetric: let each view be the query once; the loss is the mean of the two.
        bn_splits: parts of a batch that batch norm treats apart. A query and its key must not be normalised
            together with the same images, or they know each other by the batch's mean. The paper shuffles
            the keys among GPUs; on one, that does nothing unless the batch is also split. 1: no split.
        head: features -> embeddings (B, D) in place of the paper's linear layer.
    """

    queue: Tensor
    queue_ptr: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        dim: int = 128,
        *,
        queue_size: int = 65_536,
        momentum: float = 0.999,
        temperature: float = 0.07,
        symmetric: bool = False,
        bn_splits: int = 8,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        if bn_splits != 1:
            backbone = split_batch_norm(backbone, bn_splits)
        self.encoder_q = Encoder(backbone, head or nn.Linear(num_features(backbone), dim))
        self.encoder_k = momentum_copy(self.encoder_q)
        self.momentum, self.temperature, self.symmetric = momentum, temperature, symmetric
        self.register_buffer("queue", F.normalize(torch.randn(dim, queue_size), dim=0))  # (D, K)
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.int64))

    @property
    def backbone(self) -> nn.Module:
        """The query encoder's backbone: the one that learns, and the one to evaluate."""
        return self.encoder_q.backbone

    def forward(self, views: tuple[Tensor, Tensor]) -> Tensor:
        """Two views (B, 3, H, W) of the same images -> scalar loss. Training moves key encoder and queue too.

        Raises:
            ValueError: the queue is no multiple of the number of new keys.
        """
        if self.training:
            ema_update(self.encoder_k, self.encoder_q, self.momentum)
        pairs = [views, views[::-1]] if self.symmetric else [views]
        keys = [self.keys(key_view) for _, key_view in pairs]  # (B, D) of all processes together
        # The queue as it was before this batch: both directions use it, and no image is its own negative.
        negatives = self.queue.clone().T  # (K, D); a copy, since the queue changes before backward
        losses = [
            info_nce_loss(
                unit(self.encoder_q(query_view)), own_rows(k), negatives, temperature=self.temperature
            )
            for (query_view, _), k in zip(pairs, keys, strict=True)
        ]
        if self.training:
            self.enqueue(torch.cat(keys))
        return torch.stack(losses).mean()

    @torch.no_grad()
    def keys(self, view: Tensor) -> Tensor:
        """Keys of all processes' images, in order, from batches that were shuffled among the processes."""
        images = gather(view)  # (B, 3, H, W)
        order = shared_permutation(len(images), images.device)
        shuffled = gather(unit(self.encoder_k(images[own_rows(order)])))  # (B, D)
        return shuffled[order.argsort()]

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Put keys (B, D) in the place of the queue's oldest."""
        size, batch = self.queue.shape[1], len(keys)
        if size % batch:
            raise ValueError(f"queue_size must be a multiple of the keys a step, got {size} and {batch} keys")
        start = int(self.queue_ptr)
        self.queue[:, start : start + batch] = keys.T
        self.queue_ptr[0] = (start + batch) % size
