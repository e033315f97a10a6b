"""What a run writes down while it runs."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course_lib.train.history import History

STEP_COLUMNS = ("step", "loss", "lr", "seconds")
MEASURE_COLUMNS = ("step", "name", "value")


class Log:
    """Two CSV files in a folder, and TensorBoard's event file where TensorBoard is installed.

    steps.csv has one row a step: step, loss, lr, seconds since the start of the run.
    measures.csv has one row a measurement: step, name, value.

    Args:
        folder: made if missing; None writes nothing.
        history: what happened before; rows that a killed run wrote after its checkpoint are dropped.
    """

    def __init__(self, folder: str | Path | None, history: History) -> None:
        self._files: list[Any] = []
        self._board: Any = None
        if folder is None:
            return
        folder, done = Path(folder), len(history.losses)
        folder.mkdir(parents=True, exist_ok=True)
        self._steps = self._open(folder / "steps.csv", STEP_COLUMNS, done)
        self._measures = self._open(folder / "measures.csv", MEASURE_COLUMNS, done)
        self._board = tensorboard(folder, done)

    def _open(self, path: Path, columns: tuple[str, ...], done: int) -> Any:
        kept: list[list[str]] = []
        if done and path.exists():
            with path.open(newline="", encoding="utf-8") as old:
                rows = [row for row in csv.reader(old) if len(row) == len(columns) and row != [*columns]]
                kept = [row for row in rows if int(row[0]) <= done]
        # Line by line, so that whoever watches the file sees every step.
        file = path.open("w", newline="", encoding="utf-8", buffering=1)
        self._files.append(file)
        writer = csv.writer(file)
        writer.writerows([columns, *kept])
        return writer

    def step(self, history: History) -> None:
        """Write the history's last step."""
        if not self._files:
            return
        step, loss, lr = len(history.losses), history.losses[-1], history.lrs[-1]
        self._steps.writerow([step, repr(loss), repr(lr), f"{history.seconds:.3f}"])
        self._draw(step, {"loss": loss, "lr": lr})

    def measures(self, step: int, values: Mapping[str, float]) -> None:
        """Write what was measured after a step."""
        if not self._files:
            return
        self._measures.writerows([step, name, repr(value)] for name, value in values.items())
        self._draw(step, values)

    def _draw(self, step: int, values: Mapping[str, float]) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        for file in self._files:
            file.close()
        if self._board is not None:
            self._board.close()


def tensorboard(folder: Path, done: int) -> Any:
    """A TensorBoard writer that hides what was drawn after step `done`; None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=done + 1)
