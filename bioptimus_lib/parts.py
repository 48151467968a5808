"""Parts: what each input file becomes, kept beside the output so that a killed run goes on.

The work folder of ``DIR`` is ``.DIR.work`` beside it. A finished part is three files there, named
by a fingerprint of the input file (path, size, time of change) and of what decides its content:
``.txt`` holds the sentences, ``.rows`` a row of 29 bytes for each document, ``.json`` the counts.
The last one is written last, so a part is finished or is made anew. Rows go to disk as they come
and travel as a file, so a worker's memory does not grow with its file, and the parent holds
nothing of a document until all rows are read at the end.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bioptimus_lib.cleaning import clean
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_write, take_the_place
from bioptimus_lib.records import INVALID, Document, documents
from bioptimus_lib.splitting import sentences

log = logging.getLogger(__name__)

SHORTEST = 40  # characters of a document's text; below are headings, captions and list numbers
#: Why a document is dropped; it counts under the first of these that is true of it.
DROPPED = (
    "replaced",  # a later file, or a later place of the same file, brings the PMID again
    "deleted",  # a later DeleteCitation names its PMID
    "retracted",
    "not English",  # the article; its abstract may well be
    "no abstract",
    "too short",
    "duplicate",
    "over the limit",
)
#: One document: the hash of its text in two halves, its PMID (0: none), bytes and sentences in the
#: part, and why the file itself drops it: 0, or 1 + its place in ``DROPPED``.
ROW = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("pmid", "<u4"), ("size", "<u4"), ("sentences", "<u4"),
     ("reason", "u1")]
)  # fmt: skip
_PACK = struct.Struct("<16sIIIB")
_ENGLISH = ("", "und", "en", "eng", "english")
_FORMAT = 1  # to be raised when the same input shall give other parts


@dataclass(frozen=True)
class Task:
    """One input file to make a part of.

    Args:
        source: the input file.
        goal: the part without its endings.
        any_language: keep articles that are not in English.
        keep_going: tell what is wrong with a broken file instead of raising it.
    """

    source: Path
    goal: Path
    any_language: bool
    keep_going: bool


def fingerprint(file: Path, *, any_language: bool) -> str:
    """A name for what the file becomes: another one if it has changed, or what is done with it."""
    stat = file.stat()
    facts = [
        str(file.resolve()), stat.st_size, stat.st_mtime_ns, any_language, _FORMAT,
        version("sentencex"),
    ]  # fmt: skip
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=12).hexdigest()


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """The work folder of an output, locked; it goes when the work is done, or nothing is finished.

    Raises:
        BlockingIOError: another process is at work on the same output.
    """
    from filelock import FileLock, Timeout

    folder = out.with_name(f".{out.name}.work")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(f"another process writes {out}: wait, or choose another") from None
    try:
        yield folder
    except BaseException:
        if any(folder.glob("*.json")):
            log.info("finished parts stay in %s: the same command goes on from there", folder)
            lock.release()
            raise
        _remove(folder, lock)
        raise
    _remove(folder, lock)


def _remove(folder: Path, lock: Any) -> None:
    lock.release()  # before: Windows removes no open file
    shutil.rmtree(folder, ignore_errors=True)


def tidy(folder: Path, wanted: Sequence[Path]) -> None:
    """Remove all but the lock and the finished parts of this run."""
    keep = {part.name for part in wanted if facts_of(part) is not None}
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != "lock" and entry.name.split(".")[0] not in keep:
            entry.unlink()


@contextmanager
def new_folder(work: Path, out: Path) -> Iterator[Path]:
    """A folder that takes the place of ``out`` once it is complete; until then it is in ``work``,
    so that a kill leaves nothing elsewhere."""
    new, old = work / "new", work / "old"
    new.mkdir()
    yield new
    take_the_place(new, out, old)


def facts_of(part: Path) -> dict[str, Any] | None:
    """The counts of a finished part, None if it is not finished."""
    try:
        facts = json.loads(part.with_suffix(".json").read_bytes())
        there = [part.with_suffix(end).stat().st_size for end in (".txt", ".rows")]
    except (OSError, ValueError):
        return None
    return facts if there == [facts["bytes"], facts["documents"] * ROW.itemsize] else None


def write_part(task: Task) -> dict[str, Any]:
    """Make the part of one input file; its counts, or ``{"why": …}`` if the file is left out."""
    goal = task.goal
    for ending in (".txt", ".rows", ".json"):
        # A worker whose parent was killed may still write for a moment: not into our files.
        goal.with_suffix(ending).unlink(missing_ok=True)
    try:
        facts = _write(task)
    except DataError as error:
        for ending in (".txt", ".rows"):
            goal.with_suffix(ending).unlink(missing_ok=True)
        if not task.keep_going:
            raise
        return {"why": str(error).removeprefix(str(task.source))}
    with atomic_write(goal.with_suffix(".json")) as file:
        json.dump(facts, file)
    return facts


def _write(task: Task) -> dict[str, Any]:
    tally: Counter[str] = Counter()
    deleted: list[str] = []
    pubmed = task.source.name.removesuffix(".gz").endswith(".xml")
    count = size = 0
    with (
        open(task.goal.with_suffix(".txt"), "xb") as text,
        open(task.goal.with_suffix(".rows"), "xb") as rows,
    ):
        for document in _readable(task.source, tally, deleted):
            lines, digest, reason = _prepare(document, any_language=task.any_language)
            raw = ("\n".join(lines) + "\n\n").encode() if lines else b""
            text.write(raw)
            pmid = int(document.id) if pubmed else 0
            rows.write(_PACK.pack(digest, pmid, len(raw), len(lines), reason))
            count += 1
            size += len(raw)
    return {"documents": count, "bytes": size, INVALID: tally[INVALID],
            "deleted": [int(pmid) for pmid in deleted]}  # fmt: skip


def _readable(file: Path, tally: Counter[str], deleted: list[str]) -> Iterator[Document]:
    """The documents of a file; one that cannot be read is broken data, unlike a full disk."""
    try:
        yield from documents(file, tally=tally, deleted=deleted)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=file) from None


def _prepare(document: Document, *, any_language: bool) -> tuple[list[str], bytes, int]:
    """Sentences, the hash of the text, and why the document is dropped."""
    title, text = clean(document.title), clean(document.text)
    title = title.replace("\n", " ")
    reason = _reason(document, text, any_language=any_language)
    if reason:
        return [], bytes(16), reason
    same = " ".join(f"{title} {text}".casefold().split())
    digest = hashlib.blake2b(same.encode(), digest_size=16).digest()
    return ([title] if title else []) + sentences(text), digest, 0


def _reason(document: Document, text: str, *, any_language: bool) -> int:
    if document.retracted:
        why = "retracted"
    elif not any_language and document.language.casefold() not in _ENGLISH:
        why = "not English"
    elif not text:
        why = "no abstract"
    elif len(text) < SHORTEST:
        why = "too short"
    else:
        return 0
    return 1 + DROPPED.index(why)


def read_rows(parts: Sequence[Path], counts: Sequence[int]) -> np.ndarray:
    """The rows of all parts, one after the other: (documents,) of ``ROW``."""
    rows = np.empty(sum(counts), ROW)
    end = 0
    for part, count in zip(parts, counts, strict=True):
        rows[end : end + count] = np.fromfile(part.with_suffix(".rows"), ROW)
        end += count
    return rows
