"""Kernels forked from one jailed parent that has imported torch already."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from course_tools.grading.jail import bubblewrap
from course_tools.grading.jail.cgroups import ControlGroup, make_group
from course_tools.grading.jail.handed_in import open_files
from course_tools.grading.jail.policy import Jail
from course_tools.grading.jail.spawn import (
    CONNECTION_FILE,
    JailBroke,
    Order,
    Prisoner,
    hello_pair,
    hidden_folders,
    program,
    read_pid,
    temporary,
    variables,
)

SECONDS_TO_WARM = 120
SECONDS_TO_FORK = 20
MOST_PARENTS = 2  # each holds about 400 MiB


class WarmPrisoner(Prisoner):
    """A kernel forked from a warm parent; held by its jail's first process, with which all of it ends."""

    def __init__(
        self,
        order: Order,
        group: ControlGroup | None,
        hello: socket.socket,
        parent: WarmJail,
        report: socket.socket,
        init: int,
        errors: int,
        channel: Path | None,
    ) -> None:
        self.parent, self._channel = parent, channel
        self._report, self._init, self._errors = report, init, errors
        self._init_fd = os.pidfd_open(init)
        self._status: int | None = None
        self._burial = threading.RLock()  # the wall's timer must not signal through a descriptor closed here
        super().__init__(order, group, hello)

    @property
    def pid(self) -> int:
        return self._init

    def poll(self) -> int | None:
        if self._status is None and select.select([self._init_fd], [], [], 0)[0]:
            self._bury()
        return self._status

    def wait(self) -> int | None:
        if self._status is None:
            select.select([self._init_fd], [], [])
            self._bury()
        return self._status

    def kill(self) -> None:
        with self._burial, contextlib.suppress(ProcessLookupError):
            if self._status is None:
                self._note_time()
                signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)

    def _bury(self) -> None:
        with self._burial:
            if self._status is None:
                self._status = -signal.SIGKILL
                self._settle()

    def _settle(self) -> None:
        with contextlib.suppress(OSError):
            while message := self._report.recv(4096, socket.MSG_DONTWAIT).decode():
                if message.startswith("status "):
                    self._status = int(message.removeprefix("status "))
        with open(self._errors, "rb") as errors:
            os.set_blocking(self._errors, False)
            said = (errors.read(4096) or b"").decode(errors="replace").strip()
        self.reason = self.reason or said
        os.close(self._init_fd)
        self._report.close()
        _remove(self._channel)
        self.close()


class WarmJail:
    """One jailed parent and the kernels forked from it; all end with `close` or with this process.

    The kernels have the same guarantees as those of `start_cold`. What a jail sees is settled when it is
    built, so the parent has one folder of channels: the sockets of a kernel's channel get a second name in
    there, and the kernel sees its own alone.

    Raises:
        JailBroke: the parent could not be built.
    """

    def __init__(self, jail: Jail) -> None:
        if any(folder.is_relative_to("/tmp") for folder in bubblewrap.environment_folders()):
            raise JailBroke("Python's environment lies in /tmp, of which every kernel has its own")
        self.owner = os.getpid()
        self._library, self._gpu, self._allowed = jail.library, jail.gpu, jail.allowed
        self._channels = Path(tempfile.mkdtemp(prefix="jail-channels-"))
        jail = replace(jail, channel=self._channels, files=None)
        self._children: list[WarmPrisoner] = []
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        files = [(name, temporary(text.encode())) for name, text in bubblewrap.ACCOUNTS.items()]
        env = bubblewrap.environment(jail, {}) | _SINGLE_THREADED
        command = [
            program(),
            *bubblewrap.arguments(jail, parent=True, hidden=hidden_folders(jail)),
            *(word for name, fd in files for word in ("--perms", "0644", "--file", str(fd), name)),
            *bubblewrap.seal(),
            *variables(env),
            *("--", sys.executable, "/jail/warm.py", str(theirs.fileno())),
        ]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno(), *(fd for _, fd in files)],
                start_new_session=True,
                env={},
            )
        for _, fd in files:
            os.close(fd)
        self._control.settimeout(SECONDS_TO_WARM)
        try:
            ready = self._control.recv(16) == b"ready"
        except OSError:
            ready = False
        if not ready:
            self._process.kill()
            shutil.rmtree(self._channels, ignore_errors=True)
            raise JailBroke(f"no warm parent: {self._words()}")

    @property
    def pid(self) -> int:
        """Process id of the bubblewrap around the parent."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def serves(self, jail: Jail) -> bool:
        """Whether a kernel for this jail can be forked from here; all else is each kernel's own."""
        return (jail.library, jail.gpu, jail.allowed) == (self._library, self._gpu, self._allowed)

    @property
    def busy(self) -> bool:
        """Whether a kernel forked from here still runs."""
        return any(child.poll() is None for child in self._children)

    def start(self, order: Order) -> WarmPrisoner:
        """Fork a kernel.

        Raises:
            JailBroke: the parent is gone, or its child could not build the inner jail.
        """
        report, their_report = hello_pair()
        hello, their_hello = hello_pair()
        errors, their_errors = os.pipe()
        files = [
            (f"/submission/{name}", fd)
            for name, fd in open_files(order.jail.files, order.jail.limits.disk_bytes)
        ]
        files.append((CONNECTION_FILE, temporary(order.connection)))
        named = {
            "report": their_report.fileno(),
            "hello": their_hello.fileno(),
            "errors": their_errors,
            **{f"socket {port}": sock.fileno() for port, sock in order.sockets.items()},
            **{f"file {number}": fd for number, (_, fd) in enumerate(files)},
        }
        channel = _second_names(order.jail.channel, self._channels)
        paths = {f"file {number}": path for number, (path, _) in enumerate(files)}
        request = _request(order, list(named), paths, channel.name if channel else "")
        group = make_group(order.jail.limits)
        with contextlib.suppress(OSError), self._lock:  # a parent that is gone does not answer either
            socket.send_fds(self._control, [request], list(named.values()))
        for fd in (their_errors, *(fd for _, fd in files)):
            os.close(fd)
        their_report.close()
        their_hello.close()
        try:
            child = WarmPrisoner(order, group, hello, self, report, _admit(report, group), errors, channel)
        except (JailBroke, ProcessLookupError) as error:
            if group:
                group.close()
            for sock in (report, hello):
                sock.close()
            os.close(errors)
            _remove(channel)
            raise JailBroke(f"no warm kernel: {error}") from None
        self._children = [other for other in self._children if other.poll() is None] + [child]
        return child

    def forget(self) -> None:
        """Let go, in a process that was forked from the owner."""
        self._control.close()

    def close(self) -> None:
        """End the parent and all its kernels."""
        self._control.close()  # the parent reads the end and leaves; so does everything in its namespaces
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()
        for child in self._children:
            child.poll()
        shutil.rmtree(self._channels, ignore_errors=True)

    def _words(self) -> str:
        with self._process.stderr as errors:  # type: ignore[union-attr]
            said = errors.read(4096).decode(errors="replace").strip()
        self._process.wait()
        return said.splitlines()[-1] if said else f"it ended with status {self._process.returncode}"


