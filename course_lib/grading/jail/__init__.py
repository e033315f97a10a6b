"""A jail for student code: each kernel in a bubblewrap sandbox, talking over Unix sockets."""

from course_lib.grading.jail.manager import JailedKernelManager
from course_lib.grading.jail.policy import Jail, Limits
from course_lib.grading.jail.probe import JailMissing, missing, unsafe
from course_lib.grading.jail.provisioner import JailProvisioner

__all__ = [
    "Jail",
    "JailMissing",
    "JailProvisioner",
    "JailedKernelManager",
    "Limits",
    "missing",
    "unsafe",
]
