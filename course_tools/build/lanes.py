"""Run jobs a few at a time, each in a process of its own, so that none can take another down."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any

from tqdm.auto import tqdm

from course_tools.build.outcome import Outcome

_CONTEXT = get_context("spawn")


@dataclass(frozen=True)
class Job:
    """Call `work(**arguments, bar=...)`, which returns an Outcome; `bar` holds keywords for its tqdm bar."""

    name: str
    work: Callable[..., Outcome]
    arguments: dict[str, Any]


def in_lanes(jobs: Sequence[Job], lanes: int) -> Iterator[tuple[Job, Outcome]]:
    """(job, outcome) as each finishes; a job that raises or dies has an outcome that says so."""
    free: SimpleQueue[int] = SimpleQueue()
    for lane in range(1, lanes + 1):
        free.put(lane)
    threads = threads_each(lanes)
    lock = _CONTEXT.RLock()  # one writer at a time on the terminal
    tqdm.set_lock(lock)
    with (
        ThreadPoolExecutor(lanes) as pool,
        tqdm(total=len(jobs), desc="course", unit="part", position=0, disable=not jobs or None) as bar,
    ):
        running = {pool.submit(_in_process, job, free, threads, lock): job for job in jobs}
        try:
            for future in as_completed(running):
                bar.update()
                yield running[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def threads_each(lanes: int) -> int:
    """The threads that each of so many jobs at once may use."""
    return max(1, (os.cpu_count() or 1) // lanes)


def _in_process(job: Job, free: "SimpleQueue[int]", threads: int, lock: Any) -> Outcome:
    lane = free.get()
    begin = perf_counter()
    try:
        receiver, sender = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=_child, args=(job, sender, lane, threads, lock))
        process.start()
        sender.close()
        try:
            outcome: Outcome = receiver.recv()
        except EOFError:
            process.join()
            problem = f"the process that ran it died (exit status {process.exitcode}): out of memory?"
            outcome = Outcome(job.name, perf_counter() - begin, problem=problem)
        process.join()
        return outcome
    finally:
        free.put(lane)


def _child(job: Job, sender: Connection, lane: int, threads: int, lock: Any) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    tqdm.set_lock(lock)
    # On a terminal each lane has its own bar, gone when the job ends; in a log, bars would only be noise.
    bar = {"desc": f"  {job.name}", "position": lane, "leave": False, "disable": None}
    begin = perf_counter()
    try:
        outcome = job.work(**job.arguments, bar=bar)
    except Exception as error:
        outcome = Outcome(job.name, perf_counter() - begin, problem=f"{type(error).__name__}: {error}")
    sender.send(outcome)


def _end_with_parent() -> None:
    """A job whose command was killed must not go on alone."""
    if parent := parent_process():
        parent.join()
        os._exit(1)