_SINGLE_THREADED = {
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")},
    # matplotlib reads it when it is imported, before a kernel could set it
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


def _second_names(channel: Path | None, channels: Path) -> Path | None:
    """A folder in `channels` in which each socket of `channel` has a second name.

    Raises:
        JailBroke: they lie on different file systems.
    """
    if channel is None:
        return None
    folder = Path(tempfile.mkdtemp(dir=channels))
    folder.chmod(0o755)
    try:
        for path in channel.iterdir():
            if path.is_socket():
                os.link(path, folder / path.name)
    except OSError as error:
        raise JailBroke(f"the referee's socket cannot be handed to a warm kernel: {error}") from None
    return folder


def _remove(folder: Path | None) -> None:
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _request(order: Order, descriptors: list[str], files: dict[str, str], channel: str) -> bytes:
    limits, env = order.jail.limits, bubblewrap.environment(order.jail, order.env)
    return json.dumps(
        {
            "descriptors": descriptors,
            "files": files,
            "folders": {
                "/submission": (limits.disk_bytes, "0755"),
                "/tmp": (limits.disk_bytes, "1777"),
                "/dev/shm": (limits.disk_bytes // 4, "1777"),
                "/kernel": (2**20, "0755"),
            },
            "channel": channel,
            "env": env,
            "threads": int(env.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))),
            "arguments": list(order.arguments),
            "spec": {
                "limits": order.jail.resources(),
                "output": limits.output_bytes // 8,
                "sockets": list(map(str, order.sockets)),
            },
        }
    ).encode()


def _admit(report: socket.socket, group: ControlGroup | None) -> int:
    """Put the new jail's first process under its limits and let it go on; its process id.

    Raises:
        JailBroke: with what the child said.
    """
    report.settimeout(SECONDS_TO_FORK)
    try:
        init = read_pid(report)
        if group:
            group.add(init)
        report.send(b"go")
        answer = report.recv(4096).decode()
    except OSError as error:
        answer = f"{type(error).__name__}: {error}"
    if answer != "ready":
        raise JailBroke(answer.removeprefix("error "))
    return init


_parents: list[WarmJail] = []
_choosing = threading.Lock()


def warm_jail(jail: Jail) -> WarmJail:
    """This process's warm parent for such a jail, started if there is none yet.

    Raises:
        JailBroke: it could not be built.
    """
    with _choosing:
        return _choose(jail)


def _choose(jail: Jail) -> WarmJail:
    for parent in list(_parents):
        if parent.owner != os.getpid():  # after a fork it is the other process's to speak to
            _parents.remove(parent)
            parent.forget()
        elif not parent.alive:
            _parents.remove(parent)
            parent.close()
        elif parent.serves(jail):
            return parent
    for parent in [parent for parent in _parents if not parent.busy][: len(_parents) - MOST_PARENTS + 1]:
        _parents.remove(parent)
        parent.close()
    _parents.append(WarmJail(jail))
    return _parents[-1]


def close_all() -> None:
    """End all warm parents of this process, and the kernels forked from them."""
    for parent in _parents:
        if parent.owner == os.getpid():
            parent.close()
    _parents.clear()


atexit.register(close_all)
