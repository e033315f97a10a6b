"""NT-Xent on the device: time and memory of value and gradient beside the plain version and peers."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.gpu.common import DEVICE, milliseconds, options, peak_megabytes, ratio, table
from benchmarks.nt_xent import LOSSES, TEMPERATURE, Loss, plain

DIM = 128


def main() -> None:
    torch.set_default_device(DEVICE)
    smallest = options().smallest
    sizes, repeats = ([64], 2) if smallest else ([64, 512, 1024, 4096, 8192], 15)
    losses = {}
    for name, (make, most) in LOSSES.items():
        try:
            losses[name] = make(), 8192 if most >= 4096 else most
        except ModuleNotFoundError as missing:
            print(f"Left out: {name} ({missing.name} is not installed).\n")
    print(f"Forward and backward of N pairs of {DIM} numbers, temperature {TEMPERATURE}: milliseconds, time")
    print("relative to the plain version (median of ratios, in turn), peak memory in MB. For bfloat16 the")
    print("projections are in it and autocast is on, as in training; `off` is the relative distance of the")
    print("value from the plain version's in float32.")
    for dtype in (torch.float32, torch.bfloat16):
        rows = []
        for name, (loss, most) in losses.items():
            print(f"{name}, {dtype}", file=sys.stderr, flush=True)
            rows.append([name, *(cell(loss, n, repeats, dtype) if n <= most else "-" for n in sizes)])
        print(f"\n{table([f'{dtype}, N pairs'.removeprefix('torch.'), *map(str, sizes)], rows)}")


def cell(loss: Loss, pairs: int, repeats: int, dtype: torch.dtype) -> str:
    z1, z2 = torch.randn(2, pairs, DIM).to(dtype)
    run, base = value_and_gradient(loss, z1, z2), value_and_gradient(plain, z1, z2)
    value, exact = run().float(), plain(z1.float(), z2.float())
    if dtype == torch.float32:
        torch.testing.assert_close(value, exact, rtol=1e-3, atol=1e-4)
    times, bases = [], []
    for _ in range(repeats):  # in turn, so that a busy moment meets both
        times += milliseconds(run, 1)
        bases += milliseconds(base, 1)
    text = f"{statistics.median(times):.2f} ms, {ratio(times, bases):.2f}, {peak_megabytes(run):.0f} MB"
    return text if dtype == torch.float32 else f"{text}, off {abs(value / exact - 1):.0e}"


def value_and_gradient(loss: Loss, z1: Tensor, z2: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        a = z1.clone().requires_grad_()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=z1.dtype == torch.bfloat16):
            value = loss(a, z2)
        value.backward()
        return value.detach()

    return run


if __name__ == "__main__":
    main()
