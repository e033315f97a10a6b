"""How a submission is executed while nbgrader grades it (named in nbgrader_config.py)."""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from nbclient.exceptions import CellExecutionComplete, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade
from traitlets import Bool, List, Unicode, default

from course_lib.check.ladder import Verdict
from course_lib.check.shown import CheckFailed, Passed
from course_lib.exercises import names
from course_tools.grading import mask
from course_tools.grading.harmless import known_outputs, make_harmless
from course_tools.grading.jail import Jail, JailedKernelManager, Limits
from course_tools.grading.referee.server import Referee, Ruling

_DRAWN = str(secrets.randbelow(2**31))  # once a process: all submissions of a batch meet the same tests
_CHECK = re.compile(r'check\("(\w+)", \w+\)')
MAX_PRINTED = 10_000
RECORD = "verdicts.json"


class UntrustedCell(ValueError):
    """A graded cell that is no check: whatever it says, the student's code would say it."""


class ExecuteLab(Execute):
    """nbgrader's Execute, with a jail and a referee, made fair to students and hard to stop.

    - The kernel is in a jail; where none can be built, grading is refused unless COURSE_UNSAFE=1 is set.
    - A graded cell is `check("<its grade id>", <function>)` of an exercise, and nothing else. While it runs,
      the referee takes the answers of the student's function; when it has ended, its outputs are written
      here, from the referee's verdict. What the kernel prints, returns, displays or raises is worth nothing.
    - The secret seed stays in this process; the kernel's course_lib is one in which what the lab asks for is
      withheld.
    - A cell that runs too long is interrupted, says so, and the next cells still run.
    - A kernel that dies, or cannot be interrupted, costs the cells from there on, each with a line that says
      why; nbgrader alone would lose the whole submission.
    - What the kernel wrote is kept in known forms only, none of which runs in a browser; a forged message
      leaves a notebook that is valid.
    - Beside the graded notebook, verdicts.json keeps each verdict: item, rung, misconception, credit, notes.
    """

    seed = Unicode(help="secret seed of the inputs; the environment's COURSE_SECRET_SEED, else drawn").tag(
        config=True
    )
    device = Unicode(help='"cuda" asks every input on the GPU as well; the default where there is one').tag(
        config=True
    )
    allowed_packages = List(
        Unicode(),
        help="packages that implement what labs ask for and may be imported all the same, such as lightly",
    ).tag(config=True)
    own_tests = Bool(
        False,
        help="let graded cells that are no check(...) score by what they raise; forging that is easy",
    ).tag(config=True)

    store_widget_state = Bool(False, help="nothing shows it, and its size has no bound").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        # nbgrader passes its own manager as an argument, over which no setting would win.
        super().__init__(**{"kernel_manager_class": JailedKernelManager, **kwargs})

    @default("seed")
    def _seed(self) -> str:
        return os.environ.get("COURSE_SECRET_SEED", _DRAWN)

    @default("device")
    def _device(self) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"

    def preprocess(self, nb: Any, resources: Any = None, km: Any = None) -> Any:
        self.lost = ""  # why no further cell can run
        self.rulings: list[Ruling] = []
        sentence = f"this cell ran longer than {self.timeout} s and was stopped: is there an endless loop?"
        self.error_on_timeout = _error("TooSlow", sentence)
        self.log.info("The hidden inputs are drawn from COURSE_SECRET_SEED=%s", self.seed)
        self.items = {i: self._item(cell) for i, cell in enumerate(nb.cells) if _is_graded_code(cell)}
        with ExitStack() as stack:
            self.referee = stack.enter_context(Referee(self.seed, self.device))
            nb, resources = super().preprocess(nb, resources, km)
        self._record(resources)
        return make_harmless(nb), resources

    def _item(self, cell: Any) -> str:
        """The exercise that a graded cell checks; "" for a cell that tests on its own, where that is allowed.

        Raises:
            UntrustedCell: it is no check, and that is not allowed.
        """
        grade_id = cell.metadata.nbgrader["grade_id"]
        match = _CHECK.fullmatch(cell.source.strip())
        if match and match[1] == grade_id and grade_id in names():
            return str(grade_id)
        if self.own_tests:
            return ""
        raise UntrustedCell(
            f"graded cell {grade_id!r} must be exactly check({grade_id!r}, <function>) of an exercise in"
            f" course_lib.exercises, or else a student could write the points; it is:\n{cell.source}"
        )

    def start_new_kernel(self, **kwargs: Any) -> None:
        library = mask.library(frozenset(filter(None, self.items.values())))
        env = {key: value for key, value in os.environ.items() if key != "COURSE_SECRET_SEED"}
        env |= {
            "COURSE_REFEREE": str(self.referee.address),
            "COURSE_STATIC": "1",
            "PYTHONPATH": os.pathsep.join([str(library), *_elsewhere(env.get("PYTHONPATH", ""))]),
        }
        if issubclass(self.kernel_manager_class, JailedKernelManager):
            folder = Path(self.resources["metadata"]["path"])
            kwargs["jail"] = Jail(
                library,
                self.referee.channel,
                folder,
                self.device,
                self.limits(),
                tuple(self.allowed_packages),
            )
        super().start_new_kernel(env=env, **kwargs)

    def limits(self) -> Limits:
        """What the jail of a notebook's kernel allows."""
        return Limits()

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> Any:
        if cell.cell_type != "code":
            return cell, resources
        if self.lost:
            cell.outputs = [new_output("error", **_error("NotRun", self.lost))]
            return cell, resources
        item = self.items.get(index, "")
        if item:
            self.referee.open(item)
        try:
            cell, resources = super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            self._give_up(cell, "KernelDied", "Python died while this cell ran (out of memory, or os._exit?)")
        except CellTimeoutError:
            why = f"this cell ran longer than {self.timeout} s and could not be stopped"
            self._give_up(cell, "TooSlow", why)
        except _WHAT_BAD_MESSAGES_RAISE as error:
            why = f"the kernel sent something that no kernel sends ({type(error).__name__})"
            self._give_up(cell, "KernelBroke", why)
        # What later cells say must not change this one's outputs, by an update of what it displays.
        self.clear_display_id_mapping(index)
        _settle(cell)
        if item:
            self._rule(cell, self.referee.close())
        return cell, resources

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """nbclient's; but a message that is not of its form is dropped, and the grading goes on."""
        try:
            return super().process_message(msg, cell, cell_index)
        except CellExecutionComplete:
            raise
        except Exception as error:
            self.log.warning("The kernel sent a message that is none: %s", error)
            return None

    async def _async_poll_kernel_alive(self) -> None:
        """nbclient leaves this running when a cell ends by an exception; it then finds no kernel to ask."""
        with suppress(AssertionError):
            await super()._async_poll_kernel_alive()

    def _give_up(self, cell: Any, name: str, why: str) -> None:
        why = getattr(self.km, "reason", "") or why  # a jail knows better
        cell.outputs.append(new_output("error", **_error(name, why)))
        self.lost = f"not run, because of an earlier cell: {why}"

    def _rule(self, cell: Any, ruling: Ruling) -> None:
        """Put the referee's verdict in place of what the kernel says the cell came to."""
        self.rulings.append(ruling)
        printed = [output for output in cell.outputs if output.output_type == "stream"]
        errors = [output for output in cell.outputs if output.output_type == "error"]
        cell.outputs = printed + [_said(f"{ruling.item}: {note}") for note in ruling.notes]
        for error in errors:
            if not any(error.ename in line for line in error.traceback):  # the kernel kept its traceback back
                error.traceback = _error(error.ename, error.evalue)["traceback"]
        if self.lost or ruling.verdict is None:
            cell.outputs += errors or [new_output("error", **_error("NothingHandedIn", _NOTHING))]
        else:
            cell.outputs += _outputs(ruling.item, ruling.verdict, float(cell.metadata.nbgrader["points"]))

    def _record(self, resources: Any) -> None:
        """Write verdicts.json; never through a link that the student's code may have left there."""
        folder = Path(resources["metadata"]["path"])
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            json.dump([asdict(ruling) for ruling in self.rulings], file, indent=1)
        os.replace(file.name, folder / RECORD)


