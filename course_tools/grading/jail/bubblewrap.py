"""The view that a jail gives of the world, as arguments of bubblewrap (bwrap, version 0.8 or newer)."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import course_lib
from course_tools.grading.jail.policy import Jail

INSIDE = Path(__file__).parent / "inside"
UID = 65534  # nobody

# Packages that hold answers to what the labs ask; their folders are empty in a jail.
PEERS = (
    "lightly",
    "pytorch_metric_learning",
    "solo",
    "vit_pytorch",
    "byol_pytorch",
    "info_nce",
    "segment_anything",
    "mobile_sam",
    "open_clip",
    "clip",
    "transformers",
)

CHANNEL = Path("/referee")  # where a kernel finds the folder that its jail calls `channel`

_SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/fonts")
_PASSED_ON = ("LANG", "TZ", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_GPU_PASSED_ON = ("CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG")

ACCOUNTS = {
    "/etc/passwd": f"student:x:{UID}:{UID}:student:/tmp/home:/bin/sh\n",
    "/etc/group": f"student:x:{UID}:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


def environment(jail: Jail, env: Mapping[str, str]) -> dict[str, str]:
    """All of a kernel's environment; of the grader's own only what is harmless gets in."""
    names = (*_PASSED_ON, *(_GPU_PASSED_ON if jail.gpu else ()))
    passed = {name: env[name] for name in env if name in names or name.startswith(("NBGRADER_", "LC_"))}
    if jail.channel and "COURSE_REFEREE" in env:
        passed["COURSE_REFEREE"] = (
            f"{CHANNEL}/{Path(env['COURSE_REFEREE']).name}"  # the socket, as seen inside
        )
    home = "/tmp/home"
    return {
        "LANG": "C.UTF-8",
        **passed,
        "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": "/library",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": home,
        "USER": "student",
        "LOGNAME": "student",
        "TMPDIR": "/tmp",
        "COURSE_STATIC": "1",
        "JPY_PARENT_PID": "1",  # the kernel must not look for its parent: it is in another namespace
        **{name: f"{home}/{name.lower()}" for name in _WRITTEN},
    }


_WRITTEN = (  # folders that libraries write to
    "IPYTHONDIR",
    "JUPYTER_RUNTIME_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_CONFIG_DIR",
    "MPLCONFIGDIR",
    "TORCH_HOME",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "XDG_CACHE_HOME",
    "HF_HOME",
    "CUDA_CACHE_PATH",
    "NUMBA_CACHE_DIR",
)


def arguments(jail: Jail, *, parent: bool = False, hidden: tuple[Path, ...] = ()) -> list[str]:
    """Bubblewrap's arguments up to the files handed in and the command.

    Args:
        parent: for the warm parent, which makes a jail within the jail for every kernel: it keeps, inside its
            own user namespace only, the right to do so.
        hidden: folders that must not be seen even where they lie in /usr or in the environment.
    """
    quarter = str(jail.limits.disk_bytes // 4)
    return [
        *_namespaces(parent),
        "--clearenv",
        *("--perms", "1777", "--size", str(jail.limits.disk_bytes), "--tmpfs", "/tmp"),
        *("--perms", "0755", "--dir", "/tmp/home"),
        *_mounts(jail, hidden, _referee(jail, parent)),  # after /tmp: an environment may lie in there
        *("--proc", "/proc", "--dev", "/dev"),
        *_devices(jail),
        *("--perms", "1777", "--size", quarter, "--tmpfs", "/dev/shm"),
        *("--perms", "0755", "--size", str(jail.limits.disk_bytes), "--tmpfs", "/submission"),
        *("--chdir", "/submission"),
    ]


def seal() -> list[str]:
    """The last arguments: what bubblewrap itself laid out can no longer be written."""
    return [word for place in ("/dev", "/proc", "/") for word in ("--remount-ro", place)]


def _namespaces(parent: bool) -> list[str]:
    shared = [f"--unshare-{kind}" for kind in ("user", "pid", "net", "ipc", "uts")]
    shared += ["--hostname", "jail", "--new-session"]
    if parent:  # no --die-with-parent: that would tie it to the thread that starts it
        return [*shared, "--uid", "0", "--gid", "0", "--cap-add", "ALL", "--as-pid-1"]
    uid = str(UID)
    return [*shared, "--uid", uid, "--gid", uid, "--cap-drop", "ALL", "--disable-userns", "--die-with-parent"]


def _referee(jail: Jail, parent: bool) -> dict[str, list[str]]:
    """The channel to the referee; a parent sees a folder of channels and shows each child its own."""
    if jail.channel and not parent:
        return {str(CHANNEL): ["--ro-bind", str(jail.channel), str(CHANNEL)]}
    places = {place: ["--dir", place] for place in (str(CHANNEL), "/kernel")}
    if jail.channel:
        places["/channels"] = ["--ro-bind", str(jail.channel), "/channels"]
    return places


def _mounts(jail: Jail, hidden: tuple[Path, ...], referee: dict[str, list[str]]) -> list[str]:
    """What is seen of the host, outer folders first so that inner ones are laid over them."""
    library = (jail.library or Path(course_lib.__file__).parents[1]) / "course_lib"
    places: dict[str, list[str]] = {
        "/usr": ["--ro-bind", "/usr", "/usr"],
        "/jail": ["--ro-bind", str(INSIDE), "/jail"],
        "/library/course_lib": ["--ro-bind", str(library.resolve()), "/library/course_lib"],
        **referee,
    }
    for link in _SYSTEM_LINKS:
        if os.path.islink(link):
            places[link] = ["--symlink", os.readlink(link), link]
        elif os.path.isdir(link):
            places[link] = ["--ro-bind", link, link]
    places |= {file: ["--ro-bind-try", file, file] for file in _SYSTEM_FILES}
    seen = [Path("/usr"), *environment_folders()]
    places |= {str(folder): ["--ro-bind", str(folder), str(folder)] for folder in seen}
    for folder in (*_peers(jail.allowed), *hidden):
        if any(folder != top and folder.is_relative_to(top) for top in seen):
            empty = ["--perms", "0000", "--size", "4096", "--tmpfs", str(folder)]
            places.setdefault(str(folder), [*empty, "--remount-ro", str(folder)])
    ordered = sorted(places, key=lambda place: place.count("/"))
    return [word for place in ordered for word in places[place]]


def environment_folders() -> list[Path]:
    """Where Python and its packages are: the virtual environment, what it was made from, the user's site."""
    folders = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_exec_prefix)}
    folders.add(Path(os.path.realpath(sys.executable)).parents[1])
    user = Path(site.getusersitepackages())
    if str(user) in sys.path and user.is_dir():
        folders.add(user)
    return [folder for folder in sorted(folders) if str(folder) not in ("/", "/usr")]


def _peers(allowed: tuple[str, ...]) -> Iterator[Path]:
    """Folders of the packages with answers, of their records, and of the course, should it be installed."""
    paths = sysconfig.get_paths()
    tops = {paths["purelib"], paths["platlib"], site.getusersitepackages(), *site.getsitepackages()}
    for top in map(Path, tops):
        for name in (*sorted({*PEERS} - {*allowed}), "course_lib", "course_tools", "ssl_vision_course"):
            yield from (path for path in (top / name, *top.glob(f"{name}-*.dist-info")) if path.is_dir())


def _devices(jail: Jail) -> list[str]:
    if not jail.gpu:
        return []
    nodes = [*sorted(Path("/dev").glob("nvidia*")), Path("/dev/dxg")]  # dxg: a GPU under WSL2
    binds = [word for node in nodes if node.exists() for word in ("--dev-bind", str(node), str(node))]
    return [*binds, "--ro-bind", "/sys", "/sys"]
