"""The pocket NER set: sentences in which drugs, diseases and genes have to be told from the rest.

Most sentences would admit any kind of term, and many terms of the test never occur in training,
though they do in the pocket corpus: what helps is to know the words. Some words are entities only
by their context.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

from bioptimus_lib.files import atomic_write
from bioptimus_lib.pocket_grammar import (
    EVERYWHERE,
    TERM_FILES,
    Ranked,
    Term,
    Variant,
    all_adjectives,
    capitalise,
    compile_template,
    plural,
    sections,
    templates,
    terms,
)

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


class SplitTerms:
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

    def __init__(self, rng: random.Random, pool: SplitTerms, split: str) -> None:
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
            return rng.choice(all_adjectives()), "O"
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


def _ner_sentence(rng: random.Random, pool: SplitTerms, split: str) -> Labelled:
    found = templates("ner.txt")
    group = rng.choices(list(SHARES), weights=list(SHARES.values()))[0]
    scene = _NerScene(rng, pool, split)
    if group == "ambiguous":
        scene.word = rng.choice(list(pool.words))
        types, lines = pool.words[scene.word]
        scene.word_type = rng.choice(types.split())
        if rng.random() < 0.5:
            choices = tuple(compile_template(line) for line in lines)
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
    pool = SplitTerms(seed)
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
