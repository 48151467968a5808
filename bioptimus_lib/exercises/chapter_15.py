"""Exercises of chapter 15: windows of a long note, parameters of a shared layer, exposure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake

# -- 15-1: windows of a long note ------------------------------------------------------------------


def note_windows(pieces: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """The solution of 15-1: (start, stop) of windows over a note."""
    found, start = [], 0
    while True:
        found.append((start, min(start + room, pieces)))
        if start + room >= pieces:
            return found
        start += room - overlap


def _stepped(pieces: int, room: int, step: int) -> list[tuple[int, int]]:
    return [(s, min(s + room, pieces)) for s in range(0, pieces, step)]


NOTE_WINDOWS = Exercise(
    name="note_windows",
    cases=lambda: [(300, 126, 30), (126, 126, 30), (100, 40, 10), (50, 126, 30), (70, 40, 10)],
    solution=note_windows,
    mistakes=(
        Mistake(
            lambda n, room, overlap: _stepped(n, room, room),
            "the windows touch and do not overlap. What stands at a cut is then never read with "
            "both of its sides: go on by room − overlap.",
        ),
        Mistake(
            lambda n, room, overlap: _stepped(n, room, room - overlap),
            "there are windows too many at the end, which hold nothing new. Stop at the first that "
            "reaches the end.",
        ),
        Mistake(
            lambda n, room, overlap: [
                w for w in note_windows(n, room, overlap) if w[1] - w[0] == room
            ],
            "a short window is left out, and with it the end of the note, or all of a short one. "
            "The last window may be shorter.",
        ),
        Mistake(
            lambda n, room, overlap: note_windows(n, room, overlap)[:1],
            "this is cutting at the end, which is what we want to avoid: the rest is never read.",
        ),
        Mistake(
            lambda n, room, overlap: [
                (a, a + room) for a, _ in note_windows(n, room, overlap)
            ],
            "the last window ends beyond the note. It stops at the number of pieces.",
        ),
        Mistake(
            lambda n, room, overlap: [(a, b - 1) for a, b in note_windows(n, room, overlap)],
            "the stops are one too low: a window is pieces start up to, not including, stop.",
        ),
        Mistake(
            lambda n, room, overlap: note_windows(n, room, room - overlap),
            "each window goes on by the overlap. It goes on by the room *less* the overlap.",
        ),
    ),
    gives="a list of (start, stop), the first from 0, the last to `pieces`",
    praise="Each piece is read, and what stands at a cut is read with both of its sides.",
)  # fmt: skip

# -- 15-2: what MiniALBERT is made of --------------------------------------------------------------


def mini_albert_parameters(
    pieces: int, positions: int, embedding: int, hidden: int, inner: int, adapter: int, passes: int
) -> int:
    """The solution of 15-2: parameters of the encoder."""
    table = (pieces + positions + 2) * embedding + 2 * embedding
    widen = embedding * hidden + hidden
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden
    layer += hidden * inner + inner + inner * hidden + hidden + 2 * hidden
    return table + widen + layer + passes * 2 * _adapter(hidden, adapter)


def _layer(h: int, f: int) -> int:
    return 4 * (h * h + h) + 2 * h + h * f + f + f * h + h + 2 * h


def _adapter(h: int, a: int) -> int:
    return 2 * h * a + a + h + 2 * h


MINI_ALBERT = Exercise(
    name="mini_albert_parameters",
    cases=lambda: [
        (28_996, 512, 312, 768, 3072, 48, 6), (100, 20, 8, 16, 64, 4, 3), (50, 9, 6, 12, 24, 2, 1),
    ],
    solution=mini_albert_parameters,
    mistakes=(
        Mistake(
            lambda v, p, e, h, f, a, n: (
                mini_albert_parameters(v, p, e, h, f, a, n) + (n - 1) * _layer(h, f)
            ),
            "the layer is counted once for each pass. It is one layer, used several times: its "
            "weights are there once.",
        ),
        Mistake(
            lambda v, p, e, h, f, a, n: (
                mini_albert_parameters(v, p, e, h, f, a, n) - (n - 1) * 2 * _adapter(h, a)
            ),
            "the two adapters are counted once. Each pass has two of its own: that is what makes "
            "the passes different.",
        ),
        Mistake(
            lambda v, p, e, h, f, a, n: (
                mini_albert_parameters(v, p, e, h, f, a, n) - n * _adapter(h, a)
            ),
            "each pass has one adapter here. It has two: before attention, and before the "
            "feed-forward part.",
        ),
        Mistake(
            lambda v, p, e, h, f, a, n: (
                (v + p + 2) * h + 2 * h + _layer(h, f) + n * 2 * _adapter(h, a)
            ),
            "the rows have H units here, as in BERT. The table is factorised: rows of E units, and "
            "one map that widens them to H.",
        ),
        Mistake(
            lambda v, p, e, h, f, a, n: (
                mini_albert_parameters(v, p, e, h, f, a, n) - (e * h + h)
            ),
            "the map from E to H units is missing.",
        ),
        Mistake(
            lambda v, p, e, h, f, a, n: (
                mini_albert_parameters(v, p, e, h, f, a, n) - n * 2 * (a + h)
            ),
            "the adapters have no biases. Both of their maps have one: A and H numbers.",
        ),
        Mistake(
            lambda v, p, e, h, f, a, n: (
                (v + p + 2) * e + e * h + 4 * h * h + 2 * h * f + 4 * n * h * a
            ),
            "these are the matrices alone. Biases and layer norms count, too.",
        ),
        Mistake(
            lambda v, p, e, h, f, a, n: (
                mini_albert_parameters(v, p, e, h, f, a, n) - (p + 2) * e
            ),
            "positions and the two kinds of text have rows as well, not only the pieces.",
        ),
        Mistake(
            lambda v, p, e, h, f, a, n: (
                mini_albert_parameters(v, p, e, h, f, a, n) - 2 * e - 4 * h - n * 4 * h
            ),
            "the layer norms are missing: one over the embeddings (2 · E), two in the layer and "
            "one in each adapter (2 · H each).",
        ),
        Mistake(
            lambda v, p, e, h, f, a, n: (
                mini_albert_parameters(v, p, e, h, f, a, n) - 3 * (h * h + h)
            ),
            "attention has four matrices: queries, keys, values, and the one that puts the heads "
            "together again.",
        ),
    ),
    gives="the number of parameters of the encoder, a whole number",
    praise="Six passes cost about what one layer costs. What they cost in time is another matter.",
)

# -- 15-3: exposure --------------------------------------------------------------------------------


def exposure_of(scores: Sequence[float], true: int) -> float:
    """The solution of 15-3: bits of the rank of the true name."""
    found = np.asarray(scores, float)
    rank = int((found >= found[true]).sum())
    return float(np.log2(len(found)) - np.log2(rank))


def _rank(scores: Sequence[float], true: int) -> int:
    values = np.asarray(scores, float)
    return int((values >= values[true]).sum())


EXPOSURE = Exercise(
    name="exposure_of",
    cases=lambda: [
        ([-9.0, -2.0, -5.0, -7.0, -1.0, -8.0, -6.0, -4.0], 2), ([-3.0, -3.0, -1.0, -9.0], 0),
        ([-5.0, -1.0, -2.0, -8.0], 1), ([-5.0, -1.0, -2.0, -8.0, -8.5], 3),
    ],
    solution=exposure_of,
    mistakes=(
        Mistake(
            lambda s, t: float(np.log(len(s)) - np.log(_rank(s, t))),
            "these are natural logarithms. Bits are logarithms to the base 2.",
        ),
        Mistake(
            lambda s, t: float(np.log2(_rank(s, t))),
            "this is the logarithm of the rank: it is 0 for the name that stands first. Exposure "
            "is what is left of log2 of the number of names.",
        ),
        Mistake(
            lambda s, t: float(np.log2(len(s)) - np.log2((np.asarray(s) <= s[t]).sum())),
            "here the least likely name is first. Rank from the most likely down.",
        ),
        Mistake(
            lambda s, t: float(np.log2(len(s)) - np.log2((np.asarray(s) > s[t]).sum() + 1)),
            "names that are as likely as the true one are not ahead of it here. Then a model that "
            "gives all names the same would seem to know each of them: count them as ahead (>=).",
        ),
        Mistake(
            lambda s, t: float(np.log2(len(s) - 1) - np.log2(_rank(s, t))),
            "the true name is one of the names, too: the number of secrets is all of them.",
        ),
        Mistake(
            lambda s, t: float(_rank(s, t)),
            "this is the rank itself. Exposure is log2 of the number of names less log2 of the "
            "rank.",
        ),
    ),
    gives="exposure in bits, a number from 0 to log2 of the number of names",
    praise="A rank needs no threshold, and no second model to be compared with.",
)  # fmt: skip

EXERCISES = {"15-1": NOTE_WINDOWS, "15-2": MINI_ALBERT, "15-3": EXPOSURE}
