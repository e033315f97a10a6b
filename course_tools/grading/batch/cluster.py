"""The same function on a Dask cluster, whose workers need this package and none of the course's files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from course_tools.grading.batch.grade import grade, ungraded
from course_tools.grading.batch.task import FAILED, Result, Task

if TYPE_CHECKING:
    from distributed import Client


def grade_on_cluster(tasks: Iterator[Task], address: str, device: str) -> Iterator[tuple[Task, Result]]:
    """(task, result) as each is done; about two tasks a worker are under way at a time.

    Args:
        tasks: drawn one by one.
        address: of the scheduler, tcp://host:port.
        device: "cuda" asks for one unit of the resource GPU a task (`dask worker --resources GPU=1`).

    Raises:
        ValueError: no scheduler answers, or no worker offers a GPU that was asked for.
    """
    from distributed import as_completed

    resources = {"GPU": 1} if device == "cuda" else None
    with _connect(address) as client:
        running: dict[Any, Task] = {}

        def submit(task: Task) -> Any:
            key = f"grade-{task.lab.name}-{task.student}-{uuid4().hex}"
            future = client.submit(grade, task, key=key, pure=False, resources=resources)
            running[future] = task
            return future

        first = [submit(task) for task, _ in zip(tasks, range(2 * _slots(client, device)), strict=False)]
        completed = as_completed(first)
        for future in completed:
            task = running.pop(future)
            yield task, _result(task, future)
            future.release()
            if (following := next(tasks, None)) is not None:
                completed.add(submit(following))


def _connect(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--scheduler needs Dask: pip install 'ssl-vision-course[cluster]'") from error
    try:
        return Client(address, timeout=20)
    except (OSError, ValueError) as error:
        raise ValueError(f"no Dask scheduler answers at {address}: {error}") from error


def _slots(client: Client, device: str) -> int:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if device == "cuda":
        slots = int(sum(worker["resources"].get("GPU", 0) for worker in workers))
        if not slots:
            raise ValueError("no worker offers a GPU: start them with `dask worker ... --resources GPU=1`")
        return slots
    if not workers:
        raise ValueError("the scheduler has no workers yet: start them with `dask worker ADDRESS`")
    return sum(worker["nthreads"] for worker in workers)


def _result(task: Task, future: Any) -> Result:
    """What the cluster computed, or a result without a score that says why it could not."""
    if future.status == "finished":
        result: Result = future.result()
        return result
    error = future.exception() if future.status == "error" else future.status
    sentence = (
        f"Your submission could not be graded ({type(error).__name__} on the cluster). "
        "That is not a mark; the course's staff see it."
    )
    return ungraded(task, FAILED, sentence, log=str(error))
