"""`check` tells a student at once what kind of mistake was made, and the autograder the same."""

from course_lib.check.examine import CheckFailed, Passed, check

__all__ = ["CheckFailed", "Passed", "check"]
