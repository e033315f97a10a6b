"""What the parts share."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def options() -> argparse.Namespace:
    """`smallest` and `photographs`, as every part gets them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("--photographs", type=Path)
    return parser.parse_args()


def milliseconds(run: Callable[[], object], repeats: int) -> list[float]:
    """Wall times of repeated runs, the device's work included, after two that do not count."""
    times = []
    for number in range(repeats + 2):
        synchronise()
        begin = time.perf_counter()
        run()
        synchronise()
        if number >= 2:
            times.append(1000 * (time.perf_counter() - begin))
    return times


def synchronise() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def peak_megabytes(run: Callable[[], object]) -> float:
    """Most memory on the device during a run, beyond what was held before; 0 without a GPU."""
    if DEVICE != "cuda":
        return 0.0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def ratio(runs: list[float], base: list[float]) -> float:
    """Median of the ratios of runs that took turns."""
    return statistics.median(a / b for a, b in zip(runs, base, strict=True))


def table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))


def versions() -> str:
    """Names and versions of the packages that matter, of those that are there."""
    found = []
    for name in ("torch", "torchvision", "timm", "accelerate", "lightly", "pytorch-metric-learning"):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
