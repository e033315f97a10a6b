"""Attacks by student code on the host, the course and other students, each with what must come of it.

Many attacks share a kernel: what one does to its own kernel must not help the next.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from jailed import Kernel, alive, processes_named

import course_lib
from course_tools.grading.jail import Jail, Limits
from course_tools.grading.jail.policy import MIB
from course_tools.grading.jail.probe import has_groups

pytestmark = pytest.mark.jail

KINDS = ["cold", "warm"]
SECRET = "a-secret-that-must-not-get-in"
TIGHT = Limits(
    memory=1536 * MIB,
    processes=80,
    cpu_seconds=600,
    wall_seconds=300,
    file_bytes=8 * MIB,
    disk_bytes=24 * MIB,
)


class Course:
    """A course on the host: a gradebook, another's submission, and a submission with links out of it."""

    def __init__(self, root: Path) -> None:
        self.gradebook = root / "gradebook.db"
        self.other = root / "submitted" / "bob" / "lab1" / "answer.csv"
        self.mine = root / "submitted" / "eve" / "lab1"
        self.channel = root / "channel"
        for folder in (self.other.parent, self.mine / "deeper", self.channel):
            folder.mkdir(parents=True)
        self.gradebook.write_text(SECRET)
        self.other.write_text(SECRET)
        (self.mine / "data.csv").write_text("1,2,3")
        (self.mine / "deeper" / "more.csv").write_text("4,5,6")
        (self.mine / "lab1.ipynb").write_text("{}")
        (self.mine / "link.csv").symlink_to(self.other)
        (self.mine / "folder").symlink_to(self.other.parent)
        os.link(self.gradebook, self.mine / "second_name.csv")
        os.mkfifo(self.mine / "pipe")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return Course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def kernel(kind: str, course: Course) -> Iterator[Kernel]:
    """One that serves all attacks which leave it alive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_SECRET_SEED", SECRET)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("COURSE_REFEREE", str(course.channel / "referee.sock"))
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(course.channel / "referee.sock"))
        server.listen()
        with Kernel(
            Jail(files=course.mine, channel=course.channel, limits=TIGHT), warm=kind == "warm"
        ) as kernel:
            yield kernel
        server.close()
        (course.channel / "referee.sock").unlink()


@pytest.fixture
def doomed(kind: str, course: Course) -> Iterator[Kernel]:
    """One that the attack may kill."""
    with Kernel(Jail(channel=course.channel, limits=TIGHT), warm=kind == "warm") as kernel:
        yield kernel


READ = """
import os
answer = {}
for path in paths:
    try:
        answer[path] = str(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(400))
    except OSError as error:
        answer[path] = type(error).__name__
"""


def test_nothing_of_the_host_can_be_read(kernel: Kernel, course: Course) -> None:
    library = Path(course_lib.__file__).parents[1]
    absent = [course.gradebook, course.other, course.mine, library / "solutions", library / "pyproject.toml"]
    absent += [
        Path("/etc/shadow"),
        Path("/home"),
        Path.home() / ".ssh",
        Path.home() / ".bashrc",
        Path("/var"),
        Path("/run"),
    ]
    paths = [str(path) for path in absent] + [
        f"/proc/1/root{course.gradebook}",
        f"/proc/self/root{course.other}",
    ]
    answers = kernel.ask(READ, paths=paths)
    assert {
        path: "NotFound" in said or said == "PermissionError" for path, said in answers.items()
    } == dict.fromkeys(paths, True)


def test_only_the_plain_data_files_of_the_submission_are_there(kernel: Kernel) -> None:
    walk = """
import os
seen = os.walk("/submission", followlinks=True)
answer = sorted(os.path.join(top, name) for top, _, names in seen for name in names)
"""
    assert kernel.ask(walk) == ["/submission/data.csv", "/submission/deeper/more.csv"]
    assert kernel.ask("answer = [open('data.csv').read(), open('deeper/more.csv').read()]") == [
        "1,2,3",
        "4,5,6",
    ]


def test_the_environment_has_no_secrets(kernel: Kernel) -> None:
    everywhere = """
