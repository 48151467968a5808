"""How a corpus will be read: which files, cut into which parts, by how many workers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bioptimus_lib.byte_ranges import BLOCK, ByteRange, byte_ranges, deal
from bioptimus_lib.errors import DataError
from bioptimus_lib.machine import usable_cores
from bioptimus_lib.records import corpus_files, readable_files
from bioptimus_lib.workers import worker_count

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

PIECE = 16 << 20  # bytes of a plain file that are handed out at a time, at most
HANDS = 4  # groups of parts per worker: enough to balance, few enough to merge quickly


@dataclass(frozen=True)
class ScanPlan:
    """How a corpus will be read: files, their size on disk, workers, groups of parts, and what
    could not be found."""

    files: tuple[Path, ...]
    bytes: int
    workers: int
    groups: tuple[tuple[ByteRange, ...], ...]
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        cut = sum(map(len, self.groups))
        files = "1 file" if len(self.files) == 1 else f"{len(self.files):,} files"
        return (
            f"{files}, {self.bytes / 1e6:.1f} MB on disk, {cut:,} parts "
            f"in {len(self.groups)} groups, {self.workers} workers"
        )


def plan_scan(
    paths: Paths,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    piece_bytes: int | None = None,
    keep_going: bool = False,
) -> ScanPlan:
    """Decide how to read a corpus; reads nothing but the sizes of its files.

    Args:
        paths: a file, a folder, or several.
        workers: 0 does without, None takes one per core if the work is worth it.
        executor: for whose workers the plan is, if not for ours.
        piece_bytes: size of a piece of a plain file; None chooses.
        keep_going: leave out paths that are missing, unless all are.
    """
    skipped: list[str] = []
    if keep_going:
        paths, skipped = _there(paths)
    files, names = corpus_files(paths)
    total = sum(file.stat().st_size for file in files)
    workers = worker_count(workers, cost=total)
    hands = HANDS * (max(workers, usable_cores()) if executor else workers)
    size = piece_bytes or max(min(PIECE, total // max(hands, 1)), BLOCK)
    groups = deal(byte_ranges(files, names, size=size), hands)
    return ScanPlan(tuple(files), total, workers, tuple(map(tuple, groups)), tuple(skipped))


def _there(paths: Paths) -> tuple[Paths, list[str]]:
    """The paths below which there is something to read, and what is wrong with the others."""
    some = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    there, missing = [], []
    for path in some:
        try:
            readable_files(path)
            there.append(path)
        except (OSError, DataError) as error:
            missing.append(str(error))
    return there or some, missing  # if nothing is there, the one who reads it says so


_Result = TypeVar("_Result")


def bar(results: Iterator[_Result], total: int, what: str, progress: bool) -> Iterator[_Result]:
    """The results, with a progress bar over them or without."""
    if not progress:
        return results
    from tqdm.auto import tqdm

    return iter(tqdm(results, total=total, unit="part", desc=what))
