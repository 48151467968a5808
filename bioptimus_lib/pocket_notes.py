"""Pocket notes: made-up hospital notes with headings, abbreviations and placeholders.

Real notes may not be shown in a book. These have what makes real ones hard to read for a model:
sections under headings that everybody writes differently, telegraphic sentences, lines broken at
the edge of a terminal, and ``[**placeholders**]`` where a name or a date stood. No patient, no
person and no medical fact is behind them. ``write_noteevents`` puts them into the form of
MIMIC-III's file of notes, so that its reader has something to read.

The task *sections* asks which section a text is. Some texts could stand in several, and devel and
test have wordings that train lacks; the notes have them all.
"""

from __future__ import annotations

import csv
import os
import random
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bioptimus_lib.clinical_text import without_placeholders
from bioptimus_lib.files import atomic_write
from bioptimus_lib.noteevents import COLUMNS
from bioptimus_lib.pocket_grammar import (
    EVERYWHERE,
    Field,
    Variant,
    drug_groups,
    fields,
    render,
    sections,
    templates,
)

LABELS = (
    "complaint", "history", "past", "medications", "allergies", "social", "exam", "results", "plan",
)  # fmt: skip
#: How many sentences a section of a note has, least and most.
SENTENCES = {"history": (3, 6), "exam": (2, 5), "results": (2, 5), "plan": (2, 4),
             "medications": (1, 4)}  # fmt: skip
NEW_WORDING = 4  # one of so many wordings of a section never occurs in train
UNDECIDED = 0.12  # share of the texts of the task that could stand in several sections
TWO = 0.4  # share of its texts that have a second sentence
WIDTH = 76  # characters of a line
CATEGORIES = ("Discharge summary", "Physician ", "Nursing")
TAKEN_BACK = 40  # one note of so many is marked as an error


def _date(rng: random.Random) -> str:
    year, month, day = rng.randint(2101, 2199), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice((f"[**{year}-{month}-{day}**]", f"[**{month}-{day}**]", f"[**{year}**]"))


#: Blood tests with the range of the made-up values.
TESTS = {
    "WBC": (2, 24), "Hgb": (6, 16), "Plt": (40, 450), "Na": (125, 150), "K": (2.8, 6.1),
    "Cr": (0.5, 5.2), "INR": (0.9, 4.5), "Glu": (60, 400), "Lactate": (0.6, 7),
}  # fmt: skip
NAME_FORMS = ("Known lastname {}", "Name (NI) {}", "First Name8 (NamePattern2) {}")


def _name(rng: random.Random) -> str:
    return f"[**{rng.choice(NAME_FORMS).format(rng.randint(1, 9999))}**]"


def _vital(rng: random.Random) -> str:
    parts = (
        f"T {rng.uniform(96.5, 102.4):.1f}", f"BP {rng.randint(88, 178)}/{rng.randint(48, 99)}",
        f"HR {rng.randint(52, 128)}", f"RR {rng.randint(10, 30)}", f"SpO2 {rng.randint(86, 100)}%",
    )  # fmt: skip
    return " ".join(sorted(rng.sample(parts, rng.randint(2, 5)), key=parts.index))


def _value(rng: random.Random) -> str:
    name = rng.choice(list(TESTS))
    low, high = TESTS[name]
    return f"{name} {rng.uniform(low, high):.{0 if high > 100 else 1}f}"


#: Slots of a note alone: how each is made.
SLOTS: dict[str, Callable[[random.Random], str]] = {
    "name": _name,
    "doctor": lambda rng: f"Dr. [**Last Name (STitle) {rng.randint(1, 9999)}**]",
    "date": _date,
    "hospital": lambda rng: f"[**Hospital{rng.randint(1, 9)} {rng.randint(1, 99)}**]",
    "phone": lambda rng: f"[**Telephone/Fax (1) {rng.randint(100, 99999)}**]",
    "dose": lambda rng: f"{rng.choice((2.5, 5, 10, 20, 25, 40, 50, 81, 100, 250, 500)):g} mg",
    "often": lambda rng: rng.choice(("BID", "TID", "QD", "QHS", "q6h", "q8h", "qAM")),
    "vital": _vital,
    "value": _value,
}  # fmt: skip


