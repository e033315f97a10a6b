"""Start one kernel in a bubblewrap of its own, and hold the process from outside."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from course_tools.grading.jail import bubblewrap
from course_tools.grading.jail.cgroups import ControlGroup, make_group
from course_tools.grading.jail.handed_in import open_files
from course_tools.grading.jail.meter import note_before_killing
from course_tools.grading.jail.policy import Jail

CONNECTION_FILE = "/kernel/connection.json"


class JailBroke(RuntimeError):
    """The jail could not be built although this machine can build jails; says what bubblewrap said."""


@dataclass(frozen=True)
class Order:
    """What a new kernel needs: its jail, environment, arguments, connection and listening sockets by port."""

    jail: Jail
    env: Mapping[str, str]
    arguments: Sequence[str]
    connection: bytes  # the connection file
    sockets: Mapping[int, socket.socket]


class Prisoner(ABC):
    """A jailed kernel as jupyter_client's local provisioner sees a process (poll, wait, send_signal, ...)."""

    stdin = stdout = stderr = None

    def __init__(self, order: Order, group: ControlGroup | None, hello: socket.socket) -> None:
        self.limits, self._group, self._hello = order.jail.limits, group, hello
        self.reason = ""  # why the jail ended it
        self._kernel: int | None = None  # pidfd, once known
        self._closed = self._noted = False
        self._timer = threading.Timer(self.limits.wall_seconds, self._time_is_up)
        self._timer.daemon = True
        self._timer.start()

    @property
    @abstractmethod
    def pid(self) -> int:
        """Process id on the host."""

    @abstractmethod
    def poll(self) -> int | None:
        """None while it runs, else its exit status."""

    @abstractmethod
    def kill(self) -> None:
        """Kill everything in the jail."""

    @abstractmethod
    def wait(self) -> int | None:
        """Wait for the end; its exit status."""

    def terminate(self) -> None:
        self.kill()

    def send_signal(self, signum: int) -> None:
        """Kill the whole jail, or deliver any other signal to the kernel itself and to nothing else."""
        if signum in (signal.SIGKILL, signal.SIGTERM):
            return self.kill()
        if (kernel := self._kernel_fd()) is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(kernel, signum)
        return None

    def end(self, reason: str) -> None:
        """Kill everything in the jail because of `reason`, a sentence for the report."""
        if self.poll() is None:
            self.reason = self.reason or reason
            self.kill()

    def close(self) -> None:
        """Let go of what was held for the jail; whatever still runs in it is killed."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        if self._group:
            if not self.reason and self._group.ran_out_of_memory():
                self.reason = f"it used more than {self.limits.memory // 2**20} MiB of memory"
            self._group.close()
        if self._kernel is not None:
            os.close(self._kernel)
        self._hello.close()

    def _note_time(self) -> None:
        if not self._noted:
            self._noted = True
            note_before_killing(self.pid)

    def _time_is_up(self) -> None:
        self.end(f"the notebook ran longer than {self.limits.wall_seconds:.0f} s in all")

    def _kernel_fd(self) -> int | None:
        if self._kernel is None:
            with contextlib.suppress(OSError):
                self._kernel = os.pidfd_open(read_pid(self._hello))
        return self._kernel


class ColdPrisoner(Prisoner):
    """A kernel in a bubblewrap of its own."""

    def __init__(
        self, order: Order, group: ControlGroup | None, hello: socket.socket, process: subprocess.Popen[bytes]
    ) -> None:
        self._process = process
        super().__init__(order, group, hello)

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        status = self._process.poll()
        if status is not None and not self._closed:
            self._note_last_words()
            self.close()
        return status

    def wait(self) -> int | None:
        self._process.wait()
        return self.poll()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._note_time()
        self._process.kill()  # what bubblewrap started dies with it

    def _note_last_words(self) -> None:
        with self._process.stderr as errors:  # type: ignore[union-attr]
            os.set_blocking(errors.fileno(), False)
            said = (errors.read(4096) or b"").decode(errors="replace").strip()
        self.reason = self.reason or said


def start_cold(order: Order) -> Prisoner:
    """Build a jail and start a kernel in it; about 40 ms until Python starts.

    Raises:
        JailBroke: bubblewrap could not build it.
    """
    ours, theirs = hello_pair()
    info_read, info_write = os.pipe()
    gate_read, gate_write = os.pipe()
    files = [
        (f"/submission/{name}", fd) for name, fd in open_files(order.jail.files, order.jail.limits.disk_bytes)
    ]
    files += [(name, temporary(text.encode())) for name, text in bubblewrap.ACCOUNTS.items()]
    files.append((CONNECTION_FILE, temporary(order.connection)))
    inside = [sock.fileno() for sock in order.sockets.values()] + [theirs.fileno()]
    command = [
        *(program(), "--info-fd", str(info_write), "--block-fd", str(gate_read)),
        *bubblewrap.arguments(order.jail, hidden=hidden_folders(order.jail)),
        *(word for name, fd in files for word in ("--perms", "0644", "--file", str(fd), name)),
        *bubblewrap.seal(),
        *variables(bubblewrap.environment(order.jail, order.env)),
        *("--", sys.executable, "/jail/kernel.py", specification(order, theirs.fileno()), *order.arguments),
    ]
    given = [*inside, info_write, gate_read, *(fd for _, fd in files)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=given,
            env={},  # bubblewrap's own stays readable inside, as /proc/1/environ
            start_new_session=True,
        )
    finally:
        theirs.close()
        for fd in (info_write, gate_read, *(fd for _, fd in files)):
            os.close(fd)
    group = make_group(order.jail.limits)
    try:
        with os.fdopen(info_read) as info:
            child = json.loads(info.read() or "{}").get("child-pid")
        if child is None:
            raise JailBroke(_last_words(process))
        try:
            if group:
                group.add(child)
            os.write(gate_write, b"go")
        except (ProcessLookupError, BrokenPipeError):
            raise JailBroke(_last_words(process)) from None
    except BaseException:
        process.kill()
        if group:
            group.close()
        ours.close()
        raise
    finally:
        os.close(gate_write)
    return ColdPrisoner(order, group, ours, process)


def program() -> str:
    """Bubblewrap's full path; it is started without an environment, hence without a PATH."""
    return shutil.which("bwrap") or "bwrap"


