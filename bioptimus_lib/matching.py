"""Which keywords are in which lines: whole words, compared as BERT's tokeniser would see them.

A block of a corpus is taken as an array of bytes, and each step below handles all of its words at
once. One pass over the bytes finds where words begin and end. Their first eight bytes, read as one
64-bit number, and their length give a hash; a table of flags, small enough for the cache of a
core, says for most words that they are no keyword. The few that pass are compared byte for byte.
Words with other characters than ASCII go one by one through ``words`` and are remembered.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bioptimus_lib.passes import decode
from bioptimus_lib.words import BYTES, CONTROLS, PUNCTUATION, words

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
NOBODY = -1


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
        starts: int64, where lines begin: line i is ``block[starts[i] : starts[i + 1] - 1]``.
    """

    keywords: np.ndarray
    lines: np.ndarray
    starts: np.ndarray


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
        self._odd: dict[bytes, tuple[int, ...]] = {}
        self._live = np.ones(len(self.forms), dtype=bool)
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
        self._margin = b"\n" + b" " * (EIGHT * (max(parts) + 1))
        bits = min(max(12, (SPARSE * len(targets)).bit_length()), 24)
        self._shift = np.uint64(64 - bits)
        self._place = self._places(self._parts[self._part], self._length)
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
        self._live = live
        wanted = np.zeros(len(self._single), dtype=bool)
        plain = self._single != NOBODY
        wanted[plain] = self._live[self._single[plain]]
        for t in np.flatnonzero(self._with_phrases):
            wanted[t] |= any(self._live[n] for _, n in self._phrases[t])
        self._flags[:] = False
        self._flags[self._place[wanted]] = True

    def find(self, block: bytes) -> Hits:
        """The keywords in each line of a block of lines."""
        # A line end before the first byte, and room behind the last to read eight at a time.
        small = b"".join((b"\n", block, self._margin)).translate(CLASSES)
        codes = np.frombuffer(small, dtype=np.uint8)
        in_word = codes > BLANK
        edges = np.flatnonzero(in_word[1:] != in_word[:-1])
        edges += 1
        begins, lengths = edges[0::2], edges[1::2] - edges[0::2]
        eights = np.ndarray(len(small) - EIGHT + 1, dtype="<u8", buffer=small, strides=(1,))
        targets, places = self._plain(eights, begins, lengths)
        if not small.isascii():
            odd, where = self._odd_ones(block, codes, begins, lengths)
            targets, places = np.concatenate([targets, odd]), np.concatenate([places, where])
        for byte, target in self._symbols:
            where = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == byte) + 1
            targets = np.concatenate([targets, np.full(len(where), target)])
            places = np.concatenate([places, where])

        ends = np.flatnonzero(codes == LINE_END)  # the one before the first line is among them
        lines = ends.searchsorted(places) - 1
        numbers = self._single.take(targets)
        pairs = (lines << 32) | numbers
        pairs = pairs[numbers != NOBODY]
        if (more := self._with_phrases.take(targets)).any():
            found = self._in_phrases(block, ends, lines[more], targets[more])
            pairs = np.concatenate([pairs, found])
        pairs = pairs[self._live.take(pairs & 0xFFFFFFFF)]
        pairs.sort()
        if len(pairs):
            pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
        return Hits(pairs & 0xFFFFFFFF, pairs >> 32, ends)

    def _plain(
        self, eights: np.ndarray, begins: np.ndarray, lengths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(targets, where they begin) among words that begin there and are so long."""
        first = eights[begins]
        first &= FIRST.take(lengths, mode="clip")
        place = self._places(first, lengths)
        some = np.flatnonzero(self._flags.take(place))
        first, lengths, begins = first[some], lengths[some], begins[some]
        target = self._chain.take(place[some])
        found, where = [], []
        while len(target):
            same = (self._length.take(target) == lengths) & (
                self._parts.take(self._part.take(target)) == first
            )
            for n in range(EIGHT, self._longest, EIGHT):
                long = np.flatnonzero(same & (lengths > n))
                if not len(long):
                    break
                rest = eights[begins[long] + n] & FIRST.take(lengths[long] - n, mode="clip")
                same[long] = rest == self._parts[self._part[target[long]] + n // EIGHT]
            found.append(target[same])
            where.append(begins[same])
            target = np.where(same, NOBODY, self._next.take(target))
            on = np.flatnonzero(target != NOBODY)
            first, lengths, begins, target = first[on], lengths[on], begins[on], target[on]
        if not found:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        return np.concatenate(found), np.concatenate(where)

    def _odd_ones(
        self, block: bytes, codes: np.ndarray, begins: np.ndarray, lengths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(targets, where they begin) among words with other characters than ASCII."""
        runs = begins.searchsorted(np.flatnonzero(codes >= ODD), side="right") - 1
        runs = runs[np.concatenate([[True], runs[1:] != runs[:-1]])]
        begins = begins[runs]
        ends = (begins + lengths[runs] - 1).tolist()
        known, remember = self._odd.get, self._remember
        targets, where = [], []
        for number, (begin, end) in enumerate(zip((begins - 1).tolist(), ends, strict=True)):
            run = block[begin:end]
            held = known(run)
            if held is None:
                held = remember(run)
            if held:
                targets += held
                where += [number] * len(held)
        return np.array(targets, dtype=np.int64), begins[np.array(where, dtype=np.int64)]

    def _remember(self, run: bytes) -> tuple[int, ...]:
        there = dict.fromkeys(words(decode(run)[0]))
        held = tuple(self._target[word] for word in there if word in self._target)
        if len(self._odd) < REMEMBERED and len(run) < 100:
            self._odd[run] = held
        return held

    def _in_phrases(
        self, block: bytes, ends: np.ndarray, lines: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        """Pairs (line << 32 | keyword) of the phrases in lines that hold their longest word."""
        found = []
        of_line: dict[int, set[int]] = {}
        for line, target in zip(lines.tolist(), targets.tolist(), strict=True):
            of_line.setdefault(line, set()).add(target)
        for line, some in of_line.items():
            text = block[ends[line] : ends[line + 1] - 1]
            joined = f" {' '.join(words(decode(text)[0]))} "
            found += [
                (line << 32) | n
                for target in some
                for phrase, n in self._phrases[target]
                if phrase in joined
            ]
        return np.array(found, dtype=np.int64)


#: Keywords travel to a worker with every task and are compiled there once.
compiled = lru_cache(maxsize=1)(Keywords)
