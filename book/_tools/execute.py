"""Execute the chapters side by side, and keep their outputs where the book finds them.

    python book/_tools/execute.py [--jobs N] notebooks/*.ipynb

Jupyter Book executes one page after the other. Here as many run at a time as there are cores, each
with its share of the threads. A cell that measures time (tagged ``measures-time``) has the machine
to itself: the other chapters are stopped, wherever they are, until it is done. What takes long (a
cell tagged ``takes-long``) begins early: at the end there is nothing to run beside it. Of chapters
that share a run the last goes first, since it makes all that the others read; the others begin when
it is done, and then none of them waits for another. The outputs go into the cache that the book is
built from. What the cache held is thrown away first: it compares the code of the cells and does not
see that the library has changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any, TypeVar

import nbformat
import psutil
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tidy import run_of, tags

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "_build" / ".jupyter_cache"
MEASURES, LONG = "measures-time", "takes-long"
BUSY, DONE = "iopub.status.busy", "shell.execute_reply"  # when a cell began and ended
Result = TypeVar("Result")
MOST = 4  # at a time: each holds torch and a model or two
LOOK_AGAIN = 5.0  # seconds after which a client that waits looks whether something has come


class Machine:
    """The kernels that share this machine; one of them may have it to itself."""

    def __init__(self) -> None:
        self.busy = threading.Lock()  # nobody starts a kernel while somebody measures
        self.kernels: set[psutil.Process] = set()

    @contextmanager
    def alone(self, kernel: psutil.Process) -> Iterator[None]:
        """Stop the other kernels and all that they have started; behind it they go on.

        What is stopped keeps its memory and loses nothing but time.
        """
        with self.busy:
            stopped: list[psutil.Process] = []
            try:
                for other in self.kernels - {kernel}:
                    stopped += stop(other)
                yield
            finally:
                for process in stopped:
                    with suppress(psutil.NoSuchProcess):
                        process.resume()


def stop(process: psutil.Process) -> list[psutil.Process]:
    """Stop a process and all below it. Returns those that were stopped, itself first."""
    stopped = []
    with suppress(psutil.NoSuchProcess):  # it has ended
        process.suspend()  # before its children are asked for: now it starts no more
        stopped.append(process)
        for child in process.children():
            stopped += stop(child)
    return stopped


class Client(NotebookClient):
    """A client that shares the machine with others, and does not rely on being woken.

    An asynchronous socket of pyzmq was seen to sleep on with the kernel's reply in it (its
    ``EVENTS`` said so): the chapter stood still until the time limit of a cell. Every new poll
    begins with a look, so a wait is cut into short ones.
    """

    def __init__(self, notebook: nbformat.NotebookNode, machine: Machine, **settings: Any) -> None:
        super().__init__(notebook, **settings)
        self.machine = machine

    async def async_start_new_kernel(self, **settings: Any) -> None:
        """Start it when nobody measures, and tell the others."""
        with self.machine.busy:
            await super().async_start_new_kernel(**settings)
            self.kernel = psutil.Process(self.km.provisioner.pid)
            self.machine.kernels.add(self.kernel)

    async def async_execute_cell(self, cell: nbformat.NotebookNode, *rest: Any, **more: Any) -> Any:
        """Execute a cell, with the machine to itself if it measures time."""
        alone = self.machine.alone(self.kernel) if MEASURES in tags(cell) else nullcontext()
        with alone:
            return await super().async_execute_cell(cell, *rest, **more)

    async def async_start_new_kernel_client(self) -> Any:
        """A client whose channels look again and again."""
        found = await super().async_start_new_kernel_client()
        for channel in (found.shell_channel, found.iopub_channel):
            channel.get_msg = partial(in_short_waits, channel.get_msg)
        return found


async def in_short_waits(
    get: Callable[..., Any], timeout: float | None = None, *, each: float = LOOK_AGAIN
) -> Any:
    """What ``get(timeout)`` gives, asked for at most ``each`` seconds at a time.

    Raises:
        Empty: nothing came within ``timeout`` seconds; None waits for ever.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = each if end is None else min(each, max(0.0, end - time.monotonic()))
        try:
            return await get(timeout=left)
        except Empty:
            if end is not None and time.monotonic() >= end:
                raise


