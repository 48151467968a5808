"""Which keywords are in a line: whole words, compared as BERT's tokeniser would see them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from bioptimus_lib.passes import decode
from bioptimus_lib.words import PUNCTUATION, words

log = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Keywords:
    """Keywords, compiled.

    number: single word → its number; ``ascii`` the same with bytes.
    phrases: a word → the phrases that hold it, as (" word word ", number).
    symbols: finds ASCII punctuation that is a keyword by itself, or None.
    """

    forms: list[str]
    number: dict[str, int]
    ascii: dict[bytes, int]
    phrases: dict[str, list[tuple[str, int]]]
    triggers: frozenset[bytes]
    symbols: re.Pattern[bytes] | None

    @classmethod
    def compile(cls, payload: bytes) -> Keywords:
        forms = payload.decode().split("\n")
        number = {form: n for n, form in enumerate(forms) if " " not in form}
        phrases: dict[str, list[tuple[str, int]]] = {}
        symbols = {form for form in number if form.encode() in PUNCTUATION}
        for n, form in enumerate(forms):
            if " " in form:
                # The longest word is the rarest, as a rule; symbols are not seen by the fast path.
                word = max(form.split(" "), key=lambda w: (w.encode() not in PUNCTUATION, len(w)))
                phrases.setdefault(word, []).append((f" {form} ", n))
                symbols |= {word} if word.encode() in PUNCTUATION else set()
        return cls(
            forms,
            number,
            {form.encode(): n for form, n in number.items()},
            phrases,
            frozenset(word.encode() for word in phrases),
            re.compile(b"[" + re.escape("".join(sorted(symbols)).encode()) + b"]")
            if symbols
            else None,
        )

    def exact(self, line: bytes) -> list[int]:
        """Numbers of the keywords in any line."""
        found = words(decode(line)[0])
        there = set(found)
        numbers = [self.number[word] for word in self.number.keys() & there]
        if self.phrases:
            joined = f" {' '.join(found)} "
            for word in self.phrases.keys() & there:
                numbers += [n for phrase, n in self.phrases[word] if phrase in joined]
        return numbers


#: Keywords travel to a worker with every task and are compiled there once.
compiled = lru_cache(maxsize=1)(Keywords.compile)
