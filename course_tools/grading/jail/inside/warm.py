"""The parent of warm kernels: it has imported what every notebook imports, and forks a child for each.

Started in a jail of its own, as `python /jail/warm.py CONTROL`, with a Unix socket's descriptor. Inside its
user namespace it may mount and make namespaces; nobody's code but this runs here. For every request it forks

- the *init* of a jail within the jail: new process, network, mount and IPC namespaces, private folders, and
  nothing of its siblings'; it stays, and when it goes all the jail goes;
- from that the *kernel*, which gives up every right in a user namespace of its own and runs the notebook.

The parent keeps to one thread (a fork copies no other) and never starts CUDA (a child could not use it).
"""

import ctypes
import fcntl
import gc
import importlib
import json
import os
import random
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PRELOADED = (
    "numpy",
    "torch",
    "torchvision",
    "torchvision.transforms.v2",
    "matplotlib.pyplot",
    "IPython",
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "course_lib",
)
NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT, BIND = 1, 2, 4, 8, 32, 4096
DETACH = 2
SET_CAPABILITIES = {"x86_64": 126, "aarch64": 91}  # number of the system call capset
DROP_BOUNDING, NO_NEW_PRIVILEGES, DUMPABLE = 24, 38, 4  # of prctl
CAPABILITY_VERSION = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def main(control: socket.socket) -> None:
    """Import, say "ready", and serve requests until the other end is closed."""
    for name in PRELOADED:
        importlib.import_module(name)
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        raise RuntimeError(f"the warm parent has {threads} threads after importing: a fork would lose some")
    gc.collect()
    gc.freeze()  # else the collector would write to, and so copy, every page in every child
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries the dead
    control.send(b"ready")
    silence()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 2**20, 253)
        if not message:
            os._exit(0)  # as the first process of its namespace: all kernels end with it
        if os.fork() == 0:
            with last_act():
                control.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                found_jail(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def found_jail(request: dict[str, Any], descriptors: list[int]) -> None:
    """Enter new namespaces and fork their first process, the jail's init."""
    named = dict(zip(request["descriptors"], descriptors, strict=True))
    report = socket.socket(fileno=named.pop("report"))
    with told(report):
        check(libc.unshare(NEW_PIDS | NEW_NET | NEW_IPC | NEW_MOUNTS), "unshare")
        if os.fork() == 0:
            with last_act(), told(report):
                init(request, named, report)


def init(request: dict[str, Any], named: dict[str, int], report: socket.socket) -> None:
    """Lay out the jail, start the kernel in it, and bury the dead until the kernel is one of them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # signals without a handler do not reach a first process
    report.send(b"init")
    if report.recv(16) != b"go":  # the grader has put this process under its limits
        return
    furnish(request, named)
    waits, asks = socket.socketpair()
    kernel = os.fork()
    if kernel == 0:
        with last_act():
            report.close()
            waits.close()
            os.dup2(named["errors"], 2)
            os.close(named.pop("errors"))
            give_up_rights()
            asks.send(b"settled")
            if asks.recv(16) == b"go":
                asks.close()
                run(request, named)
    asks.close()
    for descriptor in named.values():
        os.close(descriptor)
    if waits.recv(16) != b"settled":
        raise RuntimeError("the kernel could not give up its rights")
    remount_read_only("/proc")
    remount_read_only("/kernel")
    waits.send(b"go")
    waits.close()
    report.send(b"ready")
    while True:
        ended, status = os.wait()
        if ended == kernel:
            report.send(f"status {os.waitstatus_to_exitcode(status)}".encode())
            return


def furnish(request: dict[str, Any], named: dict[str, int]) -> None:
    """Private folders, a private /proc and /dev/pts, the loopback, the submission's files, the referee."""
    mount("proc", "/proc", "proc", NO_SUID | NO_DEV | NO_EXEC)
    mount("devpts", "/dev/pts", "devpts", NO_SUID | NO_EXEC, "newinstance,ptmxmode=0666,mode=0620")
    for place, (size, mode) in request["folders"].items():
        mount("tmpfs", place, "tmpfs", NO_SUID | NO_DEV, f"size={size},mode={mode}")
    os.mkdir("/tmp/home", 0o755)
    if request["channel"]:
        mount(f"/channels/{request['channel']}", "/referee", None, BIND)
        remount_read_only("/referee")
    if os.path.ismount("/channels"):
        check(libc.umount2(b"/channels", DETACH), "umount /channels")
    for name, path in request["files"].items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        copy(named.pop(name), path)
    raise_loopback()
    os.chdir("/submission")


def copy(descriptor: int, path: str) -> None:
    with os.fdopen(descriptor, "rb") as source, open(path, "xb") as target:
        while block := source.read(2**20):
            target.write(block)


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        up_and_running = struct.pack("16sh14x", b"lo", 0x1 | 0x40)
        fcntl.ioctl(sock, 0x8914, up_and_running)  # SIOCSIFFLAGS


def give_up_rights() -> None:
    """Become nobody, without a capability and without a way to get one."""
    enter_user_namespace(0)
    Path("/proc/sys/user/max_user_namespaces").write_text("1")  # the next one, and none within it
    enter_user_namespace(65534)
    for capability in range(64):
        libc.prctl(DROP_BOUNDING, capability, 0, 0, 0)
    check(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no new privileges")
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    check(libc.syscall(SET_CAPABILITIES[os.uname().machine], header, none), "capset")
    check(libc.prctl(DUMPABLE, 1, 0, 0, 0), "dumpable")


def enter_user_namespace(uid: int) -> None:
    """Enter a new user namespace in which this process's user is called `uid`."""
    me = os.geteuid(), os.getegid()
    check(libc.unshare(NEW_USER), "unshare user")
    Path("/proc/self/uid_map").write_text(f"{uid} {me[0]} 1")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{uid} {me[1]} 1")


def run(request: dict[str, Any], named: dict[str, int]) -> None:
    """The kernel itself; to the notebook it is as fresh as one that has just been started."""
    import numpy
    import torch

    kernel = importlib.import_module("kernel")  # /jail/kernel.py
    os.environ.clear()
    os.environ.update(request["env"])
    random.seed()
    numpy.random.seed()  # noqa: NPY002 (notebooks may use the old generator)
    torch.seed()
    torch.set_num_threads(request["threads"])
    os.setsid()
    spec = request["spec"]
    spec["hello"] = named["hello"]
    spec["sockets"] = {port: named[f"socket {port}"] for port in spec["sockets"]}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kernel.main(spec, request["arguments"])


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    words = source.encode(), target.encode(), kind and kind.encode(), flags, options.encode() or None
    check(libc.mount(*words[:3], ctypes.c_ulong(words[3]), words[4]), f"mount {target}")


def remount_read_only(target: str) -> None:
    mount("none", target, None, REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEV | NO_EXEC)


def check(result: int, what: str) -> None:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)


@contextmanager
def last_act() -> Iterator[None]:
    """A forked process does what stands in here and never returns into its parent's code."""
    status = 1
    try:
        yield
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


@contextmanager
def told(report: socket.socket) -> Iterator[None]:
    """Tell the grader about an error."""
    try:
        yield
    except Exception as error:
        report.send(f"error {type(error).__name__}: {error}".encode()[:2000])
        raise


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
