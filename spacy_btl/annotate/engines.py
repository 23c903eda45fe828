"""Where shards are annotated: in this process, in several, or on a Ray cluster.

All call the same `annotator.Annotator`, once made in each worker; a pipeline is never sent from one
process to another.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from .shards import Shard
from .worker import Annotator, Job

ENGINES = ("local", "ray")
SHARDS_A_TASK = 4  # of Ray Data: few, for progress; more than one, as a task has its cost

_annotator: Annotator | None = None  # of a worker process


def run_shards(engine: str, job: Job, shards: Sequence[Shard], n_process: int) -> Iterator[int]:
    """Annotate shards; the number of records of each, as it is done.

    Raises ValueError for an engine that is unknown or not installed; what a worker raises ends the
    run.
    """
    if engine not in ENGINES:
        raise ValueError(f'"{engine}" is none of the engines {", ".join(ENGINES)}')
    if not shards:
        return iter(())
    if engine == "ray":
        return _on_ray(job, shards, n_process)
    return _in_processes(job, shards, n_process) if n_process > 1 else _here(job, shards)


def _here(job: Job, shards: Sequence[Shard]) -> Iterator[int]:
    annotator = Annotator(job)
    for shard in shards:
        yield annotator(shard).records


def _in_processes(job: Job, shards: Sequence[Shard], n_process: int) -> Iterator[int]:
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    # Not by fork: CUDA and the threads of torch do not survive it.
    context = multiprocessing.get_context("spawn")
    left = iter(shards)
    with ProcessPoolExecutor(n_process, context, initializer=_end_with_parent) as pool:
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
                "command again to go on, with a smaller --n-process or --shard-size"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _in_worker(job: Job, shard: Shard) -> int:
    global _annotator
    if _annotator is None:
        _annotator = Annotator(job)
    return _annotator(shard).records


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed: it would wait for work for ever."""
    import multiprocessing
    import threading

    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class RayWorker:
    """An actor of Ray Data: takes batches of shards as text, gives their numbers of records."""

    def __init__(self, job: Job) -> None:
        self._annotator = Annotator(job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        """Annotate the shards of a batch."""
        shards = [Shard.from_json(text) for text in batch["shard"]]
        return {"records": [self._annotator(shard).records for shard in shards]}


def _on_ray(job: Job, shards: Sequence[Shard], n_process: int) -> Iterator[int]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ValueError("for the engine ray: pip install 'spacy-btl[ray]'") from error
    if not ray.is_initialized():
        ray.init()  # of the cluster in RAY_ADDRESS or on this machine, else one of its own
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"shard": shard.to_json()} for shard in shards]
    tasks = max(min(len(rows), n_process), len(rows) // SHARDS_A_TASK)
    dataset = ray.data.from_items(rows, override_num_blocks=tasks).map_batches(
        RayWorker,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=n_process),
        num_cpus=1,
        num_gpus=1 if job.gpu_id >= 0 else 0,
    )
    try:
        for row in dataset.iter_rows():
            yield int(row["records"])
    except Exception as error:  # Ray's own classes, with the trace of the worker as their text
        *_, why = ["", *str(error).strip().splitlines()]
        raise ChildProcessError(f"a worker of Ray failed: {why or type(error).__name__}") from error
