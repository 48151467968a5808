"""The corpus stage: documents to clean, deduplicated text, one sentence a line, in shards.

Between the rooms a corpus is a folder of UTF-8 files ``corpus-000.txt``, ``corpus-001.txt``, … with
one sentence a line and a blank line after each document. Workers turn whole files into parts on
disk (``parts``), and which documents stay is decided in one place, in the order of the files
(``selection``), so the result is the same for any number of workers, and for a run that was killed
and started again.

A worker's memory does not grow with its files: 40 MB at the peak for 39 and for 384 MB of text that
two of them read. It grows with the longest line alone. The parent needs 66 bytes for each document,
100 when there is a limit of size (differences of peaks at 30,000 and 303,000 documents, and at 4
and 12 million rows): 2.4 GB for the 36 million records of PubMed.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from bioptimus_lib.cleaning import clean
from bioptimus_lib.errors import DataError
from bioptimus_lib.parts import (
    DROPPED,
    Task,
    facts_of,
    fingerprint,
    new_folder,
    read_rows,
    tidy,
    work_folder,
    write_part,
)
from bioptimus_lib.records import INVALID, Document, corpus_files, documents, readable_files
from bioptimus_lib.selection import MEGABYTE, choose
from bioptimus_lib.splitting import sentences
from bioptimus_lib.workers import WorkerPool, worker_count

__all__ = [
    "DROPPED", "CorpusReport", "Document", "clean", "documents", "readable_files", "sentences",
    "write_shards",
]  # fmt: skip
log = logging.getLogger(__name__)

REPORT = "corpus.json"


@dataclass(frozen=True)
class CorpusReport:
    """What became of a corpus.

    Args:
        files: files read.
        documents_in, documents_out: before and after dropping.
        dropped: documents for each reason of ``DROPPED``; each counts once, for the first.
        sentences, bytes: of the output.
        invalid_bytes: bytes of the input that are not UTF-8.
        shards: names of the files written.
        seconds: time taken.
        left_out: broken files, ``name: why``; nothing of them is in any other count.
        resumed: files of which an earlier run had finished the part.
    """

    files: int
    documents_in: int
    documents_out: int
    dropped: dict[str, int]
    sentences: int
    bytes: int
    invalid_bytes: int
    shards: tuple[str, ...]
    seconds: float
    left_out: tuple[str, ...] = ()
    resumed: int = 0

    def __str__(self) -> str:
        def line(name: str, count: int) -> str:
            share = f"{count / max(self.documents_in, 1):8.1%}"
            return f"{name:<20}{count:>14,}{share}"

        size, shards = self.bytes / MEGABYTE, len(self.shards)
        return "\n".join([
            line("documents read", self.documents_in),
            *(line(f"- {why}", count) for why, count in self.dropped.items()),
            line("documents written", self.documents_out),
            f"{'sentences':<20}{self.sentences:>14,}",
            f"{'size':<20}{size:>11,.1f} MB in {shards:,} shard{'s' * (shards != 1)}",
            f"{'files':<20}{self.files:>14,} in {self.seconds:,.1f} s"
            + (f", {self.resumed:,} of them done before" if self.resumed else ""),
            *([f"{'invalid bytes':<20}{self.invalid_bytes:>14,}"] if self.invalid_bytes else []),
            *(f"left out: {why}" for why in self.left_out),
        ])  # fmt: skip


def write_shards(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    megabytes: float | None = None,
    shard_megabytes: float = 8,
    workers: int | None = None,
    dedupe: bool = True,
    any_language: bool = False,
    keep_going: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> CorpusReport:
    """Write a corpus as shards; the folder ``out`` appears complete or not at all.

    A run that was killed goes on where it was, file by file, when it is called again with the same
    input, ``out`` and ``any_language``; see ``parts``. Until the end that needs as much space again
    as the output.

    Args:
        paths: files and folders, see ``records.documents``. Of records with the same PMID the last
            one counts, in the order of the paths, then of the names; so PubMed's update files have
            to follow its baseline, as their names do.
        out: folder of the shards; an old one is replaced. ``corpus.json`` in it is the report.
        megabytes: at most so many (10^6 bytes) of output. The documents are then a random sample
            of all, drawn with ``seed``, in the order of the files.
        shard_megabytes: a shard is closed once it has grown to this size.
        workers: processes; 0 works in this one, None chooses. The output is always the same.
        dedupe: drop a document whose title and text equal an earlier one's, but for case and
            white space.
        any_language: keep articles in other languages; records without a language always stay.
        keep_going: leave broken or unreadable files out, with a warning, instead of raising. All
            of such a file is left out, also what comes before the place where it is broken, and
            the records of other files that it would have replaced or deleted stay.
        progress: show a progress bar over the bytes of the files.

    Raises:
        ValueError: a size that is not positive, input below ``out`` or ``out`` below an input.
        FileExistsError: ``out`` holds something other than a corpus.
        BlockingIOError: another process writes the same ``out``.
        FileNotFoundError, DataError: missing or broken input, or nothing left to write.
    """
    for name, value in (("megabytes", megabytes), ("shard_megabytes", shard_megabytes)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} = {value} is impossible: give more than 0")
    began = time.perf_counter()
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    files, names = corpus_files(paths)
    out = Path(os.path.abspath(out))
    _check_goal(out, files, paths)
    workers = worker_count(workers, cost=sum(file.stat().st_size for file in files))

    with work_folder(out) as work:
        parts = [work / fingerprint(file, any_language=any_language) for file in files]
        tidy(work, parts)
        there = [facts_of(part) for part in parts]
        resumed = sum(facts is not None for facts in there)
        todo = [n for n, facts in enumerate(there) if facts is None]
        tasks = [Task(files[n], parts[n], any_language, keep_going) for n in todo]
        with WorkerPool(min(workers, len(tasks))) as pool, _bar(files, todo, progress) as bar:
            for n, facts in zip(todo, pool.in_order(write_part, tasks), strict=True):
                there[n] = facts
                bar.update(files[n].stat().st_size)
        found = [facts for facts in there if facts is not None]  # all of them by now
        left_out = [f"{names[n]}{facts['why']}" for n, facts in enumerate(found) if "why" in facts]
        for why in left_out:
            log.warning("left out: %s", why)
        good = [n for n, facts in enumerate(found) if "why" not in facts]
        parts, found = [parts[n] for n in good], [found[n] for n in good]
        facts, sizes, stays = _decide(parts, found, dedupe=dedupe, limit=megabytes, seed=seed)
        if facts["documents_out"]:
            with new_folder(work, out) as folder:
                counts = [facts["documents"] for facts in found]
                facts["shards"] = _copy(parts, counts, sizes, stays, folder,
                                        size=int(shard_megabytes * MEGABYTE))  # fmt: skip
                # Without the time: the same corpus gives the same bytes in each file of the folder.
                limit = None if megabytes is None else float(megabytes)
                asked = {"left_out": left_out, "inputs": names, "megabytes": limit,
                         "dedupe": dedupe, "any_language": any_language, "seed": seed}  # fmt: skip
                text = json.dumps(facts | asked, indent=1) + "\n"
                (folder / REPORT).write_text(text, encoding="utf-8")
    if not facts["documents_out"]:
        why = ", ".join(f"{n} {why}" for why, n in facts["dropped"].items()) or "no documents"
        why += f"; {len(left_out)} files left out" * bool(left_out)
        place = files[0] if len(files) == 1 else Path(os.path.commonpath(files))
        raise DataError(f"the corpus is empty: {why}", path=place)
    facts |= {"shards": tuple(facts["shards"]), "left_out": tuple(left_out)}
    report = CorpusReport(**facts, resumed=resumed, seconds=round(time.perf_counter() - began, 3))
    log.info("corpus written to %s: %s", out, facts)
    return report


def _check_goal(out: Path, files: list[Path], paths: Sequence[str | os.PathLike[str]]) -> None:
    """Replace only what is a corpus of ours, and never the input; write nothing into the input."""
    true = out.resolve()
    for file in files:
        if file.resolve().is_relative_to(true):
            raise ValueError(f"the output {out} would replace the input {file}: choose another")
    for path in map(Path, paths):
        if path.is_dir() and true.is_relative_to(path.resolve()):
            raise ValueError(
                f"the output {out} lies in the input {path}, and would be read as input the next "
                "time: choose another"
            )
    if out.exists() and not (out / REPORT).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is no corpus folder: choose another, or empty it")


def _bar(files: Sequence[Path], todo: Sequence[int], progress: bool) -> Any:
    from tqdm.auto import tqdm

    size = [file.stat().st_size for file in files]
    done = sum(size) - sum(size[n] for n in todo)
    return tqdm(total=sum(size), initial=done, unit="B", unit_scale=True, desc="corpus",
                disable=not progress)  # fmt: skip


def _decide(
    parts: list[Path],
    found: list[dict[str, Any]],
    *,
    dedupe: bool,
    limit: float | None,
    seed: int,
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """The report but for the shards; sizes of all documents, and which of them stay."""
    counts = [facts["documents"] for facts in found]
    ends = np.cumsum(counts, dtype=np.int64).tolist()
    deleted = [(pmid, end) for facts, end in zip(found, ends, strict=True)
               for pmid in facts["deleted"]]  # fmt: skip
    rows = read_rows(parts, counts)
    reason = choose(rows, deleted, dedupe=dedupe, limit=limit, seed=seed)
    stays = reason == 0
    number = np.bincount(reason, minlength=1 + len(DROPPED)).tolist()
    report = {
        "files": len(parts),
        "documents_in": len(rows),
        "documents_out": number[0],
        "dropped": {why: n for why, n in zip(DROPPED, number[1:], strict=True) if n},
        "sentences": int(rows["sentences"][stays].sum(dtype=np.int64)),
        "bytes": int(rows["size"][stays].sum(dtype=np.int64)),
        "invalid_bytes": sum(facts[INVALID] for facts in found),
    }
    return report, rows["size"].copy(), stays


def _copy(
    parts: list[Path],
    counts: list[int],
    sizes: np.ndarray,
    stays: np.ndarray,
    folder: Path,
    *,
    size: int,
) -> list[str]:
    """Copy the documents that stay into shards of about ``size`` bytes."""
    names: list[str] = []
    shard: IO[bytes] | None = None
    first = 0
    try:
        for part, count in zip(parts, counts, strict=True):
            here = slice(first, first := first + count)
            with open(part.with_suffix(".txt"), "rb") as file:
                for length, stay in zip(sizes[here].tolist(), stays[here].tolist(), strict=True):
                    raw = file.read(length)
                    if not stay:
                        continue
                    if shard is None:
                        names.append(f"corpus-{len(names):03d}.txt")
                        shard = open(folder / names[-1], "wb")
                    shard.write(raw)
                    if shard.tell() >= size:
                        shard.close()
                        shard = None
    finally:
        if shard is not None:
            shard.close()
    return names
