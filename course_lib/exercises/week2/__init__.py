"""Lab 2: SimCLR and MoCo in pieces, two probes, and an encoder trained with a queue."""

from course_lib.exercises.base import Exercise
from course_lib.exercises.training import TrainingExercise
from course_lib.exercises.week2.encoder import TRAIN_MOCO
from course_lib.exercises.week2.partners import PARTNER_PROBABILITY, SIMCLR_STEP
from course_lib.exercises.week2.probes import KNN_VOTES, LINEAR_PROBE
from course_lib.exercises.week2.queue import EMA_UPDATE, ENQUEUE, MOCO_LOGITS
from course_lib.exercises.week2.views import CROP_AND_FLIP

# What a student's code cannot use while this lab is graded, beside the references of its items.
WITHHELD = (
    "course_lib.losses",
    "course_lib.methods",
    "course_lib.evaluate.knn",
    "course_lib.evaluate.online",
    "course_lib.evaluate.linear",
    "course_lib.evaluate.linear_sweep",
    "course_lib.evaluate.few_labels",
    "course_lib.evaluate.finetune",
    "course_lib.evaluate.transfer",
)

EXERCISES: tuple[Exercise | TrainingExercise, ...] = (
    CROP_AND_FLIP,
    PARTNER_PROBABILITY,
    SIMCLR_STEP,
    EMA_UPDATE,
    ENQUEUE,
    MOCO_LOGITS,
    KNN_VOTES,
    LINEAR_PROBE,
    TRAIN_MOCO,
)
