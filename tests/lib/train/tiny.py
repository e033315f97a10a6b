"""A method with all the state a resumed run could forget, small enough to train in a test."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.data import ImageSet


def image_set(count: int = 64, size: int = 8) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.arange(count) % 4, tuple("abcd"))


def plain(images: Tensor) -> Tensor:
    return images.float() / 255


def noisy(images: Tensor) -> Tensor:
    """Draws from torch's, numpy's and Python's global generators."""
    shift = torch.rand(len(images), 3, 1, 1) + np.random.rand() + random.random()  # noqa: NPY002
    return images.float() / 255 + 0.1 * shift


class Backbone(nn.Module):
    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.BatchNorm1d(6), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class QueueMethod(nn.Module):
    """A queue, a momentum network, batch norm, dropout: MoCo's shape, not its science."""

    def __init__(self, keys: int = 48) -> None:
        super().__init__()
        self.backbone, self.momentum = Backbone(), Backbone().requires_grad_(False)
        self.drop = nn.Dropout(0.3)
        self.register_buffer("queue", F.normalize(torch.randn(6, keys), dim=0))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, views: tuple[Tensor, Tensor]) -> Tensor:
        q = F.normalize(self.drop(self.backbone(views[0])), dim=1)
        with torch.no_grad():
            k = F.normalize(self.momentum(views[1]), dim=1)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.clone()], dim=1) / 0.2
        self.queue = torch.cat([k.T, self.queue], dim=1)[:, : self.queue.shape[1]]
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.int64))

    @torch.no_grad()
    def after_step(self) -> None:
        self.steps += 1
        for slow, fast in zip(self.momentum.parameters(), self.backbone.parameters(), strict=True):
            slow.lerp_(fast, 0.1)


class Linear(nn.Module):
    """No randomness and no batch norm: one process and two must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.layer = nn.Flatten(), nn.Linear(192, 4)

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        view, labels = batch
        return F.cross_entropy(self.layer(self.backbone(view)), labels)