def has(path: Path, tag: str) -> bool:
    """Whether a cell of a chapter has a tag."""
    return any(tag in tags(cell) for cell in nbformat.read(path, nbformat.NO_CONVERT)["cells"])


def queue(paths: list[Path]) -> dict[Path, Path | None]:
    """Chapters in the order in which they begin, each with the one that must be done before it.

    First comes what others wait for, then what takes long, then all else, later chapters first:
    they tend to take longer.
    """
    sharing: dict[str, list[Path]] = {}
    for path in sorted(paths, reverse=True):
        sharing.setdefault(run_of(path.read_text("utf-8")) or path.stem, []).append(path)
    groups = sorted(
        sharing.values(), key=lambda some: (-len(some), not any(has(path, LONG) for path in some))
    )
    return {path: None if path is group[0] else group[0] for group in groups for path in group}


def execute(
    path: Path, machine: Machine, timeout: int
) -> tuple[Path, nbformat.NotebookNode | None, str, float]:
    """(path, executed notebook or None, traceback of what failed, seconds)."""
    began = time.monotonic()
    client = Client(
        nbformat.read(path, nbformat.NO_CONVERT), machine, timeout=timeout,
        record_timing=True,  # for the report of the execution
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],  # a kernel warns of every local connection
    )  # fmt: skip
    problem = ""
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        problem = str(error) or type(error).__name__
    return path, None if problem else client.nb, problem, time.monotonic() - began


def take_times(notebook: nbformat.NotebookNode) -> list[float | None]:
    """Seconds of each code cell, taken out of the notebook: the cache compares metadata, too."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            times = cell.metadata.pop("execution", {})
            ends = [times[name].replace("Z", "+00:00") for name in (BUSY, DONE) if name in times]
            begin, end = map(datetime.fromisoformat, ends) if len(ends) == 2 else (None, None)
            found.append(begin and (end - begin).total_seconds())
    return found


def side_by_side(
    work: Callable[[Path], Result], waiting: Mapping[Path, Path | None], *, jobs: int
) -> Iterator[Result]:
    """Results as they come; a path begins when the one that it waits for is done."""
    waiting, running, done = dict(waiting), {}, {None}
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            free = [path for path, before in waiting.items() if before in done]
            for path in free[: jobs - len(running)]:
                del waiting[path]
                running[pool.submit(work, path)] = path
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done.add(running.pop(future))
                yield future.result()


def execute_all(
    paths: list[Path], *, cache: Path = CACHE, jobs: int, timeout: int
) -> list[tuple[Path, str]]:
    """Execute notebooks, cache the outputs of those without an error, tell each that is done.

    Returns:
        The others, each with its traceback.
    """
    shutil.rmtree(cache, ignore_errors=True)
    cache.parent.mkdir(parents=True, exist_ok=True)
    store, work = get_cache(cache), partial(execute, machine=Machine(), timeout=timeout)
    # Kernels inherit the environment: threads of two that share the cores wait for each other, and
    # processes that a chapter starts only cost what it takes to start them.
    share = str(max(1, (os.cpu_count() or 1) // jobs))
    os.environ |= {"OMP_NUM_THREADS": share, "BIOPTIMUS_CORES": share}
    failed = []
    for path, notebook, problem, seconds in side_by_side(work, queue(paths), jobs=jobs):
        said = "failed" if notebook is None else f"{seconds:4.0f} s"
        print(f"  {path.stem:28} {said}", flush=True)
        if notebook is None:
            failed.append((path, problem))
            continue
        times = {"execution_seconds": seconds, "cell_seconds": take_times(notebook)}
        bundle = CacheBundleIn(notebook, path, data=times)
        store.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    return failed


def main() -> int:
    """Do it for the notebooks of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument(
        "--jobs", type=int, default=min(MOST, os.cpu_count() or 1), help="chapters at a time"
    )
    arguments = parser.parse_args()
    timeout = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["execute"]["timeout"]
    paths = [path.resolve() for path in arguments.notebooks]
    failed = execute_all(paths, jobs=arguments.jobs, timeout=timeout)
    for path, problem in failed:
        print(f"\n{path.relative_to(ROOT)} failed:\n{problem}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
