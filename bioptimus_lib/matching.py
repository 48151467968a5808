"""Which keywords are in which lines: whole words, compared as BERT's tokeniser would see them.

A keyword is looked for as its *form*: its words, joined by blanks. ``Keywords`` lays out the words
of all forms, the *targets*, as arrays: a table of flags, small enough for the cache of a core, says
for most words of a text that they are no target; the few that pass are compared byte for byte. A
form of several words is found where its targets follow each other. The loop that goes through a
text with these arrays is ``match_loop.match``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from bioptimus_lib import match_loop as loop
from bioptimus_lib.match_loop import Wanted
from bioptimus_lib.words import BYTES, CONTROLS, PUNCTUATION, TABLE

SPARSE = 16  # places for each target: a word that is wanted by nobody rarely meets a flag
LARGEST_TABLE = 27  # bits of a place, at most: 16 megabytes of flags
ROOM = 1 << 16  # lines that are noted before they are handed over
WIDEST = 12  # bytes that a character becomes, at most


def _kinds() -> np.ndarray:
    """What each byte does in the loop."""
    kinds = np.full(256, loop.ODD, dtype=np.uint8)
    kinds[:128] = np.frombuffer(BYTES[:128], dtype=np.uint8)
    kinds[list(CONTROLS)] = loop.VANISHES
    kinds[list(b" \t\r")] = loop.BLANK
    kinds[list(PUNCTUATION)] = loop.MARK
    kinds[ord("\n")] = loop.LINE_END
    return kinds


class _Characters:
    """What characters become, as arrays that grow by a page when a text has one of its characters.

    All of Unicode would be a million characters, worked out one by one before the first byte is
    read; a corpus has characters of some twenty pages.
    """

    def __init__(self) -> None:
        pages = np.full(0x110000 // loop.PAGE, loop.UNKNOWN, dtype=np.int32)
        becomes = np.zeros((0, loop.PAGE, WIDEST + 1), dtype=np.uint8)
        self.arrays = loop.Characters(_kinds(), pages, becomes)
        self._lock = threading.Lock()

    def learn(self, code: int) -> None:
        """Take in the page of a character. The arrays are new ones: a loop may use the old. None
        forgets a page, whichever threads learn: a loop may be in a word that has one of it."""
        row = np.zeros((1, loop.PAGE, WIDEST + 1), dtype=np.uint8)
        page = code // loop.PAGE
        for n in range(loop.PAGE):
            raw = TABLE[page * loop.PAGE + n].encode("utf-8", "surrogatepass")
            row[0, n, : len(raw) + 1] = len(raw), *raw
        with self._lock:
            kinds, pages, becomes = self.arrays
            pages = pages.copy()
            pages[page] = len(becomes)
            self.arrays = loop.Characters(kinds, pages, np.concatenate([becomes, row]))


_characters = _Characters()


class Keywords:
    """Forms, laid out for the loop. Made once for many scans, and never changed by one."""

    def __init__(self, payload: bytes) -> None:
        """``payload``: the forms, a line each."""
        self.forms = payload.decode().split("\n")
        several = [n for n, form in enumerate(self.forms) if " " in form] if b" " in payload else []
        self._single = np.delete(np.arange(len(self.forms)), several)
        number = {self.forms[n]: target for target, n in enumerate(self._single.tolist())}
        self._phrases = {
            n: [number.setdefault(word, len(number)) for word in self.forms[n].split(" ")]
            for n in several
        }
        many = len(number)
        text = np.frombuffer("\n".join(number).encode(), dtype=np.uint8)
        cuts = np.flatnonzero(text == ord("\n"))
        letters = np.delete(text, cuts)
        ends = np.concatenate([[0], cuts - np.arange(many - 1), [len(letters)]])
        self._bits = min(max(12, (SPARSE * many).bit_length()), LARGEST_TABLE)
        shift = np.uint64(64 - self._bits)
        wholes, rests, self._places, slots = loop.table_of(letters, ends, shift)
        marks = np.full(128, loop.NOBODY, dtype=np.int32)
        for byte in PUNCTUATION:
            marks[byte] = number.get(chr(byte), loop.NOBODY)
        alone = np.full(many, loop.NOBODY)
        alone[: len(self._single)] = self._single
        # Phrases by their last target, and what such a target is by itself.
        by_last = [(parts[-1], n, parts) for n, parts in self._phrases.items()]
        for target in {last for last, _, _ in by_last}:
            if alone[target] != loop.NOBODY:
                by_last.append((target, int(alone[target]), [target]))
                alone[target] = loop.NOBODY
        by_last.sort()
        self.targets = loop.Targets(
            marks=marks,
            flags=self._flags(np.arange(many)),
            slots=slots,
            shift=shift,
            wholes=wholes,
            rests=rests,
            letters=letters,
            ends=ends,
            alone=alone,
            last=np.searchsorted([last for last, _, _ in by_last], np.arange(many + 1)),
            form=np.array([n for _, n, _ in by_last], dtype=np.int64),
            parts=np.array([part for _, _, parts in by_last for part in parts], dtype=np.int64),
            begins=np.cumsum([0, *(len(parts) for _, _, parts in by_last)]),
        )
        self.longest = int(np.diff(ends).max())
        self.most_words = max(map(len, self._phrases.values()), default=1)

    def _flags(self, targets: np.ndarray) -> np.ndarray:
        up = np.zeros(1 << self._bits, dtype=bool)
        up[self._places[targets]] = True
        return np.packbits(up, bitorder="little")

    def only(self, live: np.ndarray) -> loop.Targets:
        """The targets with flags for those alone that a form needs which is ``live``, bool (N,)."""
        needed = [part for n, parts in self._phrases.items() if live[n] for part in parts]
        single = np.flatnonzero(live[self._single])
        flags = self._flags(np.concatenate([single, np.array(needed, dtype=np.int64)]))
        return self.targets._replace(flags=flags)


class Search:
    """One search for some keywords, through one block of lines after the other.

    Args:
        keywords: what to look for.
        wanted: which lines are wanted; its ``counts`` and ``seen`` are kept up to date.
    """

    def __init__(self, keywords: Keywords, wanted: Wanted) -> None:
        self._keywords, self._wanted, self._targets = keywords, wanted, keywords.targets
        self._live = len(keywords.forms)
        room = len(keywords.forms) + ROOM
        self._found = loop.Found(*(np.empty(room, dtype=t) for t in "qQqq"))
        ring = 1 << (keywords.most_words - 1).bit_length()
        self._word = np.zeros(keywords.longest, dtype=np.uint8)
        self._recent = np.full((ring, 3), loop.NOBODY)
        self._state = np.zeros(11, dtype=np.int64)
        self._state[loop.BEGIN] = loop.NOBODY

    @property
    def read(self) -> int:
        """Lines, so far."""
        return int(self._state[loop.LINES])

    @property
    def invalid(self) -> int:
        """Bytes that were not UTF-8, so far."""
        return int(self._state[loop.INVALID])

    def find(self, block: bytes, offset: int, base: int) -> Iterator[loop.Found]:
        """The wanted lines of a block, in portions.

        Args:
            block: whole lines.
            offset: where it begins in its file.
            base: what the order of lines begins with in this file.
        """
        self._retire()
        if not block.endswith(b"\n"):
            block += b"\n"
        text = np.frombuffer(block, dtype=np.uint8)
        eights = np.ndarray(max(len(block) - 7, 0), np.uint64, buffer=block, strides=(1,))
        self._state[[loop.AT, loop.LINE]] = 0
        why = loop.FULL
        while why != loop.DONE:
            why = loop.match(
                text, eights, offset, np.uint64(base), _characters.arrays, self._targets,
                self._wanted, self._found, self._word, self._recent, self._state,
            )  # fmt: skip
            if why >= 0:
                _characters.learn(why)
            if hits := self._state[loop.HITS]:
                yield loop.Found(*(column[:hits].copy() for column in self._found))

    def _retire(self) -> None:
        """Look no more for what has enough lines, once this is a tenth of what we look for."""
        if len(self._wanted.factor):
            return  # a sample is drawn from all lines
        live = self._wanted.counts < self._wanted.most
        if (many := int(live.sum())) < 0.9 * self._live:
            self._live, self._targets = many, self._keywords.only(live)


@lru_cache(maxsize=1)
def laid_out(payload: bytes) -> Keywords:
    """Keywords, which travel to a worker with every task and are laid out there once."""
    return Keywords(payload)


def count_lines(keywords: Keywords, block: bytes) -> np.ndarray:
    """How many lines of a block hold each keyword, int64 (N,)."""
    many = len(keywords.forms)
    counts, nothing = np.zeros(many, dtype=np.int64), np.zeros(many, dtype=np.uint64)
    wanted = Wanted(
        counts, np.iinfo(np.int64).max, nothing, nothing[:0], np.full(many, loop.NOBODY)
    )
    for _ in Search(keywords, wanted).find(block, 0, 1):
        pass  # no line goes before the first
    return counts
