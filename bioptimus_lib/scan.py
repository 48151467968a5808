"""Finding keywords in a large corpus: one pass whatever their number, on any number of processes.

For each keyword the scan keeps the ``contexts`` lines with the smallest hash of (seed, keyword,
file, offset), a bottom-K sketch. Such sketches merge in any order, so the sample is uniform and the
same for 0, 1 or 64 workers, on one machine or many. Memory grows with keywords × contexts, not with
the corpus. What a word is stands in ``words``, how a line is
matched in ``matching``, the sample in ``sketch``, how the corpus is cut in ``passes``.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bioptimus_lib.contexts import Contexts, ScanReport
from bioptimus_lib.errors import DataError
from bioptimus_lib.matching import compiled, normalise
from bioptimus_lib.passes import BLOCK, Piece, blocks, deal, decode, in_order, pieces, worker_count
from bioptimus_lib.records import INVALID, corpus_files, documents, structured
from bioptimus_lib.sketch import LARGEST, Sketches, cut_lines, digest, keep, scatter
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
    hands = HANDS * (max(workers, os.cpu_count() or 1) if executor else workers)
    size = piece_bytes or max(min(PIECE, total // max(hands, 1)), BLOCK)
    groups = deal(pieces(files, names, size=size), hands)
    return ScanPlan(tuple(files), total, workers, tuple(map(tuple, groups)))


def find_contexts(
    keywords: Iterable[str],
    paths: Paths,
    *,
    contexts: int = 20,
    workers: int | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    max_words: int = MAX_WORDS,
    piece_bytes: int | None = None,
    progress: bool = False,
) -> Contexts:
    """A uniform sample of the lines that hold each keyword, as whole words.

    Keywords and lines are compared as BERT's ``words``: ``Interleukin`` finds ``(interleukin-2)``.
    A keyword of several words, ``IL-2``, is found where these words follow each other. Plain text
    is taken by lines, JSON lines and PubMed XML by sentences.

    Args:
        keywords: any number; one that is given twice counts once.
        paths: files and folders of .txt, .gz, .jsonl, .xml.
        contexts: K, how many lines to keep for each keyword.
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
    plan = plan_scan(paths, workers=workers, executor=executor, piece_bytes=piece_bytes)

    forms = sorted(set(wanted.values()))
    payload = "\n".join(forms).encode()
    jobs = [_Job(group, payload, contexts, seed, max_words) for group in plan.groups]
    total = Sketches.empty(len(forms))
    done = in_order(_scan, jobs, workers=plan.workers, executor=executor)
    for found in _bar(done, len(jobs), "scan", progress):
        total.merge(found, contexts)

    number = {form: n for n, form in enumerate(forms)}
    samples = [[text for *_, text in sorted(sketch, reverse=True)] for sketch in total.sketches]
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
    counts = {keyword: total.counts[number[form]] for keyword, form in wanted.items()}
    return Contexts(found_lines, counts=counts, report=report)


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
    done = in_order(_count, plan.groups, workers=plan.workers, executor=executor)
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
    seed: int
    max_words: int


def _scan(job: _Job) -> Sketches:
    """Scan a group of pieces; the lines kept come back as text, cut to size."""
    keywords = compiled(job.payload)
    known, triggers, symbols = keywords.ascii, keywords.triggers, keywords.symbols
    in_line = triggers.union(known).intersection
    factors = [digest(job.seed, form) | 1 for form in keywords.forms]
    last = [LARGEST] * len(factors)  # the largest hash that may still come in
    found = Sketches.empty(len(factors))
    with _no_garbage_collection():
        for piece in job.pieces:
            base = digest(job.seed, "file", piece.name)
            for offset, block in _text(piece, found.tally):
                for line, plain in zip(block.split(b"\n"), plain_lines(block), strict=True):
                    if plain.isascii():
                        hits = in_line(plain.split())
                        if hits.isdisjoint(triggers) and not (symbols and symbols.search(line)):
                            numbers = [known[word] for word in hits]
                        else:
                            numbers = keywords.exact(line)
                    else:
                        numbers = keywords.exact(line)
                    if numbers:
                        mixed = scatter(base, offset)
                        for n in numbers:
                            found.counts[n] += 1
                            if (goes := mixed * factors[n] & LARGEST) <= last[n]:
                                sketch = found.sketches[n]
                                keep(sketch, (-goes, -piece.rank, -offset, line), job.contexts)
                                if len(sketch) == job.contexts:
                                    last[n] = -sketch[0][0]
                    offset += len(line) + 1
        cut_lines(found, keywords.forms, job.max_words)
    return found


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A scan makes very many tuples and no cycles; looking for some takes a quarter of its time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _text(piece: Piece, tally: Counter[str]) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of blocks of lines; records are read as the shard that they would make."""
    for offset, block in _records(piece, tally) if structured(piece.path) else blocks(piece):
        tally["bytes"] += len(block)
        tally["lines"] += block.count(b"\n") + (not block.endswith(b"\n"))
        if not block.isascii():
            tally[INVALID] += decode(block)[1]
        yield offset, block


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
