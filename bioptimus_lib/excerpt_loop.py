"""Walking from a keyword through its line, word by word, until there are enough: compiled by Numba.

Words are here what white space cuts, and white space is what BERT takes for it.
"""

from __future__ import annotations

import numpy as np

from bioptimus_lib.compiling import compiled


@compiled
def blank(text: np.ndarray, at: int) -> int:
    """How many bytes the white space has that begins at a byte; 0 if none does.

    White space as BERT sees it: the blanks of Unicode, and of control characters only those that
    are not taken out.
    """
    byte = text[at]
    if byte < 0x80:
        return 1 if byte == 32 or byte == 9 or byte == 13 or byte == 10 else 0
    left = len(text) - at
    if byte == 0xC2:
        return 2 if left > 1 and text[at + 1] == 0xA0 else 0
    if left < 3:
        return 0
    second, third = text[at + 1], text[at + 2]
    if byte == 0xE2:
        if second == 0x80:
            some = 0x80 <= third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF
        else:
            some = second == 0x81 and third == 0x9F
        return 3 if some else 0
    if byte == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    return 3 if byte == 0xE3 and second == 0x80 and third == 0x80 else 0


@compiled
def blank_before(text: np.ndarray, at: int) -> int:
    """How many bytes the white space has that ends before a byte; 0 if none does."""
    for size in range(1, min(at, 3) + 1):
        if blank(text, at - size) == size:
            return size
    return 0


@compiled
def forwards(text: np.ndarray, at: int, words: int) -> tuple[int, int]:
    """The end of the so many words from a place on, and how many there are in its line."""
    end, many = at, 0
    while at < len(text) and text[at] != 10:
        size = blank(text, at)
        if size:
            at += size
            continue
        if many == words:
            break
        many += 1
        while at < len(text) and blank(text, at) == 0:
            at += 1
        end = at
    return end, many


@compiled
def backwards(text: np.ndarray, at: int, words: int) -> tuple[int, int]:
    """The beginning of the so many words before a place, and how many there are in its line."""
    begin, many = at, 0
    while at > 0 and text[at - 1] != 10:
        size = blank_before(text, at)
        if size:
            at -= size
            continue
        if many == words:
            break
        many += 1
        while at > 0 and blank_before(text, at) == 0:
            at -= 1
        begin = at
    return begin, many


@compiled
def bounds(text: np.ndarray, hits: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the texts around some places begin and end."""
    begins, ends = np.empty(len(hits), dtype=np.int64), np.empty(len(hits), dtype=np.int64)
    before = limit // 2
    for n in range(len(hits)):
        first = hits[n]
        while first > 0 and blank_before(text, first) == 0:
            first -= 1
        _, after = forwards(text, first, limit - before)
        begin, there = backwards(text, first, max(before, limit - after))
        if there == 0:
            begin = first
        begins[n] = begin
        ends[n], _ = forwards(text, begin, limit)
    return begins, ends
