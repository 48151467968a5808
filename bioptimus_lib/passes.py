"""One pass over a corpus with many processes: byte ranges that end at line ends, and their workers.

A corpus is cut into ``Piece``s: a large plain file into byte ranges, a compressed one stays whole.
A line belongs to the piece in which its first byte lies, so every line is read by exactly one
piece wherever the cuts fall, and its offset in the file does not depend on them.
"""

from __future__ import annotations

import gzip
import logging
import os
import re
import signal
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import IO, TypeVar, cast

from bioptimus_lib.errors import DataError
from bioptimus_lib.machine import usable_cores

log = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

BLOCK = 1 << 19  # bytes held at a time; a longer line makes a longer block
UNPACKS = 4  # text is about four times as large as its gzip, to balance the load of workers
SMALL = 4 << 20  # bytes below which starting processes takes longer than doing the work
_ESCAPED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class Piece:
    """The lines of a file that begin at bytes ``start`` to ``stop`` - 1 (unpacked; None: all).

    name: the file's identity, the same wherever the corpus lies; ``rank``: its place in the corpus.
    """

    path: str
    name: str
    rank: int
    start: int
    stop: int | None
    cost: int


def pieces(files: Sequence[Path], names: Sequence[str], *, size: int) -> list[Piece]:
    """Cut files into pieces of at most ``size`` bytes; only plain text can be cut."""
    if size < 1:
        raise ValueError(f"pieces of {size} bytes are impossible: give at least 1")
    cut: list[Piece] = []
    for rank, (path, name) in enumerate(zip(files, names, strict=True)):
        total = path.stat().st_size
        if can_go_back(path):
            cut += [
                Piece(str(path), name, rank, start, min(start + size, total), size)
                for start in range(0, total, size)
            ]
        else:
            cost = total * UNPACKS if path.suffix == ".gz" else total
            cut.append(Piece(str(path), name, rank, 0, None, cost))
    return cut


def can_go_back(path: str | os.PathLike[str]) -> bool:
    """Whether a file can be read from any byte on: plain text can."""
    return Path(path).suffix == ".txt"


def deal(cut: Iterable[Piece], hands: int) -> list[list[Piece]]:
    """Deal pieces into at most ``hands`` groups of about equal cost, dearest first."""
    groups: list[list[Piece]] = [[] for _ in range(max(hands, 1))]
    loads = [0] * len(groups)
    for piece in sorted(cut, key=lambda piece: (-piece.cost, piece.rank, piece.start)):
        least = loads.index(min(loads))
        groups[least].append(piece)
        loads[least] += piece.cost
    return [group for group in groups if group]


def blocks(piece: Piece) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of blocks of whole lines; together exactly the lines of the piece.

    Raises:
        DataError: the gzip file is cut or broken.
    """
    with open_bytes(piece.path) as file:
        position = piece.start
        if position:
            # From one byte before: if that is a line end, the first line of the piece is whole.
            file.seek(position - 1)
            position += len(file.readline()) - 1
        while piece.stop is None or position < piece.stop:
            room = BLOCK if piece.stop is None else min(BLOCK, piece.stop - position)
            block = file.read(room)
            if not block:
                return
            if not block.endswith(b"\n"):
                block += file.readline()
            yield position, block
            position += len(block)


class _Gzip(gzip.GzipFile):
    """A gzip file whose damage is a DataError that names it."""

    def read(self, size: int | None = -1) -> bytes:
        return self._checked(super().read, size)

    def readline(self, size: int | None = -1) -> bytes:
        return self._checked(super().readline, size)

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def _checked(self, read: Callable[[int | None], bytes], size: int | None) -> bytes:
        try:
            return read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"the gzip file is cut or broken ({error})", path=self.name) from None


def open_bytes(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a plain or gzipped file for bytes; damaged gzip raises DataError when it is reached."""
    if str(path).endswith(".gz"):
        return cast("IO[bytes]", _Gzip(path, "rb"))  # it reads as one
    return open(path, "rb")


def decode(raw: bytes) -> tuple[str, int]:
    """UTF-8 text and the number of invalid bytes, each of which became one U+FFFD.

    >>> decode(b"TNF-\\xce\\xb1 \\xff")
    ('TNF-α �', 1)
    """
    try:
        return raw.decode("utf-8"), 0
    except UnicodeDecodeError:
        return _ESCAPED.subn("\ufffd", raw.decode("utf-8", "surrogateescape"))


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
    """The results of ``function`` for each task, in the order of the tasks; see ``Crew``."""
    tasks = list(tasks)
    with Crew(min(workers, len(tasks))) as crew:
        yield from crew.in_order(function, tasks)


def worker_context() -> BaseContext:
    """How worker processes are started.

    Not forked from this one: a fork of a process with threads (torch, tokenizers) can hang. A
    server process that has loaded nothing but ``loaded`` is forked instead; it starts with the
    first worker, and workers that come later have all they need. Windows starts each anew.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["bioptimus_lib.loaded"])
    return context


class Crew:
    """Those who do the work, for as many rounds of tasks as there are, as a context manager.

    Args:
        workers: processes to start; 0 works in this one.
        executor: any ``concurrent.futures.Executor`` to use instead; it is not shut down.
        threads: start threads, for work that does without Python's lock. They start at once, and
            what they make need not travel. Nothing can end a thread from without: it must look at
            ``stopped`` from time to time.
    """

    def __init__(
        self, workers: int, executor: Executor | None = None, *, threads: bool = False
    ) -> None:
        self.stopped = threading.Event()
        self._threads: ThreadPoolExecutor | None = None
        self._processes: ProcessPoolExecutor | None = None
        if executor is None and workers and threads:
            executor = self._threads = ThreadPoolExecutor(workers)
        elif executor is None and workers:
            executor = self._processes = ProcessPoolExecutor(
                workers, mp_context=worker_context(), initializer=_prepare
            )
        self._executor = executor

    def __enter__(self) -> Crew:
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
