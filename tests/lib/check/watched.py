"""What a training exercise says of a loop, for the tests of both kinds of loop."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from course_lib.check.training import judge_training, observe, scored
from course_lib.exercises import TrainingExercise
from course_lib.exercises.training import Trace

Train = Callable[..., object]


def watched(exercise: TrainingExercise, train: Train, seed: int = 0) -> Trace:
    return scored(exercise, *observe(exercise, train, seed), seed)


def message(exercise: TrainingExercise, train: Train) -> str:
    return " ".join(judge_training(exercise, watched(exercise, train)).sentences)


def assert_named(exercise: TrainingExercise, train: Train, name: str) -> None:
    """The verdict on this loop is the symptom of that name, its gaps filled."""
    symptom = next(symptom for symptom in exercise.misconceptions if symptom.name == name)
    trace = watched(exercise, train)
    verdict = judge_training(exercise, trace)
    assert not verdict.passed
    assert verdict.sentences == (symptom.finding.format(**vars(trace.notes)), symptom.advice)
    assert "{" not in verdict.sentences[0]


def assert_no_symptom(exercise: TrainingExercise, train: Train, seed: int) -> None:
    verdict = judge_training(exercise, watched(exercise, train, seed))
    assert verdict.passed, verdict.sentences
    assert "with the untrained network" in verdict.sentences[0]


def with_replacement(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Batches of indices in which an image may come up again."""
    for _ in range(len(images) // batch_size):
        yield torch.randint(len(images), (batch_size,), device=images.device)


def in_order(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """The same batches of indices in every epoch."""
    yield from torch.arange(len(images), device=images.device).split(batch_size)
