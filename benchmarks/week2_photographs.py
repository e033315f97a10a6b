"""Week 2 on photographs: SimCLR and MoCo v2 beside raw pixels, a random network and a supervised one.

    python benchmarks/week2_photographs.py FOLDER [--seed 0]     a small network, for a CPU: 5 minutes
    python benchmarks/week2_photographs.py FOLDER --full         ResNet-18, 200 epochs, for a GPU

FOLDER holds train/<class>/*.jpg and test/<class>/*.jpg, such as CIFAR-10 unpacked. The full run follows the
recipe of lightly's published CIFAR-10 table: SGD, learning rate 0.06 for a batch of 128, momentum 0.9,
weight decay 5e-4, cosine, no blur, heads 512-512-128; SimCLR at temperature 0.5, MoCo v2 with a queue of
4096, momentum 0.99 and temperature 0.1. Its kNN (k = 200, temperature 0.1) is the best of all epochs on the
test set, ours the last epoch's. `--epochs` and `--count` shorten either; a shortened run writes no results.
Otherwise writes results/week2_photographs[_full].md.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import data
from course_lib.augment import SimCLRAugment, papers
from course_lib.evaluate import features, knn_accuracy, linear_probe_accuracy, raw_pixels
from course_lib.methods import MoCoV2, SimCLR, Supervised
from course_lib.models import SmallConvNet, mlp, resnet18
from course_lib.train import Views, fit

RESULTS = Path(__file__).parent / "results"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Recipe:
    """How one kind of run trains.

    Attributes:
        network: makes a fresh backbone.
        augment: images -> one view.
        epochs, batch: of every method but for MoCo's epochs.
        moco_epochs: MoCo learns from one of its two views; twice the epochs make up for it on a CPU.
        simclr, moco: backbone -> method.
        knn: settings of the kNN probe.
        training: settings of `fit`.
    """

    network: Callable[[], nn.Module]
    augment: Callable[[Tensor], Tensor]
    epochs: int
    moco_epochs: int
    batch: int
    simclr: Callable[[nn.Module], nn.Module]
    moco: Callable[[nn.Module], nn.Module]
    knn: dict[str, Any]
    training: dict[str, Any]


def lightly_simclr(backbone: nn.Module) -> nn.Module:
    """Head 512-512-128 without batch norm on its output, temperature 0.5."""
    method = SimCLR(backbone, 128, temperature=0.5)
    method.projector = mlp(512, 512, 128)
    return method


SMALL = Recipe(
    network=lambda: SmallConvNet(16),
    augment=SimCLRAugment(),
    epochs=28,
    moco_epochs=56,
    batch=128,
    simclr=lambda backbone: SimCLR(backbone, temperature=0.1),
    moco=lambda backbone: MoCoV2(backbone, 64, queue_size=1024, momentum=0.99, temperature=0.1),
    knn={},
    training={"lr": 5e-3},
)
FULL = Recipe(
    network=resnet18,
    augment=papers.simclr(32, strength=0.5, blur=False),
    epochs=200,
    moco_epochs=200,
    batch=128,
    simclr=lightly_simclr,
    moco=lambda backbone: MoCoV2(backbone, 128, queue_size=4096, momentum=0.99, temperature=0.1),
    knn={"k": 200, "temperature": 0.1},
    training={"lr": 0.06, "optimiser": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "warmup": 0.0},
)


def measure(recipe: Recipe, train: data.ImageSet, test: data.ImageSet, seed: int) -> list[str]:
    """Rows of the table, one for each way to describe an image."""

    def row(name: str, encode: Callable[[Tensor], Tensor], history: Any = None, cpu: float = 0.0) -> str:
        pair = (encode(train.images), train.labels, encode(test.images), test.labels)
        scores = f"{knn_accuracy(*pair, **recipe.knn):.3f} | {linear_probe_accuracy(*pair):.3f}"
        cost = f"{history.seconds:.0f} | {cpu:.0f} | {history.losses[-1]:.2f}" if history else "| |"
        line = f"| {name} | {scores} | {cost} |"
        print(line, flush=True)
        return line

    def trained(name: str, make: Callable[[nn.Module], nn.Module], epochs: int, labels: bool = False) -> str:
        torch.manual_seed(seed)
        method = make(recipe.network()).to(DEVICE)
        views = Views(train, recipe.augment, batch_size=recipe.batch, labels=labels, device=DEVICE)
        start = time.process_time()
        history = fit(method, views, epochs=epochs, **recipe.training)
        cpu = time.process_time() - start
        return row(f"{name}, {epochs} epochs", lambda images: features(method, images), history, cpu)

    torch.manual_seed(seed)
    random = recipe.network().to(DEVICE)
    return [
        row("raw pixels", raw_pixels),
        row("random network", lambda images: features(random, images)),
        trained("SimCLR", recipe.simclr, recipe.epochs),
        trained("MoCo v2", recipe.moco, recipe.moco_epochs),
        trained("supervised", lambda b: Supervised(b, train.num_classes), recipe.epochs, labels=True),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="ResNet-18 for 200 epochs; wants a GPU")
    parser.add_argument("--epochs", type=int, help="of every method, in place of the recipe's")
    parser.add_argument("--count", type=int, help="images to learn from, and as many to test on")
    options = parser.parse_args()
    recipe = FULL if options.full else SMALL
    if options.epochs:
        shorter = {"epochs": options.epochs, "moco_epochs": options.epochs}
        recipe = Recipe(**{**vars(recipe), **shorter})
    count = options.count or (None if options.full else 10_000)
    train = data.load(str(options.folder), "train", count=count)
    test = data.load(str(options.folder), "test", count=options.count)
    rows = measure(recipe, train, test, options.seed)
    chance = train.labels.bincount().max().item() / len(train)
    settings = "".join(
        f" --{name} {value}"
        for name, value in (("seed", options.seed), ("epochs", options.epochs), ("count", options.count))
        if value is not None
    )
    lines = [
        "# Week 2 on photographs",
        "",
        f"`python benchmarks/week2_photographs.py FOLDER{' --full' * options.full}{settings}`, "
        f"FOLDER = {options.folder.name}: {len(train)} images to learn from, {len(test)} to test on, 32 px; "
        f"{type(recipe.network()).__name__}, batch {recipe.batch}, on {DEVICE}, {torch.get_num_threads()} "
        f"thread(s), Python {platform.python_version()}, torch {torch.__version__}.",
        "",
        f"Chance is {chance:.3f}. kNN and linear probe after the last epoch, on unaugmented images. "
        f"Loss at chance: SimCLR {math.log(2 * recipe.batch - 1):.2f}.",
        "",
        "| features | kNN | linear probe | wall seconds | processor seconds | last loss |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    shortened = options.epochs or options.count
    name = "week2_photographs" + "_full" * options.full + ".md"
    if not shortened:
        (RESULTS / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
