"""The text of a context: its line, read again, and cut to some words around the keyword."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from bioptimus_lib.passes import decode
from bioptimus_lib.words import BYTES, CONTROLS, split, words

WIDTH = 8  # bytes of a word and of what follows it, to begin with
LONG = 20_000  # bytes of a line above which only what lies around a keyword is taken apart
HUGE = 200_000  # bytes of a line above which it is never taken apart as a whole
#: As ``words.BYTES`` has them, so that keywords can be found; one byte for all control characters.
PLAIN = bytes(0x7F if b in CONTROLS else byte for b, byte in enumerate(BYTES))


class Cut(NamedTuple):
    """Lines of a file to cut to size; an offset stands once for each keyword that wants its line.

    Args:
        path: the file.
        offsets: where the lines begin, ascending.
        lines: these lines, each once, if one cannot go back in the file.
        forms: for each the keyword, given by its words.
        limit: words that a text may have.
    """

    path: str
    offsets: Sequence[int]
    lines: Sequence[bytes] | None
    forms: Sequence[str]
    limit: int


def cut(task: Cut) -> list[str]:
    """The texts of a task, one for each offset."""
    texts: list[str] = []
    lines = _read(task.path, task.offsets) if task.lines is None else iter(task.lines)
    by_line = groupby(zip(task.offsets, task.forms, strict=True), key=itemgetter(0))
    for line, (_, wanted) in zip(lines, by_line, strict=True):
        if _is_short(line, task.limit):
            text = line.decode().strip()
            texts += [text for _ in wanted]
        else:
            excerpts = Excerpts(line, task.limit)
            texts += [excerpts.around(form) for _, form in wanted]
    return texts


def _is_short(line: bytes, limit: int) -> bool:
    """Whether there is nothing to cut: between words there is a blank at least."""
    if len(line) < 2 * limit and line.isascii():
        return True
    some = line.count(b" ")
    return some < limit and line.isascii() and some + line.count(b"\t") + line.count(b"\r") < limit


def _read(path: str, offsets: Sequence[int]) -> Iterator[bytes]:
    """The lines that begin there, each once."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        for offset, _ in groupby(offsets):
            end = raw.find(b"\n", offset)
            yield raw[offset : end if end >= 0 else None]


class Excerpts:
    """A line as text of at most ``limit`` words around one keyword or another."""

    def __init__(self, line: bytes, limit: int) -> None:
        self._line, self._limit = line, limit
        self._text, self._parts = "", []
        if len(line) <= LONG:
            self._take_apart()
        self._small = b" %b " % self._line.translate(PLAIN)
        self._where: Callable[[str], int] | None = None

    def _take_apart(self) -> None:
        self._text = decode(self._line)[0].strip()
        self._parts = split(self._text)
        # With single blanks between them, the blanks before a byte tell in which part it is.
        self._line = " ".join(self._parts).encode()

    def around(self, form: str) -> str:
        """The text for a keyword, given by its words."""
        if self._where is None:
            if (at := self._small.find(f" {form} ".encode())) >= 0:
                return self._from(self._line.count(b" ", 0, at)) if self._parts else self._near(at)
            if len(self._line) > HUGE:
                return self._slice(form)
            if not self._parts:
                self._take_apart()
            self._where = _first_places(self._parts)
        return self._from(self._where(form))

    def _from(self, number: int) -> str:
        """The text around a part."""
        if len(self._parts) <= self._limit:
            return self._text
        begin = self._begin(number, len(self._parts))
        return " ".join(self._parts[begin : begin + self._limit])

    def _near(self, at: int) -> str:
        """The text around a byte of a long line; looks only as far to both sides as it must."""
        width, end = WIDTH * self._limit, len(self._line)
        while True:
            low, high = max(at - width, 0), min(at + width, end)
            left = split(decode(self._line[low:at])[0] + "|")
            right = split("|" + decode(self._line[at:high])[0])
            number = len(left) - 1 - (low > 0)
            parts = [*left[:-1], left[-1][:-1] + right[0][1:], *right[1:]]
            if low == 0 and high == end and len(parts) <= self._limit:
                return decode(self._line)[0].strip()
            # A part that the window has cut is left out.
            parts = parts[low > 0 : len(parts) - (high < end)]
            begin = self._begin(number, len(parts))
            if (low == 0 or begin > 0) and (high == end or begin + self._limit < len(parts)):
                return " ".join(parts[begin : begin + self._limit])
            width *= 2

    def _slice(self, form: str) -> str:
        """The text from the first slice of a huge line that holds the keyword, with its margins."""
        margin = 4 * WIDTH * self._limit
        for begin in range(0, len(self._line), HUGE):
            low, high = max(begin - margin, 0), begin + HUGE + margin
            parts = split(decode(self._line[low:high])[0])
            parts = parts[low > 0 : len(parts) - (high < len(self._line))]
            if f" {form} " in f" {' '.join(words(' '.join(parts)))} ":
                begin = self._begin(_first_places(parts)(form), len(parts))
                return " ".join(parts[begin : begin + self._limit])
        raise AssertionError(f"{form!r} is not in the line")

    def _begin(self, number: int, parts: int) -> int:
        """The first of ``limit`` parts with this one in their middle, as far as there are parts."""
        return max(min(number - self._limit // 2, parts - self._limit), 0)


def _first_places(parts: list[str]) -> Callable[[str], int]:
    """A function that tells in which part a keyword first begins."""
    joined: list[str] = []
    begins: dict[str, int] = {}
    for number, part in enumerate(parts):
        for word in words(part):
            begins.setdefault(word, number)
            joined.append(word)

    def where(form: str) -> int:
        if " " not in form:
            return begins[form]
        before = f" {' '.join(joined)} ".partition(f" {form} ")[0].count(" ")
        seen = 0
        for number, part in enumerate(parts):
            seen += len(words(part))
            if seen > before:
                return number
        raise AssertionError(f"{form!r} is not in the line")

    return where
