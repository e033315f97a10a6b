"""How far apart "learns" and "does not" are, for every training item of every lab.

    python benchmarks/training_margins.py [--worlds 30]

The reference trains as a student's loop does (in one thread, whatever the machine has), from three
starting weights; so does a loop that shows no mistake and does not learn (a learning rate of a thousandth).
Each network is then measured in as many secret worlds as are asked for, with one thread and with two, as the
referee does. A mark is safe from luck if the least gain of what learns lies well above the item's margin, and
the largest of what does not well below.
Writes results/training_margins.md.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from benchmarks.nt_xent import processor, table
from course_lib.check.training import networks, observe
from course_lib.exercises import WEEKS, TrainingExercise

PUBLIC_SEED = 0
THREADS = (1, 2)
REFERENCE = "the reference"
RESULTS = Path(__file__).parent / "results" / "training_margins.md"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=int, default=30)
    worlds = range(1, parser.parse_args().worlds + 1)
    exercises = [e for week in WEEKS.values() for e in week if isinstance(e, TrainingExercise)]
    rows = [row for exercise in exercises for row in measure(exercise, worlds)]
    RESULTS.write_text(report(rows, len(worlds)), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


def idle(exercise: TrainingExercise) -> Callable[..., object]:
    """The reference with next to no learning rate."""

    def train(*given: object, lr: float, **options: object) -> object:
        return exercise.reference(*given, lr=lr / 1000, **options)

    return train


def trained(exercise: TrainingExercise) -> Iterator[tuple[str, int, nn.Module]]:
    """(what it is, seed of its starting weights, network)"""
    for name, loop, seed in (
        (REFERENCE, exercise.reference, PUBLIC_SEED),
        (f"{REFERENCE}, other starting weights", exercise.reference, 1),
        (f"{REFERENCE}, other starting weights", exercise.reference, 2),
        ("a learning rate of a thousandth", idle(exercise), PUBLIC_SEED),
    ):
        begin = time.perf_counter()
        trace, network = observe(exercise, loop, seed, "cpu")
        assert network is not None, trace.error
        assert not [symptom.name for symptom in exercise.misconceptions if symptom.seen(trace.notes)]
        print(f"{exercise.name}: {name}, {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
        yield name, seed, network


def measure(exercise: TrainingExercise, worlds: range) -> list[list[str]]:
    """A row for each kind of loop: gains over the untrained network in all worlds, with 1 and 2 threads."""
    gains: dict[str, list[float]] = {}
    loops = list(trained(exercise))
    starts = {seed: networks(exercise, seed)[0] for _, seed, _ in loops}
    for world in worlds:
        for threads in THREADS:
            torch.set_num_threads(threads)
            before = {seed: exercise.score(start, world) for seed, start in starts.items()}
            for name, seed, network in loops:
                gains.setdefault(name, []).append(exercise.score(network, world) - before[seed])
        print(f"{exercise.name}: world {world}", file=sys.stderr, flush=True)
    return [row(exercise, name, values) for name, values in gains.items()]


def row(exercise: TrainingExercise, name: str, gains: list[float]) -> list[str]:
    learns = name.startswith(REFERENCE)
    distance = min(gains) - exercise.margin if learns else exercise.margin - max(gains)
    numbers = (min(gains), statistics.median(gains), max(gains), exercise.margin, distance)
    return [exercise.name, name, str(len(gains)), *(f"{number:.3f}" for number in numbers)]


def report(rows: list[list[str]], worlds: int) -> str:
    header = ["item", "loop", "n", "least gain", "median", "largest", "margin", "distance from it"]
    return "\n".join(
        [
            "# Training items: what learns, what does not, and the margin between them",
            "",
            f"{processor()}, Python {platform.python_version()}, torch {version('torch')}.",
            "Gain in the item's score (accuracy of the nearest neighbours) over the untrained network, "
            f"in {worlds} worlds that no loop has seen, each with 1 and 2 threads.",
            "",
            *table(header, rows),
            "",
        ]
    )


if __name__ == "__main__":
    main()