# nbclient takes messages apart as if a kernel had made them; student code can send any that it likes.
_WHAT_BAD_MESSAGES_RAISE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

_NOTHING = "this cell handed no answers to the referee: it must be run as it was given"


def _elsewhere(search_path: str) -> list[str]:
    """The folders of a search path in which there is no course_lib."""
    folders = filter(None, search_path.split(os.pathsep))
    return [folder for folder in folders if not Path(folder, "course_lib").exists()]


def _is_graded_code(cell: Any) -> bool:
    return cell.cell_type == "code" and is_grade(cell)


def _error(name: str, sentence: str) -> dict[str, Any]:
    return {
        "ename": name,
        "evalue": sentence,
        "traceback": [f"\x1b[0;31m{name}\x1b[0m: {sentence}".rstrip(": ")],
    }


def _said(text: str) -> Any:
    return new_output("display_data", {"text/plain": text})


def _outputs(item: str, verdict: Verdict, points: float) -> list[Any]:
    """The verdict as nbgrader reads it: an error is no points, a number as result that many, else all."""
    if verdict.passed:
        passed = Passed(item, verdict)
        return [new_output("display_data", {"text/plain": repr(passed), "text/html": passed._repr_html_()})]
    if verdict.rung == "blank":
        return [new_output("error", **_error("NotImplementedError", " ".join(verdict.sentences)))]
    failed = CheckFailed(item, verdict)
    lines = failed._render_traceback_()
    if verdict.credit:
        earned = f"{verdict.credit * points:g} of {points:g} points."
        result = new_output("execute_result", {"text/plain": str(verdict.credit * points)})
        return [result, _said("\n".join([*lines, f"This earns {earned}"]))]
    return [new_output("error", ename="CheckFailed", evalue=str(failed), traceback=lines)]


def _settle(cell: Any) -> None:
    """Keep one error, the one that says most; in a graded cell no stderr, and a bounded amount of text."""
    cell.outputs = known_outputs(cell.outputs)
    if any(output.get("ename") == "TooSlow" for output in cell.outputs):
        cell.outputs = [output for output in cell.outputs if output.get("ename") != "KeyboardInterrupt"]
    for output in cell.outputs:
        if is_grade(cell) and output.output_type == "stream":
            output["name"] = "stdout"
            output["text"] = output["text"][-MAX_PRINTED:]
