"""How a submission is executed while nbgrader grades it (named in nbgrader_config.py)."""

import os
import secrets
from typing import Any

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade
from traitlets import Unicode, default

_DRAWN = str(secrets.randbelow(2**31))  # once a process: all submissions of a batch meet the same tests


class ExecuteLab(Execute):
    """nbgrader's Execute, made fair to students and hard to stop.

    - The kernel is given the secret seed of the hidden tests as COURSE_SECRET_SEED.
    - A cell that runs too long is interrupted, says so, and the next cells still run.
    - A kernel that dies, or cannot be interrupted, costs the cells from there on, each with a line that says
      why; nbgrader alone would lose the whole submission.
    - A warning does not turn a right answer into no points (nbgrader scores any stderr 0): what a graded cell
      writes to stderr is shown as ordinary output.
    """

    seed = Unicode(help="seed of the hidden tests; the environment's COURSE_SECRET_SEED, else drawn").tag(
        config=True
    )

    @default("seed")
    def _seed(self) -> str:
        return os.environ.get("COURSE_SECRET_SEED", _DRAWN)

    def preprocess(self, nb: Any, resources: Any = None, km: Any = None) -> Any:
        self.lost = ""  # why no further cell can run
        sentence = f"this cell ran longer than {self.timeout} s and was stopped: is there an endless loop?"
        self.error_on_timeout = _error("TooSlow", sentence)
        self.log.info("Hidden tests use COURSE_SECRET_SEED=%s", self.seed)
        return super().preprocess(nb, resources, km)

    def start_new_kernel(self, **kwargs: Any) -> None:
        env = {**os.environ, "COURSE_SECRET_SEED": self.seed, "COURSE_STATIC": "1"}
        super().start_new_kernel(env=env, **kwargs)

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> Any:
        if cell.cell_type != "code":
            return cell, resources
        if self.lost:
            cell.outputs = [new_output("error", **_error("NotRun", self.lost))]
            return cell, resources
        try:
            cell, resources = super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            self._give_up(cell, "KernelDied", "Python died while this cell ran (out of memory, or os._exit?)")
        except CellTimeoutError:
            why = f"this cell ran longer than {self.timeout} s and could not be stopped"
            self._give_up(cell, "TooSlow", why)
        else:
            _settle(cell)
        return cell, resources

    def _give_up(self, cell: Any, name: str, why: str) -> None:
        cell.outputs.append(new_output("error", **_error(name, why)))
        self.lost = f"not run, because of an earlier cell: {why}"


def _error(name: str, sentence: str) -> dict[str, Any]:
    return {"ename": name, "evalue": sentence, "traceback": [f"\x1b[0;31m{name}\x1b[0m: {sentence}"]}


def _settle(cell: Any) -> None:
    """Keep one error, the one that says most, and no stderr in a graded cell."""
    if any(output.get("ename") == "TooSlow" for output in cell.outputs):
        cell.outputs = [output for output in cell.outputs if output.get("ename") != "KeyboardInterrupt"]
    for output in cell.outputs:
        if is_grade(cell) and output.get("name") == "stderr":
            output["name"] = "stdout"
