"""How a jail is described to the system, and what happens on a machine that cannot build one."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from jailed import Kernel

from course_tools.grading.jail import (
    Jail,
    JailedKernelManager,
    JailMissing,
    Limits,
    bubblewrap,
    probe,
    provisioner,
)
from course_tools.grading.jail.cgroups import find_parents
from course_tools.grading.jail.handed_in import MAX_FILES, open_files
from course_tools.grading.jail.inside import syscalls


def places(words: list[str], option: str) -> list[str]:
    return [words[i + 2] for i, word in enumerate(words) if word == option]


def test_a_gpu_is_handed_in_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [tmp_path / "nvidia0", tmp_path / "nvidiactl"]
    for node in nodes:
        node.touch()
    glob = Path.glob
    monkeypatch.setattr(
        Path, "glob", lambda self, pattern: nodes if pattern == "nvidia*" else glob(self, pattern)
    )
    gpu, cpu = (bubblewrap.arguments(Jail(device=device)) for device in ("cuda:0", "cpu"))
    assert places(gpu, "--dev-bind") == [str(node) for node in nodes]
    assert "/sys" in places(gpu, "--ro-bind")
    assert places(cpu, "--dev-bind") == []
    assert "/sys" not in places(cpu, "--ro-bind")
    assert gpu.index("--dev") < gpu.index("--dev-bind")  # else /dev would be laid over the nodes


def test_cuda_may_map_more_than_it_uses() -> None:
    assert "RLIMIT_DATA" in Jail().resources()
    assert "RLIMIT_DATA" not in Jail(device="cuda").resources()
    assert Jail(device="cuda").resources()["RLIMIT_NPROC"] == Limits().processes


def test_which_gpu_passes_but_no_secret() -> None:
    env = {"CUDA_VISIBLE_DEVICES": "1", "COURSE_SECRET_SEED": "7", "NBGRADER_EXECUTION": "autograde"}
    assert bubblewrap.environment(Jail(device="cuda"), env)["CUDA_VISIBLE_DEVICES"] == "1"
    inside = bubblewrap.environment(Jail(), env)
    assert "CUDA_VISIBLE_DEVICES" not in inside
    assert "COURSE_SECRET_SEED" not in inside
    assert inside["NBGRADER_EXECUTION"] == "autograde"


def test_a_course_inside_the_environment_is_hidden_and_the_environment_in_a_course_is_not() -> None:
    course = Path(sys.prefix) / "course"
    words = bubblewrap.arguments(Jail(), hidden=(course, Path(sys.prefix).parent))
    assert words[words.index(str(course)) - 1] == "--tmpfs"
    assert words.index(str(course)) > words.index(sys.prefix)
    assert str(Path(sys.prefix).parent) not in words


def test_other_data_than_plain_files_is_left_behind(tmp_path: Path) -> None:
    folder = tmp_path / "lab1"
    (folder / "sub").mkdir(parents=True)
    (folder / "table.csv").write_text("1234")
    (folder / "sub" / "table.csv").write_text("12345678")
    (folder / "late.csv").write_text("too much" * 10)
    for name in ("lab1.ipynb", ".hidden", "gradebook.db"):
        (folder / name).write_text("x")
    (folder / "link.csv").symlink_to("/etc/hostname")
    os.link(folder / "table.csv", tmp_path / "elsewhere.csv")
    (folder / "same.csv").write_text("12")
    opened = open_files(folder, 20)
    assert [(name, os.read(fd, 100)) for name, fd in opened] == [
        ("same.csv", b"12"),
        ("sub/table.csv", b"12345678"),
    ]
    for _, fd in opened:
        os.close(fd)
    for number in range(MAX_FILES + 5):
        (folder / f"{number}.csv").touch()
    many = open_files(folder, 20)
    assert len(many) == MAX_FILES
    for _, fd in many:
        os.close(fd)


def test_a_course_is_not_a_submission(tmp_path: Path) -> None:
    (tmp_path / "nbgrader_config.py").touch()
    (tmp_path / "grades.csv").touch()
    assert open_files(tmp_path, 1000) == []
    assert open_files(None, 1000) == []


def test_control_groups_of_both_versions_are_found(tmp_path: Path) -> None:
    first = "8:pids:/\n4:memory:/me\n0::/\n"
    mounts = "cgroup /g/memory cgroup rw,memory 0 0\ncgroup /g/pids cgroup rw,pids 0 0\n"
    assert set(find_parents(first, mounts)) == {Path("/g/memory/me"), Path("/g/pids")}

    own = tmp_path / "user" / "shell.scope"
    own.mkdir(parents=True)
    (own / "cgroup.subtree_control").write_text("")
    (own.parent / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    mounts = f"cgroup2 {tmp_path} cgroup2 rw,nosuid 0 0\n"
    assert find_parents("0::/user/shell.scope\n", mounts) == (own.parent,)
    (own.parent / "cgroup.subtree_control").write_text("cpu")
    (tmp_path / "cgroup.subtree_control").write_text("cpu")
    assert find_parents("0::/user/shell.scope\n", mounts) == ()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "hides parts of /proc"),
        ("bwrap: No permissions to create new namespace, likely because", "refuses user namespaces"),
        ("bwrap: setting up uid map: Permission denied", "refuses user namespaces"),
        ("bwrap: Unknown option --disable-userns", "older than 0.8"),
    ],
)
def test_the_reason_for_no_jail_is_a_sentence(said: str, reason: str) -> None:
    assert reason in probe._explain(said)
    assert said in probe._explain(said)


def test_without_bubblewrap_a_kernel_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioner, "missing", lambda: "the program bwrap (bubblewrap) is not installed")
    with pytest.raises(JailMissing, match=r"not installed.*apt-get install bubblewrap.*COURSE_UNSAFE=1"):
        asyncio.run(JailedKernelManager().start_kernel())


def test_who_accepts_the_risk_gets_an_ordinary_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_UNSAFE", "1")
    monkeypatch.setattr(provisioner, "missing", lambda: "no bubblewrap")
    with Kernel(Jail()) as kernel:
        assert kernel.ask("import os\nanswer = os.getcwd()") == os.getcwd()


def decide(code: bytes, architecture: int, number: int, argument: int) -> int:
    """Run the packet filter by hand, instruction by instruction."""
    data = struct.pack("<IIQQ", number, architecture, 0, argument)
    words, here, value = list(struct.iter_unpack("<HBBI", code)), 0, 0
    while True:
        instruction, true, false, operand = words[here]
        if instruction == syscalls.RETURN:
            return operand
        if instruction == syscalls.LOAD:
            value, step = struct.unpack_from("<I", data, operand)[0], 0
        else:
            met = value == operand if instruction == syscalls.EQUAL else value >= operand
            step = true if met else false
        here += 1 + step


@pytest.mark.parametrize("machine", syscalls.ARCHITECTURES)
def test_the_filter_denies_what_it_lists_and_nothing_else(machine: str) -> None:
    code, architecture = syscalls.program(machine), syscalls.ARCHITECTURES[machine]
    listed = {numbers[list(syscalls.ARCHITECTURES).index(machine)] for numbers in syscalls.DENIED.values()}
    denied = syscalls.ERROR | syscalls.NOT_PERMITTED
    for number in range(600):
        if number == syscalls.SOCKET[machine]:
            continue
        assert decide(code, architecture, number, 1) == (denied if number in listed else syscalls.ALLOW)
    for family in range(50):
        allowed = decide(code, architecture, syscalls.SOCKET[machine], family) == syscalls.ALLOW
        assert allowed == (family in syscalls.FAMILIES)
    assert decide(code, 0x40000003, 1, 1) == denied  # 32 bits
    assert decide(code, architecture, 0x40000001, 1) == denied


@pytest.mark.jail
def test_the_kernel_name_in_a_notebook_changes_nothing() -> None:
    with Kernel(kernel_name="../../no-such-kernel", warm=False) as kernel:
        assert kernel.ask("answer = 1") == 1


@pytest.mark.jail
def test_no_folder_and_no_control_group_is_left() -> None:
    with Kernel(warm=False) as kernel:
        folder = Path(kernel.manager.connection_file).parent
        assert oct(folder.stat().st_mode)[-3:] == "700"
        group = kernel.manager.provisioner.process._group
        groups = group.folders if group else ()
        assert all(path.is_dir() for path in groups)
    assert not folder.exists()
    assert not any(path.exists() for path in groups)


@pytest.mark.jail
def test_a_masked_library_is_what_the_kernel_imports(tmp_path: Path) -> None:
    (tmp_path / "course_lib").mkdir()
    (tmp_path / "course_lib" / "__init__.py").write_text("masked = True")
    with Kernel(Jail(library=tmp_path), warm=False) as kernel:
        assert kernel.ask("import course_lib\nanswer = course_lib.masked") is True
        assert "ModuleNotFoundError" in kernel.run("import course_lib.losses")


@pytest.mark.jail
def test_a_jail_that_cannot_be_built_says_what_bubblewrap_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RuntimeError, match="no-such-folder"):
        asyncio.run(JailedKernelManager(warm=False).start_kernel(jail=Jail(channel=Path("/no-such-folder"))))
    assert not list(tmp_path.iterdir())


# An ordinary user may not enter /root: give the test's user a view of it with Python and this clone alone.
AS_NOBODY = """
set -e
mount -t tmpfs none /mnt
for place in $PLACES; do
    mkdir -p "/mnt$place"
    mount --bind "$place" "/mnt$place"
