"""What can be learnt from Shapes, with labels and without, in a minute or two on a CPU.

    python benchmarks/shapes_learnability.py [--quick]

8,000 images to learn from and 2,000 to test on, 32 px. Each row is one way to describe the images of a world,
judged by 20 nearest neighbours (and by a linear probe in the default world). An epoch is 31 batches of 256.
Writes results/shapes_learnability.json and .md after each world.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from shapes_speed import processor
from torch import Tensor, nn

from course_lib.augment import SimCLRAugment
from course_lib.data import ImageSet, Shapes
from course_lib.evaluate import features, knn_accuracy, linear_probe_accuracy, raw_pixels
from course_lib.methods import SimCLR, Supervised
from course_lib.models import SmallConvNet
from course_lib.train import Views, fit

RESULTS = Path(__file__).parent / "results"

# World, its settings, epochs of SimCLR, epochs with labels (0: none), linear probes as well.
WORLDS: list[tuple[str, dict[str, Any], tuple[int, ...], int, bool]] = [
    ("default", {}, (1, 5, 10), 10, True),
    ("class = shape alone (agreement 0)", {"agreement": 0.0}, (5,), 0, False),
    ("loud backgrounds", {"loud_background": True}, (5,), 0, False),
]


def described(network: nn.Module | None, data: ImageSet) -> Tensor:
    return raw_pixels(data.images) if network is None else features(network, data.images)


def judge(network: nn.Module | None, train: ImageSet, test: ImageSet, *, linear: bool) -> dict[str, float]:
    pair = (described(network, train), train.labels, described(network, test), test.labels)
    scores = {"kNN": knn_accuracy(*pair)}
    if linear:
        scores["linear"] = linear_probe_accuracy(*pair)
    return scores


def measure(
    settings: dict[str, Any], epochs: tuple[int, ...], supervised: int, linear: bool, seed: int
) -> list[dict[str, Any]]:
    world = Shapes(seed=seed, **settings)
    train, test = world.image_set("train", 8000), world.image_set("test", 2000)
    torch.manual_seed(seed)
    rows: list[dict[str, Any]] = [
        {"features": "raw pixels", **judge(None, train, test, linear=linear)},
        {"features": "random network", **judge(SmallConvNet(), train, test, linear=linear)},
    ]
    for count in epochs:
        torch.manual_seed(seed)
        method = SimCLR(SmallConvNet())
        start = time.process_time()
        fit(method, Views(train, SimCLRAugment(32)), epochs=count, progress=False)
        seconds = time.process_time() - start
        name = f"SimCLR, {count} epoch{'s' * (count > 1)}"
        rows.append(
            {"features": name, **judge(method.backbone, train, test, linear=linear), "cpu_s": seconds}
        )
        print(rows[-1], flush=True)
    if supervised:
        torch.manual_seed(seed)
        baseline = Supervised(SmallConvNet(), train.num_classes)
        start = time.process_time()
        views = Views(train, SimCLRAugment(32), labels=True)
        fit(baseline, views, epochs=supervised, progress=False)
        seconds = time.process_time() - start
        scores = judge(baseline.backbone, train, test, linear=linear)
        guesses = baseline.classifier(features(baseline.backbone, test.images)).argmax(1)
        scores["own classifier"] = (guesses == test.labels).float().mean().item()
        rows.append({"features": f"supervised, {supervised} epochs", **scores, "cpu_s": seconds})
    return rows


def write_table(record: dict[str, Any]) -> None:
    columns = ("kNN", "linear", "own classifier", "cpu_s")
    lines = ["# Shapes: what is learnt with labels and without", "", record["machine"], ""]
    lines += ["| world | seed | features | kNN | linear probe | own classifier | processor seconds |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for row in record["rows"]:
        cells = []
        for column in columns:
            value = row.get(column)
            cells.append("" if value is None else f"{value:.0f}" if column == "cpu_s" else f"{value:.3f}")
        lines.append("| " + " | ".join([row["world"], str(row["seed"]), row["features"], *cells]) + " |")
    (RESULTS / "shapes_learnability.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one epoch of SimCLR in the default world only")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="worlds and networks to measure")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    record: dict[str, Any] = {
        "machine": f"{processor()}, {torch.get_num_threads()} thread(s), Python {platform.python_version()}, "
        f"torch {version('torch')}, float32.",
        "rows": [],
    }
    worlds = [("default", {}, (1,), 0, False)] if options.quick else WORLDS
    for seed in options.seeds:
        for name, settings, epochs, supervised, linear in worlds:
            for row in measure(settings, epochs, supervised, linear, seed):
                record["rows"].append({"world": name, "seed": seed, **row})
            (RESULTS / "shapes_learnability.json").write_text(
                json.dumps(record, indent=1) + "\n", encoding="utf-8"
            )
            write_table(record)


if __name__ == "__main__":
    main()
