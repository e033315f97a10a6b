"""How many Shapes images a second one core renders, straight to uint8.

    python benchmarks/shapes_speed.py

One thread, processor time, the median of repeated runs. Writes results/shapes_speed.md.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

from course_lib.data.shapes import Shapes

REPEATS = 7
RESULTS = Path(__file__).parent / "results" / "shapes_speed.md"

# What is rendered, how many images, and how.
TASKS: dict[str, tuple[int, Callable[[range], object]]] = {
    "32 px": (4000, Shapes().images),
    "32 px, three objects": (2000, Shapes(objects=3).images),
    "32 px, loud background": (2000, Shapes(loud_background=True).images),
    "32 px, sketch": (2000, Shapes(domain="sketch").images),
    "32 px, night": (2000, Shapes(domain="night").images),
    "32 px, corrupted": (2000, Shapes(domain="corrupted").images),
    "32 px, scenes of three objects: masks, boxes, captions": (2000, Shapes(objects=3).scene),
    "32 px, videos of 8 frames": (500, Shapes().videos),
    "64 px": (1000, Shapes(size=64).images),
    "224 px": (100, Shapes(size=224).images),
}


def rate(count: int, draw: Callable[[range], object]) -> list[float]:
    """Images a second of processor time, one value a repetition, sorted."""
    draw(range(count // 4))
    rates = []
    for _ in range(REPEATS):
        start = time.process_time()
        draw(range(count))
        rates.append(count / (time.process_time() - start))
    return sorted(rates)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]} ({len(models)} cores)" if models else platform.machine()


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for name, (count, draw) in TASKS.items():
        rates = rate(count, draw)
        rows.append(f"| {name} | {statistics.median(rates):,.0f} | {rates[0]:,.0f} to {rates[-1]:,.0f} |")
        print(rows[-1], flush=True)
    text = [
        "# Shapes: images rendered per second of one core",
        "",
        f"{processor()}, one thread, Python {platform.python_version()}, torch {version('torch')}. "
        f"Processor time, {REPEATS} repetitions; a video or a scene counts as one image.",
        "",
        "| what | median | range |",
        "| --- | --- | --- |",
        *rows,
        "",
    ]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
