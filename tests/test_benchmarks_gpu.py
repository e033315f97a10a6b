"""The GPU run's parts, each at its smallest on the CPU, so that they still work when a GPU is at hand."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import resume
from course_lib.train import checkpoint

PYTHON = [sys.executable, "-c"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision.io import write_jpeg

    folder = tmp_path_factory.mktemp("photographs")
    for split, count in (("train", 260), ("test", 20)):
        for kind in ("dark", "light"):
            (folder / split / kind).mkdir(parents=True)
            for i in range(count):
                image = torch.randint(0, 128, (3, 40, 32), dtype=torch.uint8) + 127 * (kind == "light")
                write_jpeg(image, str(folder / split / kind / f"{i}.jpg"))
    return folder


@pytest.mark.parametrize("part", gpu.PARTS, ids=lambda part: part.module)
def test_a_part_runs_at_its_smallest(part: gpu.Part, photographs: Path) -> None:
    options = argparse.Namespace(smallest=True, photographs=photographs)
    printed, problem = gpu.run(part, 300, options)
    assert problem == ""
    assert printed.strip()


def test_a_part_ends_in_time_whatever_it_leaves_behind() -> None:
    """Also a process in a session of its own, which holds what the part's output is written to."""
    leave = (
        "import subprocess, time; "
        "print(subprocess.Popen(['sleep', '300'], start_new_session=True).pid, flush=True); time.sleep(300)"
    )
    begin = time.monotonic()
    printed, problem = gpu.run_within([*PYTHON, leave], 5, {**os.environ})
    took = time.monotonic() - begin
    os.kill(int(printed), signal.SIGKILL)
    assert problem == "ended after 5 s"
    assert took < 60


def test_a_failed_part_says_its_last_word_and_keeps_what_it_printed(capfd: pytest.CaptureFixture) -> None:
    fail = "import sys; print('a table'); print('half way', file=sys.stderr); sys.exit('no GPU left')"
    assert gpu.run_within([*PYTHON, fail], 60, {**os.environ}) == (
        "a table\n",
        "failed (exit status 1): no GPU left",
    )
    assert "half way" in capfd.readouterr().err  # progress is passed on


def test_the_header_names_the_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    assert gpu._commit() == "unknown"
    run = gpu.subprocess.run
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*name, "commit", "-q", "--allow-empty", "-m", "first"]):
        run(["git", *command], cwd=tmp_path, check=True)
    clean = gpu._commit()
    assert clean.isalnum()
    (tmp_path / "new.py").touch()
    assert gpu._commit() == f"{clean}-dirty"


@pytest.fixture
def resume_smallest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["resume", "--smallest"])
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    yield resume.main
    torch.use_deterministic_algorithms(False)


def test_a_run_begun_anew_is_not_taken_for_a_resumed_one(resume_smallest, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint.Checkpoint, "load", lambda *_: None)
    with pytest.raises(SystemExit, match="not resumed at step 8 of 16: 16 steps were taken"):
        resume_smallest()


def test_a_run_resumed_without_its_random_state_is_another_one(resume_smallest, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "set_random_state", lambda *_: None)
    with pytest.raises(SystemExit, match="another one"):
        resume_smallest()
