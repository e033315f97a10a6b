"""NT-Xent side by side with its peers: time, peak memory, and that they agree.

    python benchmarks/nt_xent.py

Forward and backward of N pairs of 128 numbers, float32. Each loss takes turns with the plain version, and
the times of each turn are divided, so that a busy moment meets both. With one thread the processor's time
counts; with two the clock's, since threads that wait for each other use no processor: alone, and beside
another program that keeps a core busy. Peak memory is that of a fresh process each.

Writes results/nt_xent.md.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.losses import nt_xent_loss

Loss = Callable[[Tensor, Tensor], Tensor]

TEMPERATURE = 0.1
DIM = 128
REPEATS = {64: 100, 128: 100, 256: 60, 512: 30, 1024: 15, 4096: 5}


class Setting(NamedTuple):
    threads: int
    busy: bool  # whether another program keeps a core busy
    most: int  # pairs

    def __str__(self) -> str:
        threads = "one thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{threads}, another program busy" if self.busy else threads


SETTINGS = (Setting(1, False, 4096), Setting(2, False, 1024), Setting(2, True, 1024))
MEMORY_PAIRS = (1024, 4096)
RESULTS = Path(__file__).parent / "results" / "nt_xent.md"


def plain(z1: Tensor, z2: Tensor) -> Tensor:
    """What one writes first: normalise, z z^T / T, mask, cross-entropy."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = z @ z.T / TEMPERATURE
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z1)))


def plain_in_place(z1: Tensor, z2: Tensor) -> Tensor:
    """The same with the diagonal filled in place: the plain version at its best."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z1)))


def course(z1: Tensor, z2: Tensor) -> Tensor:
    return nt_xent_loss(z1, z2, temperature=TEMPERATURE)


def course_tiled(z1: Tensor, z2: Tensor) -> Tensor:
    return nt_xent_loss(z1, z2, temperature=TEMPERATURE, tile=256)


def lightly() -> Loss:
    from lightly.loss import NTXentLoss

    return NTXentLoss(temperature=TEMPERATURE)


def pml_sup_con() -> Loss:
    from pytorch_metric_learning.losses import SupConLoss

    loss = SupConLoss(temperature=TEMPERATURE)
    return lambda z1, z2: loss(torch.cat([z1, z2]), torch.arange(len(z1)).repeat(2))


def pml_nt_xent() -> Loss:
    from pytorch_metric_learning.losses import NTXentLoss

    loss = NTXentLoss(temperature=TEMPERATURE)
    return lambda z1, z2: loss(torch.cat([z1, z2]), torch.arange(len(z1)).repeat(2))


# name -> (how to get the loss, the most pairs it is asked for)
LOSSES: dict[str, tuple[Callable[[], Loss], int]] = {
    "plain": (lambda: plain, 4096),
    "plain, in-place mask": (lambda: plain_in_place, 4096),
    "course_lib": (lambda: course, 4096),
    "course_lib, tile=256": (lambda: course_tiled, 4096),
    "lightly NTXentLoss": (lightly, 4096),
    "pytorch-metric-learning SupConLoss": (pml_sup_con, 1024),
    "pytorch-metric-learning NTXentLoss": (pml_nt_xent, 64),
}


def seconds(loss: Loss, z1: Tensor, z2: Tensor) -> tuple[float, Tensor, Tensor]:
    """Time of value and gradient, the value, and the gradient of the first views."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    a, b = z1.clone().requires_grad_(), z2.clone().requires_grad_()
    start = clock()
    value = loss(a, b)
    value.backward()
    return clock() - start, value.detach(), a.grad  # type: ignore[return-value]


@contextmanager
def in_setting(setting: Setting) -> Iterator[None]:
    torch.set_num_threads(setting.threads)
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if setting.busy else None
    try:
        yield
    finally:
        torch.set_num_threads(1)
        if other:
            other.kill()
            other.wait()


