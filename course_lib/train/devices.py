"""Where a run computes, and how precisely."""

import random
from typing import Any

import numpy as np
import torch
from torch import nn

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def make_accelerator(
    method: nn.Module, *, device: torch.device | str | None, precision: str, accumulate: int
) -> Any:
    """Accelerate's handle on device, precision and processes (`torchrun` starts several).

    Args:
        method: where its parameters are is where it is trained, unless `device` says otherwise.
        device: "cpu" or "cuda"; with several processes each takes its own GPU.
        precision: "fp32", "bf16" or "fp16"; the last needs a GPU.
        accumulate: batches whose gradients are averaged before a step.

    Raises:
        ValueError: an unknown precision, float16 without a GPU, CUDA where there is none, accumulate < 1.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    kind = torch.device(device if device is not None else next(method.parameters()).device).type
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError('device="cuda" was asked for, but torch sees no GPU here')
    if precision == "fp16" and kind == "cpu":
        raise ValueError('precision="fp16" needs a GPU; on the CPU use "fp32" or "bf16"')
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, got {accumulate}")
    # Accelerate remembers device and precision for the whole process; a notebook may change them.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        cpu=kind == "cpu", mixed_precision=PRECISIONS[precision], gradient_accumulation_steps=accumulate
    )
    if accelerator.process_index > 0:
        spread_seeds(accelerator.process_index)
    return accelerator


def spread_seeds(rank: int) -> None:
    """Give this process random numbers of its own, or all would augment their images alike."""
    seed = int(torch.randint(2**31, ())) + rank
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (the global state is what others draw from)
    random.seed(seed)
