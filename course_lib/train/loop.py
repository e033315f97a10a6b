"""The one training loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_lib.train.checkpoint import Checkpoint
from course_lib.train.devices import make_accelerator
from course_lib.train.guards import check_batch
from course_lib.train.history import History
from course_lib.train.optimiser import make_optimiser
from course_lib.train.record import Meter, Probe, Record
from course_lib.train.schedule import warmup_cosine


def fit(
    method: nn.Module,
    batches: Any,
    *,
    epochs: int,
    lr: float = 2e-3,
    weight_decay: float = 1e-4,
    optimiser: str = "adamw",
    momentum: float = 0.9,
    warmup: float = 0.1,
    clip: float | None = None,
    accumulate: int = 1,
    precision: str = "fp32",
    device: torch.device | str | None = None,
    chance: float | None = None,
    probe: Probe | None = None,
    meter: Meter | None = None,
    log: str | Path | None = None,
    checkpoint: str | Path | None = None,
    save_every: int | None = None,
    progress: bool = True,
) -> History:
    """Train a method: a warm-up, then a half cosine to zero; `method(batch)` is the loss.

    After each step `method.after_step()` is called if there is one (momentum networks, queues). Under
    `torchrun` the same call trains on all devices: the method must join what its loss compares (`gather`),
    the batches must share the images out (`Views` does), and probe, log and bar are the first process's.

    Args:
        method: the loss of a batch is `method(batch)`. All that a run must remember has to be in its
            `state_dict`. Left in training mode, on the device it was trained on.
        batches: sized iterable; one pass is one epoch.
        epochs: passes.
        lr: learning rate at the end of the warm-up.
        weight_decay: on all parameters; LARS spares biases and norms.
        optimiser: "adamw", "sgd" or "lars".
        momentum: of SGD and LARS.
        warmup: share of the steps with a climbing learning rate, in [0, 1).
        clip: largest norm of the whole gradient; None leaves it as it is.
        accumulate: batches whose gradients are averaged before a step. A contrastive loss still sees one
            batch at a time, so this adds no negatives.
        precision: "fp32", or mixed "bf16" or "fp16".
        device: "cpu" or "cuda"; where the method's parameters are if not given.
        chance: loss of a network that knows nothing, shown beside the loss and kept for plots.
        probe: called with the method after every epoch; its value is recorded and shown, never trained on,
            and the random numbers it draws do not change the run.
        meter: like `probe`, for several named values, such as a collapse meter.
        log: folder for CSV files (and TensorBoard's).
        checkpoint: file to save to. If it exists, the run goes on from there; to the last digit on a CPU.
        save_every: steps between two saves; once an epoch if not given.
        progress: show a bar.

    Returns:
        The run's history, with the part before an interruption.

    Raises:
        FloatingPointError: the loss is not finite; says at which step and learning rate.
        ValueError, TypeError: settings, or a first batch, that cannot work (see `devices.py`, `guards.py`).
    """
    steps = count_steps(batches, epochs=epochs, accumulate=accumulate, warmup=warmup)
    accelerator = make_accelerator(method, device=device, precision=precision, accumulate=accumulate)
    model, optim = accelerator.prepare(
        method, make_optimiser(optimiser, method, lr=lr, momentum=momentum, weight_decay=weight_decay)
    )
    saved = Checkpoint(
        checkpoint,
        accelerator,
        batches,
        method=type(method).__name__,
        epochs=epochs,
        steps=steps,
        optimiser=optimiser,
        lr=lr,
        weight_decay=weight_decay,
        momentum=momentum,
        warmup=warmup,
        clip=clip,
        accumulate=accumulate,
        precision=precision,
        processes=accelerator.num_processes,
    )
    history = saved.load(method, optim) or History(chance=chance)
    save_every = save_every or max(1, len(batches) // accumulate)
    first, main = len(history.losses) * accumulate, accelerator.is_main_process
    after_step: Callable[[], None] = getattr(method, "after_step", lambda: None)
    method.train()
    record = Record(
        history, steps=steps, name=type(method).__name__, log=log if main else None, shown=progress and main
    )
    with unwrapping(accelerator, model), record:
        for taken, batch in stream(batches, first, steps * accumulate):
            batch = to_device(batch, accelerator.device)
            if taken == first + 1:
                check_batch(method, batch, accelerator.num_processes)
            rate = lr * warmup_cosine(len(history.losses), steps, round(warmup * steps))
            with accelerator.accumulate(model):  # every `accumulate` batches, gradients become a step
                loss = model(batch)
                record.loss(accelerator.reduce(loss.detach(), "mean").item(), rate)
                accelerator.backward(loss)
                if clip is not None and accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(method.parameters(), clip)
                for group in optim.param_groups:
                    group["lr"] = rate
                optim.step()
                optim.zero_grad()
            stepped = accelerator.sync_gradients
            if stepped:
                after_step()
                record.step(rate)
            if main and (taken % len(batches) == 0 or taken == steps * accumulate):
                record.measure(method, probe, meter)
            if stepped and (len(history.losses) % save_every == 0 or len(history.losses) == steps):
                saved.save(method, optim, history)
    return history


def count_steps(batches: Any, *, epochs: int, accumulate: int, warmup: float) -> int:
    """Optimiser steps of a run; batches that do not fill the last one are left out."""
    if epochs < 1 or accumulate < 1 or not 0 <= warmup < 1:
        raise ValueError(
            "expected epochs >= 1, accumulate >= 1 and 0 <= warmup < 1, "
            f"got epochs={epochs}, accumulate={accumulate}, warmup={warmup}"
        )
    steps = epochs * len(batches) // accumulate
    if steps < 1:
        raise ValueError(
            f"{epochs} epochs of {len(batches)} batches are not enough for one step of {accumulate} batches"
        )
    return steps


def stream(batches: Any, taken: int, total: int) -> Iterator[tuple[int, Any]]:
    """Pass after pass over the batches, each with its number in the run, from `taken` + 1 to `total`."""
    while taken < total:
        for batch in batches:
            taken += 1
            yield taken, batch
            if taken == total:
                return
        if taken % len(batches):
            raise ValueError(
                f"the batches ended after {taken % len(batches)} of {len(batches)}: a generator can be read "
                "only once; give an object that starts again, such as Views"
            )


@contextmanager
def unwrapping(accelerator: Any, model: nn.Module) -> Iterator[None]:
    """Whatever happens, the method gets back the forward that Accelerate wrapped for mixed precision."""
    try:
        yield
    finally:
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch, however nested, on the device of the run."""
    from accelerate.utils import send_to_device

    return send_to_device(batch, device)
