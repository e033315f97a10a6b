"""Lab 1: contrastive losses, and an encoder trained with one."""

from course_lib.exercises.base import Exercise
from course_lib.exercises.training import TrainingExercise
from course_lib.exercises.week1.candidates import INFO_NCE_ACCURACY, N_PAIR_LOSS
from course_lib.exercises.week1.encoder import TRAIN_ENCODER
from course_lib.exercises.week1.mixing import MOCHI_NEGATIVES
from course_lib.exercises.week1.nt_xent import NT_XENT_LOSS, NT_XENT_NAIVE, NT_XENT_VECTORISED
from course_lib.exercises.week1.soft_neighbours import SOFT_NEAREST_NEIGHBOR_LOSS
from course_lib.exercises.week1.triplets import SEMI_HARD_TRIPLET_LOSS

# What a student's code cannot use while this lab is graded, beside the references of its items.
WITHHELD = ("course_lib.losses", "course_lib.methods")

EXERCISES: tuple[Exercise | TrainingExercise, ...] = (
    NT_XENT_NAIVE,
    NT_XENT_VECTORISED,
    NT_XENT_LOSS,
    SEMI_HARD_TRIPLET_LOSS,
    N_PAIR_LOSS,
    SOFT_NEAREST_NEIGHBOR_LOSS,
    INFO_NCE_ACCURACY,
    MOCHI_NEGATIVES,
    TRAIN_ENCODER,
)
