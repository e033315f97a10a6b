"""`check` tells a student at once what kind of mistake was made, and the autograder the same."""

from course_lib.check.examine import check
from course_lib.check.shown import CheckFailed, Failed, Passed
from course_lib.check.trying import trying

__all__ = ["CheckFailed", "Failed", "Passed", "check", "trying"]
