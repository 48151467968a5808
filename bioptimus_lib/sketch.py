"""Which lines stand for a keyword: the K that go first, in an order drawn at random.

The order is a hash of (seed, keyword, file, offset), so the K that go first are a uniform sample.
Such bottom-K sketches merge in any order: the first K of two parts are the first K of the first K
of each (Cohen and Kaplan, PODC 2007). So the sample does not depend on how the work was divided.
With the place in the corpus instead of the hash, the same sketch keeps the first K lines that are
met.

A sketch knows its lines by file and offset, and where the keyword begins in them. Their text is
read at the end, from plain files, or kept in ``texts``, for those in which one cannot go back.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

LARGEST = (1 << 64) - 1
WAITING = 1 << 16  # entries that wait before a sketch first throws out what goes last

def digest(*parts: object) -> int:
    """A 64-bit hash of some values, the same in every process."""
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


@dataclass
class Sketch:
    """The lines that go first for each of N keywords.

    Args:
        size: how many lines each keyword keeps, K.
        counts: int64 (N,), the lines that hold each keyword.
        limit: uint64 (N,), what goes later than this need not be offered.
        keyword, order, rank, offset, hit: the entries: number of the keyword, place in the order of
            its lines, number of the file in the corpus, first byte of the line, and of the keyword.
        texts: (rank, hit) → text in UTF-8, of files in which one cannot go back.
        tally: what was read.
        problems: with files that were left out.
    """

    size: int
    counts: np.ndarray
    limit: np.ndarray
    keyword: np.ndarray
    order: np.ndarray
    rank: np.ndarray
    offset: np.ndarray
    hit: np.ndarray
    texts: dict[tuple[int, int], bytes] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _waiting: list[tuple[np.ndarray, ...]] = field(default_factory=list, repr=False)
    _many: int = 0

    @classmethod
    def empty(cls, keywords: int, size: int) -> Sketch:
        """Nothing found yet."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(
            size, np.zeros(keywords, dtype=np.int64), np.full(keywords, LARGEST, dtype=np.uint64),
            nothing, nothing.astype(np.uint64), nothing, nothing, nothing,
        )  # fmt: skip

    def offer(self, *entries: np.ndarray) -> None:
        """Take in entries, five columns, some of which may turn out to go too late."""
        self._waiting.append(entries)
        self._many += len(entries[0])
        if self._many > max(WAITING, len(self.keyword)):
            self.shrink()

    def shrink(self) -> None:
        """Keep of each keyword the entries that go first, sorted by keyword and order."""
        columns = zip(self._entries(), *self._waiting, strict=True)
        keyword, order, rank, offset, hit = (np.concatenate(column) for column in columns)
        self._waiting, self._many = [], 0
        by = _sorted(keyword, order)
        if by is None:
            by = np.lexsort((offset, rank, order, keyword))
        keyword = keyword[by]
        first = np.flatnonzero(np.diff(keyword, prepend=-1))  # of the entries of each keyword
        many = np.diff(first, append=len(keyword))
        place = np.arange(len(keyword)) - np.repeat(first, many)
        kept = place < self.size
        self.keyword = keyword[kept]
        by = by[kept]
        self.order, self.rank, self.offset, self.hit = (c[by] for c in (order, rank, offset, hit))
        full = place[kept] == self.size - 1
        which = self.keyword[full]
        self.limit[which] = np.minimum(self.limit[which], self.order[full])
        if self.texts:
            needed = set(zip(self.rank.tolist(), self.hit.tolist(), strict=True))
            self.texts = {where: self.texts[where] for where in needed & self.texts.keys()}

    def copy(self) -> Sketch:
        """The sketch as it is now, to return to; entries are shared, for they never change."""
        return replace(
            self, counts=self.counts.copy(), limit=self.limit.copy(), texts=dict(self.texts),
            tally=self.tally.copy(), problems=list(self.problems), _waiting=list(self._waiting),
        )  # fmt: skip

    def merge(self, other: Sketch) -> None:
        """Take in what another part of the corpus gave."""
        self.tally.update(other.tally)
        self.counts += other.counts
        self.texts |= other.texts
        self.problems += other.problems
        self.offer(*other._entries())

    def _entries(self) -> tuple[np.ndarray, ...]:
        return self.keyword, self.order, self.rank, self.offset, self.hit


def _sorted(keyword: np.ndarray, order: np.ndarray) -> np.ndarray | None:
    """The places of entries by keyword and order, from both in one number, which sorts in a quarter
    of the time; None if the last bits, for which there is no room, may matter."""
    if not len(keyword):
        return np.empty(0, dtype=np.int64)
    wide, many = int(order.max()).bit_length(), int(keyword.max()).bit_length()
    lost = max(wide + many - 64, 0)
    both = keyword.astype(np.uint64) << np.uint64(wide - lost)
    both |= order >> np.uint64(lost)
    by = both.argsort()
    both = both[by]
    return None if (both[1:] == both[:-1]).any() else by
