"""Finding keywords in a large corpus: one pass whatever their number, on any number of cores.

What a word is stands in ``words``, how a block of the corpus is matched in ``matching``, which
lines are kept in ``sketch``, what a worker does in ``search``, how the corpus is cut in
``byte_ranges``, how words are counted in ``counting``. Memory grows with keywords × contexts, not
with the corpus, and the answer is the same for 0, 1 or 64 workers, on one machine
or many.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from bioptimus_lib.byte_ranges import can_go_back
from bioptimus_lib.contexts import Contexts, ScanReport
from bioptimus_lib.counting import count_words
from bioptimus_lib.errors import DataError
from bioptimus_lib.excerpts import Cut, Texts, cut
from bioptimus_lib.files import decode
from bioptimus_lib.records import INVALID
from bioptimus_lib.scan_plan import Paths, ScanPlan, bar, plan_scan
from bioptimus_lib.search import Job, get_ready, search
from bioptimus_lib.sketch import Sketch
from bioptimus_lib.words import words
from bioptimus_lib.workers import WorkerPool

__all__ = [
    "Contexts", "ScanPlan", "ScanReport", "count_words", "find_contexts", "plan_scan",
    "read_keywords", "words",
]  # fmt: skip
if TYPE_CHECKING:
    import pyarrow

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
        workers: how many work at once: threads if all of it is plain text, else processes. 0 does
            without, None chooses. The answer is always the same.
        executor: any ``concurrent.futures.Executor`` to work on instead.
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
    wanted = forms_of(keywords)
    for name, value in (("contexts", contexts), ("max_words", max_words)):
        if value < 1:
            raise ValueError(f"{name} = {value} is impossible: give at least 1")
    if sample not in SAMPLES:
        raise ValueError(f"sample {sample!r} is unknown: choose {' or '.join(SAMPLES)}")
    plan = plan_scan(
        paths, workers=workers, executor=executor, piece_bytes=piece_bytes, keep_going=keep_going
    )
    # Plain text is the loop's alone, and that runs without Python's lock; what must be unpacked or
    # parsed first is not.
    threads = executor is None and all(map(can_go_back, plan.files))
    if executor is None and (threads or not plan.workers):
        # The loops are compiled and loaded once in a process; that is no part of a scan's speed.
        from bioptimus_lib import loaded  # noqa: F401
    began = time.perf_counter()

    number = {form: n for n, form in enumerate(dict.fromkeys(wanted.values()))}
    forms = list(number)
    payload = "\n".join(forms).encode()
    drawn = seed if sample == "random" else None
    scan = uuid.uuid4().hex
    jobs = [
        Job(
            group, payload, contexts, drawn, f"{scan}-{n}" if keep_going else scan, max_words,
            keep_going,
        )
        for n, group in enumerate(plan.groups)
    ]
    total = Sketch.empty(len(forms), contexts)
    with WorkerPool(plan.workers, executor, threads=threads) as pool:
        work = search
        if threads and jobs:
            get_ready(jobs[0])  # once, for all threads
            work = partial(search, stopped=pool.stopped.is_set)
        for found in bar(pool.in_order(work, jobs), len(jobs), "scan", progress):
            total.merge(found)
        total.shrink()
        skipped = tuple(dict.fromkeys([*plan.skipped, *total.problems]))
        for problem in skipped:
            log.warning("left out: %s", problem)
        rows = np.fromiter(map(number.__getitem__, wanted.values()), np.int64, len(wanted))
        lines = _texts(pool, total, plan.files, max_words, rows)

    kept = lines.value_lengths().to_numpy()
    names = list(wanted)
    report = ScanReport(
        files=len(plan.files) - len(set(total.problems)),
        bytes=total.tally["bytes"],
        lines=total.tally["lines"],
        invalid_bytes=total.tally[INVALID],
        seconds=round(time.perf_counter() - began, 3),
        keywords=len(wanted),
        missing=tuple(names[n] for n in np.flatnonzero(kept == 0).tolist()),
        contexts=int(kept.sum()),
        skipped=skipped,
    )
    log.info("%s", report)
    counts = dict(zip(names, total.counts[rows].tolist(), strict=True))
    return Contexts.of_columns(
        names, lines, counts=counts if sample == "random" else None, report=report
    )


def _texts(
    pool: WorkerPool, total: Sketch, files: Sequence[Path], max_words: int, rows: np.ndarray
) -> pyarrow.LargeListArray:
    """For each keyword, given by the number of its form, its lines, in their order, as texts of at
    most ``max_words`` words."""
    import pyarrow

    # By the place in the corpus, so that each file is gone through once.
    by_place = np.lexsort((total.hit, total.rank))
    here = np.array([can_go_back(file) for file in files])[total.rank[by_place]]
    shares = _shares(by_place[here], total.rank)
    valid = not total.tally[INVALID]
    tasks = [Cut(str(files[total.rank[s[0]]]), total.hit[s], max_words, valid) for s in shares]
    texts = list(pool.in_order(cut, tasks))
    if len(gone := by_place[~here]):
        where = zip(total.rank[gone].tolist(), total.hit[gone].tolist(), strict=True)
        kept = [total.texts[place] for place in where]
        shares.append(gone)
        texts.append(Texts(b"".join(kept), np.array([len(text) for text in kept])))

    ends = np.cumsum(np.concatenate([[0], *(text.sizes for text in texts)]))
    every_raw = cast("Iterable[bytes]", (text.raw for text in texts))  # an array is a buffer, too
    raw = pyarrow.py_buffer(b"".join(every_raw))
    texts.clear()  # they are as large as all contexts
    every = pyarrow.LargeStringArray.from_buffers(len(ends) - 1, pyarrow.py_buffer(ends), raw)
    place = np.empty(len(by_place), dtype=np.int64)
    place[np.concatenate([by_place[:0], *shares])] = np.arange(len(by_place))
    first, last = (np.searchsorted(total.keyword, rows, side=side) for side in ("left", "right"))
    bounds = np.concatenate([[0], np.cumsum(last - first)])
    entries = np.arange(bounds[-1]) + np.repeat(first - bounds[:-1], last - first)
    return pyarrow.LargeListArray.from_arrays(bounds, every.take(pyarrow.array(place[entries])))


def _shares(entries: np.ndarray, rank: np.ndarray) -> list[np.ndarray]:
    """Entries, sorted by file, as shares of one file each that a worker cuts at a time."""
    bounds = np.flatnonzero(np.diff(rank[entries])) + 1
    return [
        part[at : at + SHARE]
        for part in np.split(entries, bounds)
        for at in range(0, len(part), SHARE)
    ]


def forms_of(keywords: Iterable[str]) -> dict[str, str]:
    """Keyword → its form: its words, joined by blanks."""
    if isinstance(keywords, str):
        raise ValueError("keywords is one string: give a list of strings")
    keywords = list(keywords)
    if not keywords:
        raise ValueError("no keywords: give at least one")
    forms = _simple_forms(keywords) or [" ".join(words(keyword)) for keyword in keywords]
    for keyword, form in zip(keywords, forms, strict=True):
        if not form:
            raise ValueError(f"the keyword {keyword!r} holds no word")
    wanted = dict(zip(keywords, forms, strict=True))
    if twice := len(keywords) - len(wanted):
        log.warning("%d keywords are given more than once", twice)
    return wanted


def _simple_forms(keywords: list[str]) -> list[str]:
    """The same, all at once, if each is one word of ASCII letters and digits; else nothing."""
    together = "\n".join(keywords)
    if not together.isascii() or not together.replace("\n", "").isalnum():
        return []
    forms = together.lower().split("\n")
    return forms if len(forms) == len(keywords) else []


def read_keywords(path: str | os.PathLike[str]) -> list[str]:
    """Keywords of a file: one per line, or joined by ``**`` as qik-find takes them.

    Raises:
        DataError: the file has none.
    """
    text = decode(Path(path).read_bytes())[0].removeprefix("\ufeff")
    found = [k for line in text.splitlines() for part in line.split("**") if (k := part.strip())]
    if not found:
        raise DataError("the file holds no keyword", path=path)
    return list(dict.fromkeys(found))
