"""Exercises that ask for a training loop: judged by what happens while it runs, not by its numbers.

A week's exercise owns all that is particular to it: what it hands to the student's function and notes
meanwhile (a `Watch`), how its network is built, rebuilt from weights and scored (a `TrainingExercise`), and
its symptoms. Who checks or grades knows only these three. While a lab is graded, the kernel's copy of a
week's modules keeps subclasses of these two classes whole and nothing else: what they need from their own
module must stand in the class.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

from torch import Tensor, nn

Note = bool | int | float | str | tuple[float, ...] | None


class Notes(SimpleNamespace):
    """What was seen while a training function ran, by name: plain data, to be judged far from there."""


@dataclass(frozen=True)
class Trace:
    """All that is known of a training run.

    Args:
        notes: what was seen.
        error: why it ended early, as a sentence; empty if it did not.
        score: of the network that came back, in [0, 1].
        baseline: the same for the network as it was handed in.
    """

    notes: Notes
    error: str = ""
    score: float = 0.0
    baseline: float = 0.0


@dataclass(frozen=True)
class Symptom:
    """A usual mistake in a training loop, and how it shows.

    Args:
        name: the mistake in a few words.
        seen: whether the exercise's notes show it.
        finding: what was seen, as a sentence; `{note}` is filled in.
        advice: the next sentence: where to look.
        credit: the share of the item's points that is kept: none where nothing useful can be learnt or
            nothing usable comes back, half where most of the loop is right. It is fixed: how well the
            features turn out in spite of a mistake is luck.
    """

    name: str
    seen: Callable[[Any], bool]
    finding: str
    advice: str
    credit: float = 0.5


class Watch(ABC):
    """One run of a student's function: hands out what it needs, and takes notes while that is used.

    Args:
        exercise: with the numbers that the function is called with.
        networks: as `TrainingExercise.networks` made them, on the device on which to train.
        seed: of the data.
    """

    NOTES: ClassVar[Mapping[str, Note]]
    """All notes by name, each with the value that says nothing: what is not noted, or noted as another type,
    counts as that."""

    @abstractmethod
    def __init__(self, exercise: Any, networks: tuple[nn.Module, ...], seed: int) -> None: ...

    @abstractmethod
    def call(self, train: Callable[..., object]) -> object:
        """Let the student's function train; returns what it returns."""

    @abstractmethod
    def notes(self, result: object) -> dict[str, Note]:
        """What was seen, once the function has returned `result` (None also if it ended early)."""

    def kept(self, result: object) -> nn.Module | None:
        """The network to be scored; None if there is none. By default what the function returned."""
        return result if isinstance(result, nn.Module) else None

    def tried(self, network: nn.Module) -> dict[str, Note]:
        """Further notes, from using the network that is kept; an exception is the student's mistake."""
        return {}


@dataclass(frozen=True)
class TrainingExercise(ABC):
    """A training loop to write. Subclasses add the numbers that the function is called with.

    Args:
        name: also the nbgrader grade id.
        reference: the course's own loop.
        misconceptions: usual mistakes, the more fundamental first: the first that is seen is told.
        margin: by how much the score must exceed that of the untrained network.
    """

    watch: ClassVar[type[Watch]]
    measure: ClassVar[str]
    """What the score is, in the words of the verdict."""

    name: str
    reference: Callable[..., object]
    misconceptions: tuple[Symptom, ...]
    margin: float

    @abstractmethod
    def networks(self) -> tuple[nn.Module, ...]:
        """What is handed to the function, untrained, on the CPU; the first is the one to be kept."""

    @abstractmethod
    def score(self, network: nn.Module, seed: int) -> float:
        """How good a network is on data of that seed, in [0, 1]."""

    def rebuilt(self, start: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
        """A copy of the untrained network `start` with these weights, be they its own or those of a module
        around it, such as nn.Sequential(network).

        Raises:
            ValueError: some are missing, not finite, or of another shape; the message is a sentence.
        """
        wanted = start.state_dict()
        last = list(wanted)[-1]
        prefix = next((key.removesuffix(last) for key in weights if key.endswith(last)), "")
        own = {key: weights[prefix + key] for key in wanted if prefix + key in weights}
        if own.keys() != wanted.keys() or any(own[key].shape != old.shape for key, old in wanted.items()):
            raise ValueError("the network you return is not the one that your function was given.")
        if not all(bool(tensor.isfinite().all()) for tensor in own.values()):
            raise ValueError("the network you return has weights that are not finite.")
        network = copy.deepcopy(start)
        network.load_state_dict(own)
        return network


def moved(network: nn.Module, before: nn.Module) -> bool:
    """Whether any parameter differs."""
    old, new = dict(before.named_parameters()), dict(network.named_parameters())
    if old.keys() != new.keys():
        return True
    return any(not old[name].cpu().equal(new[name].cpu()) for name in old)
