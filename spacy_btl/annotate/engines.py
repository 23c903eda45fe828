"""Engines that annotate shards: this process, several processes, or a Ray cluster.

All of them call a `worker.ShardAnnotator` that is made once in each worker. A pipeline is never
sent from one process to another.
"""

import os
import traceback
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from ..util.checks import one_of
from ..util.messages import log_failure, set_up_logging
from .shards import Shard
from .worker import Job, ShardAnnotator

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Engine: TypeAlias = Literal["local", "ray"]
ENGINES: tuple[str, ...] = get_args(Engine)

SHARDS_A_TASK = 4  # of Ray Data: few, for progress; more than one, as a task has its cost
MAX_TASKS = 10_000  # which the driver of Ray keeps account of, however many shards there are

_annotator: ShardAnnotator | None = None  # of a worker process


def check_engine(engine: str) -> None:
    """Raise ValueError for an engine that is unknown or not installed."""
    one_of("engine", engine, ENGINES)
    if engine == "ray" and find_spec("ray") is None:
        raise ValueError("the engine ray is not installed: pip install 'spacy-btl[ray]'")


def run_shards(engine: str, job: Job, shards: Sequence[Shard], n_process: int) -> Iterator[int]:
    """Annotate shards; yield the number of records of each when it is done.

    Args:
        engine: One of `ENGINES`, as `check_engine` has passed it.
        job: The work.
        shards: What is left to do.
        n_process: Number of workers.

    Raises:
        ChildProcessError: If a worker process ends before its work, or if a worker of Ray fails.
        Exception: Whatever a `ShardAnnotator` raises. It ends the run.
    """
    if not shards:
        return iter(())
    if engine == "ray":
        return _on_ray(job, shards, n_process)
    return _in_processes(job, shards, n_process) if n_process > 1 else _here(job, shards)


def _here(job: Job, shards: Sequence[Shard]) -> Iterator[int]:
    """Annotate shards in this process."""
    annotator = ShardAnnotator(job)
    for shard in shards:
        yield annotator(shard).records


def _in_processes(job: Job, shards: Sequence[Shard], n_process: int) -> Iterator[int]:
    """Annotate shards in several processes of this machine."""
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    # Not by fork: CUDA and the threads of torch do not survive it.
    context = multiprocessing.get_context("spawn")
    left = iter(shards)
    with ProcessPoolExecutor(
        n_process, context, initializer=_start_worker, initargs=(job.debug,)
    ) as pool:
        running: set[Future[int]] = set()
        try:
            while True:
                while len(running) < 2 * n_process and (shard := next(left, None)) is not None:
                    running.add(pool.submit(_in_worker, job, shard))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise ChildProcessError(
                "a process ended in the middle of its work, as when memory runs out; run the same "
                "command again to resume, with a smaller --n-process or --shard-size"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _in_worker(job: Job, shard: Shard) -> int:
    """Annotate a shard in a worker process."""
    global _annotator
    if _annotator is None:
        _annotator = ShardAnnotator(job)
    return _annotator(shard).records


def _start_worker(debug: bool) -> None:
    """Set up logging, and let the worker end when its parent is killed.

    It would wait for work forever otherwise.
    """
    import multiprocessing
    import threading

    set_up_logging(debug)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class RayWorker:
    """An actor of Ray Data: takes batches of shards as text, returns their numbers of records.

    A failure is returned too, as text: what Ray makes of an exception depends on its version.
    """

    def __init__(self, job: Job) -> None:
        set_up_logging(job.debug)
        self._job = job
        self._annotator: ShardAnnotator | None = None

    def __call__(
        self, batch: "dict[str, npt.NDArray[np.str_]]"
    ) -> dict[str, list[int] | list[str]]:
        """Annotate the shards of a batch."""
        records, failure, trace = 0, "", ""
        try:
            self._annotator = self._annotator or ShardAnnotator(self._job)
            for text in batch["shard"]:
                records += self._annotator(Shard.from_json(text)).records
        except Exception as error:  # the pipeline may raise anything; it is raised again there
            log_failure("a worker of Ray", error)
            failure, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
        return {"records": [records], "failure": [failure], "trace": [trace]}


def _on_ray(job: Job, shards: Sequence[Shard], n_process: int) -> Iterator[int]:
    """Annotate shards on the Ray cluster in RAY_ADDRESS, or on one that is made here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import ray.data
    from ray.exceptions import RayError

    if not ray.is_initialized():
        ray.init()
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"shard": shard.to_json()} for shard in shards]
    blocks = n_tasks(len(rows), n_process)
    dataset = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        RayWorker,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=n_process),
        num_cpus=1,
        num_gpus=1 if job.gpu_id >= 0 else 0,
    )
    try:
        for row in dataset.iter_rows():
            if row["failure"]:
                failure = f"a worker of Ray failed: {row['failure']}"
                raise ChildProcessError(failure) from RemoteError(row["trace"])
            yield int(row["records"])
    except RayError as error:  # Ray itself, or a worker that was killed
        first = str(error).strip().partition("\n")[0]
        raise ChildProcessError(f"Ray failed: {type(error).__name__}: {first}") from error


def n_tasks(n_shards: int, n_process: int) -> int:
    """Return into how many tasks of Ray Data the shards are divided, at least one a worker."""
    wanted = max(n_process, min(n_shards // SHARDS_A_TASK, MAX_TASKS))
    return max(1, min(n_shards, wanted))


class RemoteError(Exception):
    """The traceback of a worker, as the cause of the exception that is raised for it."""
