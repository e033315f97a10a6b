"""Can this machine build a jail?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from course_tools.grading.jail import bubblewrap
from course_tools.grading.jail.cgroups import make_group
from course_tools.grading.jail.policy import Jail, Limits

CURE = "apt-get install bubblewrap (0.8 or newer), or run without protection: --unsafe or COURSE_UNSAFE=1"


class JailMissing(ValueError):
    """Student code was to run in a jail on a machine that cannot build one."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no jail for student code here: {why}. Cure: {CURE}")


def unsafe() -> bool:
    """Whether the user accepts that student code runs unprotected."""
    return os.environ.get("COURSE_UNSAFE", "") not in ("", "0")


@cache
def missing() -> str:
    """Empty if this machine can build the jail, else a sentence why not. Tried once a process."""
    if sys.platform != "linux":
        return "jails are built from Linux namespaces (use WSL2 on Windows, a Linux machine instead of macOS)"
    if not shutil.which("bwrap"):
        return "the program bwrap (bubblewrap) is not installed"
    command = ["bwrap", *bubblewrap.arguments(Jail()), *bubblewrap.seal(), "--", sys.executable, "-c", "1"]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "bwrap did not answer within a minute"
    if tried.returncode:
        return _explain(tried.stderr.strip())
    if os.geteuid() == 0 and not has_groups():
        return (
            "the system limits the number of root's processes by control groups only, and none can be made "
            "here: grade as an ordinary user"
        )
    return ""


@cache
def has_groups() -> bool:
    """Whether memory and processes can be limited for a whole process tree."""
    if group := make_group(Limits()):
        group.close()
    return group is not None


def _explain(said: str) -> str:
    line = said.splitlines()[-1] if said else "bwrap failed without a word"
    if "Unknown option" in said:
        return f"bwrap is older than 0.8 ({line})"
    if "apparmor" in _setting("kernel/apparmor_restrict_unprivileged_userns", "1"):
        return f"AppArmor refuses user namespaces to ordinary programs ({line})"
    if "proc" in said:
        return f"this container hides parts of /proc, so that no private one can be mounted ({line})"
    if "namespace" in said or "uid map" in said or "Operation not permitted" in said:
        return f"the system or this container's seccomp profile refuses user namespaces ({line})"
    return line


def _setting(name: str, value: str) -> str:
    """The setting's name if it has this value, else an empty text."""
    path = Path("/proc/sys") / name
    return name if path.exists() and path.read_text().strip() == value else ""
