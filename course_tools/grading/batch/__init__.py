"""Grade a class: in parallel, resumable at any moment, whatever single submissions look like."""

from course_tools.grading.autograde import Item
from course_tools.grading.batch.run import Options, grade_class, records_of, submitted
from course_tools.grading.batch.task import FAILED, GRADED, UNREADABLE, Result

__all__ = [
    "FAILED",
    "GRADED",
    "UNREADABLE",
    "Item",
    "Options",
    "Result",
    "grade_class",
    "records_of",
    "submitted",
]
