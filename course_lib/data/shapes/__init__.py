"""Shapes: a procedural world of textured shapes in which every factor is known and can be set."""

from course_lib.data.shapes.factors import Factors
from course_lib.data.shapes.relations import Relation
from course_lib.data.shapes.scene import Scene
from course_lib.data.shapes.videos import Videos
from course_lib.data.shapes.world import Shapes

__all__ = ["Factors", "Relation", "Scene", "Shapes", "Videos"]