import os, glob
answer = str(dict(os.environ))
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline") + ["/proc/self/environ"]:
    try:
        answer += open(path).read()
    except OSError:
        pass
"""
    said = kernel.ask(everywhere)
    assert SECRET not in said
    assert "COURSE_STATIC" in said


PEERS_THAT_CAN_BE_IMPORTED = """
answer = []
for name in ("lightly.loss", "pytorch_metric_learning.losses"):
    try:
        __import__(name)
        answer.append(name)
    except ImportError:
        pass
"""


def test_packages_with_answers_are_empty(kernel: Kernel) -> None:
    assert kernel.ask(PEERS_THAT_CAN_BE_IMPORTED) == []


def test_an_instructor_may_allow_one(kernel: Kernel) -> None:
    with Kernel(replace(kernel.jail or Jail(), allowed=("pytorch_metric_learning",)), warm=True) as allowing:
        assert allowing.ask(PEERS_THAT_CAN_BE_IMPORTED) == ["pytorch_metric_learning.losses"]
    assert kernel.ask(PEERS_THAT_CAN_BE_IMPORTED) == []


PROTECTED = [
    *("/x", "/usr/x", "/usr/bin/x", f"{sys.prefix}/x", f"{sys.base_prefix}/x", "/etc/passwd", "/dev/x"),
    *(
        "/library/course_lib/x",
        "/library/course_lib/__init__.py",
        "/jail/kernel.py",
        "/kernel/connection.json",
    ),
    *("/referee/x", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger"),
    *("/proc/self/oom_score_adj", "/proc/self/uid_map"),
]
WRITE = """
answer = []
for path in paths:
    try:
        open(path, "a").close()
        answer.append(path)
    except OSError:
        pass
"""


def test_nothing_outside_its_own_folders_can_be_written(kernel: Kernel) -> None:
    assert kernel.ask(WRITE, paths=PROTECTED) == []
    own = (
        "answer = [open(f'{d}/x', 'w').write('x') for d in ('/submission', '/tmp', '/dev/shm', '/tmp/home')]"
    )
    assert kernel.ask(own) == [1, 1, 1, 1]


def test_the_only_network_is_its_own_loopback(kernel: Kernel) -> None:
    reached = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        attack = """
import socket
answer = []
for address in (("127.0.0.1", port), ("1.1.1.1", 53), ("10.0.2.2", 80)):
    try:
        socket.create_connection(address, timeout=2).close()
        answer.append(address)
    except OSError:
        pass
try:
    answer.append(socket.getaddrinfo("example.org", 80))
except OSError:
    pass
"""
        answer = kernel.ask(attack, port=server.getsockname()[1])
        with contextlib.suppress(TimeoutError):
            reached.append(server.accept())
    assert (answer, reached) == ([], [])
    interfaces = "import socket\nanswer = [name for _, name in socket.if_nameindex()]"
    assert kernel.ask(interfaces) == ["lo"]


def test_abstract_sockets_of_the_host_are_out_of_reach(kernel: Kernel) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0course-jail-test")
        server.listen()
        attack = """
import socket
try:
    socket.socket(socket.AF_UNIX).connect("\\0course-jail-test")
    answer = "connected"
except OSError as error:
    answer = type(error).__name__
"""
        assert kernel.ask(attack) == "ConnectionRefusedError"


def test_sockets_that_no_namespace_holds_cannot_be_made(kernel: Kernel) -> None:
    attack = """
import socket
answer = []
for family in (40, 38, 17, 21):  # to the virtual machine's host, kernel cryptography, raw packets, RDS
    try:
        socket.socket(family, socket.SOCK_STREAM if family != 17 else socket.SOCK_RAW).close()
        answer.append(family)
    except OSError:
        pass
