"""The loop of the scan: one pass over the bytes of a text, compiled by Numba.

It is written as one would write it in Python if Python were fast: take a byte, decide what it is,
grow the word or end it, look up the word that has ended. Letters and digits, which most bytes are,
it takes eight at a time. Numba makes machine code of it when it is first called and keeps that
beside this file, or in the user's cache.

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
SPACE = 32
SHORT = 15  # bytes of a word that its two numbers hold as they are, see ``whole``

_GOLDEN, _MIX1, _MIX2 = map(
    np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_0, _1, _3, _7, _8, _27, _29, _30, _31, _35, _56 = map(
    np.uint64, (0, 1, 3, 7, 8, 27, 29, 30, 31, 35, 56)
)
_PRIME = np.uint64(0x100000001B3)  # of the hash FNV-1a
_EACH = np.uint64(0x0101010101010101)
_SMALL, _SEVEN, _TOP = (_EACH * np.uint64(byte) for byte in (0x20, 0x7F, 0x80))
_FROM_A, _FROM_0 = (_EACH * np.uint64(0x80 - ord(first)) for first in "a0")
_BEYOND_Z, _BEYOND_9 = (_EACH * np.uint64(0x7F - ord(last)) for last in "z9")


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
        wholes, rests: uint64 (T,), what ``whole`` and the bytes after it are of each.
        letters: uint8, the bytes of all targets; ``ends`` int64 (T + 1,), where each begins.
        alone: int64 (T,), the form that a target is, if no other form ends with it.
        last: int64 (T + 1,), else which forms do: those from ``last[t]`` to ``last[t + 1]`` in
        form: int64 (P,), numbers of forms, made of
        parts: int64, targets; ``begins`` int64 (P + 1,), where those of each form begin.
    """

    marks: np.ndarray
    flags: np.ndarray
    slots: np.ndarray
    shift: np.uint64
    wholes: np.ndarray
    rests: np.ndarray
    letters: np.ndarray
    ends: np.ndarray
    alone: np.ndarray
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


#: What the places of the state hold when the loop stops: the byte we are at; where its line begins
#: and how many were before; where its word begins (``NOBODY`` between words), its two numbers, and
#: how many bytes they stand for; how many words and how many targets we have met; bytes that are
#: not UTF-8; places of ``Found`` that are taken.
AT, LINE, LINES, BEGIN, WHOLE, REST, LONG, NUMBER, MET, INVALID, HITS = range(11)


