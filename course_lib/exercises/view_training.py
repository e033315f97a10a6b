"""What training loops on augmented views have in common, whatever their method.

The notes say whether the views are used, whether the loss is called, reaches the network and is made smaller,
and what became of backbone and projector. The features that came out are scored by their nearest neighbours.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from course_lib.augment import SimCLRAugment
from course_lib.data import ImageSet, Shapes
from course_lib.evaluate import features, knn_accuracy
from course_lib.exercises.training import Note, TrainingExercise, Watch, moved
from course_lib.models import SmallConvNet, mlp

NUM_PROJECTIONS = 32  # unlike the number of features, so that the two cannot be mistaken
TEST_COUNT = 1000


class TooManyCalls(Exception):
    """The loss was called far more often than there are steps."""


@dataclass(frozen=True)
class ViewTraining(TrainingExercise):
    """A loop that trains a small backbone and its projector on views of a Shapes world.

    Args:
        count: training images.
        epochs, batch_size, lr: what the function is called with.
        width: of the small network.
        temperature: of the loss that it is handed.
    """

    measure: ClassVar[str] = "kNN accuracy"

    count: int = 2048
    epochs: int = 6
    batch_size: int = 128
    lr: float = 2e-3
    width: int = 8
    temperature: float = 0.2

    def networks(self) -> tuple[SmallConvNet, nn.Sequential]:
        """Backbone and projector."""
        backbone = SmallConvNet(self.width)
        return backbone, mlp(backbone.num_features, 128, NUM_PROJECTIONS)

    def score(self, network: nn.Module, seed: int) -> float:
        """Accuracy of the nearest neighbours on the network's features, in the Shapes world of that seed."""
        bank, queries = shapes("train", self.count, seed), shapes("test", TEST_COUNT, seed)
        known, new = (features(network, world.images).flatten(1) for world in (bank, queries))
        return knn_accuracy(known, bank.labels, new, queries.labels)


