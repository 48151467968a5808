"""Pocket corpus: abstracts of any amount from our own lexicons and templates.

Every abstract stays on one topic: a disease, the drug classes used in it, and the genes, symptoms
and body parts that go with it. So a language model can learn what a word is from where it stands.
The sentences are made up: their vocabulary is real, their claims are not medical facts.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from bioptimus_lib.files import atomic_dir, atomic_write
from bioptimus_lib.pocket_grammar import (
    EVERYWHERE,
    PROFILE_SIZE,
    TERM_FILES,
    Profile,
    Ranked,
    Term,
    Variant,
    capitalise,
    drug_groups,
    listing,
    plural,
    profiles,
    sections,
    templates,
    terms,
    with_article,
)

LEXICONS = (*TERM_FILES, "drug_class")
MEGABYTE = 1_000_000
SHARD_MEGABYTES = 8

# How many sentences a section has: (template section, fewest, most).
PLAN = {
    "BACKGROUND": (("open", 1, 1), ("background", 2, 4), ("aim", 1, 1)),
    "METHODS": (("design", 1, 1), ("methods", 2, 3)),
    "RESULTS": (("results", 4, 6),),
    "CONCLUSION": (("conclusion", 1, 2),),
}
# Kind of study and how often it occurs; "infection" is for diseases with a known organism.
KINDS = {
    "trial": 6, "cohort": 4, "lab": 5, "genetic": 3, "diagnostic": 2, "case": 2, "review": 2,
    "infection": 9,
}  # fmt: skip
OFF_PROFILE = 0.2
STRUCTURED = 1 / 3  # share of abstracts whose sections begin with their label


@dataclass(frozen=True)
class Abstract:
    """A generated abstract; ``sections`` are (label, sentences) in reading order."""

    id: str
    title: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    structured: bool = False

    @property
    def sentences(self) -> tuple[str, ...]:
        """The title and every sentence; a structured abstract keeps its labels in the text."""
        lines = [self.title]
        for label, body in self.sections:
            lines.extend((f"{label}: {body[0]}", *body[1:]) if self.structured else body)
        return tuple(lines)


def lexicon(name: str) -> tuple[str, ...]:
    """The terms of a semantic class, in file order, without abbreviations.

    >>> "bronchoconstriction" in lexicon("disease")
    True
    """
    if name == "drug_class":
        return tuple(drug_groups())
    if name not in TERM_FILES:
        raise ValueError(f"unknown lexicon {name!r}: expected one of {', '.join(LEXICONS)}")
    return tuple(term.text for entries in terms(name).values() for term in entries)


def statistics() -> dict[str, int]:
    """Number of terms in each lexicon."""
    return {name: len(lexicon(name)) for name in LEXICONS}


# --- scenes: the words of one abstract ------------------------------------------------------------


#: A text of an abstract, or a term with an abbreviation: see ``_Scene``.
_Words = str | list[Any]


class _Scene(dict[str, _Words]):
    """Slot → text of one abstract, filled when first asked for.

    A term with an abbreviation is a list [long, short, introduced?, announce?]: long with the
    short form in brackets at first mention, mostly the short form afterwards.
    """

    def __init__(self, rng: random.Random, profile: Profile, kind: str) -> None:
        super().__init__()
        self.rng, self.profile, self.field, self.kind = rng, profile, profile.field, kind
        self.group = profile.groups.draw(rng)
        self["disease"] = _mention(profile.disease)

    def __missing__(self, slot: str) -> _Words:
        value: _Words
        if slot.startswith("a "):
            value = with_article(_long(self[slot[2:]]))
        elif slot.endswith("!"):
            value = _long(self[slot[:-1]])
        elif slot.endswith("1") and slot != "n1":
            value = self[slot[:-1]]
        else:
            base = slot.rstrip("23")
            _MAKERS.get(base, _make_terms)(self, base)
            value = self[slot]
        self[slot] = value
        return value


def _long(value: _Words) -> str:
    return value if isinstance(value, str) else str(value[0])


def _mention(term: Term) -> _Words:
    return [term.text, term.short, False, True] if term.short else term.text


def _organism(term: Term) -> _Words:
    """A species is written out once, then with the initial of its genus: E. coli."""
    genus, _, species = term.text.partition(" ")
    if term.short or not (genus.istitle() and species.isalpha() and species != "virus"):
        return _mention(term)
    return [term.text, f"{genus[0]}. {species}", False, False]


def _make_terms(scene: _Scene, base: str) -> None:
    """Three different terms of a class: mostly of the disease's profile, some of its field."""
    if base not in PROFILE_SIZE:
        raise ValueError(f"a template has the unknown slot {{{base}}}")
    rng, near, far = scene.rng, scene.profile.terms[base], scene.field.terms[base]
    chosen: list[Term] = []
    while len(chosen) < 3:
        term = near.draw(rng)
        if rng.random() < OFF_PROFILE or term in chosen:
            term = far[int(rng.random() * len(far))]
        if term not in chosen:
            chosen.append(term)
    for slot, term in zip((base, f"{base}2", f"{base}3"), chosen, strict=True):
        scene[slot] = _organism(term) if base == "organism" else _mention(term)


