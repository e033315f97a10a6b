"""One file from which a killed run goes on as if nothing had happened."""

import os
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from course_lib.train.history import History


class Checkpoint:
    """The whole state of a run in one file, replaced in one move.

    Saved: the method (weights, and queues and momentum networks, which are its buffers and parameters), the
    optimiser, the loss scale of float16, the place in the epoch, the history, and the random states of
    torch, numpy and Python of every process.

    Args:
        path: the file, or None to keep nothing.
        accelerator: Accelerate's, which knows the processes.
        batches: must know their place in the epoch, with `state_dict` and `load_state_dict`.
        settings: what must not change between the two parts of a run.
    """

    def __init__(self, path: str | Path | None, accelerator: Any, batches: Any, **settings: Any) -> None:
        if path is not None and not hasattr(batches, "load_state_dict"):
            raise TypeError(
                "a checkpoint needs batches with state_dict and load_state_dict, as Views has them, "
                f"got {type(batches).__name__}"
            )
        self.path = None if path is None else Path(path)
        self.settings, self.accelerator, self.batches = settings, accelerator, batches

    def save(self, method: nn.Module, optimiser: Any, history: History) -> None:
        """Write the state after a finished step. All processes must call this; the first one writes."""
        if self.path is None:
            return
        from accelerate.utils import gather_object

        state = {
            "settings": self.settings,
            "method": method.state_dict(),
            "optimiser": optimiser.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
            "batches": self.batches.state_dict(),
            "history": asdict(history),
            "random": gather_object([random_state(self.accelerator.device)]),
        }
        if self.accelerator.is_main_process:
            write_atomically(state, self.path)
        self.accelerator.wait_for_everyone()

    def load(self, method: nn.Module, optimiser: Any) -> History | None:
        """Put a saved state back; None if there is no file yet.

        Raises:
            ValueError: the file was written by a run with other settings.
        """
        if self.path is None or not self.path.exists():
            return None
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        self._check(state["settings"])
        method.load_state_dict(state["method"])
        optimiser.load_state_dict(state["optimiser"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.batches.load_state_dict(state["batches"])
        set_random_state(state["random"][self.accelerator.process_index], self.accelerator.device)
        return History(**state["history"])

    def _check(self, saved: dict[str, Any]) -> None:
        changed = [
            f"{name} was {saved.get(name)!r} and is {value!r}"
            for name, value in self.settings.items()
            if saved.get(name) != value
        ]
        if changed:
            raise ValueError(
                f"{self.path} belongs to another run ({'; '.join(changed)}): delete it or name another file"
            )


def write_atomically(state: dict[str, Any], path: Path) -> None:
    """Write beside the file, force it to the disk, then swap: whoever reads finds the old file or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of every generator that a step may draw from, in plain types."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 (the global state is what others draw from)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": (kind, np.asarray(keys).tolist(), *rest),
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put back what `random_state` took."""
    torch.set_rng_state(state["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    np.random.set_state(state["numpy"])  # noqa: NPY002
    random.setstate(state["python"])
