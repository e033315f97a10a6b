"""The referee: it sits in the grader's process, and a student's kernel sends it answers, never a score.

`server` and `verdict` run with the grader, `client` in the kernel, `protocol` is what both speak.
"""
