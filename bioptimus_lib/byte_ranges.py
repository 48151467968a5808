"""A corpus cut into byte ranges that end at line ends, one for each task of a worker.

A large plain file is cut, a compressed one stays whole. A line belongs to the range in which its
first byte lies, so every line is read by exactly one range wherever the cuts fall, and its offset
in the file does not depend on them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioptimus_lib.files import open_bytes

BLOCK = 1 << 19  # bytes held at a time; a longer line makes a longer block
UNPACKS = 4  # text is about four times as large as its gzip, to balance the load of workers


@dataclass(frozen=True)
class ByteRange:
    """The lines of a file that begin at bytes ``start`` to ``stop`` - 1 (unpacked; None: all).

    name: the file's identity, the same wherever the corpus lies; ``rank``: its place in the corpus.
    """

    path: str
    name: str
    rank: int
    start: int
    stop: int | None
    cost: int


def byte_ranges(files: Sequence[Path], names: Sequence[str], *, size: int) -> list[ByteRange]:
    """Cut files into ranges of at most ``size`` bytes; only plain text can be cut."""
    if size < 1:
        raise ValueError(f"ranges of {size} bytes are impossible: give at least 1")
    cut: list[ByteRange] = []
    for rank, (path, name) in enumerate(zip(files, names, strict=True)):
        total = path.stat().st_size
        if can_go_back(path):
            cut += [
                ByteRange(str(path), name, rank, start, min(start + size, total), size)
                for start in range(0, total, size)
            ]
        else:
            cost = total * UNPACKS if path.suffix == ".gz" else total
            cut.append(ByteRange(str(path), name, rank, 0, None, cost))
    return cut


def can_go_back(path: str | os.PathLike[str]) -> bool:
    """Whether a file can be read from any byte on: plain text can."""
    return Path(path).suffix == ".txt"


def deal(cut: Iterable[ByteRange], hands: int) -> list[list[ByteRange]]:
    """Deal ranges into at most ``hands`` groups of about equal cost, dearest first."""
    groups: list[list[ByteRange]] = [[] for _ in range(max(hands, 1))]
    loads = [0] * len(groups)
    for part in sorted(cut, key=lambda part: (-part.cost, part.rank, part.start)):
        least = loads.index(min(loads))
        groups[least].append(part)
        loads[least] += part.cost
    return [group for group in groups if group]


def blocks(part: ByteRange) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of blocks of whole lines; together exactly the lines of the range.

    Raises:
        DataError: the gzip file is cut or broken.
    """
    with open_bytes(part.path) as file:
        position = part.start
        if position:
            # From one byte before: if that is a line end, the first line of the range is whole.
            file.seek(position - 1)
            position += len(file.readline()) - 1
        while part.stop is None or position < part.stop:
            room = BLOCK if part.stop is None else min(BLOCK, part.stop - position)
            block = file.read(room)
            if not block:
                return
            if not block.endswith(b"\n"):
                block += file.readline()
            yield position, block
            position += len(block)