done
mount -t tmpfs -o mode=755 none /root
for place in $PLACES; do
    case "$place" in /root/*)
        mkdir -p "$place"
        mount --bind "/mnt$place" "$place"
    esac
done
exec setpriv --reuid 12345 --regid 12345 --clear-groups --inh-caps=-all -- "$@"
"""
AS_USER = """
import os, sys, tempfile
sys.path.insert(0, sys.argv[1])
from jailed import Kernel
from course_tools.grading.jail import Jail, Limits, missing
assert os.getuid() == 12345 and not missing(), missing()
with Kernel(Jail(limits=Limits(processes=80, memory=2**30)), warm=sys.argv[2] == "warm") as kernel:
    bomb = '''
import os, signal
children = []
try:
    while len(children) < 500:
        if (pid := os.fork()) == 0:
            signal.pause()
        children.append(pid)
except OSError:
    pass
try:
    bytearray(2**31)
except MemoryError:
    children.append(0)
import sys
warm = "torch" in sys.modules
seen = [os.path.exists(path) for path in ("/home", "/etc/shadow")]
answer = [warm, os.getuid(), len(children) < 100, children[-1], *seen]
for pid in children[:-1]:
    os.kill(pid, signal.SIGKILL)
'''
    print(kernel.ask(bomb))
"""


@pytest.mark.jail
@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
@pytest.mark.parametrize("kind", ["cold", "warm"])
def test_an_ordinary_user_gets_the_same_jail(kind: str) -> None:
    clone = Path(bubblewrap.__file__).resolve().parents[3]
    places = [os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix), str(clone)]
    env = {**os.environ, "HOME": "/tmp", "PYTHONPATH": str(clone), "PLACES": " ".join(places)}
    command = ["unshare", "--mount", "sh", "-c", AS_NOBODY, "sh", sys.executable, "-c", AS_USER]
    ran = subprocess.run(
        [*command, str(Path(__file__).parent), kind], env=env, capture_output=True, text=True, cwd="/tmp"
    )
    assert ran.stdout.strip() == str([kind == "warm", 65534, True, 0, False, False]), ran.stderr
