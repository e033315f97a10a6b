"""Processor time of kernels in jails.

A jail ends by killing its first process: the system then buries what is in it without adding its time to
anybody's. So the time is read just before. What a kernel did that ended by itself stays uncounted.
"""

from __future__ import annotations

import os
from contextlib import suppress

import psutil

_dead = 0.0  # seconds of the kernels that were killed


def note_before_killing(pid: int) -> None:
    """Remember what a jail's process and everything below it have used."""
    global _dead
    _dead += family_seconds(pid, itself=True)


def seconds_of_the_dead() -> float:
    """Used by all kernels that this process has killed."""
    return _dead


def family_seconds(pid: int | None = None, *, itself: bool = False) -> float:
    """Used by the running descendants of a process (by default this one), and by those they waited for."""
    used = 0.0
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid or os.getpid())
        for member in [*process.children(recursive=True), *([process] if itself else [])]:
            with suppress(psutil.Error, OSError):
                times = member.cpu_times()
                used += times.user + times.system + times.children_user + times.children_system
    return used
