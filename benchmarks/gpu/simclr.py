"""SimCLR with a ResNet-18 on 32-pixel photographs: images a second, kNN accuracy; as long as time allows."""

from __future__ import annotations

import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu.common import DEVICE, milliseconds, options, table
from course_lib import data
from course_lib.augment import papers
from course_lib.data.real import split_folder, to_square
from course_lib.evaluate import features, knn_accuracy, raw_pixels
from course_lib.methods import SimCLR
from course_lib.models import SmallConvNet, mlp, resnet18
from course_lib.train import Views, fit

BATCH = 512
LR = 0.06 * BATCH / 128
SECONDS_BESIDE = 70  # of the part's time, for loading, measuring and the probes


def main() -> None:
    asked = options()
    smallest = asked.smallest
    start = time.perf_counter()
    train, test = (load(asked.photographs, split, smallest) for split in ("train", "test"))
    loaded = time.perf_counter() - start
    print(
        f"{'Photographs' if asked.photographs else 'Shapes (no folder of photographs was given)'}: ", end=""
    )
    print(f"{len(train)} to learn from, {len(test)} to test on, loaded in {loaded:.0f} s.\n")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    backbone = SmallConvNet(4) if smallest else resnet18()
    method = SimCLR(backbone, 128)
    method.projector = mlp(backbone.num_features, 512, 128)
    method.to(DEVICE, memory_format=torch.channels_last)
    augment = papers.simclr(32, strength=0.5, blur=False)
    views = Views(train, augment, batch_size=64 if smallest else BATCH, device=DEVICE)

    def knn(encode) -> float:
        pair = (encode(train.images), train.labels, encode(test.images), test.labels)
        return knn_accuracy(*pair, k=20 if smallest else 200, temperature=0.1)

    untrained = knn(lambda images: features(method, images, batch_size=2000))
    rate, bare = speeds(method, views)
    left = (
        float(os.environ.get("COURSE_PART_SECONDS", "240")) - (time.perf_counter() - start) - SECONDS_BESIDE
    )
    epochs = 1 if smallest else max(1, int(left * rate / (2 * len(views) * views.batch_size)))
    print(f"{epochs} epochs of {len(views)} steps", file=sys.stderr, flush=True)
    settings = {"optimiser": "sgd", "lr": LR, "weight_decay": 5e-4, "precision": "bf16"}
    settings = {"lr": 1e-3} if smallest else settings
    history = fit(method, views, epochs=epochs, progress=False, **settings)
    per_second = epochs * len(views) * views.batch_size / history.seconds
    rows = [
        ["raw pixels", f"{knn(raw_pixels):.3f}"],
        ["untrained network", f"{untrained:.3f}"],
        [f"SimCLR, {epochs} epochs", f"{knn(lambda images: features(method, images, batch_size=2000)):.3f}"],
    ]
    print(
        f"{epochs} epochs in {history.seconds:.0f} s: {per_second:,.0f} images a second (two views each), "
        f"bf16, channels last, batch {views.batch_size}, views made on the device; loss "
        f"{history.losses[0]:.2f} to {history.losses[-1]:.2f}. Views alone: {bare['views']:,.0f} images a "
        f"second; network and loss alone: {bare['network']:,.0f}.\n"
    )
    print(table(["", "kNN accuracy, last epoch"], rows))


def load(photographs: Path | None, split: str, smallest: bool) -> data.ImageSet:
    """As `data.load`, decoded by processes: with many small files its threads wait for Python's lock."""
    most = {"train": 512, "test": 256} if smallest else {"train": 50_000, "test": 10_000}
    if photographs is None:
        return data.load("shapes", split, count=most[split])
    from torch.utils.data import DataLoader, Subset
    from torchvision.datasets import ImageFolder

    folder = ImageFolder(split_folder(str(photographs), split), partial(to_square, size=32))
    chosen = torch.randperm(len(folder), generator=torch.Generator().manual_seed(0))[: most[split]]
    batches = DataLoader(Subset(folder, chosen.tolist()), batch_size=250, num_workers=os.cpu_count() or 1)
    images, labels = [], []
    for pictures, classes in batches:
        images.append(pictures)
        labels.append(classes)
        if len(images) % 20 == 0:
            print(f"{split}: {250 * len(images)} of {len(chosen)} images", file=sys.stderr, flush=True)
    return data.ImageSet(torch.cat(images), torch.cat(labels), tuple(folder.classes))


def speeds(method: torch.nn.Module, views: Views) -> tuple[float, dict[str, float]]:
    """A guess at views a second in training, and images a second of the two halves of a step."""
    batches = iter(views)
    batch = next(batches)
    dtype = torch.bfloat16 if DEVICE == "cuda" else torch.float32

    def step() -> None:
        with torch.autocast(DEVICE, dtype, enabled=DEVICE == "cuda"):
            loss = method(batch)
        loss.backward()
        method.zero_grad()

    made = statistics.median(milliseconds(lambda: next(batches), 5)) / 1000
    learnt = statistics.median(milliseconds(step, 5)) / 1000
    images = views.batch_size
    return 2 * images / (made + learnt), {"views": images / made, "network": images / learnt}


if __name__ == "__main__":
    main()
