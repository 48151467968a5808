"""A model of qik-find, the scanner of BIOptimus, from its algorithm: what it keeps, what it loses.

For each byte chunk of a file and each keyword there is one job: open the file, read the chunk,
decode it, split it at line ends, cut each line to 80 words, and keep the first line in which the
pattern `` keyword `` is found. All code is ours; a fault of the model that the original has is
named in ``CAUSES``. Where we do not know what the original does, the model is kinder: Python
remembers compiled patterns, and a keyword that is no regular expression is counted, not fatal.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bioptimus_lib.words import TABLE, words

BATCH = 10_240  # bytes of a chunk
MAX_WORDS = 80

KEPT = "kept"
SECOND = "an earlier line of the chunk was kept"
TAIL = "after the last full chunk"
CHARACTER = "the chunk cuts a character"
EDGE = "a chunk edge cuts the keyword"
LINE_END = "at the beginning or end of a line"
PUNCTUATION = "beside punctuation"
CASE = "other case or accents"
LONG = "beyond 80 words"
PATTERN = "the keyword is read as a pattern"
#: What can become of a line that holds a keyword.
CAUSES = (KEPT, SECOND, TAIL, CHARACTER, EDGE, LINE_END, PUNCTUATION, CASE, LONG, PATTERN)


class Kept(NamedTuple):
    """A context: the keyword, the byte of the file at which its line begins in the chunk, text."""

    keyword: str
    offset: int
    text: str


def qik_find(
    keywords: Iterable[str], path: str | os.PathLike[str], *, batch: int = BATCH
) -> dict[str, list[str]]:
    """Keyword → lines, as qik-find writes them.

    Args:
        path: a text file, or a folder of ``.txt``.
        batch: bytes of a chunk.
    """
    found: dict[str, list[str]] = {keyword: [] for keyword in keywords}
    for file in _files(path):
        for kept in _run(found, file, batch):
            found[kept.keyword].append(kept.text)
    return found


def jobs(keywords: Sequence[str], path: str | os.PathLike[str], *, batch: int = BATCH) -> int:
    """How many jobs there are: chunks × keywords."""
    return len(keywords) * sum(_chunks(file, batch) for file in _files(path))


def _files(path: str | os.PathLike[str]) -> list[Path]:
    path = Path(path)
    return sorted(path.glob("*.txt")) if path.is_dir() else [path]


def _chunks(file: Path, batch: int) -> int:
    if batch < 1:
        raise ValueError(f"chunks of {batch} bytes are impossible: give at least 1")
    return file.stat().st_size // batch  # the tail is no chunk


def _run(keywords: Iterable[str], file: Path, batch: int) -> Iterator[Kept]:
    keywords = list(keywords)
    for number in range(_chunks(file, batch)):
        for keyword in keywords:
            yield from _job(keyword, file, number * batch, batch)


def _job(keyword: str, file: Path, start: int, batch: int) -> Iterator[Kept]:
    with file.open("rb") as stream:
        stream.seek(start)
        raw = stream.read(batch)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return  # in silence
    offset = start
    for line in text.split("\n"):
        cut = " ".join(line.split()[:MAX_WORDS])
        if _test(keyword, cut):
            yield Kept(keyword, offset, cut)
            return
        offset += len(line.encode()) + 1


def _test(keyword: str, line: str) -> bool:
    try:
        return re.search(f" {keyword} ", line) is not None
    except re.error:
        return False


# -- what is lost, and why ------------------------------------------------------------------------


def losses(
    keywords: Iterable[str], path: str | os.PathLike[str], *, batch: int = BATCH
) -> Counter[str]:
    """What becomes of each pair of a keyword and a line that holds it, counted by cause.

    A line holds a keyword where ``scan`` finds it. If the keyword stands there more than once, the
    cause is that of the place that came nearest to being found.
    """
    keywords = list(dict.fromkeys(keywords))
    forms: dict[str, list[tuple[list[str], str]]] = {}
    for keyword in keywords:
        parts = words(keyword)
        forms.setdefault(parts[0], []).append((parts, keyword))
    counts: Counter[str] = Counter()
    for file in _files(path):
        raw = file.read_bytes()
        starts = [0, *(match.end() for match in re.finditer(b"\n", raw))]
        kept = {
            (one.keyword, bisect_right(starts, one.offset) - 1)
            for one in _run(keywords, file, batch)
        }
        for number, start in enumerate(starts):
            line = raw[start : starts[number + 1] - 1 if number + 1 < len(starts) else None]
            for keyword, where in _places(line, forms).items():
                fate = KEPT
                if (keyword, number) not in kept:
                    fate = max(
                        (_cause(keyword, raw, start + a, start + b, batch) for a, b in where),
                        key=_NEARNESS.index,
                    )
                counts[fate] += 1
    return counts


#: A place that fails only late in this list came nearer to being found.
_NEARNESS = (TAIL, CHARACTER, EDGE, LINE_END, PUNCTUATION, CASE, LONG, PATTERN, SECOND)


def _places(
    line: bytes, forms: dict[str, list[tuple[list[str], str]]]
) -> dict[str, list[tuple[int, int]]]:
    """Keyword → first byte, and byte after the last, of each of its places in a line."""
    text = line.decode("utf-8", "surrogateescape")
    there = _located(text)
    found: dict[str, list[tuple[int, int]]] = {}
    for n, (word, begin, _) in enumerate(there):
        for parts, keyword in forms.get(word, ()):
            run = there[n : n + len(parts)]
            if [one for one, _, _ in run] == parts:
                span = _bytes(text[:begin]), _bytes(text[: run[-1][2]])
                found.setdefault(keyword, []).append(span)
    return found


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _located(text: str) -> list[tuple[str, int, int]]:
    """``words`` with the characters that each stands on."""
    found: list[tuple[str, int, int]] = []
    letters, begin, end = "", 0, 0
    for place, character in enumerate(text + " "):
        for letter in TABLE[ord(character)]:
            if letter != " ":
                begin, end = (begin if letters else place), place + 1
                letters += letter
            elif letters:
                found.append((letters, begin, end))
                letters = ""
    return found


def _cause(keyword: str, raw: bytes, begin: int, end: int, batch: int) -> str:
    """Why the keyword at bytes ``begin`` to ``end`` - 1 was not found."""
    chunk = begin // batch * batch
    if chunk + batch > len(raw):
        return TAIL
    try:
        raw[chunk : chunk + batch].decode("utf-8")
    except UnicodeDecodeError:
        return CHARACTER
    if end > chunk + batch:
        return EDGE
    low = max(raw.rfind(b"\n", chunk, begin) + 1, chunk)
    high = raw.find(b"\n", end, chunk + batch)
    high = chunk + batch if high < 0 else high
    before, after = raw[low:begin].decode(), raw[end:high].decode()
    if not before.strip() or not after.strip():
        return LINE_END
    if not before[-1].isspace() or not after[0].isspace():
        return PUNCTUATION
    there = raw[begin:end].decode().split()
    if there != keyword.split():
        return CASE
    if len(before.split()) + len(there) >= MAX_WORDS:  # the blank after it is cut off, too
        return LONG
    return SECOND if _test(keyword, " ".join((before + keyword + after).split())) else PATTERN
