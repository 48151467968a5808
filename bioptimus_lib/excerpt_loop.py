"""Walking from a keyword through its line, word by word, until there are enough: compiled by Numba.

Words are here what white space cuts, and white space is what BERT takes for it.
"""

from __future__ import annotations

import numpy as np

from bioptimus_lib.compiling import compiled
from bioptimus_lib.words import WHITE_SPACE

LINE_END = 10
NO_BLANK, BLANK, PERHAPS = range(3)  # what a byte is
BLANKS = [chr(code).encode() for code in sorted(WHITE_SPACE)]


def _kinds(place: int) -> np.ndarray:
    """What each byte is, if white space may have it at this place."""
    kinds = np.full(256, NO_BLANK, dtype=np.uint8)
    for blank in BLANKS:
        kinds[blank[place]] = BLANK if len(blank) == 1 else PERHAPS
    return kinds


FIRST, LAST = _kinds(0), _kinds(-1)
#: White space of several bytes, each as one number.
WIDE = np.array([int.from_bytes(blank, "big") for blank in BLANKS if len(blank) > 1])


@compiled
def wide(text: np.ndarray, begin: int, end: int) -> bool:
    """Whether two or three bytes of a text are white space."""
    if begin < 0 or end > len(text):
        return False
    number: int | np.int64 = 0
    for byte in text[begin:end]:
        number = number << 8 | np.int64(byte)
    for blank in WIDE:
        if number == blank:
            return True
    return False


@compiled
def forwards(text: np.ndarray, at: int, words: int) -> tuple[int, int]:
    """The end of the so many words from a place on, and how many there are in its line."""
    end, many, inside = at, 0, False
    while at < len(text) and text[at] != LINE_END:
        kind = FIRST[text[at]]
        size = 1
        if kind == PERHAPS:
            size = 2 if wide(text, at, at + 2) else 3 if wide(text, at, at + 3) else 0
        if kind == NO_BLANK or size == 0:
            if not inside and many == words:
                break
            many += not inside
            inside = True
            at += 1
            end = at
        else:
            inside = False
            at += size
    return end, many


@compiled
def backwards(text: np.ndarray, at: int, words: int) -> tuple[int, int]:
    """The beginning of the so many words before the one at a place, and how many there are in its
    line."""
    begin, many, inside = at, 0, True
    while at > 0 and text[at - 1] != LINE_END:
        kind = LAST[text[at - 1]]
        size = 1
        if kind == PERHAPS:
            size = 2 if wide(text, at - 2, at) else 3 if wide(text, at - 3, at) else 0
        if kind == NO_BLANK or size == 0:
            if not inside and many == words:
                break
            many += not inside
            inside = True
            at -= 1
            begin = at
        else:
            inside = False
            at -= size
    return begin, many


@compiled
def bounds(text: np.ndarray, hits: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the texts of ``limit`` words around some places begin and end."""
    begins, ends = np.empty(len(hits), dtype=np.int64), np.empty(len(hits), dtype=np.int64)
    left, right = limit // 2, limit - limit // 2
    for n in range(len(hits)):
        end, after = forwards(text, hits[n], right)
        begin, before = backwards(text, hits[n], limit - after)
        if before < left and after == right:  # the line has more on the right
            end, _ = forwards(text, hits[n], limit - before)
        begins[n], ends[n] = begin, end
    return begins, ends


@compiled
def joined(text: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The bytes from each of the begins to its end, one behind the other."""
    every = np.empty((ends - begins).sum(), dtype=np.uint8)
    at = 0
    for n in range(len(begins)):
        size = ends[n] - begins[n]
        every[at : at + size] = text[begins[n] : ends[n]]
        at += size
    return every
