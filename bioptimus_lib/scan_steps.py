"""A scanner built up in steps: each a few lines to read, to time and to test against the others.

A step is given the keywords once and makes a function from a block of text to a count of lines
for each keyword. Keywords are single ``words`` without punctuation; for these all steps agree with
``scan``, which is the one to work with. Beside them: what growth laws and speed-ups are measured
with.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bioptimus_lib.files import decode
from bioptimus_lib.matching import Keywords, count_lines
from bioptimus_lib.qik import qik_find
from bioptimus_lib.words import BYTES, CONTROLS, words
from bioptimus_lib.workers import worker_context

__all__ = ["STEPS", "Step", "Stopwatch", "best_of", "growth", "qik_find", "speed_up"]

Find = Callable[[bytes], Counter[str]]

# -- the steps -----------------------------------------------------------------------------------


def double_loop(keywords: Sequence[str]) -> Find:
    """Each line is searched for each keyword."""

    def find(block: bytes) -> Counter[str]:
        counts: Counter[str] = Counter()
        for line in decode(block)[0].split("\n"):
            there = words(line)
            for keyword in keywords:
                if keyword in there:
                    counts[keyword] += 1
        return counts

    return find


def set_per_line(keywords: Sequence[str]) -> Find:
    """Each word of a line is looked up in the set of keywords."""
    wanted = set(keywords)

    def find(block: bytes) -> Counter[str]:
        counts: Counter[str] = Counter()
        for line in decode(block)[0].split("\n"):
            counts.update(wanted.intersection(words(line)))
        return counts

    return find


def table_of_bytes(keywords: Sequence[str]) -> Find:
    """The same on bytes: one table makes letters small and cuts words."""
    wanted = {keyword.encode() for keyword in keywords}

    def find(block: bytes) -> Counter[str]:
        counts: Counter[bytes] = Counter()
        for line in _plain(block):
            counts.update(wanted.intersection(line.split(b" ")))
        return Counter({word.decode(): n for word, n in counts.items()})

    return find


def one_expression(keywords: Sequence[str]) -> Find:
    """All keywords as the alternatives of one compiled regular expression."""
    any_of = b"|".join(re.escape(keyword.encode()) for keyword in keywords)
    matches = re.compile(rb"(?<![^ ])(?:%b)(?![^ ])" % any_of).findall

    def find(block: bytes) -> Counter[str]:
        counts: Counter[bytes] = Counter()
        for line in _plain(block):
            counts.update(set(matches(line)))
        return Counter({word.decode(): n for word, n in counts.items()})

    return find


#: The first n of eight bytes, as a number.
FIRST = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplying by it moves every bit upwards (Fibonacci)


def places(small: bytes, bits: int) -> tuple[np.ndarray, ...]:
    """Of each word between blanks: where it begins, where it ends, and its
    place in a table, from its length and its first eight bytes."""
    padded = b"".join((b" ", small, b" " * 9))
    in_word = np.frombuffer(padded, dtype=np.uint8) > ord(" ")
    edges = np.flatnonzero(in_word[1:] != in_word[:-1]) + 1
    begins, ends = edges[0::2], edges[1::2]
    lengths = ends - begins
    eights = np.ndarray(len(padded) - 7, "<u8", buffer=padded, strides=(1,))
    first = eights[begins] & FIRST.take(lengths, mode="clip")
    mixed = (first ^ lengths.astype(np.uint64)) * SPREAD
    return begins - 1, ends - 1, mixed >> np.uint64(64 - bits)


def array_scan(keywords: Sequence[str], *, bits: int = 18) -> Find:
    """All words of a block at once, as arrays; one by one only those that may be keywords."""
    wanted = {keyword.encode(): keyword for keyword in keywords}
    flags = np.zeros(1 << bits, dtype=bool)
    flags[places(b" ".join(wanted), bits)[-1]] = True

    def find(block: bytes) -> Counter[str]:
        small = b"\n".join(_plain(block))
        begins, ends, place = places(small, bits)
        some = flags[place]
        begins, ends = begins[some], ends[some]
        cuts = np.flatnonzero(np.frombuffer(small, dtype=np.uint8) == ord("\n"))
        columns = (cuts.searchsorted(begins), begins, ends)
        found = {
            (line, small[begin:end])
            for line, begin, end in zip(*(column.tolist() for column in columns), strict=True)
        }
        return Counter(wanted[word] for _, word in found if word in wanted)

    return find


def compiled_loop(keywords: Sequence[str]) -> Find:
    """A loop over the bytes in machine code: what ``scan`` does."""
    compiled = Keywords("\n".join(keywords).encode())

    def find(block: bytes) -> Counter[str]:
        counts = count_lines(compiled, block)
        return Counter({keywords[n]: int(counts[n]) for n in map(int, np.flatnonzero(counts))})

    return find


def _plain(block: bytes) -> Iterable[bytes]:
    """Lines with their words between blanks; only lines with other than ASCII are decoded."""
    small = block.translate(BYTES, CONTROLS)
    if small.isascii():
        return small.split(b"\n")
    return (
        line if raw.isascii() else " ".join(words(decode(raw)[0])).encode()
        for raw, line in zip(block.split(b"\n"), small.split(b"\n"), strict=True)
    )


@dataclass(frozen=True)
class Step:
    """A way to scan: its name, what makes it, and what its time should grow with."""

    name: str
    build: Callable[[Sequence[str]], Find]
    work: str


STEPS: tuple[Step, ...] = (
    Step("loop in a loop", double_loop, "words × keywords"),
    Step("one expression", one_expression, "words × keywords"),
    Step("set per line", set_per_line, "words"),
    Step("table of bytes", table_of_bytes, "words"),
    Step("array scan", array_scan, "bytes"),
    Step("compiled loop", compiled_loop, "bytes"),
)

# -- measuring -----------------------------------------------------------------------------------


def best_of(work: Callable[[], object], *, repeats: int = 3) -> float:
    """Seconds of the fastest of some repeats: what disturbs a run only ever makes it slower."""
    if repeats < 1:
        raise ValueError(f"{repeats} repeats are impossible: give at least 1")
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def growth(
    build: Callable[[Sequence[str]], Callable[[Any], object]],
    keywords: Sequence[str],
    text: Any,
    *,
    sizes: Iterable[int],
    limit: float = 1.0,
    repeats: int = 3,
) -> dict[int, float]:
    """Number of keywords → seconds that a step needs for a text, without the time to build it.

    Args:
        build: makes the step from the first n of ``keywords``.
        text: what the step is called with.
        sizes: the numbers n, ascending.
        limit: the series ends where, at worst, the next point would take more seconds.
        repeats: see ``best_of``.
    """
    points: dict[int, float] = {}
    last = (0, 0.0)
    for size in sizes:
        if last[0] and last[1] * size / last[0] > limit:
            break
        find = build(keywords[:size])
        points[size] = best_of(partial(find, text), repeats=repeats)
        last = size, points[size]
    return points


def exponent(points: Mapping[int, float]) -> float:
    """p of the law time ∝ n^p between the last two sizes at least a factor of three apart.

    >>> exponent({1: 5.0, 100: 7.0, 10_000: 700.0})
    1.0
    """
    sizes = sorted(points)
    if len(sizes) < 2:
        raise ValueError("a growth law needs two sizes at least")
    end = sizes[-1]
    start = next((size for size in reversed(sizes) if 3 * size <= end), sizes[0])
    return math.log(points[end] / points[start]) / math.log(end / start)


_T = TypeVar("_T")


class Stopwatch(Executor):
    """Does its tasks at once, in this process, and adds up their seconds.

    What a scan on it takes beyond these seconds is its serial part: no number of workers helps.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Do a task now."""
        future: Future[_T] = Future()
        began = time.perf_counter()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  it is raised where the result is asked for
            future.set_exception(error)
        self.seconds += time.perf_counter() - began
        return future


def serial_and_parallel(
    scan: Callable[[Executor], object], *, repeats: int = 5
) -> tuple[float, float]:
    """Seconds of what only one process can do in a scan, and of what can be shared out."""
    found = []
    for _ in range(repeats):
        watch = Stopwatch()
        whole = best_of(partial(scan, watch), repeats=1)
        found.append((whole - watch.seconds, watch.seconds))
    return min(found, key=sum)


def speed_up(serial: float, parallel: float, workers: float) -> float:
    """Amdahl's law: how many times as fast ``workers`` are as one.

    >>> speed_up(1.0, 9.0, 9)
    5.0
    """
    return (serial + parallel) / (serial + parallel / workers)


def with_processes(
    scan: Callable[[Executor], object], workers: int, *, repeats: int = 5
) -> float:
    """Seconds of a scan on processes that are up; a first scan, which starts them, is not timed."""
    with ProcessPoolExecutor(workers, mp_context=worker_context()) as pool:
        scan(pool)
        return best_of(lambda: scan(pool), repeats=repeats)


def elsewhere(function: Callable[..., object], *arguments: object, seconds: float = 60.0) -> str:
    """What becomes of a call that is sent to a spawned process, in words; it never hangs."""
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_quiet)
    try:
        return f"it came back with {pool.submit(function, *arguments).result(seconds)!r}"
    except BrokenExecutor:
        return f"the process died: it could not find {function.__module__}.{function.__name__}"
    except TimeoutError:
        return f"no answer in {seconds:.0f} seconds: the process was ended"
    except Exception as error:  # noqa: BLE001  whatever the call did
        return f"it failed with {type(error).__name__}: {error}"
    finally:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)


def _quiet() -> None:
    """The traceback of a process that dies on purpose would only be in the way."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def whole_lines(paths: Iterable[str | os.PathLike[str]], size: int) -> bytes:
    """About the first ``size`` bytes of some files, up to a line end."""
    block = b""
    for path in paths:
        with Path(path).open("rb") as file:
            block += file.read(size - len(block))
            block += b"" if block.endswith(b"\n") else file.readline()
        if len(block) >= size:
            break
    return block
