"""History, log and progress bar of a run, kept together."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from torch import nn

from course_lib.train.checkpoint import random_state, set_random_state
from course_lib.train.history import History
from course_lib.train.logs import Log

Probe = Callable[[nn.Module], float]
Meter = Callable[[nn.Module], Mapping[str, float]]


class Record:
    """Writes steps and measurements into a history, a log and a bar; use it in a `with` statement.

    Args:
        history: grows with the run; may hold the part before an interruption.
        steps: of the whole run.
        name: shown before the bar.
        log: folder for the log, or None.
        shown: whether there is a bar.
    """

    def __init__(
        self, history: History, *, steps: int, name: str, log: str | Path | None, shown: bool
    ) -> None:
        from tqdm.auto import tqdm

        # A bar that nobody watches would stay as litter on the page of an executed notebook.
        watched = os.environ.get("COURSE_STATIC", "0") in ("", "0")
        self.history = history
        self.log = Log(log, history)
        self.bar = tqdm(
            total=steps,
            initial=len(history.losses),
            desc=name,
            unit="step",
            leave=False,
            disable=not (shown and watched),
        )
        self._start = time.perf_counter() - history.seconds
        self._shown: dict[str, str] = {}
        self._losses: list[float] = []

    def __enter__(self) -> "Record":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tick()
        self.log.close()
        self.bar.close()

    def tick(self) -> None:
        self.history.seconds = time.perf_counter() - self._start

    def loss(self, value: float, lr: float) -> None:
        """One batch's loss; with gradient accumulation several make a step.

        Raises:
            FloatingPointError: it is not finite.
        """
        if not abs(value) < float("inf"):
            raise FloatingPointError(
                f"the loss is {value} at step {len(self.history.losses)}, with learning rate {lr:.3g}: "
                "try a lower one, a longer warm-up or clip=1.0, and look for log(0), 0 / 0 and bad pixels"
            )
        self._losses.append(value)

    def step(self, lr: float) -> None:
        """An optimiser step was taken."""
        self.tick()
        self.history.losses.append(sum(self._losses) / len(self._losses))
        self.history.lrs.append(lr)
        self._losses.clear()
        self.log.step(self.history)
        chance = self.history.chance
        self._shown["loss"] = f"{self.history.losses[-1]:.3f}" + (f" (chance {chance:.3f})" if chance else "")
        self._shown["lr"] = f"{lr:.2g}"
        self.bar.set_postfix(self._shown, refresh=False)
        self.bar.update()

    def measure(self, method: nn.Module, probe: Probe | None, meter: Meter | None) -> None:
        """Ask probe and meter what the method knows by now, without touching the run's random numbers."""
        if probe is None and meter is None:
            return
        step = len(self.history.losses)
        values: dict[str, float] = {}
        before = random_state(next(method.parameters()).device)
        if probe is not None:
            values["probe"] = float(probe(method))
            self.history.probe.append((step, values["probe"]))
        for name, value in (meter(method) if meter is not None else {}).items():
            values[name] = float(value)
            self.history.meters.setdefault(name, []).append((step, values[name]))
        set_random_state(before, next(method.parameters()).device)
        method.train()
        self.log.measures(step, values)
        self._shown |= {name: f"{value:.3f}" for name, value in values.items()}
        self.tick()
