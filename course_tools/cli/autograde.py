"""`course autograde`: grade a class and print a line for every student."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from time import perf_counter
from typing import TYPE_CHECKING

from course_tools.build.project import prepare_jupyter

if TYPE_CHECKING:
    from course_tools.grading.batch import Options, Result


def autograde(root: Path, lab: str, options: Options) -> int:
    """Grade what has changed in submitted/, print the table; exit status 1 if grading broke down."""
    prepare_jupyter()
    from course_tools.grading.batch import FAILED, grade_class

    begin = perf_counter()
    counts: Counter[str] = Counter()
    waiting = graded = 0
    results = grade_class(root, lab, options)
    seconds = perf_counter() - begin
    print(f"{'student':<24} {'status':<10} {'score':>9} {'to read':>7} {'seconds':>7}")
    for result, now in results:
        print("\n".join(_lines(result, now)))
        counts[result.status] += 1
        waiting += result.waiting if result.status != FAILED else 0
        graded += now
    rate = f", {60 * graded / seconds:.1f} a minute" if graded else ""
    by_status = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    print(f"\n{by_status}; {graded} graded now in {seconds:.0f} s{rate}; {waiting} answers wait for a reader")
    if counts[FAILED]:
        print(
            f"grading broke down for {counts[FAILED]}: the next run tries again (logs: grades/{lab}/results)"
        )
    return int(bool(counts[FAILED]))


def _lines(result: Result, now: bool) -> Iterator[str]:
    """The row of the table, and under it what is remarkable about the file."""
    status = result.status if now or result.status != "graded" else "unchanged"
    score = "-" if result.status == "failed" else f"{result.score:g}/{result.points:g}"
    yield (
        f"{result.student:<24} {status:<10} {score:>9} {result.waiting or '':>7} "
        f"{result.seconds:>7.1f}".rstrip()
    )
    for remark in result.remarks:
        yield fill(remark, 100, initial_indent="    ", subsequent_indent="    ")
