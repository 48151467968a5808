"""Finding keywords in a large corpus: one pass whatever their number, on any number of processes.

What a word is stands in ``words``, how a block of the corpus is matched in ``matching``, which
lines are kept in ``sketch``, what a worker does in ``search``, how the corpus is cut in ``passes``,
how words are counted in ``counting``. Memory grows with keywords ×
contexts, not with the corpus, and the answer is the same for 0, 1 or 64 workers, on one machine or
many.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from bioptimus_lib.contexts import Contexts, ScanReport
from bioptimus_lib.counting import count_words
from bioptimus_lib.errors import DataError
from bioptimus_lib.excerpts import Cut, cut
from bioptimus_lib.matching import normalise
from bioptimus_lib.passes import Crew, can_go_back, decode
from bioptimus_lib.records import INVALID
from bioptimus_lib.scan_plan import Paths, ScanPlan, bar, plan_scan
from bioptimus_lib.search import Job, search
from bioptimus_lib.sketch import Sketch
from bioptimus_lib.words import words

__all__ = [
    "Contexts", "ScanPlan", "ScanReport", "count_words", "find_contexts", "plan_scan",
    "read_keywords", "words",
]  # fmt: skip
log = logging.getLogger(__name__)

MAX_WORDS = 80  # qik-find's limit for a context
SHARE = 10_000  # lines that a worker cuts to size at a time
SAMPLES = ("random", "first")


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
    keep_going: bool = False,
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
        keep_going: leave out files that are missing, unreadable or broken, with a warning, and name
            them in the report. A file that breaks off in its middle counts for nothing.
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
    plan = plan_scan(
        paths, workers=workers, executor=executor, piece_bytes=piece_bytes, keep_going=keep_going
    )

    forms = sorted(set(wanted.values()))
    payload = "\n".join(forms).encode()
    drawn = seed if sample == "random" else None
    scan = uuid.uuid4().hex
    jobs = [
        Job(group, payload, contexts, drawn, f"{scan}-{n}" if keep_going else scan, keep_going)
        for n, group in enumerate(plan.groups)
    ]
    total = Sketch.empty(len(forms), contexts)
    with Crew(plan.workers, executor) as crew:
        for found in bar(crew.in_order(search, jobs), len(jobs), "scan", progress):
            total.merge(found)
        total.shrink()
        skipped = tuple(dict.fromkeys([*plan.skipped, *total.problems]))
        for problem in skipped:
            log.warning("left out: %s", problem)
        samples = _texts(crew, total, plan.files, forms, max_words)

    number = {form: n for n, form in enumerate(forms)}
    found_lines = {k: list(samples[number[form]]) for k, form in wanted.items()}
    report = ScanReport(
        files=len(plan.files) - len(set(total.problems)),
        bytes=total.tally["bytes"],
        lines=total.tally["lines"],
        invalid_bytes=total.tally[INVALID],
        seconds=round(time.perf_counter() - began, 3),
        keywords=len(wanted),
        missing=tuple(keyword for keyword, lines in found_lines.items() if not lines),
        contexts=sum(map(len, found_lines.values())),
        skipped=skipped,
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
    texts = np.empty(len(by_place), dtype=object)
    for share, found in zip(shares, crew.in_order(cut, tasks), strict=True):
        texts[share] = found
    bounds = np.searchsorted(total.keyword, np.arange(len(forms) + 1)).tolist()
    every = texts.tolist()
    return [every[first:end] for first, end in pairwise(bounds)]


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
