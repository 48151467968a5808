"""What a worker of a scan does: go through its pieces of the corpus and sketch what it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bioptimus_lib.errors import DataError
from bioptimus_lib.matching import Keywords, compiled
from bioptimus_lib.passes import BLOCK, Piece, blocks, can_go_back
from bioptimus_lib.records import INVALID, documents, structured
from bioptimus_lib.sketch import LARGEST, Sketch, digest, scatter

OFFSETS = 40  # bits of an offset where rank and offset make one number: a file of a terabyte


class Job(NamedTuple):
    pieces: Sequence[Piece]
    payload: bytes  # the keywords' words, a line each; every worker compiles them once
    contexts: int
    seed: int | None  # of the sample; None takes the first lines
    scan: str  # which scan this is; groups of one scan tell each other what goes too late
    keep_going: bool  # then each group is a scan of its own, for its lines may be taken back


@lru_cache(maxsize=2)
def _limits(scan: str, keywords: int) -> np.ndarray:
    """What goes too late in a scan, as far as this process knows: K lines go before it.

    Every group may use what an earlier one has met, since those lines are in the corpus whoever
    tells of them.
    """
    return np.full(keywords, LARGEST, dtype=np.uint64)


@lru_cache(maxsize=2)
def _factors(payload: bytes, seed: int) -> np.ndarray:
    """What makes the order of the lines another one for each keyword, see ``scatter``."""
    forms = payload.decode().split("\n")
    return np.array([digest(seed, form) | 1 for form in forms], dtype=np.uint64)


def search(job: Job) -> Sketch:
    """Scan a group of pieces."""
    keywords = compiled(job.payload)
    found = Sketch.empty(len(keywords.forms), job.contexts)
    found.limit = _limits(job.scan, len(keywords.forms))
    for piece in sorted(job.pieces, key=lambda piece: (piece.rank, piece.start)):
        before = found.copy() if job.keep_going else None
        try:
            _scan_piece(piece, job, keywords, found)
        except (OSError, DataError) as error:
            if before is None:
                raise
            found = before
            found.problems.append(str(error))
    found.shrink()
    return found


def _scan_piece(piece: Piece, job: Job, keywords: Keywords, found: Sketch) -> None:
    base = digest(job.seed, "file", piece.name)
    first = np.uint64(piece.rank << OFFSETS)
    for offset, block in text_blocks(piece, found.tally):
        if job.seed is None:  # no more for a keyword that has its first lines
            begins = first + np.uint64(offset)
            keywords.look_for((found.counts < job.contexts) & (found.limit >= begins))
        hits = keywords.find(block)
        found.tally["bytes"] += len(block)
        found.tally["lines"] += len(hits.starts) - 1 - block.endswith(b"\n")
        found.tally[INVALID] += hits.invalid
        found.counts += np.bincount(hits.keywords, minlength=len(found.counts))
        places = hits.starts + offset
        if job.seed is None:
            order = (places.view(np.uint64) + first).take(hits.lines)
        else:
            order = scatter(base, places).take(hits.lines)
            order *= _factors(job.payload, job.seed).take(hits.keywords)
        chosen = np.flatnonzero(order <= found.limit.take(hits.keywords))
        lines = hits.lines[chosen]
        rank = np.full(len(chosen), piece.rank)
        found.offer(hits.keywords[chosen], order[chosen], rank, places[lines])
        if not can_go_back(piece.path):
            for line in np.unique(lines).tolist():
                begin, end = hits.starts[line : line + 2].tolist()
                found.texts[piece.rank, offset + begin] = block[begin : end - 1]


def text_blocks(piece: Piece, tally: Counter[str]) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of blocks of lines; records are read as the shard that they would make."""
    yield from _records(piece, tally) if structured(piece.path) else blocks(piece)


def _records(piece: Piece, tally: Counter[str]) -> Iterator[tuple[int, bytes]]:
    from bioptimus_lib.pubmed import sentences

    offset, size, lines = 0, 0, []
    for document in documents(piece.path, tally=tally):
        title = " ".join(document.title.split())
        found = "\n".join(([title] if title else []) + sentences(document.text) + [""]).encode()
        lines.append(found)
        size += len(found)
        if size > BLOCK:
            yield offset, b"".join(lines)
            offset, size, lines = offset + size, 0, []
    if size:
        yield offset, b"".join(lines)
