"""Control groups, where the system lends them: memory and processes of a whole process tree."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from course_tools.grading.jail.policy import Limits

_CONTROLLERS = {"memory", "pids"}


@dataclass(frozen=True)
class ControlGroup:
    """A group of processes with limits; one folder for both controllers (v2) or one for each (v1)."""

    folders: tuple[Path, ...]

    def add(self, pid: int) -> None:
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def ran_out_of_memory(self) -> bool:
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError):
                    counts = dict(line.split() for line in (folder / name).read_text().splitlines())
                    if int(counts.get("oom_kill", 0)):
                        return True
        return False

    def close(self) -> None:
        """Kill what is left in the group and remove it."""
        for folder in self.folders:
            for _ in range(100):
                for pid in _pids(folder):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:  # a process is not quite gone
                    time.sleep(0.01)


def make_group(limits: Limits) -> ControlGroup | None:
    """A new group with these limits on memory and processes, or None where this process may not make one."""
    parents = _parents()
    if not parents:
        return None
    folders = tuple(parent / f"course-jail-{secrets.token_hex(6)}" for parent in parents)
    group = ControlGroup(folders)
    try:
        for folder in folders:
            folder.mkdir()
            _set(folder, limits)
    except OSError:
        group.close()
        return None
    return group


def _set(folder: Path, limits: Limits) -> None:
    values = {
        "memory.max": limits.memory,
        "memory.swap.max": 0,
        "memory.limit_in_bytes": limits.memory,
        "memory.memsw.limit_in_bytes": limits.memory,
        "pids.max": limits.processes,
    }
    for name, value in values.items():
        if (folder / name).exists():
            (folder / name).write_text(str(value))


@cache
def _parents() -> tuple[Path, ...]:
    """The folders below which groups can be made; together they have both controllers. Empty if none."""
    found = find_parents(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mounts").read_text())
    return found if all(os.access(folder, os.W_OK) for folder in found) else ()


def find_parents(memberships: str, mounts: str) -> tuple[Path, ...]:
    """Groups for memory and processes to make new ones in, from /proc/self/cgroup and /proc/self/mounts.

    With version 1 that is this process's own group; with version 2, where a group has either processes or
    groups in it, the nearest one above that hands its controllers on.
    """
    points = [line.split()[1:4] for line in mounts.splitlines()]
    found: dict[str, Path] = {}
    for line in memberships.splitlines():
        _, names, path = line.split(":", 2)
        for point, kind, options in points:
            mine = _CONTROLLERS & set(names.split(",")) & set(options.split(","))
            if kind == "cgroup" and mine:
                found |= {name: Path(point) / path.lstrip("/") for name in mine}
            elif kind == "cgroup2" and not names:
                own = Path(point) / path.lstrip("/")
                above = [folder for folder in (own, *own.parents) if folder.is_relative_to(point)]
                found |= {name: folder for folder in reversed(above) for name in _CONTROLLERS & _lent(folder)}
    return tuple(dict.fromkeys(found.values())) if set(found) == _CONTROLLERS else ()


def _lent(folder: Path) -> set[str]:
    """The controllers that a version 2 group hands on to groups below it."""
    try:
        return set((folder / "cgroup.subtree_control").read_text().split())
    except OSError:
        return set()


def _pids(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split() if pid != "0"]
    except OSError:
        return []
