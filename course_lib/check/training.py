"""Watching a training function at work on a small world, and the verdict on what was seen.

What happens while it runs (`observe`) and what the network knows that came out of it (`scored`) are found out
apart: the first where the student's code runs, the second wherever one likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import torch
from torch import nn

from course_lib.check.answers import TimeLimit, explain, nothing_compiled
from course_lib.check.ladder import Verdict
from course_lib.check.trying import open_function
from course_lib.exercises.training import Note, Notes, Trace, TrainingExercise


def networks(exercise: TrainingExercise, seed: int) -> tuple[nn.Module, ...]:
    """What is handed to the student's function, as of that seed, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return exercise.networks()


def observe(
    exercise: TrainingExercise, train: Callable[..., object], seed: int, device: str | None = None
) -> tuple[Trace, nn.Module | None]:
    """Call `train` on a small world of that seed, and note what it does.

    Args:
        device: where to train; by default on the GPU if there is one.

    Returns:
        What was seen, without scores (see `scored`), and the network that came out; None if there is none
        that can be used.

    Raises:
        NotImplementedError: as raised by `train`: an item that was left blank.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with (
        torch.random.fork_rng(devices=[0] if device == "cuda" else []),
        torch.enable_grad(),
        _one_thread(),
        nothing_compiled(),
    ):
        torch.manual_seed(seed)
        given = tuple(network.to(device) for network in networks(exercise, seed))
        watch = exercise.watch(exercise, given, seed)
        try:
            result = watch.call(train)
        except (Exception, SystemExit, TimeLimit) as error:
            if open_function(error):
                raise
            return Trace(_notes(exercise, watch.notes(None)), error=explain(error)), None
    seen, network = watch.notes(result), watch.kept(result)
    if network is None:
        return Trace(_notes(exercise, seen)), None
    try:
        return Trace(_notes(exercise, seen | watch.tried(network))), network
    except Exception as error:
        sentence = f"what you return cannot be applied to images: {explain(error)}"
        return Trace(_notes(exercise, seen), error=sentence), None


def _notes(exercise: TrainingExercise, seen: dict[str, Note]) -> Notes:
    return Notes(**{**exercise.watch.NOTES, **seen})


@contextmanager
def _one_thread() -> Iterator[None]:
    """The same sums on a machine with any number of cores, and no wait for a core that another program has.

    The networks are so small that a second thread gains little; on two cores of which one was busy it made
    the training five times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def scored(
    exercise: TrainingExercise,
    trace: Trace,
    network: nn.Module | None,
    seed: int,
    world: int | None = None,
) -> Trace:
    """The trace, with the scores of the network that came out and of the untrained one.

    Args:
        network: what `observe` returned.
        seed: what `observe` was given.
        world: seed of the data on which the two are compared; `seed` if not given.
    """
    if network is None:
        return trace
    world = seed if world is None else world
    return replace(trace, score=exercise.score(network, world), baseline=_baseline(exercise, seed, world))


@lru_cache(maxsize=16)
def _baseline(exercise: TrainingExercise, seed: int, world: int) -> float:
    return exercise.score(networks(exercise, seed)[0], world)


def judge_training(exercise: TrainingExercise, trace: Trace) -> Verdict:
    """The verdict on a trace: the first thing that went wrong, else whether the network got better.

    A mistake that is seen costs what its symptom declares, whatever the score came to: a score depends on
    the world, the threads and the processor, and only tells a loop that learns from one that does not.
    """
    if trace.error:
        return Verdict("runs", tuple(trace.error.split("\n")))
    for symptom in exercise.misconceptions:
        if symptom.seen(trace.notes):
            sentences = (symptom.finding.format(**vars(trace.notes)), symptom.advice)
            return Verdict("training", sentences, symptom.credit, symptom.name)
    numbers = f"{exercise.measure} {trace.score:.2f}, with the untrained network {trace.baseline:.2f}"
    if trace.score - trace.baseline < exercise.margin:
        found = f"it runs, but hardly learns: {numbers}; expected at least {exercise.margin:.2f} more."
        return Verdict("score", (found, _about_the_loss(trace.notes)))
    return Verdict("", (f"passed ({numbers}).",), credit=1.0)


def _about_the_loss(notes: Notes) -> str:
    losses = getattr(notes, "losses", ())
    course = f"The loss went from {losses[0]:.2f} to {losses[-1]:.2f}. " if losses else ""
    return f"{course}Is the learning rate `lr` used, and every image seen in every epoch?"
