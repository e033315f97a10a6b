"""The `course` command; each of its commands says what it does with --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        return int(command(**options))
    except ValueError as error:
        print(f"course: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("course", description="Build, run and check the course.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run", help="execute every lecture, grade every lab's samples, write the report"
    )
    run.add_argument(
        "--profile", choices=("fast", "full"), default="fast", help="of the lectures (default: fast)"
    )
    run.add_argument(
        "--dataset", default="shapes", help="of the lectures: a name or a folder (default: shapes)"
    )
    run.add_argument(
        "--only", nargs="+", default=(), metavar="WORD", help="only the parts with a WORD in their name"
    )
    run.add_argument("--force", action="store_true", help="also what has not changed")
    run.add_argument("--jobs", type=int, default=2, help="how many parts at once (default: 2)")
    run.set_defaults(command=_run)

    sync = commands.add_parser("sync", help="write notebooks and student labs from their text sources")
    sync.add_argument("--check", action="store_true", help="change nothing; fail if something is out of date")
    sync.set_defaults(command=_sync)

    autograde = commands.add_parser(
        "autograde",
        help="grade a class: parallel, resumable, whatever single submissions look like",
        description="Grade everything in submitted/<student>/LAB that is new or has changed. Scores go into "
        "the gradebook, executed notebooks into autograded/. A run that was stopped, however it was stopped, "
        "is continued by the next one. Written answers wait for a reader in nbgrader's formgrader; marks "
        "given there survive.",
    )
    autograde.add_argument("lab", metavar="LAB", help="for example lab1_contrastive_losses")
    autograde.add_argument("--jobs", type=int, default=0, help="worker processes (default: one a core)")
    autograde.add_argument(
        "--scheduler", default="", metavar="ADDRESS", help="of a Dask cluster, tcp://host:port, to work there"
    )
    autograde.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="cuda: also check on the GPU; one submission at a time a GPU (default: cpu)",
    )
    autograde.add_argument("--student", default="", metavar="ID", help="grade this one again, changed or not")
    autograde.add_argument(
        "--minutes", type=float, default=20, help="limit for one notebook as a whole (default: 20)"
    )
    autograde.add_argument(
        "--unsafe", action="store_true", help="run student code without a sandbox, with your rights"
    )
    autograde.set_defaults(command=_autograde)

    times = commands.add_parser("times", help="what each part of the last run took, beside its budget")
    times.set_defaults(command=_times)

    seeds = commands.add_parser(
        "seeds", help="run a week's lecture with several seeds, and record what its text makes claims about"
    )
    seeds.add_argument("week", type=int, metavar="WEEK")
    seeds.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2), help="default: 0 1 2")
    seeds.set_defaults(command=_seeds)

    _add_submissions(commands)

    report = commands.add_parser(
        "report",
        help="how a class did: a page for the instructor, a CSV for the learning platform",
        description="Scores, items, misconceptions and how many share each, late days, answers to read, "
        "submissions that are nearly the same program. Written to grades/LAB/report.html and "
        "grades.csv, from what `course autograde` recorded and the gradebook.",
    )
    report.add_argument("lab", metavar="LAB")
    report.set_defaults(command=_report)

    doctor = commands.add_parser("doctor", help="what this machine has and lacks, each line with its cure")
    doctor.set_defaults(command=_doctor)
    return parser


def _add_submissions(commands: Any) -> None:
    submissions = commands.add_parser("submissions", help="collect what students have handed in")
    kinds = submissions.add_subparsers(required=True, metavar="COMMAND")
    collect = kinds.add_parser(
        "collect",
        help="put a learning platform's downloads into submitted/",
        description="Read zip archives as Moodle and Canvas name them, students' own archives, notebooks and "
        "folders of all these; put each student's latest notebook into submitted/<student>/LAB/LAB.ipynb and "
        "its time into timestamp.txt. Links, paths out of an archive and zip bombs are refused.",
    )
    collect.add_argument("lab", metavar="LAB")
    collect.add_argument("files", metavar="FILE", nargs="+", help=".zip, .ipynb or a folder")
    collect.add_argument(
        "--roster",
        metavar="CSV",
        help="columns: id, and any of name, first_name, last_name, email, lms_id; without it ids are made "
        "from names",
    )
    collect.add_argument(
        "--due", default="", metavar="DATE", help='the deadline, for late days: "2026-03-02 23:59 UTC"'
    )
    collect.set_defaults(command=_collect)


def _run(*, profile: str, dataset: str, only: Sequence[str], force: bool, jobs: int) -> int:
    from course_tools.build.project import find_root
    from course_tools.build.run import Options, run

    if jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {jobs}")
    return run(find_root(), Options(profile, dataset, tuple(only), force, jobs))


def _sync(*, check: bool) -> int:
    from course_tools.build.project import find_root
    from course_tools.build.sync import strays, sync

    root = find_root()
    changed = sync(root, check=check)
    extra = strays(root)
    for path in changed:
        print(f"{'out of date' if check else 'wrote'}: {path.relative_to(root)}")
    for path in extra:
        print(f"has no source, delete it: {path.relative_to(root)}")
    if not changed and not extra:
        print("everything is up to date")
    return int(bool(extra or (check and changed)))


def _autograde(
    *, lab: str, jobs: int, scheduler: str, device: str, student: str, minutes: float, unsafe: bool
) -> int:
    from course_tools.build.project import find_root
    from course_tools.cli.autograde import autograde
    from course_tools.grading.batch import Options

    if jobs < 0:
        raise ValueError(f"--jobs must be at least 1, got {jobs}")
    if minutes <= 0:
        raise ValueError(f"--minutes must be positive, got {minutes:g}")
    seconds = max(1, round(60 * minutes))
    return autograde(find_root(), lab, Options(jobs, scheduler, device, student, unsafe, seconds))


def _collect(*, lab: str, files: Sequence[str], roster: str | None, due: str) -> int:
    from course_tools.build.project import find_root
    from course_tools.cli.collect import collect_downloads

    return collect_downloads(find_root(), lab, list(map(Path, files)), Path(roster) if roster else None, due)


def _report(*, lab: str) -> int:
    from course_tools.build.project import find_root
    from course_tools.cli.class_report import report

    return report(find_root(), lab)


def _times() -> int:
    from course_tools.build.project import find_root
    from course_tools.build.times import times

    return times(find_root())


def _seeds(*, week: int, seeds: Sequence[int]) -> int:
    from course_tools.build.project import find_root
    from course_tools.build.seeds import run_seeds

    return run_seeds(find_root(), week, seeds)


def _doctor() -> int:
    from course_tools.build.doctor import main

    return main()
