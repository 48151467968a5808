"""Pocket corpus: abstracts of any amount, and an NER set, from our own lexicons and templates.

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

from .files import atomic_dir, atomic_write
from .pocket_grammar import (
    EVERYWHERE,
    PROFILE_SIZE,
    TERM_FILES,
    Profile,
    Ranked,
    Term,
    Variant,
    capitalise,
    compile_template,
    drug_groups,
    fields,
    listing,
    plural,
    profiles,
    sections,
    templates,
    terms,
    with_article,
)

LEXICONS = (*TERM_FILES, "drug_class")
ENTITY_TYPES = ("Drug", "Disease", "Gene")
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


class _Scene(dict):
    """Slot → text of one abstract, filled when first asked for.

    A term with an abbreviation is a list [long, short, introduced?, announce?]: long with the
    short form in brackets at first mention, mostly the short form afterwards.
    """

    def __init__(self, rng: random.Random, profile: Profile, kind: str) -> None:
        super().__init__()
        self.rng, self.profile, self.field, self.kind = rng, profile, profile.field, kind
        self.group = profile.groups.draw(rng)
        self["disease"] = _mention(profile.disease)

    def __missing__(self, slot: str):
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


def _long(value: str | list) -> str:
    return value if isinstance(value, str) else value[0]


def _mention(term: Term) -> str | list:
    return [term.text, term.short, False, True] if term.short else term.text


def _organism(term: Term) -> str | list:
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
    routes = (header.split(" ", 1) + [lines] for header, lines in sections("choice.txt"))
    return {route: (rest[0], rest[1]) for route, *rest in routes if len(rest) == 2}


@cache
def _all_adjectives() -> tuple[str, ...]:
    return tuple(sorted({field.adjectives[0] for field in fields().values()}))


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
        if slot.__class__ is tuple:
            texts.append(slot[int(rng.random() * len(slot))])
            continue
        value = scene[slot]
        if value.__class__ is list:
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
def _ranked_profiles() -> tuple[Ranked, ...]:
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


def _write(file, wanted: int, seed: int, index: int) -> tuple[int, int]:
    """Write abstracts from ``index`` on until ``wanted`` bytes are reached."""
    written = 0
    while written < wanted:
        text = "\n".join(_abstract(seed, index).sentences) + "\n\n"
        written += file.write(text.encode())
        index += 1
    return written, index


# --- NER set -------------------------------------------------------------------------------------

Labelled = tuple[list[str], list[str]]
_ENTITY_CLASSES = {"drug": "Drug", "disease": "Disease", "gene": "Gene", "protein": "Gene"}
_OTHER_CLASSES = ("chemical", "anatomy", "organism", "cell", "procedure", "symptom")
# Terms only in devel and only in test (the rest may stand in any split), and how often a mention
# of those splits is one of its own terms. More than 40 % of test mentions are unseen in training.
HELD_OUT = {"devel": 0.15, "test": 0.35}
OWN_TERMS = 0.5
SHARES = {"neutral": 62, "typed": 14, "abbreviation": 8, "ambiguous": 16}
_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokenise(text: str) -> list[str]:
    """Words and single punctuation marks, as in BC5CDR: hyphens and decimal points are tokens.

    >>> tokenise("TNF-α (0.5 mg/kg)")
    ['TNF', '-', 'α', '(', '0', '.', '5', 'mg', '/', 'kg', ')']
    """
    return _TOKEN.findall(text)


class _NerTerms:
    """The terms of each class, dealt out to the splits."""

    def __init__(self, seed: int) -> None:
        self.words = {
            header.split(" | ")[0]: (header.split(" | ")[1], lines)
            for header, lines in sections("ambiguous.txt")
        }
        rng = random.Random(f"pocket-ner/{seed}/terms")
        labels: dict[str, set[str]] = {}  # surface → what it may be
        for kind in TERM_FILES:
            for entries in terms(kind).values():
                for surface in (surface for term in entries for surface in term if surface):
                    labels.setdefault(surface.casefold(), set()).add(_ENTITY_CLASSES.get(kind, "O"))
        ambiguous = {word.casefold() for word in self.words}
        clear = {s for s, found in labels.items() if len(found) == 1} - ambiguous
        dealt: dict[str, dict[str, list[Term]]] = {split: {} for split in ("common", *HELD_OUT)}
        for kind in TERM_FILES:
            pool = [
                Term(term.text, term.short if term.short.casefold() in clear else "")
                for entries in terms(kind).values()
                for term in entries
                if term.text.casefold() in clear
            ]
            rng.shuffle(pool)
            for split, share in HELD_OUT.items():
                count = round(share * len(pool))
                dealt[split][kind], pool = pool[:count], pool[count:]
            dealt["common"][kind] = pool
        # Two terms may share a surface (a symbol and an abbreviation): held out means in no other
        # split, as neither.
        owners: dict[str, set[str]] = {}
        for split, kinds in dealt.items():
            for term in (term for pool in kinds.values() for term in pool):
                for surface in filter(None, term):
                    owners.setdefault(surface.casefold(), set()).add(split)
        self.own = {
            split: {
                kind: [t for t in pool if all(len(owners[s.casefold()]) == 1 for s in t if s)]
                for kind, pool in dealt[split].items()
            }
            for split in HELD_OUT
        }
        self.common = {kind: Ranked.zipf(pool, 0.9) for kind, pool in dealt["common"].items()}

    def draw(self, rng: random.Random, kind: str, split: str) -> Term:
        """A term of a class for a split: its own with probability ``OWN_TERMS``."""
        if split in self.own and rng.random() < OWN_TERMS:
            return rng.choice(self.own[split][kind])
        return self.common[kind].draw(rng)


class _NerScene:
    """Fills the slots of one NER sentence; every filled text comes with its type or ``O``."""

    def __init__(self, rng: random.Random, pool: _NerTerms, split: str) -> None:
        self.rng, self.pool, self.split = rng, pool, split
        self.word = self.word_type = ""
        self.long: dict[str, Term] = {}
        self.used: set[Term] = set()

    def draw(self, kind: str) -> Term:
        """A term that the sentence does not have yet."""
        term = self.pool.draw(self.rng, kind, self.split)
        while term in self.used:
            term = self.pool.draw(self.rng, kind, self.split)
        self.used.add(term)
        return term

    def fill(self, slot: str) -> tuple[str, str]:
        rng = self.rng
        if slot in ("x", "y", "z"):
            kinds = ("drug", "drug", "disease", "disease", "gene", "protein", *_OTHER_CLASSES)
            kind = rng.choice(kinds)
            text, label = self.fill("cells" if kind == "cell" else kind)
            return f"the {text}" if kind == "anatomy" else text, label
        if slot == "word":
            return self.word, self.word_type
        if slot == "n":
            return str(rng.randint(22, 980)), "O"
        if slot == "adj":
            return rng.choice(_all_adjectives()), "O"
        if slot == "cells":
            return plural(self.draw("cell").text), "O"
        form, _, kind = slot.rpartition("_")
        kind = kind if form else slot
        if form == "short":
            text = self.long[kind].short
        elif form == "long":
            term = self.draw(kind)
            while not term.short:
                term = self.draw(kind)
            self.long[kind] = term
            label = _ENTITY_CLASSES.get(kind, "O")
            return f"{term.text}\t{term.short}", label
        else:
            term = self.draw(kind)
            text = term.short if term.short and rng.random() < 0.2 else term.text
        return text, _ENTITY_CLASSES.get(kind, "O")

    def sentence(self, variant: Variant) -> Labelled:
        tokens: list[str] = []
        tags: list[str] = []

        def add(text: str, label: str) -> None:
            found = tokenise(text)
            tokens.extend(found)
            tags.extend(
                ["O"] * len(found)
                if label == "O"
                else [f"B-{label}"] + [f"I-{label}"] * (len(found) - 1)
            )

        literals = (variant.form.replace("%%", "%")).split("%s")
        for position, literal in enumerate(literals):
            add(literal, "O")
            if position == len(literals) - 1:
                break
            slot = variant.slots[position]
            text, label = (
                (self.rng.choice(slot), "O") if isinstance(slot, tuple) else self.fill(slot)
            )
            if position == 0 and not literals[0]:
                text = capitalise(text)
            text, _, short = text.partition("\t")
            add(text, label)
            if short:
                add("(", "O")
                add(short, label)
                add(")", "O")
        return tokens, tags


def _ner_sentence(rng: random.Random, pool: _NerTerms, split: str) -> Labelled:
    found = templates("ner.txt")
    group = rng.choices(list(SHARES), weights=SHARES.values())[0]
    scene = _NerScene(rng, pool, split)
    if group == "ambiguous":
        scene.word = rng.choice(list(pool.words))
        types, lines = pool.words[scene.word]
        scene.word_type = rng.choice(types.split())
        if rng.random() < 0.5:
            choices = [compile_template(line) for line in lines]
        else:
            choices = found[f"{scene.word_type.lower()}_context", EVERYWHERE]
    else:
        choices = found[group, EVERYWHERE]
    return scene.sentence(rng.choice(rng.choice(choices)))


def ner_splits(
    *, seed: int = 0, train: int = 1000, devel: int = 300, test: int = 600
) -> dict[str, list[Labelled]]:
    """Labelled sentences of each split as (tokens, strict IOB2 tags) for Drug, Disease and Gene.

    No sentence occurs twice. At least 40 % of the test mentions never occur in training, though
    they do in the unlabelled corpus; chemicals, symptoms, body parts and other terms are not
    entities, and some words are entities only by their context.
    """
    sizes = {"train": train, "devel": devel, "test": test}
    for name, size in sizes.items():
        if size < 0:
            raise ValueError(f"{name} must not be negative, got {size}")
    pool = _NerTerms(seed)
    seen: set[tuple[str, ...]] = set()
    splits: dict[str, list[Labelled]] = {}
    for split, size in sizes.items():
        rng = random.Random(f"pocket-ner/{seed}/{split}")
        splits[split] = []
        while len(splits[split]) < size:
            tokens, tags = _ner_sentence(rng, pool, split)
            key = tuple(token.casefold() for token in tokens)
            if key not in seen:
                seen.add(key)
                splits[split].append((tokens, tags))
    return splits


def write_ner(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    train: int = 1000,
    devel: int = 300,
    test: int = 600,
) -> dict[str, Path]:
    """Write :func:`ner_splits` as ``<split>.tsv``: token, tab, tag; a blank line after each."""
    paths = {}
    for split, labelled in ner_splits(seed=seed, train=train, devel=devel, test=test).items():
        paths[split] = Path(folder) / f"{split}.tsv"
        with atomic_write(paths[split]) as file:
            for tokens, tags in labelled:
                file.writelines(
                    f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True)
                )
                file.write("\n")
    return paths