def _make_drugs(scene: _Scene, base: str) -> None:
    rng, group = scene.rng, scene.group
    first = second = group.drugs.draw(rng)
    while second == first:
        second = group.drugs.draw(rng)
    other = group
    while other is group:
        other = scene.profile.groups.draw(rng)
    some = rng.sample(group.drugs.items, min(len(group.drugs.items), rng.randint(2, 4)))
    adverb, frequency = _routes()[group.route]
    dose = rng.randrange(len(group.doses))
    larger = group.doses[min(dose + 1, len(group.doses) - 1)]
    if larger == group.doses[dose]:
        amount, unit = larger.split(" ", 1)
        larger = f"{2 * float(amount):g} {unit}"
    # A drug keeps its frequency, so that it can be learnt.
    regimen = f"{group.doses[dose]} {frequency[sum(first.encode()) % len(frequency)]}"
    scene.update({
        "drug": first, "drug2": second, "drug3": other.drugs.draw(rng), "drugs": listing(some),
        "class": group.name, "classes": plural(group.name), "target": group.target,
        "class3": other.name, "classes3": plural(other.name), "action": group.action,
        "route": group.route, "routely": adverb,
        "control": "placebo" if scene.kind == "trial" and rng.random() < 0.6 else second,
        "dose": group.doses[dose], "dose2": larger, "regimen": regimen,
    })  # fmt: skip


def _make_diseases(scene: _Scene, base: str) -> None:
    chosen = [scene.profile.disease]
    while len(chosen) < 3:
        disease = scene.field.diseases.draw(scene.rng)
        if disease not in chosen:
            chosen.append(disease)
    scene["disease2"], scene["disease3"] = _mention(chosen[1]), _mention(chosen[2])


def _make_cells(scene: _Scene, base: str) -> None:
    for slot in ("cell", "cell2") if base == "cells" else ("line", "line2"):
        scene[slot.replace("cell", "cells").replace("line", "lines")] = plural(_long(scene[slot]))


def _make_adverse(scene: _Scene, base: str) -> None:
    chosen = list(dict.fromkeys(scene.group.adverse.draw(scene.rng) for _ in range(12)))
    chosen += [effect for effect in ("nausea", "headache", "fatigue") if effect not in chosen]
    for slot, effect in zip(("adverse", "adverse2", "adverse3"), chosen, strict=False):
        scene[slot] = effect


