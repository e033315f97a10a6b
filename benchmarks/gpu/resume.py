"""A run that is stopped and goes on, beside one that is not."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu.common import DEVICE, options
from course_lib import data
from course_lib.augment import SimCLRAugment
from course_lib.methods import SimCLR
from course_lib.models import SmallConvNet, resnet18
from course_lib.train import Views, fit


class Stopped(Exception):
    """Raised in the middle of a run."""


def main() -> None:
    smallest = options().smallest
    # The order of sums on a GPU is free; without it, a difference would be the resume's own.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True, warn_only=True)
    images = data.load("shapes", "train", count=256 if smallest else 4096)
    with tempfile.TemporaryDirectory() as folder:
        whole, losses = train(images, None, smallest)
        saved = Path(folder) / "run.pt"
        with contextlib.suppress(Stopped):
            train(images, saved, smallest, stop_after=2)
        resumed, losses_resumed = train(images, saved, smallest)
    assert len(losses) == len(losses_resumed)
    apart = max(abs(a - b) / abs(a) for a, b in zip(losses, losses_resumed, strict=True))
    far = max(_far(whole[key].double(), resumed[key].double()) for key in whole)
    print(
        f"SimCLR for 4 epochs ({len(losses)} steps), stopped after 2 and resumed, beside a whole run: ",
        end="",
    )
    print(f"losses differ by {apart:.1e} of themselves at most, weights by {far:.1e} of their norm.")
    if apart > 1e-3:
        raise SystemExit(f"the resumed run is another one: losses differ by {apart:.1%}")


def _far(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / one.norm().clamp(min=1e-12))


def train(
    images: data.ImageSet, checkpoint: Path | None, smallest: bool, stop_after: int | None = None
) -> tuple[dict[str, Tensor], list[float]]:
    def stop(method: object) -> float:
        nonlocal stop_after
        if stop_after is not None:
            stop_after -= 1
            if stop_after < 0:
                raise Stopped
        return 0.0

    torch.manual_seed(0)
    network = SmallConvNet(4) if smallest else resnet18()
    method = SimCLR(network, 32).to(DEVICE)
    views = Views(images, SimCLRAugment(32), batch_size=64 if smallest else 256, device=DEVICE)
    history = fit(method, views, epochs=4, probe=stop, checkpoint=checkpoint, progress=False)
    return {k: v.cpu() for k, v in method.state_dict().items()}, list(history.losses)


if __name__ == "__main__":
    main()
