"""The corpus stage: documents to clean, deduplicated text, one sentence a line, in shards.

Between the rooms a corpus is a folder of UTF-8 files ``corpus-000.txt``, ``corpus-001.txt``, … with
one sentence a line and a blank line after each document. Every worker turns whole files into
text on disk and tells only hashes and sizes, so memory does not grow with the text, and which
documents stay is decided in one place, in the order of the files, whatever the number of workers.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, NamedTuple

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_dir
from bioptimus_lib.passes import in_order, worker_count
from bioptimus_lib.records import INVALID, Document, corpus_files, documents, readable_files

__all__ = [
    "CorpusReport", "Document", "clean", "documents", "readable_files", "sentences", "write_shards",
]  # fmt: skip
log = logging.getLogger(__name__)

MEGABYTE = 1_000_000
REPORT = "corpus.json"
SHORTEST = 40  # characters of a document's text; below are headings, captions and list numbers
DROPPED = ("no text", "too short", "duplicate", "over the limit")
#: Abbreviations that sentencex takes for ends of sentences.
ABBREVIATIONS = (" approx.", " resp.", " sp.", " spp.", " subsp.", " ssp.", " nov.")
#: Soft hyphen, zero-width characters and byte-order mark: invisible, and they split words.
_INVISIBLE = re.compile("[\u00ad\u200b\u200c\u200d\u2060\ufeff]")


class Kept(NamedTuple):
    """A document that a worker has written: hash of its text, bytes and sentences."""

    digest: bytes
    size: int
    sentences: int


@dataclass(frozen=True)
class CorpusReport:
    """What became of a corpus.

    Args:
        files: files read.
        documents_in, documents_out: before and after dropping.
        dropped: documents for each reason of ``DROPPED``.
        sentences, bytes: of the output.
        invalid_bytes: bytes of the input that are not UTF-8.
        shards: names of the files written.
        seconds: time taken.
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

    def __str__(self) -> str:
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        return (
            f"{self.files:,} files, {self.documents_in:,} documents in, "
            f"{self.documents_out:,} out ({dropped or 'none dropped'}), "
            f"{self.sentences:,} sentences, {self.bytes / MEGABYTE:.1f} MB "
            f"in {len(self.shards)} shards, {self.invalid_bytes:,} invalid bytes, "
            f"{self.seconds:.1f} s"
        )


def sentences(text: str) -> list[str]:
    """Cut text into sentences with `sentencex`; a line end always ends one.

    >>> sentences("Cells of E. coli grew (P = .03). They made IL-2. Candida spp. did not.")
    ['Cells of E. coli grew (P = .03).', 'They made IL-2.', 'Candida spp. did not.']
    """
    from sentencex import segment

    found: list[str] = []
    for line in text.split("\n"):
        joins = False
        for part in segment("en", line):
            if not (part := part.strip()):
                continue
            if joins:
                found[-1] += " " + part
            else:
                found.append(part)
            joins = part.endswith(ABBREVIATIONS)
    return found


