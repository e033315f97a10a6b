"""A run that is stopped and goes on, beside one that is not.

The resumed process begins with another seed. If it began anew, or if the checkpoint lacked anything (weights,
optimiser, random states, the place in the data), it would end with other weights.
"""

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

TOLERANCE = 1e-6  # relative; 0 was seen, and 1 is another run


class Stopped(Exception):
    """Raised in the middle of a run."""


def main() -> None:
    smallest = options().smallest
    # The order of sums on a GPU is free; without it, a difference would be the resume's own.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True, warn_only=True)
    images = data.load("shapes", "train", count=256 if smallest else 4096)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "run.pt"
        whole, steps = train(images, None, smallest, seed=0)
        with contextlib.suppress(Stopped):
            train(images, saved, smallest, seed=0, stop_after=2)
        done = len(torch.load(saved, weights_only=True)["history"]["losses"])
        resumed, taken = train(images, saved, smallest, seed=1)
    far = max(_far(whole[key].double(), resumed[key].double()) for key in whole)
    print(
        f"SimCLR for 4 epochs ({steps} steps), saved after {done} steps, stopped later, resumed from another "
        f"seed ({taken} steps), beside a whole run: no tensor of weights differs by more than {far:.1e} of "
        "its norm."
    )
    if taken != steps - done:
        raise SystemExit(f"not resumed at step {done} of {steps}: {taken} steps were taken")
    if far > TOLERANCE:
        raise SystemExit(f"the resumed run is another one: its weights differ by {far:.1e}")


def _far(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / one.norm().clamp(min=1e-12))


def train(
    images: data.ImageSet,
    checkpoint: Path | None,
    smallest: bool,
    *,
    seed: int,
    stop_after: int | None = None,
) -> tuple[dict[str, Tensor], int]:
    """Weights at the end, and how many steps this call took; stopped in the epoch after `stop_after`."""
    epochs = steps = 0

    def stop(method: object) -> float:
        nonlocal epochs
        epochs += 1
        if stop_after is not None and epochs > stop_after:  # an epoch that no checkpoint knows
            raise Stopped
        return 0.0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    torch.manual_seed(seed)
    network = SmallConvNet(4) if smallest else resnet18()
    method = SimCLR(network, 32).to(DEVICE)
    method.register_forward_hook(count)
    views = Views(images, SimCLRAugment(32), batch_size=64 if smallest else 256, device=DEVICE)
    fit(method, views, epochs=4, probe=stop, checkpoint=checkpoint, progress=False)
    return {k: v.cpu() for k, v in method.state_dict().items()}, steps


if __name__ == "__main__":
    main()
