"""Kernels forked from a warm parent: as fresh as others, and always replaceable by them."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from jailed import Kernel, alive

from course_tools.grading.jail import Jail, JailedKernelManager, provisioner, warm
from course_tools.grading.jail.spawn import JailBroke

pytestmark = pytest.mark.jail


@pytest.fixture(scope="module", autouse=True)
def _no_parent_is_left() -> Iterator[None]:
    yield
    pids = [parent.pid for parent in warm._parents]
    warm.close_all()
    assert not any(map(alive, pids))


STATE = """
import os, random, signal, sys, numpy, torch
answer = {
    "threads": torch.get_num_threads(),
    "random": random.random(),
    "numpy": numpy.random.rand(),
    "torch": torch.rand(1).item(),
    "path": sys.path,
    "environment": dict(os.environ),
    "interrupt": str(signal.getsignal(signal.SIGINT)),
}
"""


def test_a_forked_kernel_looks_like_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("OMP", "MKL"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "2")
    with (
        Kernel(Jail(), warm=True) as one,
        Kernel(Jail(), warm=True) as two,
        Kernel(Jail(), warm=False) as cold,
    ):
        first, second, fresh = (kernel.ask(STATE) for kernel in (one, two, cold))
    assert first["threads"] == fresh["threads"] == 2
    assert first["path"] == fresh["path"]
    assert first["interrupt"] == fresh["interrupt"]
    own = {"PWD", "OLDPWD"}
    assert {k: v for k, v in first["environment"].items() if k not in own} == {
        k: v for k, v in fresh["environment"].items() if k not in own
    }
    for source in ("random", "numpy", "torch"):  # every new process draws its seed from the system
        assert len({first[source], second[source], fresh[source]}) == 3


def test_kernels_share_one_parent_which_has_imported_torch() -> None:
    loaded = "import sys\nanswer = {'torch', 'torchvision', 'matplotlib.pyplot'} <= set(sys.modules)"
    parents = []
    for _ in range(2):
        with Kernel(Jail(), warm=True) as kernel:
            assert kernel.ask(loaded) is True
            parents.append(kernel.manager.provisioner.process.parent.pid)
    assert parents[0] == parents[1]


def test_figures_are_shown() -> None:
    with Kernel(Jail(), warm=True) as kernel:
        shown = """
import matplotlib, matplotlib.pyplot as plt
figure = plt.plot([1, 2])
answer = matplotlib.get_backend()
"""
        assert "inline" in kernel.ask(shown)


def test_a_kernel_with_a_gpu_is_started_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(provisioner, "warm_jail", lambda jail: pytest.fail("forked"))
    monkeypatch.setattr(provisioner, "start_cold", started.append)
    given = provisioner.JailProvisioner(parent=JailedKernelManager(warm=True))
    given._start(SimpleNamespace(jail=Jail(device="cuda")))
    assert len(started) == 1


def test_another_library_has_another_parent_and_the_oldest_idle_one_goes(tmp_path: Path) -> None:
    libraries = []
    for name in "ab":
        libraries.append(tmp_path / name)
        (tmp_path / name / "course_lib").mkdir(parents=True)
        (tmp_path / name / "course_lib" / "__init__.py").write_text(f"name = {name!r}")
    with Kernel(Jail(), warm=True) as busy:
        for library in libraries:
            with Kernel(Jail(library=library), warm=True) as kernel:
                assert kernel.ask("import course_lib\nanswer = course_lib.name") == library.name
        assert len(warm._parents) == warm.MOST_PARENTS
        assert busy.ask("answer = 1") == 1


def test_a_lost_parent_takes_its_kernels_along_and_is_replaced() -> None:
    with Kernel(Jail(), warm=True) as kernel:
        process = kernel.manager.provisioner.process
        for child in (
            Path(f"/proc/{process.parent.pid}/task/{process.parent.pid}/children").read_text().split()
        ):
            os.kill(int(child), signal.SIGKILL)
        assert kernel.run("import time; time.sleep(60)") == "dead"
    with Kernel(Jail(), warm=True) as kernel:
        assert kernel.ask("answer = 1") == 1


def test_without_a_warm_parent_kernels_start_cold_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(jail: Jail) -> None:
        raise JailBroke("no warm parent: nested namespaces are refused")

    monkeypatch.setattr(provisioner, "warm_jail", broken)
    monkeypatch.setattr(provisioner, "_told", False)
    caplog.set_level(logging.WARNING)
    logging.getLogger("traitlets").propagate = True
    for _ in range(2):
        with Kernel(Jail(), warm=True) as kernel:
            assert kernel.ask("import sys\nanswer = 'torch' in sys.modules") is False
    assert caplog.text.count("nested namespaces are refused") == 1