def clean(text: str) -> str:
    """Composed characters (NFC), no invisible ones, single blanks; line ends stay.

    >>> clean("auto\\u00adimmune  e\\u0301toile ")
    'autoimmune étoile'
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()


def write_shards(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    megabytes: float | None = None,
    shard_megabytes: float = 8,
    workers: int | None = None,
    dedupe: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> CorpusReport:
    """Write a corpus as shards; the folder ``out`` appears complete or not at all.

    Args:
        paths: files and folders, see ``records.documents``.
        out: folder of the shards; an old one is replaced. ``corpus.json`` in it is the report.
        megabytes: at most so many (10^6 bytes) of output. The documents are then a random sample
            of all, drawn with ``seed``, in the order of the files.
        shard_megabytes: a shard is closed once it has grown to this size.
        workers: processes; 0 works in this one, None chooses. The output is always the same.
        dedupe: drop a document whose title and text equal an earlier one's, but for case and
            white space.
        progress: show a progress bar over the files.

    Raises:
        ValueError: a size that is not positive, or input below ``out``.
        FileExistsError: ``out`` holds something other than a corpus.
        FileNotFoundError, DataError: missing or broken input, or nothing left to write.
    """
    for name, value in (("megabytes", megabytes), ("shard_megabytes", shard_megabytes)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} = {value} is impossible: give more than 0")
    began = time.perf_counter()
    files, names = corpus_files(paths)
    _check_goal(Path(out), files)
    cost = sum(file.stat().st_size for file in files)
    workers = worker_count(workers, cost=cost)

    with atomic_dir(out) as folder:
        parts = [folder / f".part-{number}" for number in range(len(files))]
        tally: Counter[str] = Counter()
        written: list[list[Kept]] = []
        done = in_order(_write_part, list(zip(files, parts, strict=True)), workers=workers)
        for kept, counts in _bar(done, len(files), progress):
            written.append(kept)
            tally += counts
        stays = _choose(written, limit=megabytes, dedupe=dedupe, seed=seed, tally=tally)
        if not any(map(any, stays)):
            raise DataError(
                "the corpus is empty: "
                + (", ".join(f"{tally[r]} {r}" for r in DROPPED if tally[r]) or "no documents"),
                path=files[0] if len(files) == 1 else Path(os.path.commonpath(files)),
            )
        shards = _join(parts, written, stays, folder, size=int(shard_megabytes * MEGABYTE))
        out_rows = [
            row
            for rows, marks in zip(written, stays, strict=True)
            for row, stay in zip(rows, marks, strict=True)
            if stay
        ]
        report = CorpusReport(
            files=len(files),
            documents_in=tally["documents"],
            documents_out=len(out_rows),
            dropped={reason: tally[reason] for reason in DROPPED if tally[reason]},
            sentences=sum(row.sentences for row in out_rows),
            bytes=sum(row.size for row in out_rows),
            invalid_bytes=tally[INVALID],
            shards=tuple(shards),
            seconds=round(time.perf_counter() - began, 3),
        )
        # Without the time: the same corpus gives the same bytes in every file of the folder.
        facts = {key: value for key, value in asdict(report).items() if key != "seconds"}
        facts |= {"inputs": names, "megabytes": megabytes, "dedupe": dedupe, "seed": seed}
        (folder / REPORT).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    log.info("%s", report)
    return report


def _check_goal(out: Path, files: list[Path]) -> None:
    """Replace only what is a corpus of ours, and never the input."""
    for file in files:
        if file.resolve().is_relative_to(out.resolve()):
            raise ValueError(f"the output {out} would replace the input {file}: choose another")
    if out.exists() and not (out / REPORT).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is no corpus folder: choose another, or empty it")


def _bar(results: Iterator, total: int, progress: bool) -> Iterator:
    from tqdm.auto import tqdm

    return iter(tqdm(results, total=total, unit="file", desc="corpus", disable=not progress))


def _write_part(task: tuple[Path, Path]) -> tuple[list[Kept], Counter[str]]:
    """Write all sentences of one input file; tell what was written and what was left out."""
    source, goal = task
    tally: Counter[str] = Counter()
    kept: list[Kept] = []
    with open(goal, "wb") as file:
        for document in documents(source, tally=tally):
            tally["documents"] += 1
            text, title = clean(document.text), clean(document.title)
            if len(text) < SHORTEST:
                tally["too short" if text else "no text"] += 1
                continue
            lines = ([title] if title else []) + sentences(text)
            raw = ("\n".join(lines) + "\n\n").encode()
            same = " ".join(f"{title} {text}".casefold().split())
            digest = hashlib.blake2b(same.encode(), digest_size=16).digest()
            kept.append(Kept(digest, file.write(raw), len(lines)))
    return kept, tally


def _choose(
    written: list[list[Kept]], *, limit: float | None, dedupe: bool, seed: int, tally: Counter[str]
) -> list[list[bool]]:
    """Which documents stay: the first of equals, and of these a random sample up to the limit."""
    seen: set[bytes] = set()
    stays = []
    for rows in written:
        marks = []
        for row in rows:
            marks.append(not (dedupe and row.digest in seen))
            seen.add(row.digest)
        stays.append(marks)
        tally["duplicate"] += marks.count(False)
    if limit is None:
        return stays
    salt = seed.to_bytes(16, "little", signed=True)
    order = sorted(
        (hashlib.blake2b(row.digest, digest_size=8, salt=salt).digest(), f, d)
        for f, rows in enumerate(written)
        for d, row in enumerate(rows)
        if stays[f][d]
    )
    room, full = int(limit * MEGABYTE), False
    for _, f, d in order:
        room -= written[f][d].size
        full = full or room < 0
        if full:
            stays[f][d] = False
            tally["over the limit"] += 1
    return stays


def _join(
    parts: list[Path],
    written: list[list[Kept]],
    stays: list[list[bool]],
    folder: Path,
    *,
    size: int,
) -> list[str]:
    """Copy what stays into shards, and remove the parts."""
    names: list[str] = []
    shard: IO[bytes] | None = None
    try:
        for part, rows, marks in zip(parts, written, stays, strict=True):
            with open(part, "rb") as file:
                for row, stay in zip(rows, marks, strict=True):
                    raw = file.read(row.size)
                    if not stay:
                        continue
                    if shard is None:
                        names.append(f"corpus-{len(names):03d}.txt")
                        shard = open(folder / names[-1], "wb")
                    shard.write(raw)
                    if shard.tell() >= size:
                        shard.close()
                        shard = None
            part.unlink()
    finally:
        if shard is not None:
            shard.close()
    return names
