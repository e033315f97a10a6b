"""Grading: `check` tells a student at once what kind of mistake was made, and the autograder the same."""

from course_lib.grading.check import CheckFailed, Passed, check

__all__ = ["CheckFailed", "Passed", "check"]
