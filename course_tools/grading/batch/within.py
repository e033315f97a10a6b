"""Limits for a notebook as a whole: neither slow cells nor endless output may hold up a class."""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import Any

import torch
from nbformat.v4 import new_output
from traitlets import Integer

from course_tools.grading.execute import ExecuteLab
from course_tools.grading.jail import Limits


class ExecuteWithin(ExecuteLab):
    """ExecuteLab with totals.

    - When the notebook has used up its time, the running cell is stopped and the next ones are not run.
    - What a cell writes beyond its share is dropped as it arrives (nbgrader counts lines, at the end: one
      line of 80 MB would be kept). Errors and small results always arrive, because points depend on them.
    """

    total = Integer(1200, help="seconds for all cells of a notebook together").tag(config=True)
    max_output = Integer(200_000, help="characters of output a cell may leave").tag(config=True)

    def limits(self) -> Limits:
        """Enough for the notebook's own limit, which is told in better words, to come first."""
        threads = torch.get_num_threads() + 1  # the kernel's own is another
        return Limits(cpu_seconds=self.total * threads, wall_seconds=self.total + 600)

    def preprocess(self, nb: Any, resources: Any = None, km: Any = None) -> Any:
        self.end = 0.0
        self.cell_limit: int = self.timeout or self.total
        self.written: Counter[int] = Counter()
        return super().preprocess(nb, resources, km)

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> Any:
        self.end = self.end or monotonic() + self.total  # starting the kernel does not count
        left = self.end - monotonic()
        sentence = f"the notebook as a whole took longer than {self.total} s"
        if cell.cell_type == "code" and left <= 0:
            cell.outputs = [new_output("error", **_too_slow(f"not run: {sentence}"))]
            return cell, resources
        if left < self.cell_limit:
            self.timeout = max(1, round(left))
            self.error_on_timeout = _too_slow(f"this cell was stopped: {sentence}")
        return super().preprocess_cell(cell, resources, index)

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        size = len(str(msg["content"].get("text") or msg["content"].get("data") or ""))
        small_result = msg["msg_type"] == "execute_result" and size < 1000
        if msg["msg_type"] == "error" or small_result:
            return super().output(outs, msg, display_id, cell_index)
        before = self.written[cell_index]
        self.written[cell_index] += size
        if self.written[cell_index] <= self.max_output:
            return super().output(outs, msg, display_id, cell_index)
        if before <= self.max_output:
            outs.append(new_output("stream", name="stdout", text="\n[The rest of the output was dropped.]\n"))
        return None


def _too_slow(sentence: str) -> dict[str, Any]:
    traceback = [f"\x1b[0;31mTooSlow\x1b[0m: {sentence}"]
    return {"ename": "TooSlow", "evalue": sentence, "traceback": traceback}
