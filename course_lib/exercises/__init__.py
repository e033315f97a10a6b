"""What the labs ask: for every graded item a reference, inputs to try it on, and the usual mistakes."""

from course_lib.exercises.base import Answer, Case, Exercise, Misconception
from course_lib.exercises.training import TrainingExercise
from course_lib.exercises.week1 import EXERCISES as WEEK1
from course_lib.exercises.week2 import EXERCISES as WEEK2

__all__ = [
    "WEEKS",
    "Answer",
    "Case",
    "Exercise",
    "Misconception",
    "TrainingExercise",
    "get",
    "names",
]

WEEKS: dict[int, tuple[Exercise | TrainingExercise, ...]] = {1: WEEK1, 2: WEEK2}

_EXERCISES: dict[str, Exercise | TrainingExercise] = {
    exercise.name: exercise for week in WEEKS.values() for exercise in week
}


def get(name: str) -> Exercise | TrainingExercise:
    """The exercise whose grade id is `name`.

    Raises:
        ValueError: there is none; lists those there are.
    """
    if name not in _EXERCISES:
        raise ValueError(f"there is no exercise {name!r}; there are: {', '.join(sorted(_EXERCISES))}")
    return _EXERCISES[name]


def names() -> frozenset[str]:
    """The grade ids of all exercises."""
    return frozenset(_EXERCISES)