"""
    assert kernel.ask(attack) == []


def test_the_referee_can_be_spoken_to(kernel: Kernel) -> None:
    talk = """
import os, socket
socket.socket(socket.AF_UNIX).connect(os.environ["COURSE_REFEREE"])
answer = os.listdir("/referee")
"""
    assert kernel.ask(talk) == ["referee.sock"]


PRIVILEGES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
KEYCTL = {"x86_64": 250, "aarch64": 219}
status = open("/proc/self/status").read()
powers = [line.split() for line in status.splitlines() if line.startswith("Cap")]
answer = {
    "ids": sorted({*os.getresuid(), *os.getresgid()}),
    "capabilities": sorted({value for _, value in powers}),
    "new privileges": "NoNewPrivs:\\t1" in status,
    "user namespace": libc.unshare(0x10000000),
    "mount namespace": libc.unshare(0x00020000),
    "mount": libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
    "remount": libc.mount(b"none", b"/usr", b"none", 32 | 4096, None),
    "unmount": libc.umount2(b"/proc", 2),
    "pivot": libc.chroot(b"/tmp"),
    "become root": libc.setuid(0),
    "device": libc.mknod(b"/tmp/disk", 0o60666, os.makedev(254, 0)),
    "keyring": libc.syscall(KEYCTL[os.uname().machine], 0, -3, 1),
    "kernel program": libc.syscall(321 if os.uname().machine == "x86_64" else 280, 0, None, 0),
    "raise limits": 0,
}
import resource
for name in ("RLIMIT_NPROC", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_CPU"):
    try:
        resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY,) * 2)
        answer["raise limits"] += 1
    except (ValueError, OSError):
        pass
"""


def test_it_has_no_privileges_and_gets_none(kernel: Kernel) -> None:
    answer = kernel.ask(PRIVILEGES)
    assert answer.pop("ids") == [65534]
    assert answer.pop("capabilities") == ["0" * 16]
    assert answer.pop("new privileges") is True
    assert answer.pop("raise limits") == 0
    assert answer == dict.fromkeys(answer, -1)


def test_the_first_process_of_the_jail_is_not_worth_taking_over(kernel: Kernel) -> None:
    attack = """
import ctypes
with open("/proc/1/status") as file:
    powers = [int(line.split()[1], 16) for line in file if line.startswith(("CapPrm", "CapEff"))]
traced = ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0
traced and ctypes.CDLL(None).ptrace(17, 1, 0, 0)
try:
    traced = open("/proc/1/mem", "rb") and True
except OSError:
    pass
answer = [traced, any(powers)]
"""
    assert kernel.ask(attack) != [True, True]


def test_no_process_of_the_host_is_seen_or_killed(kernel: Kernel) -> None:
    """Signals to the parent, to init and to every process that can be seen reach nothing outside."""
    bystander = os.spawnv(os.P_NOWAIT, "/bin/sleep", ["sleep", "60"])
    try:
        attack = """
import os, signal
answer = [int(name) for name in os.listdir("/proc") if name.isdigit()]
for pid in {1, os.getppid(), bystander}:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
"""
        assert len(kernel.ask(attack, bystander=bystander)) < 5
        assert alive(bystander)
        assert kernel.ask("answer = 'still here'") == "still here"
    finally:
        os.kill(bystander, signal.SIGKILL)
        os.waitpid(bystander, 0)


def test_a_fork_bomb_stays_small(kernel: Kernel) -> None:
    bomb = """
import os, signal, time
children = []
try:
    while len(children) < 1000:
        if (pid := os.fork()) == 0:
            time.sleep(60)
            os._exit(0)
        children.append(pid)
except OSError:
    pass
answer = len(children)
for pid in children:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""
    assert 10 < kernel.ask(bomb) < TIGHT.processes


def test_a_memory_bomb_is_an_error_of_its_own(kernel: Kernel) -> None:
    bomb = """
try:
    hoard = bytearray(3 * 2**30)
    answer = "all of it"
