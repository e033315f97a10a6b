"""A jail for student code: each kernel in a bubblewrap sandbox, talking over Unix sockets."""

from course_tools.grading.jail.manager import JailedKernelManager
from course_tools.grading.jail.policy import Jail, Limits
from course_tools.grading.jail.probe import JailMissing, missing, unsafe
from course_tools.grading.jail.provisioner import JailProvisioner

__all__ = [
    "Jail",
    "JailMissing",
    "JailProvisioner",
    "JailedKernelManager",
    "Limits",
    "missing",
    "unsafe",
]
