"""Long-lived worker processes on this machine; one that dies or hangs is replaced."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import Any

from course_tools.grading.batch.task import FAILED, Result, Task

# Workers are forked from a server process that has imported everything once. It uses one thread and no GPU.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["course_tools.grading.batch.warm"])
_SLACK = 300  # seconds for starting, repairing and closing, on top of a notebook's own limit
_TRIES = 2
_MOST_THREADS = 4  # the labs' networks are too small for more
_MOST_MEMORY = 3 * 2**30  # bytes that a worker may take beside what it starts with


def grade_in_processes(tasks: Iterator[Task], jobs: int, scratch: Path) -> Iterator[tuple[Task, Result]]:
    """(task, result) as each is done; no more than `jobs` tasks are in memory at a time.

    Args:
        tasks: drawn one by one, when a worker is free.
        scratch: a folder for the workers' files.
    """
    workers = [_Worker(number, jobs, scratch) for number in range(jobs)]
    try:
        for worker in workers:
            _next(worker, tasks)
        while busy := [worker for worker in workers if worker.task]:
            wait(
                [each for worker in busy for each in (worker.connection, worker.process.sentinel)], timeout=1
            )
            for worker in busy:
                if (done := worker.outcome()) is not None:
                    yield done
                if worker.task is None:
                    _next(worker, tasks)
    finally:
        for worker in workers:
            worker.stop()


def _next(worker: _Worker, tasks: Iterator[Task]) -> None:
    if (task := next(tasks, None)) is not None:
        worker.give(task)


@dataclass
class _Worker:
    """A process and the task it works on."""

    number: int
    jobs: int
    scratch: Path
    task: Task | None = None
    tries: int = 0

    def __post_init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self.connection, other = _CONTEXT.Pipe()
        environment = _environment(self.number, self.jobs, self.scratch)
        self.process = _CONTEXT.Process(target=_work, args=(other, environment), daemon=False)
        self.process.start()
        other.close()

    def give(self, task: Task) -> None:
        self.task, self.tries = task, 0
        self._send(task)

    def _send(self, task: Task) -> None:
        self.tries += 1
        self.deadline = monotonic() + task.settings.seconds + _SLACK
        with suppress(OSError):  # if it is dead already, the next look finds that out
            self.connection.send(task)

    def outcome(self) -> tuple[Task, Result] | None:
        """What has come of the task, None while it runs; a dead or hanging process is replaced."""
        task = self.task
        if task is None:
            return None
        try:
            if self.connection.poll():
                result = self.connection.recv()
                self.task = None
                return task, result
            if self.process.is_alive():
                if monotonic() > self.deadline:
                    return self._given_up(task, f"it did not end within {task.settings.seconds + _SLACK} s")
                return None
        except (EOFError, OSError):
            pass  # it died before or while it answered
        if self.tries >= _TRIES:
            return self._given_up(task, "the process that graded it died, twice")
        self._replace()
        self._send(task)
        return None

    def _given_up(self, task: Task, why: str) -> tuple[Task, Result]:
        from course_tools.grading.batch.grade import ungraded

        code = self._replace()
        self.task = None
        sentence = f"Your submission could not be graded: {why}. That is not a mark; the staff see it."
        return task, ungraded(task, FAILED, sentence, log=f"{why} (exit status {code})")

    def _replace(self) -> int | None:
        self.stop()
        code = self.process.exitcode
        self._start()
        return code

    def stop(self) -> None:
        """End the process and everything that it has started."""
        if self.task is None and self.process.is_alive():
            with suppress(OSError):
                self.connection.send(None)
                self.process.join(timeout=5)
        end_with_children(self.process.pid)
        self.process.join()
        self.connection.close()


def _environment(number: int, jobs: int, scratch: Path) -> dict[str, str]:
    """One of the visible GPUs a worker, in turn; as many threads as there are cores for each, but few."""
    threads = str(min(_MOST_THREADS, max(1, core_count() // jobs)))
    own = {"COURSE_SCRATCH": str(scratch), "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    environment = {**os.environ, **own}
    if (gpus := gpu_count()) > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = visible if len(visible) == gpus else [str(gpu) for gpu in range(gpus)]
        environment["CUDA_VISIBLE_DEVICES"] = names[number % gpus]
    return environment


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_count() -> int:
    import torch

    return torch.cuda.device_count()


def _work(connection: Connection, environment: dict[str, str]) -> None:
    """A worker's life: grade what comes, until None comes or the command that started it is gone."""
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C is the command's business. Not SIG_IGN: kernels would inherit it, and could not be interrupted.
    signal.signal(signal.SIGINT, lambda *_: None)
    import torch

    from course_tools.grading.batch.grade import clean_up, grade

    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    if not torch.cuda.is_available():  # CUDA maps far more than it uses
        _limit_memory()
    try:
        while (task := connection.recv()) is not None:
            connection.send(grade(task))
    finally:
        clean_up()


def _limit_memory() -> None:
    """Let a kernel that floods its grader with messages cost this process, and no other.

    Only the soft limit: kernels start with it, and set their own.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return
    import resource

    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmData:")]
    most = int(line.split()[1]) * 1024 + _MOST_MEMORY
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        end_with_children(os.getpid())


def end_with_children(pid: int | None) -> None:
    """Kill a process and all its descendants: kernels live in sessions of their own."""
    import psutil

    try:
        process = psutil.Process(pid)
        family: list[Any] = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
