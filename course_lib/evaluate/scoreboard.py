"""The course's one scoreboard: every week adds its rows, and the references stand in the same table."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from html import escape
from pathlib import Path
from statistics import mean, stdev

REFERENCES = ("chance", "raw pixels", "8 x 8 pixels", "random network", "supervised")


@dataclass(frozen=True)
class Score:
    """One measurement.

    Attributes:
        week: which week recorded it.
        method: such as "SimCLR", or one of `REFERENCES`.
        dataset: what was learnt from and tested on.
        profile: "fast" or "full", or with the week ("fast, week 2") where a week has its own references, for
            a smaller network or fewer images; rows of two profiles are never mixed.
        metric: such as "kNN" or "linear probe", a fraction in [0, 1].
        seed: of the run.
        value: the measurement.
        seconds: of training, 0 for what needs none.
    """

    week: int
    method: str
    dataset: str
    profile: str
    metric: str
    seed: int
    value: float
    seconds: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.method, self.dataset, self.profile, self.metric


class Scoreboard:
    """Scores in a CSV file that later weeks read and add to.

    Args:
        path: the file; made on the first `record`.

    Displayed at the end of a cell it is an HTML table, printed it is aligned text.
    """

    def __init__(self, path: str | Path = "data/scoreboard.csv") -> None:
        self.path = Path(path)
        self.scores: list[Score] = self._read()

    def _read(self) -> list[Score]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = [field.name for field in fields(Score)]
        if rows and list(rows[0]) != names:
            raise ValueError(f"{self.path} has the columns {list(rows[0])}, expected {names}; move it away")
        return [
            Score(
                week=int(row["week"]),
                method=row["method"],
                dataset=row["dataset"],
                profile=row["profile"],
                metric=row["metric"],
                seed=int(row["seed"]),
                value=float(row["value"]),
                seconds=float(row["seconds"]),
            )
            for row in rows
        ]

    def record(
        self,
        method: str,
        values: dict[int, float],
        *,
        week: int,
        dataset: str,
        metric: str,
        profile: str = "full",
        seconds: float = 0.0,
    ) -> None:
        """Add one measurement a seed, in place of what stood there for the same method, data and metric.

        Args:
            method: a method's name, or one of `REFERENCES`.
            values: seed -> value in [0, 1].
            week, dataset, metric, profile: see `Score`.
            seconds: training time of one seed.

        Raises:
            ValueError: no values, or a value outside [0, 1].
        """
        if not values or not all(0 <= value <= 1 for value in values.values()):
            raise ValueError(f"expected at least one value in [0, 1] for {method!r}, got {values}")
        new = [
            Score(week, method, dataset, profile, metric, seed, float(value), round(seconds, 1))
            for seed, value in values.items()
        ]
        self.scores = [score for score in self.scores if score.key != new[0].key] + new
        self._write()

    def _write(self) -> None:
        """Write beside the file and swap, so that a stopped notebook never leaves half a table."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(f".{os.getpid()}.tmp")
        with draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Score)])
            writer.writeheader()
            writer.writerows(asdict(score) for score in self.scores)
        draft.replace(self.path)

    def values(self, method: str, *, metric: str, dataset: str, profile: str = "full") -> list[float]:
        """The values of one cell of the table, one a seed; empty if nothing was recorded."""
        key = (method, dataset, profile, metric)
        return [score.value for score in self.scores if score.key == key]

    def select(
        self,
        *,
        dataset: str | None = None,
        profile: str | None = None,
        methods: Sequence[str] | None = None,
    ) -> Scoreboard:
        """The rows of one data set, one profile or some methods, as a scoreboard of their own (in memory)."""
        chosen = Scoreboard.__new__(Scoreboard)
        chosen.path = self.path
        chosen.scores = [
            score
            for score in self.scores
            if dataset in (None, score.dataset)
            and profile in (None, score.profile)
            and (methods is None or score.method in methods)
        ]
        return chosen

    def methods(self) -> list[str]:
        """Methods in the order of the table: the references first, then week by week."""
        week_of = {score.method: score.week for score in reversed(self.scores)}
        references = [name for name in REFERENCES if name in week_of]
        others = [name for name in reversed(week_of) if name not in REFERENCES]
        return references + sorted(others, key=lambda name: week_of[name])

    def table(self) -> list[list[str]]:
        """Header and rows as text: one row a method, data set and profile; one column a metric."""
        metrics = list(dict.fromkeys(score.metric for score in self.scores))
        rows = [["week", "method", "data", "profile", *metrics, "seeds", "seconds"]]
        for dataset, profile in dict.fromkeys((s.dataset, s.profile) for s in self.scores):
            for method in self.methods():
                here = [
                    s for s in self.scores if (s.method, s.dataset, s.profile) == (method, dataset, profile)
                ]
                if here:
                    cells = [spread([s.value for s in here if s.metric == metric]) for metric in metrics]
                    seeds = str(len({s.seed for s in here}))
                    seconds = f"{here[0].seconds:.0f}" if here[0].seconds else "-"
                    rows.append([str(here[0].week), method, dataset, profile, *cells, seeds, seconds])
        return rows

    def __str__(self) -> str:
        rows = self.table()
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        header, *rows = self.table()
        parts = [
            "<table><thead><tr>",
            *(f"<th>{escape(cell)}</th>" for cell in header),
            "</tr></thead><tbody>",
        ]
        for row in rows:
            faded = ' style="opacity:0.75"' if row[1] in REFERENCES else ""  # in light and dark themes
            parts += [f"<tr{faded}>", *(f"<td>{escape(cell)}</td>" for cell in row), "</tr>"]
        return "".join([*parts, "</tbody></table>"])


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds as text: "0.581 ± 0.004"; "0.581" for one seed, "-" for none."""
    if not values:
        return "-"
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
