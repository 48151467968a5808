"""Worker processes: started so that none hangs, ended when the work or its parent ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from typing import TypeVar

from bioptimus_lib.machine import usable_cores

Task = TypeVar("Task")
Result = TypeVar("Result")
SMALL = 4 << 20  # bytes below which starting processes takes longer than doing the work


def worker_count(workers: int | None, *, cost: int) -> int:
    """How many processes: as asked; by default one per usable core, none for little work."""
    if workers is None:
        cores = usable_cores()
        return 0 if cost < SMALL or cores == 1 else cores
    if workers < 0:
        raise ValueError(f"{workers} workers are impossible: give 0 (this process only) or more")
    return workers


def in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int = 0
) -> Iterator[Result]:
    """The results of ``function`` for each task, in the order of the tasks; see ``WorkerPool``."""
    tasks = list(tasks)
    with WorkerPool(min(workers, len(tasks))) as pool:
        yield from pool.in_order(function, tasks)


def worker_context(*, models: bool = False) -> BaseContext:
    """How worker processes are started.

    Not forked from this one: a fork of a process with threads (torch, tokenizers) can hang. A
    server process that has loaded nothing but ``loaded`` is forked instead; it starts with the
    first worker, and workers that come later have all they need. Windows starts each anew.

    Args:
        models: the workers will work with models, so the server, if it is not up yet, loads
            ``loaded_models``, too. Linux alone: elsewhere PyTorch brings libraries of the system
            that a fork does not survive.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    more = ["bioptimus_lib.loaded_models"] if models and sys.platform == "linux" else []
    context.set_forkserver_preload(["bioptimus_lib.loaded", *more])
    return context


class WorkerPool:
    """Processes or threads for as many rounds of tasks as there are, as a context manager.

    Args:
        workers: processes to start; 0 works in this one.
        executor: any ``concurrent.futures.Executor`` to use instead; it is not shut down.
        models: the work is with models (see ``worker_context``).
        threads: start threads, for work that does without Python's lock. They start at once, and
            what they make need not travel. Nothing can end a thread from without: it must look at
            ``stopped`` from time to time.
    """

    def __init__(
        self, workers: int, executor: Executor | None = None, *, models: bool = False,
        threads: bool = False,
    ) -> None:  # fmt: skip
        self.stopped = threading.Event()
        self._threads: ThreadPoolExecutor | None = None
        self._processes: ProcessPoolExecutor | None = None
        if executor is None and workers and threads:
            executor = self._threads = ThreadPoolExecutor(workers)
        elif executor is None and workers:
            executor = self._processes = ProcessPoolExecutor(
                workers, mp_context=worker_context(models=models), initializer=_prepare
            )
        self._executor = executor

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.stopped.set()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        if self._processes is not None:
            if kind is None:
                self._processes.shutdown()
            _stop(self._processes)

    def in_order(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[Result]:
        """The results of ``function`` for each task, in the order of the tasks.

        Args:
            function: defined in a module (it travels to other processes by name).

        Raises:
            ChildProcessError: a worker process died.
        """
        if self._executor is None:
            yield from map(function, tasks)
            return
        futures = deque(self._executor.submit(function, task) for task in tasks)
        try:
            while futures:
                yield futures.popleft().result()  # popped: a merged result is not kept
        except BrokenProcessPool:
            raise ChildProcessError(
                "a worker process died: it was killed or ran out of memory (try fewer workers); "
                'a script needs its work below if __name__ == "__main__":'
            ) from None
        finally:
            for future in futures:
                future.cancel()


def _stop(pool: ProcessPoolExecutor) -> None:
    """End a pool and its processes at once, whatever they are doing."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def _prepare() -> None:
    """Make a worker leave Ctrl-C to its parent, and end when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
