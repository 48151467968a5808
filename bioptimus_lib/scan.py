"""Finding keywords in a large corpus: one pass whatever their number, on any number of processes.

What a word is stands in ``words``, how a block of the corpus is matched in ``matching``, which
lines are kept in ``sketch``, how the corpus is cut in ``passes``. Memory grows with keywords ×
contexts, not with the corpus, and the answer is the same for 0, 1 or 64 workers, on one machine or
many.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bioptimus_lib.contexts import Contexts, ScanReport
from bioptimus_lib.errors import DataError
from bioptimus_lib.excerpts import Cut, cut
from bioptimus_lib.machine import usable_cores
from bioptimus_lib.matching import compiled, normalise
from bioptimus_lib.passes import (
    BLOCK,
    Crew,
    Piece,
    blocks,
    can_go_back,
    deal,
    decode,
    pieces,
    worker_count,
)  # fmt: skip
from bioptimus_lib.records import INVALID, corpus_files, documents, structured
from bioptimus_lib.sketch import LARGEST, Sketch, digest, scatter
from bioptimus_lib.words import PUNCTUATION, plain_lines, words

__all__ = [
    "Contexts", "ScanPlan", "ScanReport", "count_words", "find_contexts", "plan_scan",
    "read_keywords", "words",
]  # fmt: skip
log = logging.getLogger(__name__)

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

PIECE = 16 << 20  # bytes of a plain file that are handed out at a time, at most
HANDS = 4  # groups of pieces per worker: enough to balance, few enough to merge quickly
MAX_WORDS = 80  # qik-find's limit for a context
SHARE = 10_000  # lines that a worker cuts to size at a time
SAMPLES = ("random", "first")
OFFSETS = 40  # bits of an offset where rank and offset make one number: a file of a terabyte


@dataclass(frozen=True)
class ScanPlan:
    """How a corpus will be read: files, their size on disk, processes, groups of pieces."""

    files: tuple[Path, ...]
    bytes: int
    workers: int
    groups: tuple[tuple[Piece, ...], ...]

    def __str__(self) -> str:
        cut = sum(map(len, self.groups))
        return (
            f"{len(self.files):,} files, {self.bytes / 1e6:.1f} MB on disk, {cut:,} pieces "
            f"in {len(self.groups)} groups, {self.workers} worker processes"
        )


def plan_scan(
    paths: Paths,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    piece_bytes: int | None = None,
) -> ScanPlan:
    """Decide how to read a corpus; reads nothing but the sizes of its files.

    Args:
        paths: a file, a folder, or several.
        workers: processes; 0 works in this one, None takes one per core if the work is worth it.
        executor: for whose processes the plan is, if not for ours.
        piece_bytes: size of a piece of a plain file; None chooses.
    """
    files, names = corpus_files(paths)
    total = sum(file.stat().st_size for file in files)
    workers = worker_count(workers, cost=total)
    hands = HANDS * (max(workers, usable_cores()) if executor else workers)
    size = piece_bytes or max(min(PIECE, total // max(hands, 1)), BLOCK)
    groups = deal(pieces(files, names, size=size), hands)
    return ScanPlan(tuple(files), total, workers, tuple(map(tuple, groups)))


def find_contexts(
    keywords: Iterable[str],
    paths: Paths,
    *,
    contexts: int = 20,
    sample: str = "random",
    workers: int | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    max_words: int = MAX_WORDS,
    piece_bytes: int | None = None,
    progress: bool = False,
) -> Contexts:
    """Lines that hold each keyword as whole words: a uniform sample of them, or the first.

    Keywords and lines are compared as BERT's ``words``: ``Interleukin`` finds ``(interleukin-2)``.
    A keyword of several words, ``IL-2``, is found where these words follow each other. Plain text
    is taken by lines, JSON lines and PubMed XML by sentences.

    Args:
        keywords: any number; one that is given twice counts once.
        paths: files and folders of .txt, .gz, .jsonl, .xml.
        contexts: K, how many lines to keep for each keyword.
        sample: ``random`` draws K of a keyword's lines, each with equal chance. ``first`` takes the
            first K of the corpus; it looks no more for a keyword that has them, which is faster,
            and so does not know how many there are.
        workers: processes; 0 works in this one, None chooses. The answer is always the same.
        executor: any ``concurrent.futures.Executor`` to work on instead of our processes.
        seed: of the sample.
        max_words: a longer line is cut to as many words around the keyword.
        piece_bytes: see ``plan_scan``.
        progress: show a progress bar.

    Raises:
        ValueError: an empty keyword, no keyword, or an impossible number.
        FileNotFoundError, DataError: missing or broken input.
        ChildProcessError: a worker process died.
    """
    began = time.perf_counter()
    wanted = normalise(keywords)
    for name, value in (("contexts", contexts), ("max_words", max_words)):
        if value < 1:
            raise ValueError(f"{name} = {value} is impossible: give at least 1")
    if sample not in SAMPLES:
        raise ValueError(f"sample {sample!r} is unknown: choose {' or '.join(SAMPLES)}")
    plan = plan_scan(paths, workers=workers, executor=executor, piece_bytes=piece_bytes)

    forms = sorted(set(wanted.values()))
    payload = "\n".join(forms).encode()
    drawn = seed if sample == "random" else None
    scan = uuid.uuid4().hex
    jobs = [_Job(group, payload, contexts, drawn, scan) for group in plan.groups]
    total = Sketch.empty(len(forms), contexts)
    with Crew(plan.workers, executor) as crew:
        for found in _bar(crew.in_order(_scan, jobs), len(jobs), "scan", progress):
            total.merge(found)
        total.shrink()
        samples = _texts(crew, total, plan.files, forms, max_words)

    number = {form: n for n, form in enumerate(forms)}
    found_lines = {k: list(samples[number[form]]) for k, form in wanted.items()}
    report = ScanReport(
        files=len(plan.files),
        bytes=total.tally["bytes"],
        lines=total.tally["lines"],
        invalid_bytes=total.tally[INVALID],
        seconds=round(time.perf_counter() - began, 3),
        keywords=len(wanted),
        missing=tuple(keyword for keyword, lines in found_lines.items() if not lines),
        contexts=sum(map(len, found_lines.values())),
    )
    log.info("%s", report)
    counts = {keyword: int(total.counts[number[form]]) for keyword, form in wanted.items()}
    return Contexts(found_lines, counts=counts if sample == "random" else None, report=report)


def _texts(
    crew: Crew, total: Sketch, files: Sequence[Path], forms: Sequence[str], max_words: int
) -> list[list[str]]:
    """The lines of each keyword, in their order, as text of at most ``max_words`` words."""
    by_place = np.lexsort((total.offset, total.rank))
    cuts = np.flatnonzero(np.diff(total.rank[by_place])) + 1
    shares = [
        share[at : at + SHARE]
        for share in np.split(by_place, cuts)
        for at in range(0, len(share), SHARE)
    ]
    tasks = []
    for share in shares:
        rank = int(total.rank[share[0]])
        offsets = total.offset[share].tolist()
        kept = None
        if not can_go_back(files[rank]):
            kept = [total.texts[rank, offset] for offset, _ in groupby(offsets)]
        wanted = [forms[n] for n in total.keyword[share].tolist()]
        tasks.append(Cut(str(files[rank]), offsets, kept, wanted, max_words))
    lines: list[list[str]] = [[] for _ in forms]
    texts: list[str] = [""] * len(by_place)
    for share, found in zip(shares, crew.in_order(cut, tasks), strict=True):
        for entry, text in zip(share.tolist(), found, strict=True):
            texts[entry] = text
    for keyword, text in zip(total.keyword.tolist(), texts, strict=True):
        lines[keyword].append(text)
    return lines


def count_words(
    paths: Paths,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    piece_bytes: int | None = None,
    progress: bool = False,
) -> Counter[str]:
    """How often each of BERT's ``words`` occurs in a corpus, punctuation marks included.

    Arguments and errors are those of ``find_contexts``.
    """
    plan = plan_scan(paths, workers=workers, executor=executor, piece_bytes=piece_bytes)
    counts: Counter[str] = Counter()
    with Crew(plan.workers, executor) as crew:
        done = crew.in_order(_count, plan.groups)
        for part in _bar(done, len(plan.groups), "count", progress):
            counts.update(part)
    return counts


def read_keywords(path: str | os.PathLike[str]) -> list[str]:
    """Keywords of a file: one per line, or joined by ``**`` as qik-find takes them.

    Raises:
        DataError: the file has none.
    """
    text, _ = decode(Path(path).read_bytes())
    found = [k for line in text.splitlines() for part in line.split("**") if (k := part.strip())]
    if not found:
        raise DataError("the file holds no keyword", path=path)
    return list(dict.fromkeys(found))


def _bar(results: Iterator, total: int, what: str, progress: bool) -> Iterator:
    if not progress:
        return results
    from tqdm.auto import tqdm

    return iter(tqdm(results, total=total, unit="part", desc=what))


# -- what a worker does ---------------------------------------------------------------------------


class _Job(NamedTuple):
    pieces: Sequence[Piece]
    payload: bytes  # the keywords' words, a line each; every worker compiles them once
    contexts: int
    seed: int | None  # of the sample; None takes the first lines
    scan: str  # which scan this is; groups of one scan tell each other what goes too late


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


def _scan(job: _Job) -> Sketch:
    """Scan a group of pieces."""
    keywords = compiled(job.payload)
    found = Sketch.empty(len(keywords.forms), job.contexts)
    found.limit = _limits(job.scan, len(keywords.forms))
    for piece in sorted(job.pieces, key=lambda piece: (piece.rank, piece.start)):
        base = digest(job.seed, "file", piece.name)
        first = np.uint64(piece.rank << OFFSETS)
        for offset, block in _text(piece, found.tally):
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
    found.shrink()
    return found


def _text(piece: Piece, tally: Counter[str]) -> Iterator[tuple[int, bytes]]:
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


def _count(group: Sequence[Piece]) -> Counter[str]:
    """Count the words of a group of pieces."""
    plain: Counter[bytes] = Counter()
    counts: Counter[str] = Counter()
    for piece in group:
        for _, block in _text(piece, Counter()):
            if not block.isascii():
                lines = block.split(b"\n")
                for line in lines:
                    if not line.isascii():
                        counts.update(words(decode(line)[0]))
                block = b"\n".join(line for line in lines if line.isascii())
            for line in plain_lines(block):
                plain.update(line.split())
            for symbol in PUNCTUATION:
                if number := block.count(symbol):
                    counts[chr(symbol)] += number
    for word, number in plain.items():
        counts[word.decode()] += number
    return counts
