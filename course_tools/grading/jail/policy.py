"""What a jailed kernel may see and use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """What one kernel and everything it starts may use; bytes, seconds and counts.

    Importing torch and torchvision takes 0.9 GiB of `memory`. Where the system lends control groups, memory
    and processes are counted over the whole tree; elsewhere `memory` holds for each process.
    """

    memory: int = 2 * GIB
    processes: int = 256  # threads count too: torch and the kernel's own take about 30
    cpu_seconds: int = 1200  # of each process
    wall_seconds: float = 1800  # of the whole notebook; then everything in the jail is killed
    file_bytes: int = 256 * MIB  # of one file
    disk_bytes: int = 512 * MIB  # of /submission and of /tmp, each; /dev/shm has a quarter
    output_bytes: int = 64 * MIB  # of everything that the notebook prints and shows; a cell prints an eighth


@dataclass(frozen=True)
class Jail:
    """One kernel's view of the world.

    Args:
        library: folder with the `course_lib` package that the kernel imports; None is the installed one.
        channel: folder of the host that appears as /referee, read-only; sockets in it can be connected to.
        files: folder whose regular files, never links or notebooks, are copied to /submission.
        device: "cuda" hands the GPU's device nodes in; anything else does not.
        limits: of everything that the kernel starts.
        allowed: packages that hold answers (`bubblewrap.PEERS`) and may be imported nevertheless.
    """

    library: Path | None = None
    channel: Path | None = None
    files: Path | None = None
    device: str = "cpu"
    limits: Limits = field(default_factory=Limits)
    allowed: tuple[str, ...] = ()

    @property
    def gpu(self) -> bool:
        return self.device.startswith("cuda")

    def resources(self) -> dict[str, int]:
        """Limits of each process, by their names in the module `resource`."""
        limits = {
            "RLIMIT_CORE": 0,
            "RLIMIT_CPU": self.limits.cpu_seconds,
            "RLIMIT_FSIZE": self.limits.file_bytes,
            "RLIMIT_NOFILE": 1024,
            "RLIMIT_NPROC": self.limits.processes,
            "RLIMIT_MSGQUEUE": MIB,
        }
        # CUDA maps far more than it uses: there only the control group counts.
        return limits if self.gpu else {**limits, "RLIMIT_DATA": self.limits.memory}
