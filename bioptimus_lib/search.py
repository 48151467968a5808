"""What a worker of a scan does: go through its parts of the corpus and sketch what it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bioptimus_lib.byte_ranges import BLOCK, ByteRange, blocks, can_go_back
from bioptimus_lib.errors import DataError
from bioptimus_lib.records import INVALID, documents, structured
from bioptimus_lib.sketch import LARGEST, Sketch, digest

if TYPE_CHECKING:
    from bioptimus_lib.matching import Keywords, Search

OFFSETS = 40  # bits of an offset where rank and offset make one number: a file of a terabyte


class Job(NamedTuple):
    """What a worker needs to search some parts of a corpus."""

    parts: Sequence[ByteRange]
    payload: bytes  # the keywords' words, a line each; every worker lays them out once
    contexts: int
    seed: int | None  # of the sample; None takes the first lines
    scan: str  # which scan this is; groups of one scan tell each other what goes too late
    max_words: int  # of a context
    keep_going: bool  # then each group is a scan of its own, for its lines may be taken back


@lru_cache(maxsize=2)
def _limits(scan: str, keywords: int) -> np.ndarray:
    """What goes too late in a scan, as far as this process knows: K lines go before it.

    Every group may use what an earlier one has met, since those lines are in the corpus whoever
    tells of them.
    """
    return np.full(keywords, LARGEST, dtype=np.uint64)


def get_ready(job: Job) -> tuple[Keywords, np.ndarray]:
    """What all jobs of a scan share in a process: its keywords, laid out, and its limits."""
    # Not above: a process that only hands out work need not load the compiled loop.
    from bioptimus_lib.matching import laid_out

    keywords = laid_out(job.payload)
    return keywords, _limits(job.scan, len(keywords.forms))


def search(job: Job, *, stopped: Callable[[], bool] | None = None) -> Sketch:
    """Scan a group of parts.

    Raises:
        CancelledError: ``stopped``, which is asked before each block, said yes.
    """
    from bioptimus_lib.match_loop import Wanted, factors
    from bioptimus_lib.matching import Search

    keywords, limits = get_ready(job)
    many = len(keywords.forms)
    found = Sketch.empty(many, job.contexts)
    found.limit = limits
    if job.seed is None:
        most, factor = job.contexts, np.empty(0, dtype=np.uint64)
    else:
        payload = np.frombuffer(job.payload, dtype=np.uint8)
        most, factor = LARGEST >> 1, factors(payload, np.uint64(digest(job.seed, "keyword")))
    for part in sorted(job.parts, key=lambda part: (part.rank, part.start)):
        before = found.copy() if job.keep_going else None
        wanted = Wanted(found.counts, most, found.limit, factor, np.full(many, -1))
        try:
            _scan_part(part, job, Search(keywords, wanted), found, stopped)
        except (OSError, DataError) as error:
            if before is None:
                raise
            found = before
            found.problems.append(str(error))
    found.shrink()
    return found


def _scan_part(
    part: ByteRange, job: Job, lines: Search, found: Sketch, stopped: Callable[[], bool] | None
) -> None:
    first = part.rank << OFFSETS if job.seed is None else digest(job.seed, "file", part.name)
    kept = not can_go_back(part.path)
    for offset, block in text_blocks(part, found.tally):
        if stopped is not None and stopped():
            raise CancelledError
        found.tally["bytes"] += len(block)
        for some in lines.find(block, offset, first):
            if kept:
                _keep(some.hit, block, offset, part.rank, job.max_words, found)
            rank = np.full(len(some.form), part.rank)
            found.offer(some.form, some.order, rank, some.line, some.hit)
    found.tally["lines"] += lines.read
    found.tally[INVALID] += lines.invalid


def _keep(
    hits: np.ndarray, block: bytes, offset: int, rank: int, limit: int, found: Sketch
) -> None:
    """Cut the texts around some places now, since one cannot go back to them."""
    from bioptimus_lib.excerpts import around, as_bytes

    texts = as_bytes(around(block, hits - offset, limit))
    found.texts.update(zip(((rank, hit) for hit in hits.tolist()), texts, strict=True))


def text_blocks(part: ByteRange, tally: Counter[str]) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of blocks of lines; records are read as the shard that they would make."""
    yield from _records(part, tally) if structured(part.path) else blocks(part)


def _records(part: ByteRange, tally: Counter[str]) -> Iterator[tuple[int, bytes]]:
    from bioptimus_lib.pubmed import sentences

    offset, size, lines = 0, 0, []
    for document in documents(part.path, tally=tally):
        title = " ".join(document.title.split())
        found = "\n".join(([title] if title else []) + sentences(document.text) + [""]).encode()
        lines.append(found)
        size += len(found)
        if size > BLOCK:
            yield offset, b"".join(lines)
            offset, size, lines = offset + size, 0, []
    if size:
        yield offset, b"".join(lines)
