"""`course doctor`: what this machine has and lacks, each line with its cure."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; `cure` is empty when all is well."""

    name: str
    found: str
    cure: str = ""
    fatal: bool = False

    def __str__(self) -> str:
        mark = "FAIL" if self.cure and self.fatal else "note" if self.cure else "ok"
        line = f"{mark:<5} {self.name:<12} {self.found}"
        return f"{line}\n{'':<19}-> {self.cure}" if self.cure else line


def main() -> int:
    """Print every finding; the exit status is 1 if the course cannot run here."""
    findings = list(examine())
    print("\n".join(map(str, findings)))
    return int(any(finding.cure and finding.fatal for finding in findings))


def examine(root: Path | None = None) -> Iterator[Finding]:
    """All findings for this machine; a check that itself breaks becomes a finding."""
    root = root or Path.cwd()
    checks: list[Callable[[], Finding]] = [
        _python,
        lambda: _packages(root),
        _torch,
        _gpu,
        _cores,
        _memory,
        lambda: _disk(root),
        _nbgrader,
        _jail,
        _programs_of_tests,
        lambda: _repository(root),
    ]
    for check in checks:
        try:
            yield check()
        except Exception as error:  # a doctor must finish the round
            yield Finding(
                check.__name__.strip("_"),
                f"{type(error).__name__}: {error}",
                "run `make setup` again",
                fatal=True,
            )


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < (3, 11)
    return Finding("python", version, "install Python 3.11 or newer" if old else "", fatal=True)


def _packages(root: Path) -> Finding:
    """Compare what is installed with constraints.txt."""
    pins = root / "constraints.txt"
    if not pins.exists():
        return Finding("packages", "no constraints.txt here, versions are not compared")
    missing, differing = [], []
    for line in pins.read_text().splitlines():
        if not (match := re.match(r"([\w.-]+)==(\S+)", line)):
            continue
        name, pinned = match.groups()
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if installed != pinned:
            differing.append(f"{name} {installed} (pinned {pinned})")
    if differing:
        return Finding(
            "packages", "not as pinned: " + ", ".join(differing[:5]), "run `make setup`, or accept it"
        )
    note = f", {len(missing)} pinned ones are not for this platform or extra" if missing else ""
    return Finding("packages", f"as pinned{note}")


def _torch() -> Finding:
    """Torch and torchvision must be built for each other: an operator of torchvision's own tells."""
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    torchvision.ops.nms(boxes, torch.ones(1), 0.5)
    return Finding("torch", f"{torch.__version__}, torchvision {torchvision.__version__}")


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("gpu", torch.cuda.get_device_name())
    if torch.backends.mps.is_available():
        return Finding("gpu", "Apple GPU: set DEVICE = 'mps' in a notebook to use it")
    return Finding("gpu", "none: all runs on the CPU in the fast profile; GPU tests are skipped")


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cure = "expect about twice the times in the README" if cores < 2 else ""
    return Finding("cores", str(cores), cure)


def _memory() -> Finding:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return Finding("memory", "unknown on this system")
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding(
        "memory", f"{gib:.0f} GiB", "close other programs: two kernels need about 3 GiB" if gib < 4 else ""
    )


def _disk(root: Path) -> Finding:
    gib = shutil.disk_usage(root).free / 2**30
    return Finding(
        "disk", f"{gib:.0f} GiB free", "free some: the real data sets need up to 5 GiB" if gib < 5 else ""
    )


def _nbgrader() -> Finding:
    """Nbgrader calls alembic as a program, so the environment's bin must be on PATH."""
    version = metadata.version("nbgrader")
    if shutil.which("alembic"):
        return Finding("nbgrader", version)
    beside = Path(sys.executable).parent
    return Finding("nbgrader", f"{version}, alembic not on PATH", f"export PATH={beside}:$PATH, or use make")


def _programs_of_tests() -> Finding:
    """Programs that nothing but some tests needs; these are skipped without them."""
    wanted = {
        "chromium": ("chromium", "chromium-browser", "google-chrome"),
        "chromium-driver": ("chromedriver",),
        "postgresql": ("initdb", *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))),
    }
    missing = [package for package, names in wanted.items() if not any(map(shutil.which, names))]
    if not missing:
        return Finding("for tests", ", ".join(wanted))
    return Finding(
        "for tests",
        f"no {', no '.join(missing)}: some tests are skipped",
        f"on Debian and Ubuntu: apt-get install {' '.join(missing)}",
    )


def _jail() -> Finding:
    """Whether submissions can be graded without trusting them."""
    from course_tools.grading.jail.probe import CURE, has_groups, missing

    if why := missing():
        return Finding("jail", f"none for student code: {why}", CURE)
    if has_groups():
        return Finding("jail", "bubblewrap, memory and processes limited by control groups")
    return Finding(
        "jail", "bubblewrap; memory is limited for each process, not for all of a kernel's together"
    )


def _repository(root: Path) -> Finding:
    import tomllib

    pyproject = root / "pyproject.toml"
    if not pyproject.exists():
        return Finding("repository", "not a clone of the course")
    address = tomllib.loads(pyproject.read_text())["project"]["urls"]["Repository"]
    cure = (
        "set [project.urls] Repository in pyproject.toml and run `make sync`, for badges and Colab"
        if "your-organisation" in address
        else ""
    )
    return Finding("repository", address, cure)
