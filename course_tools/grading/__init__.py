"""Grading a class: nbgrader, a jail for student code, and a referee outside it that reaches the verdicts."""
