"""Grade one sample submission of a lab and compare the result with what it should be."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from course_tools.build.outcome import Outcome
from course_tools.build.project import prepare_jupyter

if TYPE_CHECKING:
    from course_tools.grading.autograde import Course, Item


@dataclass(frozen=True)
class Expectation:
    """What a sample must come to.

    Attributes:
        score: points, of all (also the written answers, where they are the solution's own).
        says: words that some item's line must hold, or several such.
        only_error: the one kind of error that may occur in the notebook; "" for none, None for any.
        cell_timeout: seconds a cell may take, if not as in nbgrader_config.py.
    """

    score: float | None = None
    says: str | Sequence[str] = ()
    only_error: str | None = None
    cell_timeout: int | None = None

    @property
    def words(self) -> Sequence[str]:
        return [self.says] if isinstance(self.says, str) else self.says


SOLUTION = Expectation(only_error="")  # and full marks
BLANK = Expectation(score=0, only_error="NotImplementedError")


def declared(sample: Path) -> Expectation:
    """The expectation in the header of a sample's text source.

    The header is YAML between `# ---` lines with `expect: {score: 90, says: "...", cell_timeout: 20}`.

    Raises:
        ValueError: there is none.
    """
    import yaml  # type: ignore[import-untyped]

    match = re.match(r"# ---\n(.*?)^# ---$", sample.read_text(encoding="utf-8"), re.M | re.S)
    header = yaml.safe_load(re.sub(r"^# ?", "", match[1], flags=re.M)) if match else {}
    if "expect" not in header:
        raise ValueError(
            f"{sample} does not say what it expects: give it a header with `expect: {{score: ...}}`"
        )
    return Expectation(**header["expect"])


def grade(
    course: Course,
    student: str,
    expected: Expectation | Path,
    report: Path,
    seed: str | None = None,
    bar: dict[str, Any] | None = None,
) -> Outcome:
    """Autograde what `student` handed in, write the feedback page, and judge the result.

    Args:
        course: the course in which `student` has submitted.
        expected: what it must come to, or the sample's source, whose header declares it.
        report: the report's folder; the feedback page goes to `labs/<lab>/<student>.html` in it.
        seed: of the hidden tests.
        bar: keywords for a tqdm bar over the cells.
    """
    prepare_jupyter()
    from tqdm.auto import tqdm

    from course_tools.build.notebooks import read
    from course_tools.grading import autograde

    begin = perf_counter()
    if isinstance(expected, Path):
        expected = declared(expected)
    cells = len(read(course.path("submitted", student)).cells)
    with tqdm(total=cells, unit="cell", **(bar or {"disable": True})) as progress:
        autograde.autograde(
            course,
            student,
            seed=seed,
            cell_timeout=expected.cell_timeout,
            on_cell=lambda **_: progress.update(),
        )
    autograde.credit_model_answers(course, student)
    items = autograde.items(course, student)
    page = report / "labs" / course.lab / f"{student}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(autograde.write_feedback(course, student), page)
    return Outcome(
        name=f"{course.lab}/{student}",
        seconds=perf_counter() - begin,
        headline=_score_line(items),
        problem="; ".join(_surprises(expected, items, autograde.errors(course, student))),
        items=[asdict(item) for item in items],
        pages=[page.relative_to(report).as_posix()],
    )


def _score_line(items: list[Item]) -> str:
    score, points = sum(item.score or 0 for item in items), sum(item.points for item in items)
    waiting = sum(item.score is None for item in items)
    return f"{score:g}/{points:g}" + (f" ({waiting} written answers wait for a reader)" if waiting else "")


def _surprises(expected: Expectation, items: list[Item], errors: list[str]) -> list[str]:
    found = []
    score = sum(item.score or 0 for item in items)
    points = sum(item.points for item in items)
    wanted = points if expected.score is None else expected.score
    if abs(score - wanted) > 1e-6:
        lost = ", ".join(f"{item.name} ({item.line})" for item in items if item.score != item.points)
        found.append(f"scored {score:g}, expected {wanted:g}: {lost}")
    if expected.only_error is not None and (other := sorted(set(errors) - {expected.only_error})):
        found.append(f"unexpected errors: {', '.join(other)}")
    lines = [" ".join(item.line.split()) for item in items]
    found += [
        f"no item says {words!r}" for words in expected.words if not any(words in line for line in lines)
    ]
    return found
