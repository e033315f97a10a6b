"""One prepared run on a GPU, at most eight minutes.

    python -m benchmarks.gpu [--photographs FOLDER] [--minutes 8] [--only PART ...]

FOLDER holds train/<class>/*.jpg and test/<class>/*.jpg, such as CIFAR-10 unpacked; without it Shapes images
are taken. Each part runs in a process of its own, within a time of its own, and cannot hang the others; what
a part needs and does not find (pytest, nbgrader, a jail) it says. Its progress is shown as it goes, and
results/gpu.md is written after every part.

A part is a module of this package that prints Markdown; a week adds its own, and a line in PARTS.
`--smallest` tries all parts on any machine, with sizes that show nothing, and writes no results.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch

from benchmarks.gpu.common import versions

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Part:
    """A module of this package.

    Attributes:
        title: heading of its section.
        seconds: after so many it is ended; what it has printed stays.
    """

    module: str
    title: str
    seconds: int


PARTS = (
    Part("devices", "The tests marked `gpu`", 150),
    Part("labs", "The solved labs, checked on the GPU", 180),
    Part("nt_xent", "NT-Xent", 60),
    Part("augmentation", "Augmentation", 60),
    Part("resume", "Resume", 45),
    Part("simclr", "SimCLR on photographs", 240),
)


def main() -> int:
    options = _parser().parse_args()
    end = time.monotonic() + 60 * options.minutes
    head = _head(options.smallest)
    sections: list[str] = []
    rows = ["| part | seconds | |", "|---|---|---|"]
    failed = False
    for part in PARTS:
        if options.only and part.module not in options.only:
            continue
        print(f"== {part.title}", flush=True)
        begin = time.monotonic()
        printed, problem = run(part, min(part.seconds, end - begin), options)
        failed |= bool(problem)
        rows.append(f"| {part.title} | {time.monotonic() - begin:.0f} | {problem or 'ok'} |")
        sections += [f"## {part.title}", printed.strip(), *([f"**{problem}**"] if problem else [])]
        print(printed, problem, flush=True)
        text = "\n\n".join([head, "\n".join(rows), *sections]) + "\n"
        if not options.smallest:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / "gpu.md").write_text(text, encoding="utf-8")
    print("\n".join(rows))
    return int(failed)


def run(part: Part, seconds: float, options: argparse.Namespace) -> tuple[str, str]:
    """What the part printed, and in a sentence what went wrong."""
    if seconds <= 0:
        return "", "no time was left"
    command = [sys.executable, "-u", "-m", f"benchmarks.gpu.{part.module}"]
    command += ["--smallest"] if options.smallest else []
    command += ["--photographs", str(options.photographs.resolve())] if options.photographs else []
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "COURSE_PART_SECONDS": f"{seconds:.0f}"}
    return run_within(command, seconds, environment)


def run_within(command: list[str], seconds: float, environment: dict[str, str]) -> tuple[str, str]:
    """What a command printed, and in a sentence what went wrong; its messages are passed on as they come.

    It writes to files: a pipe would stay open, and be waited for, as long as anything that the command
    started holds it, also in a session of its own, where the signal below does not reach.
    """
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        printed, messages = Path(folder, "printed"), Path(folder, "messages")
        with printed.open("w") as out, messages.open("w") as err, messages.open(errors="replace") as news:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            try:
                while process.poll() is None and time.monotonic() < end:
                    _pass_on(news)
                    time.sleep(0.1)
                in_time = process.poll() is not None
            finally:  # also on Ctrl-C
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # what it started and left behind, too
                process.wait()
            _pass_on(news)
        text = printed.read_text(encoding="utf-8", errors="replace")
        last = (
            messages.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no message"]
        )[-1]
    if not in_time:
        return text, f"ended after {seconds:.0f} s"
    if process.returncode:
        return text, f"failed (exit status {process.returncode}): {last[:300]}"
    return text, ""


def _pass_on(news: TextIO) -> None:
    sys.stderr.write(news.read())
    sys.stderr.flush()


def _head(smallest: bool) -> str:
    if torch.cuda.is_available():
        device = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    elif smallest:
        device = "no GPU"
    else:
        raise SystemExit("torch sees no GPU here: this run would show nothing (`--smallest` tries its parts)")
    return (
        "# On a GPU\n\n"
        f"{device}, {os.cpu_count()} processor cores, Python {platform.python_version()}, {versions()}. "
        f"Made by `make gpu` at commit {_commit()}."
    )


def _commit() -> str:
    """The code that was measured; "-dirty" if it was not quite what was committed."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):  # no git, or a copy without its history
        return "unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, help="folder with train/<class>/ and test/<class>/")
    parser.add_argument("--minutes", type=float, default=8, help="for all parts together (default: 8)")
    parser.add_argument("--only", nargs="+", choices=[part.module for part in PARTS], default=())
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for gpu.md")
    parser.add_argument("--smallest", action="store_true", help="a trial: smallest sizes, on any device")
    return parser


if __name__ == "__main__":
    sys.exit(main())
