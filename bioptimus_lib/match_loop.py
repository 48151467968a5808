"""The loop of the scan: one pass over the bytes of a text, compiled by Numba.

It is written as one would write it in Python if Python were fast: take a byte, decide what it is,
grow the word or end it, look up the word that has ended. Numba makes machine code of it when it is
first called and keeps that beside this file, or in the user's cache.

Nothing here knows what a file, a process or a sketch is; see ``matching`` for what is looked for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bioptimus_lib.compiling import compiled

# What a byte does, if it is no letter; letters are larger than all of these.
BLANK, LINE_END, MARK, VANISHES, ODD = range(5)
UNKNOWN = NOBODY = -1
DONE, FULL = -1, -2  # why the loop has stopped; else the character that it does not know
PAGE = 256  # characters in a page

_GOLDEN, _MIX1, _MIX2 = map(
    np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_0, _3, _5, _7, _27, _30, _31, _59 = map(np.uint64, (0, 3, 5, 7, 27, 30, 31, 59))


class Characters(NamedTuple):
    """What characters become; ``words.TABLE`` as arrays.

    Args:
        kinds: uint8 (256,), byte → small letter, or what it does.
        pages: int32 (4352,), which row of ``becomes`` has the 256 characters of a page, or
            ``UNKNOWN``: then the loop stops and asks for it.
        becomes: uint8 (P, 256, 13), how many bytes a character becomes, and these bytes; a blank
            among them ends a word.
    """

    kinds: np.ndarray
    pages: np.ndarray
    becomes: np.ndarray


class Targets(NamedTuple):
    """The T words that are looked up, and the N forms that are made of them.

    Args:
        marks: int32 (128,), punctuation byte → target, or ``NOBODY``.
        flags: uint8, a bit for each place that a hash can have: whether a target has it.
        slots: int32, for eight places together: the first target that has one of them; where it is
            taken, the next slot has another.
        shift: uint64, what leaves of a hash a place.
        hashes: uint64 (T,).
        letters: uint8, the bytes of all targets; ``ends`` int64 (T + 1,), where each begins.
        last: int64 (T + 1,), which of the forms end with a target: those from ``last[t]`` on.
        form: int64 (N,), the numbers of these forms, in that order.
        parts: int64, the targets that each of them is made of; ``begins`` int64 (N + 1,), where.
    """

    marks: np.ndarray
    flags: np.ndarray
    slots: np.ndarray
    shift: np.uint64
    hashes: np.ndarray
    letters: np.ndarray
    ends: np.ndarray
    last: np.ndarray
    form: np.ndarray
    parts: np.ndarray
    begins: np.ndarray


class Wanted(NamedTuple):
    """Which lines are wanted of each form, see ``sketch``.

    Args:
        counts: int64 (N,), lines that hold it; grows.
        most: how many lines are enough.
        limit: uint64 (N,), what goes later than this is not wanted.
        factor: uint64 (N,), what makes the order of the lines another one for each form; empty
            if lines are wanted in the order of the corpus.
        seen: int64 (N,), the last line that holds it; changes.
    """

    counts: np.ndarray
    most: int
    limit: np.ndarray
    factor: np.ndarray
    seen: np.ndarray


class Found(NamedTuple):
    """What was found, a place for each line that is wanted: number of the form, order of the line,
    where the line begins and where the form begins, counted from the beginning of the file."""

    form: np.ndarray
    order: np.ndarray
    line: np.ndarray
    hit: np.ndarray


class State(NamedTuple):
    """Where the loop is when it stops, so that it can go on.

    Args:
        here: int64 (10,); what its places hold is named below.
        word: uint8, the first bytes of the word that it is in, as many as the longest target has.
        recent: int64 (R, 3), a ring of the last targets that were met: number of the word, target,
            where it begins. R is a power of two.
    """

    here: np.ndarray
    word: np.ndarray
    recent: np.ndarray


#: What the places of ``State.here`` hold: the byte we are at; where its line begins and how many
#: were before; where its word begins, its length so far and its hash; how many words and how many
#: targets we have met; bytes that are not UTF-8; places of ``Found`` that are taken.
AT, LINE, LINES, BEGIN, LENGTH, HASH, NUMBER, MET, INVALID, HITS = range(10)


@compiled
def place_of(mixed: np.uint64, shift: np.uint64) -> np.uint64:
    """Where a hash belongs in the table of flags: its uppermost bits, once all have met all."""
    return (mixed * _GOLDEN) >> shift


@compiled
def scattered(base: np.uint64, offset: int) -> np.uint64:
    """A well mixed 64-bit hash (splitmix64) of the line that begins at an offset of a file.

    ``base`` is the hash of the file.

    Times an odd random number it orders the lines at random, differently for each such number; so
    a form has one. (With ``^`` in place of the product, lines whose hash has no near neighbour
    would be chosen too often by all forms.)
    """
    z = np.uint64(offset) * _GOLDEN + base
    z = (z ^ (z >> _30)) * _MIX1
    z = (z ^ (z >> _27)) * _MIX2
    return z ^ (z >> _31)


@compiled
def character(text: np.ndarray, at: int) -> tuple[int, int]:
    """The character that begins at a byte above 127, and its bytes; (0, 0) if it is not UTF-8."""
    lead = text[at]
    if lead < 0xC2 or lead > 0xF4:
        return 0, 0
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if at + size > len(text):
        return 0, 0
    code = np.int64(lead & (0x7F >> size))
    for n in range(1, size):
        byte = text[at + n]
        if byte & 0xC0 != 0x80:
            return 0, 0
        code = code << 6 | (byte & 0x3F)
    if (size == 3 and (code < 0x800 or 0xD800 <= code < 0xE000)) or (
        size == 4 and not 0x10000 <= code < 0x110000
    ):
        return 0, 0
    return code, size


@compiled
def match(
    text: np.ndarray,
    offset: int,
    base: np.uint64,
    characters: Characters,
    targets: Targets,
    wanted: Wanted,
    found: Found,
    state: State,
) -> int:
    """Go through a text, and note the wanted lines of each form.

    Args:
        text: uint8, whole lines; the last byte is a line end.
        offset: where it begins in its file.
        base: what the order of lines begins with in this file.
        state: of the stop before, if there was one; else ``here`` is 0.

    Returns:
        ``DONE``; ``FULL`` if ``found`` may have no place for one more line; else the number of a
        character that ``characters`` does not know. Then call again with the same state.
    """
    kinds, pages, becomes = characters
    here, word, recent = state
    at, line, lines, begin, length = here[AT], here[LINE], here[LINES], here[BEGIN], here[LENGTH]
    mixed, number, met = np.uint64(here[HASH]), here[NUMBER], here[MET]
    hits, room = 0, len(found.form) - len(wanted.counts)
    longest, ring, slots = len(word), len(recent), len(targets.slots)
    order, ordered = _0, False  # of this line
    why = DONE
    while at < len(text):
        kind = kinds[text[at]]
        if length == 0:
            begin = at
        while kind > ODD:  # a letter
            if length < longest:
                word[length] = kind
            length += 1
            mixed = ((mixed << _5) | (mixed >> _59)) ^ np.uint64(kind)
            at += 1
            kind = kinds[text[at]]
        if kind == VANISHES:
            at += 1
            continue
        size, cuts, page, code = 1, True, 0, 0
        if kind == ODD:
            code, size = character(text, at)
            if size == 0:
                here[INVALID] += 1
                at += 1
                continue
            page = pages[code // PAGE]
            if page == UNKNOWN:
                why = code
                break
            code %= PAGE
            cuts = becomes[page, code, 0] > 0 and becomes[page, code, 1] == ord(" ")
            for n in range(0 if cuts else becomes[page, code, 0]):
                byte = becomes[page, code, n + 1]
                if length < longest:
                    word[length] = byte
                length += 1
                mixed = ((mixed << _5) | (mixed >> _59)) ^ np.uint64(byte)
            if not cuts:
                at += size
                continue
        # Here a word ends, if we were in one; and there may be a mark, which is a word as well.
        mark = kind == MARK or (kind == ODD and becomes[page, code, 0] > 1)
        while length or mark:
            target = NOBODY
            if not length:
                mark = False
                begin = at
                if kind == MARK:
                    target = targets.marks[text[at]]
                else:
                    for n in range(2, becomes[page, code, 0]):
                        byte = becomes[page, code, n]
                        if length < longest:
                            word[length] = byte
                        length += 1
                        mixed = ((mixed << _5) | (mixed >> _59)) ^ np.uint64(byte)
            if 0 < length <= longest:
                place = place_of(mixed, targets.shift)
                if targets.flags[place >> _3] >> (place & _7) & 1:
                    slot = np.int64(place >> _3)
                    while targets.slots[slot] != NOBODY:
                        t = targets.slots[slot]
                        first = targets.ends[t]
                        if targets.hashes[t] == mixed and targets.ends[t + 1] - first == length:
                            same = 0
                            while same < length and targets.letters[first + same] == word[same]:
                                same += 1
                            if same == length:
                                target = t
                                break
                        slot = slot + 1 if slot + 1 < slots else 0
            length, mixed = 0, _0
            number += 1
            if target == NOBODY:
                continue
            if ring > 1:
                met += 1
                recent[met & (ring - 1), 0] = number
                recent[met & (ring - 1), 1] = target
                recent[met & (ring - 1), 2] = begin
            for n in range(targets.last[target], targets.last[target + 1]):
                first, many = targets.begins[n], targets.begins[n + 1] - targets.begins[n]
                form, hit, back = targets.form[n], begin, 1
                while back < many:
                    before = (met - back) & (ring - 1)
                    if (
                        recent[before, 0] != number - back
                        or recent[before, 1] != targets.parts[first + many - 1 - back]
                    ):
                        break
                    hit = recent[before, 2]
                    back += 1
                if back < many or wanted.seen[form] == lines or wanted.counts[form] >= wanted.most:
                    continue
                wanted.seen[form] = lines
                wanted.counts[form] += 1
                if not ordered:
                    ordered = True
                    if len(wanted.factor):
                        order = scattered(base, line + offset)
                    else:
                        order = base + np.uint64(line + offset)
                own = order * wanted.factor[form] if len(wanted.factor) else order
                if own <= wanted.limit[form]:
                    found.form[hits] = form
                    found.order[hits] = own
                    found.line[hits] = line + offset
                    found.hit[hits] = hit + offset
                    hits += 1
        at += size
        if kind == LINE_END:
            line = at
            lines += 1
            number += 1  # what stands in another line is not the word before
            ordered = False
            if hits > room:
                why = FULL
                break
    here[AT], here[LINE], here[LINES], here[BEGIN], here[LENGTH] = at, line, lines, begin, length
    here[HASH], here[NUMBER], here[MET], here[HITS] = np.int64(mixed), number, met, hits
    return why


@compiled
def table_of(
    letters: np.ndarray, ends: np.ndarray, shift: np.uint64
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes and places of targets, and the slots in which to look for them; see ``Targets``."""
    many = len(ends) - 1
    hashes, places = np.empty(many, dtype=np.uint64), np.empty(many, dtype=np.int64)
    slots = np.full(1 << (61 - np.int64(shift)), NOBODY, dtype=np.int32)
    for target in range(many):
        mixed = _0
        for byte in letters[ends[target] : ends[target + 1]]:
            mixed = ((mixed << _5) | (mixed >> _59)) ^ np.uint64(byte)
        hashes[target], places[target] = mixed, np.int64(place_of(mixed, shift))
        slot = places[target] >> 3
        while slots[slot] != NOBODY:
            slot = (slot + 1) % len(slots)
        slots[slot] = target
    return hashes, places, slots
