"""Which keywords are in which lines: whole words, compared as BERT's tokeniser would see them.

A block of a corpus is taken as an array of bytes, and each step below handles all of its words at
once. One pass over the bytes finds where words begin and end. Their first eight bytes, read as one
64-bit number, and their length give a hash; a table of flags, small enough for the cache of a
core, says for most words that they are no keyword. The few that pass are compared byte for byte.
Words with other characters than ASCII go one by one through ``words`` and are remembered.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bioptimus_lib.passes import decode
from bioptimus_lib.words import BYTES, CONTROLS, PUNCTUATION, TABLE, words

log = logging.getLogger(__name__)

LINE_END, BLANK, ODD = 10, 32, 128
#: Bytes as ``words.BYTES`` has them, and those that make a word ``ODD``: all that is not ASCII, and
#: control characters, which vanish.
CLASSES = bytes(ODD if b in CONTROLS else byte for b, byte in enumerate(BYTES))
EIGHT = 8  # bytes that are compared at once
#: The first n of eight bytes; all of them from eight on.
FIRST = np.array([(1 << (8 * min(n, EIGHT))) - 1 for n in range(4 * EIGHT)], dtype=np.uint64)
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplying by it moves every bit upwards (Fibonacci)
SPARSE = 32  # places in the table for each word: a word that is wanted by nobody rarely meets one
REMEMBERED = 200_000  # odd words, per worker
LONG = 1 << 20  # bytes that are looked at together, at most
NEAR = LONG >> 4  # bytes before their end in which we look for a place to cut
CUTS = [bytes([b]) for b in b" \n\t\r" + PUNCTUATION]
CUT = re.compile(b"|".join(map(re.escape, CUTS)))
NOBODY = -1


def _marks(lead: bytes) -> tuple[bytes, int, np.ndarray]:
    """Beginning of UTF-8 characters, their bytes, and for each last byte whether it cuts words."""
    cuts = np.zeros(256, dtype=bool)
    for last in range(0x80, 0xC0):
        character = (lead + bytes([last])).decode()
        cuts[last] = TABLE[ord(character)] in (" ", f" {character} ")
    return lead, len(lead) + 1, cuts


#: Blanks and punctuation outside ASCII that biomedical text is full of: « » · and those from U+2000
#: on. They are blanked out, so that the words beside them are plain ones.
MARKS = (_marks(b"\xc2"), _marks(b"\xe2\x80"))


def normalise(keywords: Iterable[str]) -> dict[str, str]:
    """Keyword → its words, joined by blanks."""
    if isinstance(keywords, str):
        raise ValueError("keywords is one string: give a list of strings")
    wanted: dict[str, str] = {}
    twice = 0
    for keyword in keywords:
        twice += keyword in wanted
        wanted[keyword] = " ".join(words(keyword))
        if not wanted[keyword]:
            raise ValueError(f"the keyword {keyword!r} holds no word")
    if not wanted:
        raise ValueError("no keywords: give at least one")
    if twice:
        log.warning("%d keywords are given more than once", twice)
    return wanted


class Hits(NamedTuple):
    """What a block holds: pairs of keyword and line, each once, and where its lines begin.

    Args:
        keywords: int64 (M,), numbers of keywords.
        lines: int64 (M,), for each the number of its line, ascending.
        starts: int64, where lines begin: line i is ``block[starts[i] : starts[i + 1] - 1]``. Behind
            a last line end begins one more line, an empty one.
        invalid: bytes of the block that are not UTF-8.
    """

    keywords: np.ndarray
    lines: np.ndarray
    starts: np.ndarray
    invalid: int


class Keywords:
    """Keywords, compiled.

    The *targets* are the words to stop at: keywords of one word, and of each phrase its longest
    word, which is the rarest as a rule; the line is then searched for the phrase.
    """

    def __init__(self, payload: bytes) -> None:
        """``payload``: the words of each keyword on a line, see ``normalise``."""
        self.forms = payload.decode().split("\n")
        single = {form: n for n, form in enumerate(self.forms) if " " not in form}
        phrases: dict[str, list[tuple[str, int]]] = {}
        for n, form in enumerate(self.forms):
            if " " in form:
                word = max(form.split(" "), key=lambda w: (w.encode() not in PUNCTUATION, len(w)))
                phrases.setdefault(word, []).append((f" {form} ", n))
        targets = list(single | dict.fromkeys(phrases))
        self._target = {word: t for t, word in enumerate(targets)}
        self._single = np.array([single.get(word, NOBODY) for word in targets])
        self._phrases = [phrases.get(word, []) for word in targets]
        self._with_phrases = np.array([bool(some) for some in self._phrases])
        self._symbols = [
            (ord(word), t) for word, t in self._target.items() if word.encode() in PUNCTUATION
        ]
        self._marks: dict[bytes, list[tuple[int, int]]] = {}
        for word, t in self._target.items():
            raw = word.encode()
            if any(raw[:-1] == lead and cuts[raw[-1]] for lead, _, cuts in MARKS):
                self._marks.setdefault(raw[:-1], []).append((t, raw[-1]))
        self._overlap = max(form.count(" ") for form in self.forms)
        self._odd: dict[bytes, tuple[int, ...]] = {}
        self._live, self._all_live = np.ones(len(self.forms), dtype=bool), True
        self._build([word.encode() for word in targets])

    def _build(self, targets: Sequence[bytes]) -> None:
        """The table of flags, and behind it the targets of each place as a chain."""
        lengths = [len(word) for word in targets]
        self._length, self._longest = np.array(lengths), max(lengths)
        # Each target in as many numbers of eight bytes as it needs, one after the other.
        parts = [-(-n // EIGHT) for n in lengths]
        self._part = np.concatenate([[0], np.cumsum(parts)[:-1]])
        padded = b"".join(w.ljust(EIGHT * n, b"\0") for w, n in zip(targets, parts, strict=True))
        self._parts = np.frombuffer(padded, dtype="<u8")
        self._first = self._parts.take(self._part)
        self._margin = b"\n" + b" " * (EIGHT * (max(parts) + 1))
        bits = min(max(12, (SPARSE * len(targets)).bit_length()), 24)
        self._shift = np.uint64(64 - bits)
        self._place = self._places(self._first, self._length)
        self._flags = np.zeros(1 << bits, dtype=bool)
        self._flags[self._place] = True
        self._chain = np.full(1 << bits, NOBODY, dtype=np.int64)
        self._next = np.full(len(targets), NOBODY, dtype=np.int64)
        for t, place in enumerate(self._place.tolist()):
            self._next[t], self._chain[place] = self._chain[place], t

    def _places(self, first: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Where words of these first eight bytes (uint64) and lengths (int64) are in the table."""
        mixed = first ^ length.view(np.uint64)
        mixed *= SPREAD
        mixed >>= self._shift
        return mixed.view(np.int64)

    def look_for(self, live: np.ndarray) -> None:
        """Look only for the keywords for which ``live``, bool (keywords,), is true."""
        if np.array_equal(live, self._live):
            return
        self._live, self._all_live = live, bool(live.all())
        wanted = np.zeros(len(self._single), dtype=bool)
        plain = self._single != NOBODY
        wanted[plain] = self._live[self._single[plain]]
        for t in np.flatnonzero(self._with_phrases):
            wanted[t] |= any(self._live[n] for _, n in self._phrases[t])
        self._flags = np.zeros_like(self._flags)  # a copy of ours may still use the old ones
        self._flags[self._place[wanted]] = True

    def find(self, block: bytes) -> Hits:
        """The keywords in each line of a block of lines."""
        seen = invalid = 0
        pairs, starts, more = [], [], []
        for at, text in _parts(block):
            part = self._look(text, whole=not at)
            lines = part.lines + (seen - 1)
            numbers = self._single.take(part.targets)
            pairs.append(((lines << 32) | numbers)[numbers != NOBODY])
            if (some := self._with_phrases.take(part.targets)).any():
                more += list(zip(lines[some].tolist(), part.targets[some].tolist(), strict=True))
            starts.append(part.ends + at)
            seen, invalid = seen + len(part.ends), invalid + part.invalid
        ends = np.concatenate([*starts, [len(block) + 1]])
        if more:
            pairs.append(self._in_phrases(block, ends, more))
        found = np.concatenate(pairs)
        if not self._all_live:
            found = found[self._live.take(found & 0xFFFFFFFF)]
        found.sort()
        if len(found):
            found = found[np.concatenate([[True], found[1:] != found[:-1]])]
        return Hits(found & 0xFFFFFFFF, found >> 32, ends, invalid)

    def _look(self, text: bytes, *, whole: bool) -> _Part:
        """The targets in some text, which begins a line if ``whole``."""
        # A separator before the first byte, and room behind the last to read eight at a time.
        room = -(len(text) + 1 + len(self._margin)) % EIGHT + EIGHT
        small = bytearray().join((b"\n" if whole else b" ", text, self._margin, b" " * room))
        small = small.translate(CLASSES)
        codes = np.frombuffer(small, dtype=np.uint8)
        odd = np.flatnonzero(codes >= ODD) if not small.isascii() else None
        marks = [] if odd is None else self._blank_marks(codes, odd)
        codes = codes[: len(text) + 2]
        gaps = np.flatnonzero(codes <= BLANK)
        lengths = gaps[1:] - gaps[:-1]
        lengths -= 1
        found = [self._plain(small, gaps, lengths)]  # targets, and which of the words they are
        invalid = 0
        if odd is not None:
            odd = odd[codes.take(odd) >= ODD]
            some, words_, invalid = self._odd_ones(text, gaps.searchsorted(odd) - 1, gaps, lengths)
            found.append((some, words_))
        for byte, target in self._symbols:
            where = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == byte) + 1
            marks.append((np.full(len(where), target), where))
        found += [(some, gaps.searchsorted(where)) for some, where in marks]
        targets, numbers = map(np.concatenate, zip(*found, strict=True))
        at_end = codes.take(gaps[:-1]) == LINE_END
        lines = at_end.cumsum().take(numbers)
        return _Part(targets, lines, gaps[:-1][at_end], invalid)

    def _blank_marks(
        self, codes: np.ndarray, odd: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Blank out the commonest characters that cut, dashes and quotes, among the ``odd`` bytes;
        those that are targets are told: (targets, where they begin)."""
        told = []
        first = codes.take(odd)
        for lead, size, cuts in MARKS:
            at = odd[first == lead[0]]
            for n, byte in enumerate(lead[1:], 1):
                at = at[codes.take(at + n) == byte]
            last = codes.take(at + (size - 1))
            inside = cuts.take(last)
            at, last = at[inside], last[inside]
            for target, byte in self._marks.get(lead, ()):
                where = at[last == byte]
                told.append((np.full(len(where), target), where))
            for n in range(size):
                codes[at + n] = BLANK
        return told

    def _plain(
        self, small: bytearray, gaps: np.ndarray, lengths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(targets, which of the words they are) of words that follow these gaps and are so long.

        A word's number is that of the gap before it.
        """
        eights = np.frombuffer(small, dtype="<u8")
        begins = gaps[:-1] + 1
        first = _eight(eights, begins)
        first &= FIRST.take(lengths, mode="clip")
        place = self._places(first, lengths)
        some = np.flatnonzero(self._flags.take(place))
        target = self._chain.take(place.take(some))
        first, lengths = first.take(some), lengths.take(some)
        found, numbers = [], []
        while len(target):
            same = self._length.take(target) == lengths
            same &= self._first.take(target) == first
            for n in range(EIGHT, self._longest, EIGHT):
                long = np.flatnonzero(same & (lengths > n))
                if not len(long):
                    break
                rest = _eight(eights, begins.take(some.take(long)) + n)
                rest &= FIRST.take(lengths.take(long) - n, mode="clip")
                part = self._part.take(target.take(long)) + n // EIGHT
                same[long] = rest == self._parts.take(part)
            found.append(target[same])
            numbers.append(some[same])
            target = np.where(same, NOBODY, self._next.take(target))
            on = np.flatnonzero(target != NOBODY)
            first, lengths, some, target = first[on], lengths[on], some[on], target[on]
        nothing = np.empty(0, dtype=np.int64)
        return np.concatenate([nothing, *found]), np.concatenate([nothing, *numbers])

    def _odd_ones(
        self, text: bytes, runs: np.ndarray, gaps: np.ndarray, lengths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """(targets, which of the words they are) of words with other characters than ASCII, given
        by their ascending numbers, and how many bytes in them are not UTF-8."""
        if len(runs):
            runs = runs[np.concatenate([[True], runs[1:] != runs[:-1]])]
        begins = gaps[runs]
        ends = (begins + lengths[runs]).tolist()
        known, remember = self._odd.get, self._remember
        targets, where, invalid = [], [], 0
        for number, begin, end in zip(runs.tolist(), begins.tolist(), ends, strict=True):
            run = text[begin:end]
            held = known(run)
            if held is None:
                held, broken = remember(run)
                invalid += broken
            if held:
                targets += held
                where += [number] * len(held)
        return np.array(targets, dtype=np.int64), np.array(where, dtype=np.int64), invalid

    def _remember(self, run: bytes) -> tuple[tuple[int, ...], int]:
        text, broken = decode(run)
        there = dict.fromkeys(words(text))
        held = tuple(self._target[word] for word in there if word in self._target)
        if not broken and len(self._odd) < REMEMBERED and len(run) < 100:
            self._odd[run] = held
        return held, broken

    def _in_phrases(
        self, block: bytes, ends: np.ndarray, places: list[tuple[int, int]]
    ) -> np.ndarray:
        """Pairs (line << 32 | keyword) of the phrases in lines that hold their longest word."""
        found = []
        of_line: dict[int, set[int]] = {}
        for line, target in places:
            of_line.setdefault(line, set()).add(target)
        for line, some in of_line.items():
            wanted = {n: phrase for target in some for phrase, n in self._phrases[target]}
            for joined in _joined(block, int(ends[line]), int(ends[line + 1]) - 1, self._overlap):
                there = [n for n, phrase in wanted.items() if phrase in joined]
                found += [(line << 32) | n for n in there]
        return np.array(found, dtype=np.int64)


class _Part(NamedTuple):
    """What a part of a block holds: targets, how many of its line ends lie before each, and its
    line ends, counted from one before its first byte; and bytes that are not UTF-8."""

    targets: np.ndarray
    lines: np.ndarray
    ends: np.ndarray
    invalid: int


def _eight(eights: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The eight bytes that begin at each place, uint64, from two aligned reads: an array that is
    read at odd addresses takes NumPy twice the time."""
    places = places.view(np.uint64)
    number = (places >> np.uint64(3)).view(np.int64)
    shift = (places & np.uint64(7)) << np.uint64(3)
    low = eights.take(number)
    low >>= shift
    number += 1
    high = eights.take(number)
    high <<= np.uint64(64) - shift  # NumPy makes 0 of a shift by 64
    low |= high
    return low


def _parts(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Where parts of a block begin, and the parts: a line of many megabytes is cut between words,
    so that memory stays small."""
    at = 0
    while len(block) - at > LONG:
        end = _blank(block, at, len(block))
        yield at, block[at:end]
        at = end
    yield at, block[at:] if at else block


def _blank(block: bytes, begin: int, end: int) -> int:
    """The last place in the next ``LONG`` bytes where words are cut, or the first one behind."""
    stop = begin + LONG
    at = max(block.rfind(cut, max(begin + 1, stop - NEAR), stop) for cut in CUTS)
    if at < 0:
        found = CUT.search(block, stop)
        at = found.start() if found else end
    return min(at, end)


def _joined(block: bytes, begin: int, end: int, overlap: int) -> Iterator[str]:
    """The words of a line, joined by blanks; of a long one in parts that overlap by some words."""
    before: list[str] = []
    while begin < end:
        stop = end if end - begin <= LONG else min(_blank(block, begin, end), end)
        there = before + words(decode(block[begin:stop])[0])
        yield f" {' '.join(there)} "
        before, begin = there[-overlap:] if overlap else [], stop


@lru_cache(maxsize=1)
def _compiled(payload: bytes) -> Keywords:
    return Keywords(payload)


def compiled(payload: bytes) -> Keywords:
    """Keywords, which travel to a worker with every task and are compiled there once. Each caller
    gets a copy that can ``look_for`` what it wants."""
    return copy(_compiled(payload))