def specification(order: Order, hello: int) -> str:
    """What inside/kernel.py is told, with the descriptors as they are numbered in there."""
    return json.dumps(
        {
            "limits": order.jail.resources(),
            "output": order.jail.limits.output_bytes // 8,
            "sockets": {port: sock.fileno() for port, sock in order.sockets.items()},
            "hello": hello,
        }
    )


def hidden_folders(jail: Jail) -> tuple[Path, ...]:
    """Folders with answers and submissions, should they lie where the system or the environment does."""
    clone = Path(bubblewrap.__file__).parents[3]
    found = [Path.cwd(), *([jail.files] if jail.files else [])]
    if (clone / "pyproject.toml").exists():
        found.append(clone)
    return tuple(folder.resolve() for folder in found)


def hello_pair() -> tuple[socket.socket, socket.socket]:
    """(ours, theirs): from the first message sent on `theirs`, read_pid(ours) knows who sent it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    ours.setblocking(False)
    return ours, theirs


def read_pid(ours: socket.socket) -> int:
    """The sender's process id as this process sees it: the system fills it in and translates it.

    Raises:
        OSError: nothing has come yet (BlockingIOError), or nothing will.
    """
    _, ancillary, _, _ = ours.recvmsg(64, socket.CMSG_SPACE(struct.calcsize("3i")))
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return int(struct.unpack("3i", data)[0])
    raise OSError("the kernel is gone")


def variables(env: Mapping[str, str]) -> list[str]:
    return [word for name, value in env.items() for word in ("--setenv", name, value)]


def temporary(content: bytes) -> int:
    """A descriptor from which `content` can be read."""
    fd = os.memfd_create("connection", os.MFD_CLOEXEC)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _last_words(process: subprocess.Popen[bytes]) -> str:
    errors: IO[bytes] = process.stderr  # type: ignore[assignment]
    said = errors.read(4096).decode(errors="replace").strip()
    process.wait()
    return said or f"bwrap ended with status {process.returncode}"