class ViewWatch(Watch):
    """Hands out the augmentation; a subclass hands out a loss that calls `begin` and `note`.

    A loss may be called more than once in a step, as a symmetric one is: a step begins with new views or,
    where views are not made in each step, after a backward pass.
    """

    NOTES: ClassVar[Mapping[str, Note]] = {
        "returned": "",  # name of the type that came back
        "features": None,  # length of the vector that the returned network makes of an image
        "num_features": 0,  # length of the backbone's features
        "num_projections": 0,  # length of the projector's output
        "steps": 0,  # in which the loss was computed
        "expected_steps": 0,  # epochs times batches
        "losses": (),  # at each step
        "augmented": 0,  # how often the augmentation was called
        "views": 2.0,  # augmented images per image and step
        "repeated": 0.0,  # share of the epochs in which images came up again while others never did
        "unshuffled": 0.0,  # share of the epochs after the first that had the batches of the one before
        "evaluating": 0.0,  # share of the steps in which the backbone was in evaluation mode
        "attached": 1.0,  # share of the steps in which the loss could reach the network by gradient
        "identical": 0.0,  # share of the steps in which the two views were the same
        "mispaired": 0.0,  # share of the steps in which the two views were of different images
        "backward": 0,  # how often a gradient came back to the loss
        "climbing": 0.0,  # share of those in which its sign was negative, which maximises the loss
        "accumulated": 0.0,  # share of the later backward passes that found an old gradient still there
        "backbone_moved": False,  # whether any parameter changed
        "projector_moved": False,
        "returned_moved": False,  # whether the returned network differs from the one handed in as it was
    }

    def __init__(self, exercise: ViewTraining, networks: tuple[nn.Module, ...], seed: int) -> None:
        self.exercise, self.seed = exercise, seed
        self.backbone, self.projector = networks
        assert isinstance(self.backbone, SmallConvNet)
        self.num_features = self.backbone.num_features
        self.device = next(self.backbone.parameters()).device
        self.expected_steps = exercise.epochs * (exercise.count // exercise.batch_size)
        self.augment = SimCLRAugment(32)
        self.before = copy.deepcopy(networks)
        self.sources: list[Tensor] = []
        self.rows = ImageNumbers()
        self.batches: list[frozenset[int]] = []  # which images each step was about
        self.num_views = self.evaluating = self.calls = 0
        self.backward_before = -1
        self.augmented = self.attached = self.identical = self.mispaired = 0
        self.losses: list[float] = []
        self.arriving: list[float] = []
        self.incoming: list[Tensor] = []
        self.leftover: list[bool] = []
        self._watch_gradient(next(self.backbone.parameters()))

    def images(self) -> Tensor:
        """The images to train on."""
        images = shapes("train", self.exercise.count, self.seed).images
        self.rows.learn(images)
        return images.to(self.device)

    def view(self, images: Tensor) -> Tensor:
        """The augmentation that is handed out."""
        self.augmented += 1
        self.num_views += len(images)
        self.sources.append(images)
        return self.augment(images)

    def begin(self) -> bool:
        """Called at the beginning of each call of the loss; whether a new step begins with it.

        Raises:
            TooManyCalls: a loop that never ends is ended.
        """
        self.calls += 1
        if self.calls > 4 * self.expected_steps:
            raise TooManyCalls(
                f"the loss was called more than {4 * self.expected_steps} times; epochs times batches are"
                f" {self.expected_steps}. Is there a loop too many?"
            )
        backward, self.backward_before = len(self.arriving) != self.backward_before, len(self.arriving)
        return bool(self.sources) if self.augmented > 2 else backward

    def note(self, value: Tensor, *, begins: bool) -> None:
        """Called with the value of the loss, and what `begin` returned."""
        if value.requires_grad:
            value.register_hook(lambda gradient: self.arriving.append(gradient.item()))
        if not begins:
            return
        self.losses.append(value.item())
        self.attached += value.requires_grad
        self.evaluating += not self.backbone.training
        first, *rest = self.sources or [value]
        self.mispaired += any(len(s) == len(first) and not torch.equal(s, first) for s in rest)
        if self.sources:
            self.batches.append(self.rows.of(self.sources))
        self.sources.clear()

    def _epochs(self) -> list[list[frozenset[int]]]:
        """The batches of each whole epoch, of which every image is known."""
        size = self.exercise.count // self.exercise.batch_size
        starts = range(0, len(self.batches) - size + 1, size)
        epochs = [self.batches[start : start + size] for start in starts]
        return [epoch for epoch in epochs if all(epoch)]

    def _watch_gradient(self, parameter: nn.Parameter) -> None:
        parameter.register_hook(lambda gradient: self.incoming.append(gradient.clone()))

        def compare(parameter: Tensor) -> None:
            assert parameter.grad is not None
            self.leftover.append(not torch.allclose(parameter.grad, self.incoming[-1]))

        parameter.register_post_accumulate_grad_hook(compare)

    def notes(self, result: object) -> dict[str, Note]:
        steps, epochs = max(len(self.losses), 1), self._epochs()
        return {
            "returned": type(result).__name__,
            "num_features": self.num_features,
            "num_projections": NUM_PROJECTIONS,
            "steps": len(self.losses),
            "expected_steps": self.expected_steps,
            "losses": tuple(self.losses),
            "augmented": self.augmented,
            "views": self.num_views / (steps * self.exercise.batch_size),
            "repeated": share(len(frozenset().union(*each)) < 0.9 * self.exercise.count for each in epochs),
            "unshuffled": share(now == before for before, now in pairwise(epochs)),
            "evaluating": self.evaluating / steps,
            "attached": self.attached / steps,
            "identical": self.identical / steps,
            "mispaired": self.mispaired / steps,
            "backward": len(self.arriving),
            "climbing": share(gradient < 0 for gradient in self.arriving),
            "accumulated": share(self.leftover[1:]),
            "backbone_moved": moved(self.backbone, self.before[0]),
            "projector_moved": moved(self.projector, self.before[1]),
            "returned_moved": isinstance(result, nn.Module) and moved(result, self.before[0]),
        }

    def tried(self, network: nn.Module) -> dict[str, Note]:
        return {"features": features(network, self.images()[:2], cache=False).shape[1]}


class ImageNumbers:
    """Tells which image of a batch (B, 3, H, W) is which, by its bytes."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}

    def learn(self, images: Tensor) -> None:
        """These (N, 3, H, W) are the images 0 to N - 1."""
        self.numbers = {row.tobytes(): number for number, row in enumerate(images.cpu().numpy())}

    def of(self, sources: Iterable[Tensor]) -> frozenset[int]:
        """The numbers of all images in these batches; none if some are not known (changed before)."""
        rows = [row.tobytes() for source in sources for row in source.detach().cpu().numpy()]
        found = frozenset(self.numbers.get(row, -1) for row in rows)
        return frozenset() if -1 in found else found


@lru_cache(maxsize=4)
def shapes(split: str, count: int, seed: int) -> ImageSet:
    """The Shapes world of that seed, with one grey behind all objects.

    The grey that varies from image to image is a shortcut: two views can be matched by it. With it lab 1's
    loop gained .18 to .29 over the untrained network, without it .33 to .45, far above the .11 that moving
    batch-norm statistics alone can gain (benchmarks/results/training_margins.md).
    """
    return Shapes(seed=seed, fixed={"background_colours": torch.full((2, 3), 0.5)}).image_set(split, count)


def share(seen: Iterable[bool]) -> float:
    """The share of what is true among what was seen; 0 if nothing was."""
    found = list(seen)
    return sum(found) / max(len(found), 1)
