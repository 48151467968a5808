"""Exercises of chapter 02: the lines of a byte range, Amdahl's law, merging two sketches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bioptimus_lib.checks import Exercise, Mistake

# -- 02-1: the lines of a byte range --------------------------------------------------------------

RAW = b"zinc fell\nno change\nIL-2 rose\n\nthe end"  # lines begin at bytes 0, 10, 20, 30, 31


def _range_cases() -> list[tuple[Any, ...]]:
    ranges = [(0, 15), (15, 25), (0, 10), (10, 20), (20, 33), (33, 38), (12, 14), (0, 38)]
    return [(RAW, start, stop) for start, stop in ranges]


def lines_of(raw: bytes, start: int, stop: int) -> list[bytes]:
    """The solution of 02-1: the lines whose first byte is in start to stop - 1."""
    at = 0
    if start:
        # From one byte before: if that is a line end, a line begins at start.
        at = raw.find(b"\n", start - 1) + 1 or len(raw)
    lines = []
    while at < min(stop, len(raw)):
        end = raw.find(b"\n", at) + 1 or len(raw)
        lines.append(raw[at:end])
        at = end
    return lines


def _all_lines(raw: bytes) -> list[tuple[int, bytes]]:
    return [(at, line) for at in range(len(raw)) for line in lines_of(raw, at, at + 1)]


def _skip_from(first: int) -> Any:
    """Skips to behind the next line end, even if a line begins at the cut."""

    def answer(raw: bytes, start: int, stop: int) -> list[bytes]:
        if start >= first:
            start = raw.find(b"\n", start) + 1 or len(raw)
        return lines_of(raw, start, stop)

    return answer


LINES_OF = Exercise(
    name="lines_of",
    cases=_range_cases,
    solution=lines_of,
    mistakes=(
        Mistake(
            lambda raw, start, stop: raw[start:stop].splitlines(keepends=True),
            "lines are cut where the range begins and ends: a keyword there is lost, or half a "
            "line is found. Begin at the first line that starts in the range, and read its last "
            "line to the end, beyond `stop`.",
        ),
        Mistake(
            lambda raw, start, stop: [line[: stop - at] for at, line in _all_lines(raw)
                                      if start <= at < stop],
            "the last line ends at `stop`. It began in this range, so it is read to its end; the "
            "next range does not take it.",
        ),
        Mistake(
            lambda raw, start, stop: [line for at, line in _all_lines(raw)
                                      if start <= at and at + len(line) <= stop],
            "only lines that lie wholly inside are taken. A line across a cut then belongs to "
            "nobody: it is lost.",
        ),
        Mistake(
            lambda raw, start, stop: [line for at, line in _all_lines(raw)
                                      if at < stop and start < at + len(line)],
            "every line that touches the range is taken, so a line across a cut is read twice.",
        ),
        Mistake(
            lambda raw, start, stop: [line for at, line in _all_lines(raw) if start <= at <= stop],
            "a line that begins exactly at `stop` is taken here, and again by the next range: it "
            "is doubled. `stop` itself is outside.",
        ),
        Mistake(
            _skip_from(1),
            "a line that begins exactly at `start` is skipped, and the range before does not have "
            "it either. Look at the byte before `start`: if it is a line end, nothing is to be "
            "skipped.",
        ),
        Mistake(
            _skip_from(0),
            "the first line of the file is lost: a range that begins at 0 has nothing to skip.",
        ),
        Mistake(
            lambda raw, start, stop: [line for at, line in _all_lines(raw)
                                      if start < at + len(line) <= stop],
            "a line is given to the range of its last byte. That loses nothing either, but a "
            "worker would have to read backwards to find where its first line began. Asked for is "
            "the range of the first byte.",
        ),
        Mistake(
            lambda raw, start, stop: [line.rstrip(b"\n") for line in lines_of(raw, start, stop)],
            "the right lines, but without their line ends. Keep them, so that the lines of all "
            "ranges, one after the other, are the file again.",
        ),
        Mistake(
            lambda raw, start, stop: b"".join(lines_of(raw, start, stop)),
            "these are the right bytes in one piece. Give a list with an entry for each line.",
        ),
    ),
    gives="the lines that begin at bytes start to stop - 1, whole and with their line ends",
    praise="With this rule each line is read by exactly one worker, wherever the cuts fall.",
)  # fmt: skip

# -- 02-2: Amdahl's law ---------------------------------------------------------------------------


def _time_cases() -> list[tuple[Any, ...]]:
    return [(1.0, 9.0, 3), (1.0, 9.0, 1), (0.5, 1.5, 4), (2.0, 6.0, 64)]


def speed_up(serial: float, parallel: float, workers: int) -> float:
    """The solution of 02-2."""
    return (serial + parallel) / (serial + parallel / workers)


SPEED_UP = Exercise(
    name="speed_up",
    cases=_time_cases,
    solution=speed_up,
    mistakes=(
        Mistake(
            lambda serial, parallel, workers: float(workers),
            "that would be ideal: the serial part would have to be shared out, too.",
        ),
        Mistake(
            lambda serial, parallel, workers: serial + parallel / workers,
            "these are the seconds that the work takes. A speed-up is a ratio: seconds with one "
            "worker over seconds with all.",
        ),
        Mistake(
            lambda serial, parallel, workers: 1 / speed_up(serial, parallel, workers),
            "upside down: this falls with more workers. Seconds with one worker come first.",
        ),
        Mistake(
            lambda serial, parallel, workers: parallel / (serial + parallel / workers),
            "one worker, too, has the serial part to do: it belongs above the line as well.",
        ),
        Mistake(
            lambda serial, parallel, workers: (serial + parallel) / (serial / workers + parallel),
            "the parts are swapped: it is the parallel part that is divided by the workers.",
        ),
        Mistake(
            lambda serial, parallel, workers: (serial + parallel) / serial,
            "this is the ceiling, which no number of workers can pass. Asked for is the speed-up "
            "with so many workers.",
        ),
        Mistake(
            lambda serial, parallel, workers: (serial + parallel) / (serial + parallel) / workers,
            "look at the brackets: the whole fraction is divided by the workers, not the parallel "
            "part.",
        ),
    ),
    gives="seconds with one worker over seconds with all of them",
    praise="With ten workers and a tenth serial you get little more than five: the serial part "
    "is what to work on.",
)

# -- 02-3: merging two sketches -------------------------------------------------------------------

Entries = Sequence[tuple[int, str]]


def _sketch_cases() -> list[tuple[Any, ...]]:
    one = [(3, "z:40"), (11, "a:0"), (25, "k:12"), (60, "b:9")]
    other = [(5, "f:7"), (8, "c:30"), (9, "y:2"), (70, "a:99")]
    return [(one, other, 4), (other, one, 4), (one[:2], other[3:], 4), ([], other, 4),
            (one[:3], other[:3], 3)]  # fmt: skip


def merge(one: Entries, other: Entries, k: int) -> list[tuple[int, str]]:
    """The solution of 02-3: the k smallest of both."""
    return sorted([*one, *other])[:k]


MERGE = Exercise(
    name="merge",
    cases=_sketch_cases,
    solution=merge,
    mistakes=(
        Mistake(
            lambda one, other, k: sorted([*one, *other]),
            "all entries of both are kept. A sketch has at most k, or it grows with the corpus.",
        ),
        Mistake(
            lambda one, other, k: [*one, *other][:k],
            "these are the first k of one list after the other, so whoever comes first wins. The "
            "hash must decide: sort before you cut.",
        ),
        Mistake(
            lambda one, other, k: sorted([*one[: k // 2], *other[: k - k // 2]]),
            "each side gives half. A part with few lines would then have too large a share; that "
            "is the mistake of the naive reservoirs. Take the k smallest, wherever they are.",
        ),
        Mistake(
            lambda one, other, k: sorted([*one, *other], reverse=True)[:k],
            "these are the k largest. What was thrown out before were large hashes, too, so the "
            "largest that are left are no fair sample. Keep the smallest.",
        ),
        Mistake(
            lambda one, other, k: sorted([*one, *other], key=lambda entry: entry[1])[:k],
            "sorted by the name of the line. The hash, the first of the two, is the order that is "
            "drawn at random.",
        ),
        Mistake(
            lambda one, other, k: [line for _, line in merge(one, other, k)],
            "the right lines, but their hashes are gone, and the next merge needs them.",
        ),
        Mistake(
            lambda one, other, k: sorted(max(pair) for pair in zip(one, other, strict=False))[:k],
            "entries are compared in pairs. Put both lists into one, and sort that.",
        ),
    ),
    gives="the k entries (hash, line) with the smallest hashes, smallest first",
    praise="In any order, from any cuts, on any number of machines: the same k lines.",
)

EXERCISES = {"02-1": LINES_OF, "02-2": SPEED_UP, "02-3": MERGE}
