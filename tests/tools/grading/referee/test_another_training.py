"""A training exercise of another kind, without images: who checks and grades knows the protocol alone."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check.client import _answers
from course_lib.check.examine import PUBLIC_SEED, examine
from course_lib.check.ladder import HALF, Verdict
from course_lib.exercises.training import Note, Symptom, TrainingExercise, Watch
from course_tools.grading.referee.questions import _asked_to_train
from course_tools.grading.referee.verdict import HandIn, Unreadable, _on_training

SECRET = 20260


class LineWatch(Watch):
    """Hands out a layer and points on a line; the function returns nothing, the layer is kept."""

    NOTES: ClassVar[Mapping[str, Note]] = {"asked": 0, "returned_moved": False}

    def __init__(self, exercise: "LineTraining", networks: tuple[nn.Module, ...], seed: int) -> None:
        self.exercise, self.seed = exercise, seed
        (self.layer,) = networks
        self.asked = 0

    def call(self, train: Callable[..., object]) -> object:
        return train(self.layer, self.points, steps=self.exercise.steps)

    def points(self) -> tuple[Tensor, Tensor]:
        self.asked += 1
        return self.exercise.points(self.seed)

    def notes(self, result: object) -> dict[str, Note]:
        return {"asked": self.asked}

    def kept(self, result: object) -> nn.Module:
        return self.layer

    def tried(self, network: nn.Module) -> dict[str, Note]:
        network(torch.zeros(1, 1))
        return {}


@dataclass(frozen=True)
class LineTraining(TrainingExercise):
    """`train(layer, points, steps=...)`."""

    watch: ClassVar[type[Watch]] = LineWatch
    measure: ClassVar[str] = "explained variance"

    steps: int = 50

    def networks(self) -> tuple[nn.Module, ...]:
        return (nn.Linear(1, 1),)

    def score(self, network: nn.Module, seed: int) -> float:
        x, y = self.points(seed)
        with torch.no_grad():
            return max(0.0, 1 - float(F.mse_loss(network(x), y) / y.var()))

    @staticmethod
    def points(seed: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(64, 1, generator=torch.Generator().manual_seed(seed))
        return x, 3 * x - 1


Points = Callable[[], tuple[Tensor, Tensor]]


def train_line(layer: nn.Linear, points: Points, *, steps: int) -> None:
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.2)
    for _ in range(steps):
        x, y = points()
        optimiser.zero_grad()
        F.mse_loss(layer(x), y).backward()
        optimiser.step()


TRAIN_LINE = LineTraining(
    "train_line",
    train_line,
    (Symptom("one step", lambda t: t.asked < 2, "you make {asked} step.", "Make `steps` of them."),),
    margin=0.3,
)


def lazy(layer: nn.Linear, points: Points, *, steps: int) -> None:
    train_line(layer, points, steps=1)


def idle(layer: nn.Linear, points: Points, *, steps: int) -> None:
    for _ in range(steps):
        points()


def blank(layer: nn.Linear, points: Points, *, steps: int) -> None:
    raise NotImplementedError


def graded(train: Callable[..., object]) -> Verdict:
    """What the kernel hands in and the referee makes of it, through JSON as on its way."""
    header, tensors = _answers(_asked_to_train(TRAIN_LINE, "cpu"), {}, train)
    return _on_training(TRAIN_LINE, HandIn(json.loads(json.dumps(header)), tensors), SECRET)


@pytest.mark.parametrize("verdict_on", [graded, lambda train: examine(TRAIN_LINE, train, PUBLIC_SEED)])
def test_checked_and_graded_alike(verdict_on: Callable[[Callable[..., object]], Verdict]) -> None:
    right = verdict_on(train_line)
    assert right.passed
    assert right.sentences[0].startswith("passed (explained variance 1.00, with the untrained network 0.")
    one = verdict_on(lazy)
    assert (one.misconception, one.credit, one.sentences[0]) == ("one step", HALF, "you make 1 step.")
    none = verdict_on(idle)
    assert (none.rung, none.credit) == ("score", 0)
    assert none.sentences[0].startswith("it runs, but hardly learns: explained variance 0.")
    with pytest.raises(NotImplementedError):
        verdict_on(blank)


def test_what_cannot_be_used_is_told() -> None:
    def breaks(layer: nn.Linear, points: Points, *, steps: int) -> None:
        train_line(layer, points, steps=steps)
        layer.weight = nn.Parameter(torch.zeros(1, 7))

    assert "what you return cannot be applied" in graded(breaks).sentences[0]


def test_notes_alone_earn_nothing() -> None:
    with pytest.raises(Unreadable, match="no network was handed in"):
        _on_training(TRAIN_LINE, HandIn({"notes": {"asked": 50}}, {}), SECRET)
    with pytest.raises(Unreadable, match="says nothing about the training"):
        _on_training(TRAIN_LINE, HandIn({}, {}), SECRET)
    nonsense = _on_training(TRAIN_LINE, HandIn({"notes": {"asked": "fifty"}}, {}), SECRET)
    assert nonsense.sentences[0] == "you make 0 step."
