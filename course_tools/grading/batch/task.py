"""What goes to a worker and what comes back: plain data, so that it travels to another machine as well."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from course_tools.grading.autograde import Item


@dataclass(frozen=True)
class Lab:
    """The lab as a worker needs it.

    Attributes:
        name: of the lab and its notebook.
        solution: the instructor's notebook, .ipynb text.
        config: nbgrader_config.py, text.
        files: what else lies beside the solution and is not a text source: path -> contents.
    """

    name: str
    solution: str
    config: str
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How to grade.

    Attributes:
        seed: of the hidden tests.
        device: "cpu" hides the GPUs from student code; "cuda" shows them, and asks every input there too.
        unsafe: in ordinary kernels, without a jail.
        seconds: for one notebook as a whole; what is not run by then is not graded.
    """

    seed: str
    device: str = "cpu"
    unsafe: bool = False
    seconds: int = 1200


@dataclass(frozen=True)
class Task:
    """One submission to grade.

    Attributes:
        notebook: the submitted file's bytes; None if there is none that can be read, and `problem` says why,
            or `failure` if that is not the student's doing.
        files: the other files handed in: path -> contents.
        remarks: sentences for the student, from looking at the files.
        timestamp, due: of handing in and the deadline with the student's extension, UTC without time zone.
    """

    student: str
    lab: Lab
    settings: Settings
    notebook: bytes | None
    problem: str = ""
    failure: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    timestamp: datetime | None = None
    due: datetime | None = None


GRADED, UNREADABLE, FAILED = "graded", "unreadable", "failed"
VERDICTS = "verdicts.json"


@dataclass(frozen=True)
class Result:
    """What came of one submission.

    Attributes:
        status: "graded"; "unreadable", with no points, when the file holds no notebook; "failed", without a
            score, when grading itself broke down: then the next run tries again.
        remarks: sentences for the student about the file.
        items: in the notebook's order.
        comments: grade id -> nbgrader's automatic comment, None for none.
        penalty: points taken off for being late, None for none.
        notebook: the executed notebook, .ipynb text.
        verdicts: what the grader noted beside it, verdicts.json; "" if nothing.
        log: for the instructor, when grading broke down.
    """

    student: str
    status: str
    remarks: list[str]
    items: list[Item]
    comments: dict[str, str | None]
    seconds: float
    notebook: str = ""
    penalty: float | None = None
    log: str = ""
    verdicts: str = ""

    @property
    def score(self) -> float:
        return sum(item.score or 0 for item in self.items)

    @property
    def points(self) -> float:
        return sum(item.points for item in self.items)

    @property
    def waiting(self) -> int:
        """How many items a person must read."""
        return sum(item.score is None for item in self.items)

    def to_json(self) -> dict[str, Any]:
        """All but the notebook and the verdicts, which are files of their own."""
        values = asdict(self)
        del values["notebook"], values["verdicts"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Result:
        return cls(**{**values, "items": [Item(**item) for item in values["items"]]})