except MemoryError:
    answer = "MemoryError"
"""
    assert kernel.ask(bomb) == "MemoryError"


@pytest.mark.skipif(
    not has_groups(), reason="no control groups here: memory is limited for each process only"
)
def test_many_small_memory_bombs_are_one_large_one(kind: str) -> None:
    with Kernel(Jail(limits=Limits(memory=2048 * MIB)), warm=kind == "warm") as kernel:
        bombs = """
import os, signal, time
children = []
for _ in range(7):
    if (pid := os.fork()) == 0:
        try:
            hoard = b"x" * (400 * 2**20)
        finally:
            signal.pause()
    children.append(pid)
killed = 0
for _ in range(100):
    killed += sum(os.waitpid(pid, os.WNOHANG) != (0, 0) for pid in children)
    if killed:
        break
    time.sleep(0.2)
print("killed" if killed else "all of it")
"""
        assert kernel.run(bombs) in ("killed\n", "dead")


def test_disks_fill_up_to_their_size(kernel: Kernel) -> None:
    fill = """
import os
answer = {}
for folder in ("/submission", "/tmp", "/dev/shm"):
    written = 0
    for number in range(1000):
        path = f"{folder}/fill-{number}"
        try:
            with open(path, "wb") as file:
                written += file.write(bytes(2**20))
        except OSError as error:
            answer[folder] = [written, error.errno]
            break
    for name in os.listdir(folder):
        if name.startswith("fill-"):
            os.unlink(f"{folder}/{name}")
"""
    answer = kernel.ask(fill)
    assert set(answer) == {"/submission", "/tmp", "/dev/shm"}
    for written, error in answer.values():
        assert written <= TIGHT.disk_bytes
        assert error == 28  # no space left


def test_one_file_has_a_largest_size(kernel: Kernel) -> None:
    large = """
import os
try:
    with open("/tmp/large", "wb") as file:
        for _ in range(16):
            file.write(bytes(2**20))
except OSError as error:
    code = error.errno
answer = [code, os.path.getsize("/tmp/large")]
os.unlink("/tmp/large")
"""
    assert kernel.ask(large) == [27, TIGHT.file_bytes]  # file too large


def test_leaving_python_is_a_dead_kernel(doomed: Kernel) -> None:
    assert doomed.run("import os\nos._exit(0)") == "dead"


def test_an_interrupt_stops_a_cell_and_leaves_its_children_and_the_kernel(doomed: Kernel) -> None:
    doomed.run("import subprocess\nchild = subprocess.Popen(['sleep', '60'])")
    threading.Timer(1, lambda: doomed.manager.provisioner.process.send_signal(signal.SIGINT)).start()
    assert doomed.run("while True: pass").startswith("KeyboardInterrupt")
    assert doomed.ask("answer = child.poll()") is None


MARK = f"course-jail-test-process-{os.getpid()}"  # other tests run beside this one
DAEMON = f"""
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", {MARK!r}], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    os.execv(sys.executable, [sys.executable, "-c", deaf, {MARK!r}])
time.sleep(1)
"""


def test_nothing_outlives_the_kernel(kind: str) -> None:
    with Kernel(Jail(limits=TIGHT), warm=kind == "warm") as kernel:
        kernel.run(DAEMON)
        assert len(processes_named(MARK)) == 2
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert gone(MARK)


def test_a_kernel_deaf_to_everything_ends_at_the_wall(kind: str) -> None:
    seconds = 3 if kind == "warm" else 12  # a cold kernel must have started by then, on a busy machine too
    with Kernel(Jail(limits=Limits(wall_seconds=seconds)), warm=kind == "warm") as kernel:
        assert kernel.run(DAEMON + "while True: pass") == "dead"
        assert kernel.manager.reason == f"the notebook ran longer than {seconds} s in all"
        assert gone(MARK)


def test_endless_printing_is_an_error_of_its_cell(kind: str) -> None:
    with Kernel(Jail(limits=Limits(output_bytes=8 * MIB)), warm=kind == "warm") as kernel:
        said = kernel.run("while True: print('x' * 10**5)")
        assert said.endswith("TooMuchOutput: this cell printed more than 1 MiB: is there an endless loop?")
        assert len(said) < 1.2 * MIB
        assert kernel.ask("answer = 1") == 1


def test_endless_output_past_the_printing_ends_the_kernel(kind: str) -> None:
    with Kernel(Jail(limits=Limits(output_bytes=8 * MIB)), warm=kind == "warm") as kernel:
        attack = (
            "from IPython.display import display\nwhile True: display({'text/plain': 'x' * 10**6}, raw=True)"
        )
        assert kernel.run(attack) == "dead"
        assert kernel.manager.reason == "the notebook printed or showed more than 8 MiB"


def test_a_huge_message_is_not_taken_in(kind: str) -> None:
    with Kernel(warm=kind == "warm") as kernel:
        attack = "from IPython.display import display\ndisplay({'text/plain': 'x' * 10**8}, raw=True)"
        with pytest.raises(TimeoutError):
            kernel.run(attack, timeout=3)


def test_what_bypasses_ipython_does_not_reach_the_grader(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with Kernel(warm=kind == "warm") as kernel:
        attack = """
