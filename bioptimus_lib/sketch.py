"""A uniform sample of the lines that hold each keyword: the K with the smallest hash.

Such bottom-K sketches merge in any order: the K smallest of two parts are the K smallest of the
K smallest of each. So the sample does not depend on how the work was divided.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappush, heapreplace

from bioptimus_lib.passes import decode
from bioptimus_lib.words import split, words

LARGEST = (1 << 64) - 1

#: A line in a sketch: minus its hash, minus its file's rank, minus its offset, the line. The
#: smallest tuple, first in the heap, is the line that goes first; rank and offset decide ties.
Line = tuple[int, int, int, bytes | str]


def digest(*parts: object) -> int:
    """A 64-bit hash of some values, the same in every process."""
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def scatter(base: int, offset: int) -> int:
    """A well mixed 64-bit hash of a line of the file with hash ``base`` (splitmix64).

    Times an odd random number modulo 2^64 it orders the lines at random, differently for each such
    number; so a keyword has one, and a hit costs one multiplication. (With ``^`` in its place, the
    lines whose hash has no near neighbour would be chosen too often by all keywords.)
    """
    z = (base + offset * 0x9E3779B97F4A7C15) & LARGEST
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & LARGEST
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & LARGEST
    return z ^ (z >> 31)


@dataclass
class Sketches:
    """Sketch and number of lines of each keyword, and what was read."""

    sketches: list[list]
    counts: list[int]
    tally: Counter[str] = field(default_factory=Counter)

    @classmethod
    def empty(cls, keywords: int) -> Sketches:
        """Nothing found yet."""
        return cls([[] for _ in range(keywords)], [0] * keywords)

    def merge(self, other: Sketches, contexts: int) -> None:
        """Take in what another part of the corpus gave; ``other`` is used up."""
        self.tally.update(other.tally)
        for n, count in enumerate(other.counts):
            if count:
                self.counts[n] += count
                if not self.sketches[n]:
                    self.sketches[n] = other.sketches[n]
                    continue
                for line in other.sketches[n]:
                    keep(self.sketches[n], line, contexts)


def keep(sketch: list[Line], line: Line, contexts: int) -> None:
    """Put a line into a sketch of at most ``contexts`` lines, if it belongs there."""
    if len(sketch) < contexts:
        heappush(sketch, line)
    elif line > sketch[0]:
        heapreplace(sketch, line)


def cut_lines(found: Sketches, forms: list[str], limit: int) -> None:
    """Turn the bytes of lines into text of at most ``limit`` words around the keyword.

    A long line is taken apart once, however many keywords it holds: it may have megabytes.
    """
    texts: dict[bytes, str] = {}
    long: dict[bytes, list[tuple[int, int]]] = {}
    for n, sketch in enumerate(found.sketches):
        for i, (order, rank, offset, line) in enumerate(sketch):
            if (text := texts.get(line)) is None:
                text = texts[line] = decode(line)[0].strip()
                if text.count(" ") >= limit or not text.isascii() or "\t" in text or "\r" in text:
                    if len(split(text)) > limit:
                        long[line] = []
            if line in long:
                long[line].append((n, i))
            else:
                sketch[i] = (order, rank, offset, text)
    for line, users in long.items():
        parts = split(texts[line])
        where = _first_places(parts)
        for n, i in users:
            begin = min(max(where(forms[n]) - limit // 2, 0), len(parts) - limit)
            text = " ".join(parts[begin : begin + limit])
            found.sketches[n][i] = (*found.sketches[n][i][:3], text)


def _first_places(parts: list[str]) -> Callable[[str], int]:
    """A function that tells in which part a keyword first begins."""
    joined: list[str] = []
    begins: dict[str, int] = {}
    for number, part in enumerate(parts):
        for word in words(part):
            begins.setdefault(word, number)
            joined.append(word)

    def where(form: str) -> int:
        if " " not in form:
            return begins[form]
        before = f" {' '.join(joined)} ".partition(f" {form} ")[0].count(" ")
        seen = 0
        for number, part in enumerate(parts):
            seen += len(words(part))
            if seen > before:
                return number
        raise AssertionError(f"{form!r} is not in the line")

    return where
