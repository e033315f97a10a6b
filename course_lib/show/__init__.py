"""Everything that draws: functions return matplotlib figures (or HTML), shown as the last value of a cell."""

from course_lib.show.augment import gallery, play_with_views, single_steps
from course_lib.show.curves import bars, curve, functions, histogram, loss_curve, plane
from course_lib.show.embeddings import points, points_in_motion
from course_lib.show.grids import images, pairs
from course_lib.show.matrix import similarity_matrix
from course_lib.show.methods import MOCO, SIMCLR
from course_lib.show.neighbours import neighbours
from course_lib.show.schematic import Arrow, Box, Schematic, schematic
from course_lib.show.scores import scoreboard
from course_lib.show.training import training
from course_lib.show.widgets import interact

__all__ = [
    "MOCO",
    "SIMCLR",
    "Arrow",
    "Box",
    "Schematic",
    "bars",
    "curve",
    "functions",
    "gallery",
    "histogram",
    "images",
    "interact",
    "loss_curve",
    "neighbours",
    "pairs",
    "plane",
    "play_with_views",
    "points",
    "points_in_motion",
    "schematic",
    "scoreboard",
    "similarity_matrix",
    "single_steps",
    "training",
]
