"""NT-Xent on the device: time and memory of value and gradient beside the plain version and peers."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.gpu.common import DEVICE, milliseconds, options, peak_megabytes, ratio, table
from benchmarks.nt_xent import LOSSES, TEMPERATURE, Loss, plain

DIM = 128


def main() -> None:
    torch.set_default_device(DEVICE)
    smallest = options().smallest
    sizes, repeats = ([64], 2) if smallest else ([64, 512, 1024, 4096, 8192], 30)
    rows = []
    for name, (make, most) in LOSSES.items():
        try:
            loss = make()
        except ModuleNotFoundError as missing:
            print(f"Left out: {name} ({missing.name} is not installed).\n")
            continue
        most = 8192 if most >= 4096 else most
        cells = [cell(loss, pairs, repeats) if pairs <= most else "-" for pairs in sizes]
        rows.append([name, *cells])
    print(
        f"Forward and backward of N pairs of {DIM} numbers, float32, temperature {TEMPERATURE}: milliseconds,"
    )
    print("time relative to the plain version (median of ratios, in turn), peak memory in MB.\n")
    print(table(["N pairs", *map(str, sizes)], rows))


def cell(loss: Loss, pairs: int, repeats: int) -> str:
    z1, z2 = torch.randn(2, pairs, DIM)
    run, base = value_and_gradient(loss, z1, z2), value_and_gradient(plain, z1, z2)
    torch.testing.assert_close(run(), base(), rtol=1e-3, atol=1e-4)
    times, bases = [], []
    for _ in range(repeats):  # in turn, so that a busy moment meets both
        times += milliseconds(run, 1)
        bases += milliseconds(base, 1)
    return f"{statistics.median(times):.2f} ms, {ratio(times, bases):.2f}, {peak_megabytes(run):.0f} MB"


def value_and_gradient(loss: Loss, z1: Tensor, z2: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        a = z1.clone().requires_grad_()
        value = loss(a, z2)
        value.backward()
        return value.detach()

    return run


if __name__ == "__main__":
    main()