def _make_counts(scene: _Scene, base: str) -> None:
    rng = scene.rng
    total = int(40 * 60 ** rng.random())
    first = total // 2 + rng.randint(-2, 2)
    months = rng.choice((6, 12, 18, 24, 36, 48, 60))
    scene.update({
        "n": f"{total:,}", "N": f"A total of {total:,}", "n1": f"{first:,}",
        "n2": f"{total - first:,}", "weeks": str(rng.choice((4, 6, 8, 12, 16, 24, 26, 48, 52))),
        "months": str(months), "iqr": f"{months // 2}–{months * 5 // 3}",
    })  # fmt: skip


def _make_setting(scene: _Scene, base: str) -> None:
    rng, own = scene.rng, scene.field.adjectives
    others = rng.sample([a for a in _choices()["organ"] if a not in own], 2)
    hosts = rng.sample(_laboratory_organisms(), 2)
    assays = rng.sample(terms("procedure")["assay"], 2)
    reagents, exposures = terms("chemical")["reagent"], terms("chemical")["exposure"]
    microbes = rng.sample(_gut_organisms(), 2)
    outcomes = rng.sample(_choices()["outcome"], 2)
    scene.update({
        "specialty": scene.field.specialty, "adj": rng.choice(own),
        "adjs": listing([rng.choice(own), *others]), "animals": rng.choice(_choices()["animals"]),
        "host": hosts[0].text, "host2": hosts[1].text,
        "assay": _mention(assays[0]), "assay2": _mention(assays[1]),
        "reagent": _mention(reagents[int(rng.random() * len(reagents))]),
        "exposure": _mention(exposures[int(rng.random() * len(exposures))]),
        "microbe": _organism(microbes[0]), "microbe2": _organism(microbes[1]),
        "outcome": outcomes[0], "outcome2": outcomes[1],
    })  # fmt: skip


@cache
def _choices() -> dict[str, list[str]]:
    return dict(sections("choice.txt"))


@cache
def _routes() -> dict[str, tuple[str, list[str]]]:
    """Route → its adverb and how often such drugs are given."""
    routes = ((header.partition(" "), lines) for header, lines in sections("choice.txt"))
    return {route: (adverb, lines) for (route, blank, adverb), lines in routes if blank}


@cache
def _laboratory_organisms() -> tuple[Term, ...]:
    return terms("organism")[EVERYWHERE]


@cache
def _gut_organisms() -> tuple[Term, ...]:
    return next(entries for header, entries in terms("organism").items() if "bowel" in header)


_MAKERS = {
    **dict.fromkeys(
        ("drug", "drugs", "class", "classes", "target", "action", "route", "routely", "dose",
         "regimen", "control"), _make_drugs,
    ),
    **dict.fromkeys(("n", "N", "n1", "weeks", "months", "iqr"), _make_counts),
    **dict.fromkeys(
        ("specialty", "adj", "adjs", "animals", "host", "reagent", "exposure", "assay", "microbe",
         "outcome"), _make_setting,
    ),
    "disease": _make_diseases, "cells": _make_cells, "lines": _make_cells, "adverse": _make_adverse,
}  # fmt: skip


# --- abstracts -----------------------------------------------------------------------------------


def _render(variant: Variant, scene: _Scene, *, title: bool = False) -> str:
    rng, texts = scene.rng, []
    for slot in variant.slots:
        if isinstance(slot, tuple):
            texts.append(slot[int(rng.random() * len(slot))])
            continue
        value = scene[slot]
        if isinstance(value, list):
            text, short, introduced, announce = value
            if title:
                value = text
            elif not introduced:
                value[2] = True
                value = f"{text} ({short})" if announce else text
            else:
                value = short if rng.random() < 0.8 else text
        texts.append(value)
    sentence = variant.form % tuple(texts)
    return capitalise(sentence) if variant.starts_with_slot else sentence


@cache
def _pool(section: str, kind: str) -> tuple[tuple[Variant, ...], ...]:
    found = templates("templates.txt")
    return found.get((section, kind), ()) + found.get((section, EVERYWHERE), ())


