"""How far apart "learns" and "does not" are, for every training item of every lab.

    python benchmarks/training_margins.py [--worlds 30]

The reference trains as a student's loop does, with one thread and with two, and from other starting weights;
so does a loop that shows no mistake and does not learn (a learning rate of a thousandth). Each network is
then measured in as many secret worlds as are asked for, as the referee does. A mark is safe from luck if the
least gain of what learns lies well above the item's margin, and the largest of what does not well below.
Writes results/training_margins.md.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from benchmarks.nt_xent import processor, table
from course_lib.check.training import backbone_accuracy, networks, observe
from course_lib.exercises import WEEKS, TrainingExercise

PUBLIC_SEED = 0
RESULTS = Path(__file__).parent / "results" / "training_margins.md"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=int, default=30)
    worlds = range(1, parser.parse_args().worlds + 1)
    exercises = [e for week in WEEKS.values() for e in week if isinstance(e, TrainingExercise)]
    rows = [row for exercise in exercises for row in measure(exercise, worlds)]
    RESULTS.write_text(report(rows, len(worlds)), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


def runs(exercise: TrainingExercise) -> Iterator[tuple[str, int, nn.Module]]:
    """(what it is, seed of its starting weights, network)"""
    idle = replace(exercise, lr=exercise.lr / 1000)
    for name, how, seed, threads in (
        ("the reference, 1 thread", exercise, PUBLIC_SEED, 1),
        ("the reference, 2 threads", exercise, PUBLIC_SEED, 2),
        ("the reference, other starting weights", exercise, 1, 1),
        ("the reference, other starting weights", exercise, 2, 2),
        ("a learning rate of a thousandth", idle, PUBLIC_SEED, 1),
        ("a learning rate of a thousandth", idle, PUBLIC_SEED, 2),
    ):
        torch.set_num_threads(threads)
        begin = time.perf_counter()
        trace, network = observe(how, exercise.reference, seed, "cpu")
        assert network is not None, trace.error
        assert not [symptom.name for symptom in exercise.misconceptions if symptom.seen(trace)]
        print(f"{exercise.name}: {name}, {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
        yield name, seed, network


def measure(exercise: TrainingExercise, worlds: range) -> list[list[str]]:
    """A row for each kind of run: gains over the untrained network in all worlds."""
    gains: dict[str, list[float]] = {}
    trained = list(runs(exercise))
    starts = {seed: networks(exercise, seed)[0] for _, seed, _ in trained}
    for world in worlds:
        before = {seed: backbone_accuracy(exercise, start, world) for seed, start in starts.items()}
        for name, seed, network in trained:
            after = backbone_accuracy(exercise, network, world)
            gains.setdefault(name, []).append(after - before[seed])
    return [row(exercise, name, values) for name, values in gains.items()]


def row(exercise: TrainingExercise, name: str, gains: list[float]) -> list[str]:
    learns = name.startswith("the reference")
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
            "Gain in nearest-neighbour accuracy over the untrained network, "
            f"in {worlds} worlds that no loop has seen.",
            "",
            *table(header, rows),
            "",
        ]
    )


if __name__ == "__main__":
    main()