@compiled
def eight_letters(eight: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Eight bytes at once: with small letters, and the top bit of each that is no letter or digit.

    Each sum below has its top bit set in those bytes that are at least ``a``, beyond ``z``, and so
    on; no byte carries over into the next, since all are below 128.
    """
    small, seven = eight | _SMALL, eight & _SEVEN
    low = small & _SEVEN
    letter = (low + _FROM_A) & ~(low + _BEYOND_Z)
    digit = (seven + _FROM_0) & ~(seven + _BEYOND_9)
    return small, ~((letter | digit) & ~eight) & _TOP


@compiled
def whole(before: np.uint64, eight: np.uint64) -> np.uint64:
    """A number for all the full eights of a word's bytes. The first eight stand for themselves: so
    this number and that of the bytes after it tell a word of up to ``SHORT`` bytes."""
    return (((before << _29) | (before >> _35)) * _MIX1) ^ eight


@compiled
def grown(
    full: np.uint64, rest: np.uint64, long: np.uint64, byte: int
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """The two numbers of a word, and its bytes, after one byte more."""
    rest |= np.uint64(byte) << ((long & _7) << _3)
    long += _1
    if long & _7 == _0:
        return whole(full, rest), _0, long
    return full, rest, long


@compiled
def place_of(full: np.uint64, rest: np.uint64, shift: np.uint64) -> np.uint64:
    """Where a word belongs in the table of flags: the uppermost bits of a hash of its numbers."""
    return ((full * _MIX2 + rest) * _GOLDEN) >> shift


@compiled
def scattered(base: np.uint64, offset: int | np.int64) -> np.uint64:
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
    return int(code), size


@compiled
def spell(
    word: np.ndarray, text: np.ndarray, begin: int, end: int, characters: Characters
) -> int:
    """Write what the characters of a word become, as far as there is room; how many bytes it is."""
    kinds, pages, becomes = characters
    length = 0
    while begin < end:
        kind, size = kinds[text[begin]], 1
        if kind > ODD:
            if length < len(word):
                word[length] = kind
            length += 1
        elif kind == ODD:
            code, size = character(text, begin)
            page = pages[code // PAGE]
            for n in range(becomes[page, code % PAGE, 0] if size else 0):
                byte = becomes[page, code % PAGE, n + 1]
                if byte != SPACE:
                    if length < len(word):
                        word[length] = byte
                    length += 1
            size = max(size, 1)
        begin += size
    return length


@compiled
def match(
    text: np.ndarray,
    eights: np.ndarray,
    offset: int,
    base: np.uint64,
    characters: Characters,
    targets: Targets,
    wanted: Wanted,
    found: Found,
    word: np.ndarray,
    recent: np.ndarray,
    state: np.ndarray,
) -> int:
    """Go through a text, and note the wanted lines of each form.

    Args:
        text: uint8, whole lines; the last byte is a line end.
        eights: uint64, the eight bytes from each on, as far as there are eight.
        offset: where it begins in its file.
        base: what the order of lines begins with in this file.
        word: uint8, room for the bytes of the longest target.
        recent: int64 (R, 3), a ring of the last targets that were met: number of the word, target,
            where it begins. R is a power of two, and not below the words of any form.
        state: int64 (11,), of the stop before; see ``AT``.

    Returns:
        ``DONE``; ``FULL`` if ``found`` may have no place for one more line; else the number of a
        character that ``characters`` does not know. Then call again with the same state.
    """
    kinds, pages, becomes = characters
    marks, flags, slots, shift, wholes, rests, letters, ends, alone, last, forms, parts, begins = (
        targets
    )
    counts, most, limit, factor, seen = wanted
    found_form, found_order, found_line, found_hit = found
    at, line, lines, begin = state[AT], state[LINE], state[LINES], state[BEGIN]
    full, rest, long = np.uint64(state[WHOLE]), np.uint64(state[REST]), np.uint64(state[LONG])
    number, met = state[NUMBER], state[MET]
    last_slot = np.uint64(len(slots) - 1)  # there are 2^n of them
    many_eights = np.uint64(len(eights))
    hits, room, ring = 0, len(found_form) - len(counts), len(recent)
    order, ordered = _0, False  # of this line
    why = DONE
    while at < len(text):
        kind = kinds[text[at]]
        if kind > ODD:
            if begin == NOBODY:
                begin = at
            ahead = np.uint64(at)  # with a sign Numba would ask each time if it counts from the end
            if long & _7 == _0:
                while ahead < many_eights:
                    small, other = eight_letters(eights[ahead])
                    if other:
                        before = ((other & (~other + _1)) >> _7) - _1  # all bits before its first
                        rest = small & before
                        more = ((before & _EACH) * _EACH) >> _56
                        long += more
                        ahead += more
                        break
                    full = whole(full, small)
                    long += _8
                    ahead += _8
                kind = kinds[text[ahead]]
            while kind > ODD:  # a letter
                full, rest, long = grown(full, rest, long, kind)
                ahead += _1
                kind = kinds[text[ahead]]
            at = np.int64(ahead)
        size = 1
        mark = kind == MARK  # a punctuation mark is a word as well
        if kind == ODD:
            code, size = character(text, at)
            if size == 0:
                state[INVALID] += 1
                at += 1
                continue
            page = pages[code // PAGE]
            if page == UNKNOWN:
                why = code
                break
            code %= PAGE
            many = becomes[page, code, 0]
            if many == 0 or becomes[page, code, 1] != SPACE:
                if many and begin == NOBODY:
                    begin = at
                for n in range(many):
                    full, rest, long = grown(full, rest, long, becomes[page, code, n + 1])
                at += size
                continue
            mark = many > 1
        elif kind == VANISHES:
            at += 1
            continue
        # Here a word ends, if we were in one.
        while begin != NOBODY or mark:
            end = at
            target: int | np.int64 = NOBODY
            if begin == NOBODY:
                mark = False
                begin, end = at, at + size
                if kind == MARK:
                    target = marks[text[at]]
                else:
                    for n in range(2, becomes[page, code, 0]):
                        full, rest, long = grown(full, rest, long, becomes[page, code, n])
            place = place_of(full, rest, shift)
            if flags[place >> _3] >> (place & _7) & 1:
                slot = place >> _3
                while slots[slot] != NOBODY and target == NOBODY:
                    maybe = np.uint64(slots[slot])
                    slot = (slot + _1) & last_slot
                    own, own_end = np.uint64(ends[maybe]), np.uint64(ends[maybe + _1])
                    if rests[maybe] != rest or wholes[maybe] != full or own_end - own != long:
                        continue
                    if long <= SHORT:
                        target = np.int64(maybe)
                        break
                    there, last_byte = np.uint64(begin), np.uint64(end)
                    while own < own_end and there < last_byte and (
                        letters[own] == kinds[text[there]]
                    ):
                        own += _1
                        there += _1
                    if there < last_byte and kinds[text[there]] <= ODD:
                        # More than plain letters: spelt out, they are compared from the beginning.
                        length = np.uint64(spell(word, text, begin, end, characters))
                        own, there = np.uint64(ends[maybe]), _0
                        while own < own_end and there < length and letters[own] == word[there]:
                            own += _1
                            there += _1
                        there += last_byte - length
                    if own == own_end and there == last_byte:
                        target = np.int64(maybe)
            first_byte, begin, full, rest, long = begin, NOBODY, _0, _0, _0
            number += 1
            if target == NOBODY:
                continue
            if ring > 1:
                met += 1
                recent[met & (ring - 1), 0] = number
                recent[met & (ring - 1), 1] = target
                recent[met & (ring - 1), 2] = first_byte
            form, hit = alone[target], first_byte
            several = form == NOBODY
            for n in range(last[target] if several else 0, last[target + 1] if several else 1):
                if several:
                    form, hit, back, many = forms[n], first_byte, 1, begins[n + 1] - begins[n]
                    while back < many:
                        before = (met - back) & (ring - 1)
                        if (
                            recent[before, 0] != number - back
                            or recent[before, 1] != parts[begins[n + 1] - 1 - back]
                        ):
                            break
                        hit = recent[before, 2]
                        back += 1
                    if back < many:
                        continue
                which = np.uint64(form)
                if seen[which] == lines or counts[which] >= most:
                    continue
                seen[which] = lines
                counts[which] += 1
                if not ordered:
                    ordered = True
                    if len(factor):
                        order = scattered(base, line + offset)
                    else:
                        order = base + np.uint64(line + offset)
                own = order * factor[which] if len(factor) else order
                if own <= limit[which]:
                    found_form[hits] = form
                    found_order[hits] = own
                    found_line[hits] = line + offset
                    found_hit[hits] = hit + offset
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
    state[AT], state[LINE], state[LINES], state[BEGIN] = at, line, lines, begin
    state[WHOLE], state[REST], state[LONG] = np.int64(full), np.int64(rest), np.int64(long)
    state[NUMBER], state[MET], state[HITS] = number, met, hits
    return why


@compiled
def table_of(
    letters: np.ndarray, ends: np.ndarray, shift: np.uint64
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers and places of targets, and the slots in which to look for them; see ``Targets``."""
    many = len(ends) - 1
    wholes, rests = np.empty(many, dtype=np.uint64), np.empty(many, dtype=np.uint64)
    places = np.empty(many, dtype=np.int64)
    slots = np.full(1 << (61 - np.int64(shift)), NOBODY, dtype=np.int32)
    for target in range(many):
        full, rest, long = _0, _0, _0
        for byte in letters[ends[target] : ends[target + 1]]:
            full, rest, long = grown(full, rest, long, byte)
        wholes[target], rests[target] = full, rest
        places[target] = np.int64(place_of(full, rest, shift))
        slot = places[target] >> 3
        while slots[slot] != NOBODY:
            slot = (slot + 1) % len(slots)
        slots[slot] = target
    return wholes, rests, places, slots


@compiled
def factors(forms: np.ndarray, seed: np.uint64) -> np.ndarray:
    """An odd number for each form, uint64 (N,), drawn with a seed; forms are bytes, a line each."""
    numbers = np.empty(1 + (forms == 10).sum(), dtype=np.uint64)
    mixed, form = _0, 0
    for byte in forms:
        if byte == 10:
            numbers[form] = scattered(seed, np.int64(mixed)) | _1
            mixed = _0
            form += 1
        else:
            mixed = (mixed ^ np.uint64(byte)) * _PRIME
    numbers[form] = scattered(seed, np.int64(mixed)) | _1
    return numbers
