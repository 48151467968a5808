"""Splitting a text into sentences: ``sentencex``, and cuts of its that scientific text undoes.

The splitter was made for encyclopaedias. In articles it takes ``(n = 66)`` for an item of a list,
and ``et al. [17] found`` for an end. ``bioptimus bench sentences`` measures which splitter errs
where, on the traps of ``data/sentence_traps.tsv``.
"""

from __future__ import annotations

import re

MARKS = (".", "!", "?", "…", "。", "！", "？", "।")
#: Abbreviations that never end a sentence: what they announce has to follow.
NEVER_LAST = frozenset(
    ("approx.", "cf.", "e.g.", "excl.", "i.e.", "incl.", "vol.", "vs.", "Tab.", "fig.", "figs.")
)
#: Abbreviations that end one only if a capital follows.
SELDOM_LAST = frozenset(
    ("al.", "et.", "max.", "No.", "nov.", "rel.", "resp.", "sp.", "spp.", "ssp.", "subsp.")
)
#: Quotes, brackets and citations that may follow the mark: ``).``, ``." [12]``, ``al. (3, 4)``.
_TAIL = re.compile(r"(?:\s*[\[(][\d\s,;\u2013-]+[\])]|[\"'”’)\]»])+$")


def sentences(text: str) -> list[str]:
    """Cut text into sentences; a line end always ends one.

    >>> sentences("Cells of E. coli grew (P = .03). Ito et al. [17] saw it. Candida spp. did not.")
    ['Cells of E. coli grew (P = .03).', 'Ito et al. [17] saw it.', 'Candida spp. did not.']
    """
    from sentencex import segment

    found: list[str] = []
    for line in text.split("\n"):
        if not (line.isascii() or line.isprintable()):
            line = " ".join(line.split())  # sentencex panics at some wide blanks
        pieces: list[str] = []  # of the sentence, perhaps cut by sentencex
        blank, last = False, ""
        for part in segment("en", line):
            if not (bare := part.strip()):
                blank = True
                continue
            if not pieces:
                pieces = [bare]
            elif _goes_on(last, bare[0]):
                pieces += " " if blank or part[0].isspace() else "", bare
            else:
                found.append("".join(pieces))
                pieces = [bare]
            blank, last = part[-1].isspace(), bare
        if pieces:
            found.append("".join(pieces))
    return found


def spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text stand: their characters, from, up to and not including.

    They hold all that is not blank; blanks inside a sentence stay as they are.

    >>> spans("It  grew.\\tSo did we. ")
    [(0, 9), (10, 20)]
    """
    found, at = [], 0
    for sentence in sentences(text):
        while text[at].isspace():
            at += 1
        stop = at + len(sentence)
        if not text.startswith(sentence, at):  # some of its blanks were made single
            stop = at
            for _ in range(len(sentence) - sum(map(str.isspace, sentence))):
                while text[stop].isspace():
                    stop += 1
                stop += 1
        found.append((at, stop))
        at = stop
    return found


def _goes_on(before: str, first: str) -> bool:
    """Whether a sentence goes on across a cut of sentencex, before the character ``first``."""
    if first in ",.;:)]":
        return True
    if not before.endswith(MARKS):
        before = _TAIL.sub("", before[-80:])
        if not before.endswith(MARKS):
            return first not in "•▪●"
    if (blank := before.rfind(" ", -9)) < 0 and len(before) > 8:
        return False  # the last word is too long for an abbreviation
    word = before[blank + 1 :].lstrip("([")
    return word in NEVER_LAST or (word in SELDOM_LAST and not first.isupper())
