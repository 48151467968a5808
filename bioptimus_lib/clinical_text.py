"""Text of hospital notes: placeholders of de-identification, sections, lines that belong together.

Three things set a note apart from an abstract. Names and dates have been replaced by placeholders,
``[**Last Name (un) 123**]``, of which a tokenizer makes a dozen pieces that mean nothing. Its parts
stand under headings that everybody writes in their own way. And lines end where the terminal did.

The rules are tables, written for this course: what a placeholder says inside its brackets is read
by key words, and what no row knows becomes ``OTHER``, so that nothing in brackets stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

#: A placeholder; none is longer than a line of a note, so an open bracket costs no more than that.
PLACEHOLDER = re.compile(r"\[\*\*(.{0,200}?)\*\*\]", re.S)
#: What it becomes → what it says, the first row that fits. Plain words, which every tokenizer knows
#: whole and every general model has read.
KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (word, re.compile(pattern, re.I))
    for word, pattern in (
        ("phone", r"phone|fax|pager|telephone"),
        ("hospital", r"hospital|clinic|ward|unit(?! no| number)|medical center"),
        ("age", r"\bage\b"),
        ("name", r"name|initial|dictator|attending|\bmd\b|doctor"),
        ("address", r"address|street|zip|\bpo box\b"),
        ("place", r"location|state|country|city|university|college|company|holiday"),
        ("number", r"number|numeric|identifier|\bid\b|\bssn\b|medical record|\bmrn\b|unit no"),
        ("date", r"date|month|year|day|^\s*(\d{1,4}-\d{1,2}(-\d{1,4})?|(19|2[01])\d\d)\s*$"),
        ("number", r"\s*[\d\s-]+"),
    )
)
OTHER = "other"
#: Canonical section → how its heading is written, lower case, without the colon.
SECTIONS: dict[str, tuple[str, ...]] = {
    "complaint": ("chief complaint", "cc", "reason for admission", "presenting complaint"),
    "history": ("history of present illness", "hpi", "present illness", "history of the present "
                "illness"),
    "past": ("past medical history", "pmh", "pmhx", "past history", "past surgical history", "psh",
             "past medical and surgical history"),
    "medications": ("medications on admission", "medications", "meds", "home medications",
                    "current medications", "discharge medications", "admission medications"),
    "allergies": ("allergies", "allergy", "drug allergies"),
    "social": ("social history", "sh", "sochx"),
    "family": ("family history", "fh", "famhx"),
    "exam": ("physical exam", "physical examination", "pe", "exam", "examination on admission"),
    "results": ("pertinent results", "labs", "laboratory data", "imaging", "labs and imaging",
                "results"),
    "course": ("brief hospital course", "hospital course", "course"),
    "plan": ("assessment and plan", "a/p", "assessment", "plan", "impression"),
    "discharge": ("discharge instructions", "discharge diagnosis", "discharge condition",
                  "discharge disposition", "followup instructions", "follow-up instructions"),
}  # fmt: skip
_KNOWN = {heading: name for name, headings in SECTIONS.items() for heading in headings}
#: A line that begins like a heading: letters, and a colon.
_HEADING = re.compile(r"^[ \t]{0,3}([A-Za-z][A-Za-z/&,\- ]{0,58}?)[ \t]*:", re.M)
_ITEM = re.compile(r"\s*(?:\d{1,2}[.)]|[-*•#])\s")
FIRST = "beginning"  # what stands before the first heading


# -- placeholders ----------------------------------------------------------------------------------


def kind_of(inside: str) -> str:
    """What a placeholder stands for, by what it says between its brackets.

    >>> [kind_of(text) for text in ("Last Name (un) 12", "2151-7-16", "Hospital1 18", "0-0-")]
    ['name', 'date', 'hospital', 'number']
    """
    for word, pattern in KINDS:
        fits = pattern.fullmatch if pattern.pattern.startswith(r"\s*") else pattern.search
        if fits(inside):
            return word
    return OTHER


def without_placeholders(text: str, *, tally: Counter[str] | None = None) -> str:
    """The text with a plain word for each placeholder.

    Args:
        tally: grows by how many there were of each kind.

    >>> without_placeholders("[**Known lastname 7**], seen [**2151-07-16**] in [**Hospital1 18**]")
    'name, seen date in hospital'
    """

    def word(found: re.Match[str]) -> str:
        kind = kind_of(found[1])
        if tally is not None:
            tally[kind] += 1
        return kind

    return PLACEHOLDER.sub(word, text)


# -- sections --------------------------------------------------------------------------------------


class Section(NamedTuple):
    """A part of a note: canonical name, or the heading in lower case if it is not of ``SECTIONS``;
    the heading as written; and the characters ``start:stop`` of its text, without the heading."""

    name: str
    heading: str
    start: int
    stop: int


def sections(text: str) -> list[Section]:
    """The sections of a note in their order; together with their headings they are the whole note.

    A heading stands at the beginning of a line and ends in a colon. It is one of ``SECTIONS``, or
    it is written in capitals alone, three letters at least; so ``HEENT: clear`` opens a section (of
    its own name) and ``Note: call back`` opens none.

    >>> [(s.name, "CC: cough\\nPMH: asthma"[s.start : s.stop].strip())
    ...  for s in sections("CC: cough\\nPMH: asthma")]
    [('complaint', 'cough'), ('past', 'asthma')]
    """
    heads = [
        (found.start(), found.end(), name, found[1])
        for found in _HEADING.finditer(text)
        if (name := _name_of(found[1]))
    ]
    parts = []
    first = heads[0][0] if heads else len(text)
    if text[:first].strip():
        parts.append(Section(FIRST, "", 0, first))
    for number, (_, end, name, heading) in enumerate(heads):
        stop = heads[number + 1][0] if number + 1 < len(heads) else len(text)
        parts.append(Section(name, heading, end, stop))
    return parts


def _name_of(heading: str) -> str | None:
    plain = " ".join(heading.lower().split())
    if plain in _KNOWN:
        return _KNOWN[plain]
    return plain if heading.isupper() and sum(map(str.isalpha, heading)) > 2 else None


# -- lines -----------------------------------------------------------------------------------------


def joined(text: str) -> Iterator[str]:
    """The lines of a note as they belong together: what was broken at the edge of a terminal is one
    line again, and an item of a list, a heading or a blank line begins a new one.

    >>> list(joined("Plan: start\\n  statin.\\n1. call\\n2. wait"))
    ['Plan: start statin.', '1. call', '2. wait']
    """
    waiting: list[str] = []
    for line in text.split("\n"):
        heading = _HEADING.match(line)
        new = not line.strip() or _ITEM.match(line) or (heading and _name_of(heading[1]))
        if new and waiting:
            yield " ".join(waiting)
            waiting = []
        if line.strip():
            waiting.append(" ".join(line.split()))
    if waiting:
        yield " ".join(waiting)


def prepared(text: str, *, tally: Counter[str] | None = None) -> str:
    """A note as a model should read it: no placeholders, one line for each line that was meant.

    Args:
        tally: see ``without_placeholders``.
    """
    return "\n".join(joined(without_placeholders(text, tally=tally)))
