"""What came of one part of the main job."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """One line of the final table.

    Attributes:
        seconds: from beginning to end.
        cpu: processor seconds, with those of the processes that were started and waited for.
        headline: the notebook's headline number or the lab's score.
        problem: in a sentence what went wrong; empty when all is as expected.
        items: the graded cells of a submission.
        pages: paths in the report: the page first, then pictures.
        executed: the executed notebook of a lecture, its path below build/.
        reused: this is the outcome of an earlier run.
    """

    name: str
    seconds: float
    headline: str = ""
    problem: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    cpu: float = 0.0
    executed: str = ""
    reused: bool = False

    @property
    def status(self) -> str:
        return "FAILED" if self.problem else "unchanged" if self.reused else "ok"

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        del values["reused"]
        return values


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as aligned text: name, status, seconds, headline, and what went wrong."""
    rows = [("part", "status", "seconds", "headline or score")]
    rows += [(each.name, each.status, f"{each.seconds:.0f}", each.headline) for each in outcomes]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        f"{name:<{widths[0]}}  {status:<{widths[1]}}  {seconds:>{widths[2]}}  {headline}".rstrip()
        for name, status, seconds, headline in rows
    ]
    lines.insert(1, "-" * min(100, max(map(len, lines))))
    problems = [f"{each.name}: {each.problem}" for each in outcomes if each.problem]
    return "\n".join(lines + (["", *problems] if problems else []))
