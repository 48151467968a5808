"""What is wanted of a word in a sentence, and the part of the sentence that a model can read.

A sentence that is longer than the model's window is cropped around each wanted word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bioptimus_lib.cutting import Cutter, Piece


class Span(NamedTuple):
    """What is wanted of a word: the characters ``start:end``, for the running sum ``slot``."""

    slot: int
    start: int
    end: int


class Request(NamedTuple):
    """A word wanted in a sentence, cut as if the piece ``off`` did not exist."""

    word: str
    spans: tuple[Span, ...]
    off: int | None = None


class ModelInput(NamedTuple):
    """Ids of one model input and the (slot, first, end) positions to be read from it."""

    ids: list[int]
    reads: list[tuple[int, int, int]]


class Crop(NamedTuple):
    """Words that are read together: the pieces of each, and what is wanted of some."""

    pieces: Sequence[tuple[Piece, ...]]
    wanted: Mapping[int, Request]


def crops(
    cutter: Cutter,
    sentence: str,
    requests: Sequence[Request],
    room: int,
    tally: Counter[str],
) -> Iterator[Crop]:
    """The whole sentence, or, where it is longer than ``room`` pieces, the words around each wanted
    one; a wanted word is cut without the piece that its request leaves out.

    That is its first place in the sentence. What holds the piece elsewhere in it stays whole.
    """
    words, pieces = cutter.cut_text(sentence)
    wanted: dict[int, Request] = {}
    for request in requests:
        try:
            at = words.index(request.word)
        except ValueError:
            tally["absent"] += 1
            continue
        wanted[at] = request
        if request.off is not None:
            pieces[at] = cutter.cut(request.word, off=request.off)
    if not wanted:
        return
    lengths = list(map(len, pieces))
    if sum(lengths) <= room:
        yield Crop(pieces, wanted)
        return
    for at, request in wanted.items():
        if lengths[at] > room:
            tally["too_long"] += 1
            continue
        tally["cropped"] += 1
        first, end = _crop(lengths, at, room)
        yield Crop(pieces[first:end], {at - first: request})


def sequences(
    cutter: Cutter,
    sentence: str,
    requests: Sequence[Request],
    room: int,
    ends: tuple[int, int],
    tally: Counter[str],
) -> Iterator[ModelInput]:
    """The model inputs of a sentence, and where to read in them."""
    for crop in crops(cutter, sentence, requests, room, tally):
        reads = []
        for at, request in crop.wanted.items():
            before = 1 + sum(map(len, crop.pieces[:at]))
            for slot, start, stop in request.spans:
                covered = [
                    before + n
                    for n, piece in enumerate(crop.pieces[at])
                    if piece.start < stop and piece.end > start
                ]
                reads.append((slot, covered[0], covered[-1] + 1))
        tally["contexts"] += len(crop.wanted)
        ids = [id_ for pieces in crop.pieces for id_, _, _ in pieces]
        yield ModelInput([ends[0], *ids, ends[1]], reads)


def _crop(lengths: Sequence[int], at: int, room: int) -> tuple[int, int]:
    """The words ``first:end`` around word ``at`` that fit into ``room`` pieces.

    It grows by a word on the side that holds fewer pieces so far, on the other when that is full.

    >>> _crop([1, 1, 1, 1, 1, 1, 1], 3, 4)
    (2, 6)
    """
    first, end, left, right = at, at + 1, 0, 0
    free = room - lengths[at]
    while True:
        can_left = first > 0 and lengths[first - 1] <= free
        can_right = end < len(lengths) and lengths[end] <= free
        if can_left and (left < right or not can_right):
            first -= 1
            left, free = left + lengths[first], free - lengths[first]
        elif can_right:
            right, free = right + lengths[end], free - lengths[end]
            end += 1
        else:
            return first, end