def compare(pairs: int, repeats: int) -> dict[str, list[float]]:
    """Ratios to the plain version, one a repetition; the plain version's own entry holds seconds."""
    z1, z2 = torch.randn(2, pairs, DIM, generator=torch.Generator().manual_seed(0))
    ratios: dict[str, list[float]] = {"plain": []}
    for name, (make, most) in LOSSES.items():
        if name == "plain" or pairs > most:
            continue
        loss, ratios[name] = make(), []
        torch.testing.assert_close(
            seconds(loss, z1, z2)[1:], seconds(plain, z1, z2)[1:], rtol=1e-3, atol=1e-5
        )
        for number in range(repeats):
            turns = (plain, loss) if number % 2 else (loss, plain)  # nobody is always the second
            took = {each: seconds(each, z1, z2)[0] for each in turns}
            base, taken = took[plain], took[loss]
            ratios["plain"].append(base)
            ratios[name].append(taken / base)
    return ratios


def peak_megabytes(name: str, pairs: int, threads: int) -> float:
    """Peak memory of one value and gradient beyond that of a tiny one, in a process of its own."""
    command = [sys.executable, __file__, "--peak", name, "--pairs", str(pairs), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_peak(name: str, pairs: int) -> float:
    loss = LOSSES[name][0]()
    seconds(loss, *torch.randn(2, 4, DIM))
    before = resident_peak()
    seconds(loss, *torch.randn(2, pairs, DIM))
    return (resident_peak() - before) / 1024


def resident_peak() -> float:
    """Most memory this process has held, in kB. (Linux; getrusage would count its parent's as well.)"""
    status = Path("/proc/self/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]} ({len(models)} cores)" if models else platform.machine()


def times(setting: Setting) -> list[str]:
    """The table of one setting."""
    columns = {pairs: repeats for pairs, repeats in REPEATS.items() if pairs <= setting.most}
    with in_setting(setting):
        ratios = {pairs: compare(pairs, repeats) for pairs, repeats in columns.items()}
    rows = [[name, *(cell(name, ratios[pairs].get(name, [])) for pairs in columns)] for name in LOSSES]
    return table(["N pairs", *map(str, columns)], rows)


def cell(name: str, measured: list[float]) -> str:
    if not measured:
        return "-"
    if name == "plain":
        return f"1 ({1000 * statistics.median(measured):.3g} ms)"
    low, _, high = statistics.quantiles(measured)
    return f"{statistics.median(measured):.2f} ({low:.2f}-{high:.2f})"


def memory() -> list[str]:
    columns = [(pairs, threads) for threads in (1, 2) for pairs in MEMORY_PAIRS]
    rows = [
        [name, *(f"{peak_megabytes(name, *column):.0f}" for column in columns)]
        for name, (_, most) in LOSSES.items()
        if most >= max(MEMORY_PAIRS)
    ]
    words = {1: "one thread", 2: "2 threads"}
    return table(["N pairs", *(f"{pairs}, {words[threads]}" for pairs, threads in columns)], rows)


def report() -> str:
    packages = ("torch", "lightly", "pytorch-metric-learning")
    parts = [
        "# NT-Xent: time and memory of value and gradient",
        f"{processor()}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + f". {DIM} numbers a projection, float32, temperature {TEMPERATURE}.",
        "Time relative to the plain version: median (quartiles) of repeated ratios; "
        "the processor's time for one thread, the clock's for two.",
    ]
    for setting in SETTINGS:
        parts += [f"## {str(setting).capitalize()}", "\n".join(times(setting))]
        print("\n\n".join(parts[-2:]), file=sys.stderr, flush=True)
    parts += ["## Peak memory in MB, beyond that of a tiny batch", "\n".join(memory())]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peak", choices=LOSSES, help="print the peak memory of this one alone")
    parser.add_argument("--pairs", type=int, default=MEMORY_PAIRS[0], help="N, for --peak")
    parser.add_argument("--threads", type=int, default=1, help="for --peak")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print(measure_peak(options.peak, options.pairs))
        return
    text = report()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
