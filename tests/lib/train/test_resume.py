"""A run that is killed and resumed gives the numbers of a run that was not."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import QueueMethod, image_set, noisy

from course_lib import methods
from course_lib.augment import SimCLRAugment
from course_lib.models import SmallConvNet
from course_lib.train import History, Views, fit

EPOCHS, STEPS = 4, 16  # 64 images in batches of 16


class Killed(BaseException):
    pass


def run(
    folder: Path | None = None, *, die_after: int | None = None, slow: bool = False, seed: int = 3, **options
) -> tuple[History, torch.nn.Module]:
    """One run from a fixed seed; may announce its steps, and die after some of them."""
    import random
    import time

    import numpy as np

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    method, calls = QueueMethod(), 0

    def augment(images):
        nonlocal calls
        calls += 1
        if die_after is not None and calls > 2 * die_after:
            raise Killed
        if slow:
            print(calls, flush=True)
            time.sleep(0.05)
        return noisy(images)

    history = fit(
        method,
        Views(image_set(), augment, batch_size=16),
        **{"epochs": EPOCHS, "progress": False, "save_every": 3, **options},
        probe=lambda m: float(m.queue.sum()) + torch.rand(()).item(),
        meter=lambda m: {"steps": float(m.steps)},
        checkpoint=None if folder is None else folder / "run.pt",
        log=None if folder is None else folder / "log",
    )
    return history, method


def same(first: History, second: History) -> None:
    assert first.losses == second.losses  # to the last digit
    assert first.lrs == second.lrs
    assert first.probe == second.probe
    assert first.meters == second.meters


def same_weights(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for (name, one), two in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


# 5 dies in the middle of an epoch, 4 right after one, 3 right after a save, 2 before the first save.
@pytest.mark.parametrize("die_after", [2, 3, 4, 5, 13])
@pytest.mark.parametrize("options", [{}, {"optimiser": "lars", "lr": 0.5}, {"save_every": None}])
def test_resumed_run_equals_uninterrupted_run(tmp_path: Path, die_after: int, options: dict) -> None:
    whole, method = run(**options)
    with pytest.raises(Killed):
        run(tmp_path, die_after=die_after, **options)
    resumed, method_2 = run(
        tmp_path, seed=3 if die_after < 3 or options.get("save_every", 3) is None else 99, **options
    )
    same(whole, resumed)
    same_weights(method, method_2)
    assert len(whole.losses) == STEPS


def test_killed_process_resumes_to_the_last_digit(tmp_path: Path) -> None:
    """The real thing: SIGKILL in the middle of an epoch, a fresh process, the same numbers and weights."""
    whole, method = run()
    here = Path(__file__).parent
    code = (
        "import sys, pathlib, torch; torch.set_num_threads(1); import test_resume as t\n"
        "history, method = t.run(pathlib.Path(sys.argv[1]), slow=True, seed=int(sys.argv[2]))\n"
        "torch.save((vars(history), method.state_dict()), pathlib.Path(sys.argv[1]) / 'end.pt')"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parents[2]}", "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([*command, "3"], stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= 21:  # two views a step: in the eleventh step, the third of its epoch
            os.kill(child.pid, signal.SIGKILL)
            break
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "end.pt").exists()
    # Another seed: whatever is not restored from the file would show.
    subprocess.run([*command, "99"], check=True, stdout=subprocess.DEVNULL, env=environment, timeout=120)
    history, weights = torch.load(tmp_path / "end.pt", weights_only=True)
    same(whole, History(**history))
    for name, value in method.state_dict().items():
        assert torch.equal(value, weights[name]), name
    with (tmp_path / "log" / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == whole.losses  # neither doubled nor missing
    with (tmp_path / "log" / "measures.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == "probe"]
    assert [(int(row["step"]), float(row["value"])) for row in rows] == whole.probe


@pytest.mark.parametrize("name", ["SimCLR", "MoCo", "MoCoV3", "InstanceDiscrimination"])
def test_methods_of_the_course_resume(tmp_path: Path, name: str) -> None:
    """Queue, bank, momentum network and step count are all in the method's state."""

    def build() -> torch.nn.Module:
        backbone = SmallConvNet(2)
        if name == "SimCLR":
            return methods.SimCLR(backbone, 8)
        if name == "MoCo":
            return methods.MoCo(backbone, 8, queue_size=48, bn_splits=2)
        if name == "MoCoV3":
            return methods.MoCoV3(backbone, 8, hidden=16, total_steps=12)
        return methods.InstanceDiscrimination(backbone, 64, 8, negatives=20)

    def one(path: Path | None, seed: int, die_after: int | None = None) -> tuple[History, torch.nn.Module]:
        torch.manual_seed(seed)
        method, views, calls = build(), SimCLRAugment(8), 0

        def augment(images: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if die_after is not None and calls > die_after:
                raise Killed
            return views(images)

        batches = Views(image_set(), augment, batch_size=16, indices=name == "InstanceDiscrimination")
        return fit(method, batches, epochs=3, checkpoint=path, save_every=2, progress=False), method

    whole, method = one(None, 0)
    with pytest.raises(Killed):
        one(tmp_path / "run.pt", 0, die_after=7)
    resumed, method_2 = one(tmp_path / "run.pt", 99)
    same(whole, resumed)
    same_weights(method, method_2)


def test_a_line_cut_short_by_the_kill_is_dropped_from_the_log(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, die_after=8)
    with (tmp_path / "log" / "steps.csv").open("a") as file:
        file.write("\n9,3.1")
    resumed, _ = run(tmp_path)
    with (tmp_path / "log" / "steps.csv").open() as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == resumed.losses


def test_accumulated_run_resumes_where_a_step_ended_inside_an_epoch(tmp_path: Path) -> None:
    options = {"accumulate": 3, "save_every": 1}
    whole, method = run(**options)
    assert len(whole.losses) == STEPS // 3
    with pytest.raises(Killed):
        run(tmp_path, die_after=8, **options)
    resumed, method_2 = run(tmp_path, seed=99, **options)
    same(whole, resumed)
    same_weights(method, method_2)


def test_finished_run_is_returned_as_it_was(tmp_path: Path) -> None:
    first, method = run(tmp_path)
    again, method_2 = run(tmp_path, seed=99)
    same(first, again)
    same_weights(method, method_2)
    assert again.seconds > 0


def test_another_run_s_checkpoint_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(ValueError, match=r"belongs to another run \(lr was 0.002 and is 0.1\)"):
        run(tmp_path, lr=0.1)


def test_a_checkpoint_that_fails_half_way_leaves_the_last_one(tmp_path: Path, monkeypatch) -> None:
    save, saves = torch.save, 0

    def failing(state, file):
        nonlocal saves
        saves += 1
        if saves == 3:
            file.write(b"half a file")
            raise OSError("disk full")
        save(state, file)

    monkeypatch.setattr(torch, "save", failing)
    with pytest.raises(OSError, match="disk full"):
        run(tmp_path)
    assert [path.name for path in tmp_path.glob("run.pt*")] == ["run.pt"]
    assert len(torch.load(tmp_path / "run.pt", weights_only=True)["history"]["losses"]) == 6
    monkeypatch.setattr(torch, "save", save)
    same(run()[0], run(tmp_path)[0])


def test_a_checkpoint_needs_batches_that_know_their_place(tmp_path: Path) -> None:
    views = list(Views(image_set(), noisy, batch_size=16))
    with pytest.raises(TypeError, match="needs batches with state_dict"):
        fit(QueueMethod(), views, epochs=1, checkpoint=tmp_path / "run.pt", progress=False)
    assert len(fit(QueueMethod(), views, epochs=2, progress=False).losses) == 8