import os, sys
for fd in range(3, 30):
    try:
        os.write(fd, b"leak")
    except OSError:
        pass
sys.__stdout__.write("leak")
os.system("echo leak >&2")
"""
        with contextlib.suppress(TimeoutError):  # the kernel's own sockets were among the descriptors
            kernel.run(attack, timeout=5)
    assert "leak" not in "".join(capfd.readouterr())


GRADER = """
import asyncio, sys
from course_tools.grading.jail import Jail, JailedKernelManager
async def main():
    manager = JailedKernelManager(warm=sys.argv[2] == 'warm')
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    client.execute(sys.argv[1])
    print("started", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_the_jail_dies_with_a_killed_grader(kind: str) -> None:
    grader = subprocess.Popen([sys.executable, "-c", GRADER, DAEMON, kind], stdout=subprocess.PIPE, text=True)
    assert grader.stdout.readline() == "started\n"
    assert wait_until(lambda: len(processes_named(MARK)) == 3)  # the grader's own command line has it too
    grader.kill()
    grader.wait()
    grader.stdout.close()
    assert gone(MARK)


HIDE = """
import os
for place in ("/tmp", "/dev/shm"):
    open(place + "/bob", "w").write(secret)
os.environ["BOB"] = secret
answer = True
"""


def test_two_kernels_know_nothing_of_each_other(kind: str, course: Course) -> None:
    eves, bobs = Jail(files=course.mine), Jail(files=course.other.parent)
    warm = kind == "warm"
    with Kernel(eves, warm=warm) as eve, Kernel(bobs, warm=warm) as bob:
        bob.ask(HIDE, secret=SECRET)
        pid = bob.ask("answer = os.getpid()")
        spy = """
import glob, os
answer = []
for place in ("/tmp", "/dev/shm", "/submission", "/kernel", "/referee", "/proc/%d/root/tmp" % pid):
    try:
        answer += os.listdir(place)
    except OSError:
        pass
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        answer.append(open(path).read())
    except OSError:
        pass
for path in glob.glob("/proc/[0-9]*/cmdline"):
    answer.append(open(path).read())
for other in glob.glob("/proc/[0-9]*"):
    if other != f"/proc/{os.getpid()}":
        try:
            os.kill(int(other[6:]), 9)
        except OSError:
            pass
answer = str(answer)
"""
        seen = eve.ask(spy, pid=pid)
        assert "bob" not in seen.lower()
        assert SECRET not in seen
        assert bob.ask("answer = [open('/tmp/bob').read(), open('answer.csv').read()]") == [SECRET, SECRET]


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return met


def gone(marker: str) -> bool:
    return wait_until(lambda: not processes_named(marker))