@cache
def _kinds(infectious: bool) -> tuple[str, ...]:
    return tuple(k for k, n in KINDS.items() for _ in range(n) if infectious or k != "infection")


def _abstract(seed: int, index: int) -> Abstract:
    rng = random.Random(f"pocket/{seed}/{index}")
    ranked = _ranked_profiles()
    profile = ranked[int(rng.random() * len(ranked))].draw(rng)
    kinds = _kinds(profile.infectious)
    kind = kinds[int(rng.random() * len(kinds))]
    scene = _Scene(rng, profile, kind)

    def some(section: str, count: int, title: bool = False) -> list[str]:
        pool = _pool(section, kind)
        return [
            _render(variants[int(rng.random() * len(variants))], scene, title=title)
            for variants in rng.sample(pool, min(count, len(pool)))
        ]

    title = some("title", 1, title=True)[0]
    parts = []
    for label, plan in PLAN.items():
        body = [line for name, low, high in plan for line in some(name, rng.randint(low, high))]
        parts.append((label, tuple(body)))
    return Abstract(
        id=f"pocket-{seed}-{index}",
        title=title if title.endswith(".") else title + ".",
        sections=tuple(parts),
        structured=rng.random() < STRUCTURED,
    )


@cache
def _ranked_profiles() -> tuple[Ranked[Profile], ...]:
    return tuple(Ranked.zipf(of_field, 0.6) for of_field in profiles().values())


def abstracts(n: int, *, seed: int = 0, start: int = 0) -> Iterator[Abstract]:
    """``n`` abstracts from number ``start`` on; abstract i of a seed is always the same.

    >>> [a.id for a in abstracts(2, start=5)]
    ['pocket-0-5', 'pocket-0-6']
    """
    if n < 0 or start < 0:
        raise ValueError(f"n and start must not be negative, got n={n}, start={start}")
    return (_abstract(seed, index) for index in range(start, start + n))


def write_corpus(path: str | os.PathLike[str], *, megabytes: float, seed: int = 0) -> list[Path]:
    """Write about ``megabytes`` (10⁶ bytes) of abstracts and return the files.

    Plain UTF-8 text, one sentence per line, a blank line between documents. A ``path`` that ends in
    ``.txt`` is one file; any other is a folder of shards ``pocket-000.txt`` … of about 8 MB, made
    whole or not at all. The size is met within one abstract. An existing folder is replaced only if
    it holds nothing but such shards.

    Raises:
        ValueError: ``megabytes`` is not positive, or the folder holds other files.
    """
    if not megabytes > 0:
        raise ValueError(f"megabytes must be positive, got {megabytes}")
    path = Path(path)
    wanted = round(megabytes * MEGABYTE)
    if path.suffix == ".txt":
        with atomic_write(path, "wb") as file:
            _write(file, wanted, seed, 0)
        return [path]
    if path.is_dir():
        others = [entry.name for entry in path.iterdir() if not _SHARD.fullmatch(entry.name)]
        if others:
            raise ValueError(f"{path} holds other files ({others[0]} …): choose an empty folder")
    names: list[str] = []
    index = 0
    with atomic_dir(path) as folder:
        while wanted > 0:
            names.append(f"pocket-{len(names):03d}.txt")
            with open(folder / names[-1], "wb") as file:
                written, index = _write(file, min(wanted, SHARD_MEGABYTES * MEGABYTE), seed, index)
            wanted -= written
    return [path / name for name in names]


_SHARD = re.compile(r"pocket-\d{3,}\.txt")


def _write(file: IO[bytes], wanted: int, seed: int, index: int) -> tuple[int, int]:
    """Write abstracts from ``index`` on until ``wanted`` bytes are reached."""
    written = 0
    while written < wanted:
        text = "\n".join(_abstract(seed, index).sentences) + "\n\n"
        written += file.write(text.encode())
        index += 1
    return written, index