def _filler(rng: random.Random, area: Field) -> Callable[[str], str]:
    """Fills the slots of one patient: terms of a field of medicine, each number of them another."""
    groups = [g for g in drug_groups().values() if area.name in g.fields] or [
        *drug_groups().values()
    ]
    found: dict[str, str] = {}

    def draw(base: str) -> str:
        if base == "drug":
            return rng.choice(rng.choice(groups).drugs.items)
        if base == "disease":
            term = rng.choice(area.diseases.items)
        else:
            term = rng.choice(area.terms[base] or area.own[base])
        return term.short if term.short and rng.random() < 0.5 else term.text

    def fill(slot: str) -> str:
        base = slot.rstrip("2")
        if base in SLOTS:
            return SLOTS[base](rng)
        if slot not in found:
            for _ in range(20):  # a field may have a single term of a class
                found[slot] = draw(base)
                if found[slot] != found.get(base if slot != base else f"{base}2"):
                    break
        return found[slot]

    return fill


@cache
def _wordings(section: str, kind: str = EVERYWHERE) -> tuple[tuple[Variant, ...], ...]:
    return templates("notes.txt").get((section, kind), ())


@cache
def headings() -> dict[str, list[str]]:
    """Section → how its heading is written."""
    return {
        header.removeprefix("heading "): lines
        for header, lines in sections("notes.txt") if header.startswith("heading ")
    }  # fmt: skip


def _sentence(
    rng: random.Random, section: str, fill: Callable[[str], str], *, known: bool = False
) -> str:
    """A sentence of a section, or one that could stand in others; ``known`` leaves out the wordings
    that train lacks."""
    shared = _wordings("shared", section)
    if shared and rng.random() < UNDECIDED:
        return render(rng, rng.choice(rng.choice(shared)), fill).text
    some = _wordings(section)
    some = some[: len(some) - len(some) // NEW_WORDING] if known else some
    return render(rng, rng.choice(rng.choice(some)), fill).text


# -- notes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PocketNote:
    """A note, and its sections in order: (name, text as it was before lines were broken)."""

    text: str
    parts: tuple[tuple[str, str], ...]


def note(rng: random.Random, *, length: float = 1.0) -> PocketNote:
    """A made-up note.

    Args:
        length: times as many sentences in each section.
    """
    area = rng.choice(list(fields().values()))
    lines = [
        f"Admission Date: {SLOTS['date'](rng)}    Discharge Date: {SLOTS['date'](rng)}",
        f"Attending: {SLOTS['doctor'](rng)}",
        "",
    ]
    parts = []
    for name in LABELS:
        low, high = SENTENCES.get(name, (1, 2))
        count = max(1, round(length * rng.randint(low, high)))
        body = " ".join(_sentence(rng, name, _filler(rng, area)) for _ in range(count))
        heading = rng.choice(headings()[name])
        parts.append((name, body))
        lines += [*textwrap.wrap(f"{heading}: {body}", WIDTH, break_long_words=False,
                                 break_on_hyphens=False), ""]  # fmt: skip
    return PocketNote("\n".join(lines), tuple(parts))


def notes(*, seed: int = 0, length: float = 1.0) -> Iterator[PocketNote]:
    """Made-up notes without end; note n of a seed is always the same."""
    number = 0
    while True:
        yield note(random.Random(f"pocket-notes/{seed}/{number}"), length=length)
        number += 1


def write_noteevents(
    path: str | os.PathLike[str], *, count: int, seed: int = 0, length: float = 1.0
) -> Path:
    """Write notes in the form of MIMIC-III's ``NOTEEVENTS.csv``, whole or not at all.

    One of forty is marked as an error, as some are there. All fields but numbers are in quotes.

    Raises:
        ValueError: fewer than one note.
    """
    if count < 1:
        raise ValueError(f"{count} notes are no file: give 1 or more")
    rng = random.Random(f"pocket-notes/{seed}/columns")
    made = notes(seed=seed, length=length)
    with atomic_write(path) as file:
        file.write(",".join(f'"{name}"' for name in COLUMNS) + "\n")
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        for row in range(1, count + 1):
            date = f"{rng.randint(2101, 2199)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
            error = "1" if row % TAKEN_BACK == 0 else ""
            writer.writerow([
                row, 10_000 + row // 3, 100_000 + row // 2, date, "", "", rng.choice(CATEGORIES),
                "Report", "", error, next(made).text,
            ])  # fmt: skip
    return Path(path)


# -- the task --------------------------------------------------------------------------------------


def section_row(rng: random.Random, *, known: bool) -> dict[str, str]:
    """A text and its section; placeholders are plain words, as after ``clinical_text.prepared``.

    Args:
        known: leave out the wordings that train lacks.
    """
    label = rng.choice(LABELS)
    fill = _filler(rng, rng.choice(list(fields().values())))
    count = 2 if rng.random() < TWO else 1
    text = " ".join(_sentence(rng, label, fill, known=known) for _ in range(count))
    return {"text": without_placeholders(text), "label": label}
