"""Reference library of the course: every loss, augmentation and method that its notebooks and labs use.

Packages, in the order in which data flows (each may import only those before it):
`data`, `augment`, `models`, `losses`, `methods`, `train`, `evaluate`, `show`, `exercises`, `grading`, `cli`.
"""
