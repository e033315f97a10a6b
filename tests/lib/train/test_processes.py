"""`torchrun` with two processes on the CPU: one experiment, shared out."""

import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from tiny import Linear, image_set, plain

from course_lib.train import Views, fit

WORKER = """
import os, pathlib, sys, torch
import torch.distributed as dist
from tiny import Linear, QueueMethod, image_set, plain
from course_lib.train import Views, fit

folder = pathlib.Path(sys.argv[1])
torch.manual_seed(5)
method, data, noise, chosen = Linear(), image_set(), [], []
lookup = data.images.flatten(1).double().sum(1)

def augment(images):
    noise.append(torch.rand(()).item())
    chosen.append([int((lookup == image.flatten().double().sum()).nonzero()[0]) for image in images])
    return plain(images)

views = Views(data, augment, batch_size=16, labels=True)
options = dict(epochs=2, lr=0.1, optimiser="sgd", progress=False)
history = fit(method, views, probe=lambda m: m.layer.weight.sum().item(), log=folder / "log",
              checkpoint=folder / "run.pt", **options)
again = fit(Linear(), views, checkpoint=folder / "run.pt", **options)
assert again.losses == history.losses
rank = dist.get_rank()
try:
    fit(QueueMethod(keys=24), Views(data, plain, batch_size=32), epochs=1, progress=False)
    refused = ""
except ValueError as error:
    refused = str(error)
try:
    list(Views(data, plain, batch_size=15))
except ValueError as error:
    uneven = str(error)
torch.save({"noise": noise, "chosen": chosen, "losses": history.losses, "probe": history.probe,
            "weights": method.state_dict(), "refused": refused, "uneven": uneven}, folder / f"{rank}.pt")
dist.barrier()
dist.destroy_process_group()
# All is written. Gloo's threads do not always survive the interpreter's own ending, which is not tested here.
os._exit(0)
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder, here = tmp_path_factory.mktemp("processes"), Path(__file__).parent
    (folder / "worker.py").write_text(WORKER)
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parents[2]}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*command, str(folder / "worker.py"), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "log" / "steps.csv").read_text().count("\n") == 9
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_each_image_goes_to_one_process_once_an_epoch(ranks: list[dict]) -> None:
    for epoch in (slice(0, 4), slice(4, 8)):
        first, second = (list(chain(*rank["chosen"][epoch])) for rank in ranks)
        assert len(first) == len(second) == 32
        assert sorted(first + second) == list(range(64))


def test_processes_augment_differently(ranks: list[dict]) -> None:
    assert not set(ranks[0]["noise"]) & set(ranks[1]["noise"])


def test_two_processes_do_what_one_does(ranks: list[dict]) -> None:
    torch.manual_seed(5)
    method = Linear()

    def augment(images):
        torch.rand(())
        return plain(images)

    views = Views(image_set(), augment, batch_size=16, labels=True)
    history = fit(method, views, epochs=2, lr=0.1, optimiser="sgd", progress=False)
    for rank in ranks:
        assert rank["losses"] == pytest.approx(history.losses, rel=1e-5)
        torch.testing.assert_close(rank["weights"], dict(method.state_dict()))


def test_only_the_first_process_probes(ranks: list[dict]) -> None:
    assert [step for step, _ in ranks[0]["probe"]] == [4, 8]
    assert ranks[1]["probe"] == []


def test_mistakes_count_the_joined_batch(ranks: list[dict]) -> None:
    for rank in ranks:
        assert "batch of 32 images is larger than the queue of 24 keys" in rank["refused"]
        assert "15 images cannot be shared equally by 2 processes" in rank["uneven"]
