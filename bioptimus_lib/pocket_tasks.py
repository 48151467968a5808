"""Generated tasks beyond named entities: relations, similarity, fields of medicine, note sections.

Stand-ins for chapters and tests that need no real data. Nobody can have all of them right: some
answers are drawn, as annotators disagree, and devel and test have terms and wordings that train
lacks. The sentences are made up and are no medical facts.

*Relations.* A sentence names several drugs and disorders, and each pair of them has an answer of
its own: without being told which pair is meant one can only guess. In train a drug has habits, it
mostly treats or mostly causes; in devel and test it has none. Who learns names by heart is misled,
which shows what blinding is for. *Similarity.* Two wordings with up to four facets changed, scored
by five made-up annotators. *Fields.* Terms of one to three fields of medicine, and sentences that
only deny those of another. *Sections* of hospital notes: see ``pocket_notes``.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from bioptimus_lib import pocket_notes
from bioptimus_lib.files import atomic_dir
from bioptimus_lib.pocket_grammar import (
    EVERYWHERE,
    Term,
    Variant,
    compile_template,
    drug_groups,
    fields,
    render,
    sections,
    templates,
)
from bioptimus_lib.pocket_ner import SplitTerms

Row = dict[str, Any]
SIZES = {"train": 1200, "devel": 300, "test": 600}
#: Fields of medicine of the generated texts.
FIELDS = ("airway", "bone", "bowel", "coronary", "diabetes", "epilepsy", "kidney", "skin")

# How often a relation sentence is of each kind; how often a drug keeps its habit in train; and one
# of how many wordings of each kind train never sees.
KINDS = {"treats": 30, "causes": 30, "both": 16, "none": 18, "unclear": 6}
HABIT = 0.9
NEW_WORDING = pocket_notes.NEW_WORDING
# What a change costs of the four points of similarity, nearer changes half of it, and how far an
# annotator is off (standard deviation).
COSTS = {"drug": 1.0, "disease": 1.0, "effect": 1.5, "people": 0.5}
ANNOTATORS, OFF = 5, 0.6
CHANGE = 0.4  # probability that a facet changes
# How many fields a text is about, and how often it denies a term of another.
ABOUT = {0: 4, 1: 50, 2: 34, 3: 12}
DENIED = 0.6
HELD_OUT = {"devel": 0.15, "test": 0.3}  # terms of a field that only these splits may have


# --- relations ---------------------------------------------------------------------------------


class _Pattern(NamedTuple):
    """Wordings of one sentence, and what is asked: (drug slot, disease slot, labels to draw)."""

    asked: tuple[tuple[str, str, tuple[str, ...]], ...]
    variants: tuple[Variant, ...]


@cache
def _patterns() -> dict[str, tuple[_Pattern, ...]]:
    found: dict[str, tuple[_Pattern, ...]] = {}
    for header, lines in sections("tasks.txt"):
        group, _, kind = header.partition(" ")
        if group != "relation":
            continue
        some = []
        for line in lines:
            pairs, _, template = line.partition(" :: ")
            asked = []
            for pair in pairs.split("; "):
                numbers, *labels = pair.split()
                drug, disease = ("" if n == "1" else n for n in numbers)
                asked.append((f"drug{drug}", f"disease{disease}", tuple(labels)))
            some.append(_Pattern(tuple(asked), compile_template(template)))
        found[kind] = tuple(some)
    return found


def relations(rng: random.Random, pool: SplitTerms, split: str, *, seed: int) -> list[Row]:
    """The examples of one sentence: one for each pair that is asked for."""
    habits = split == "train"
    kind = rng.choices(list(KINDS), weights=list(KINDS.values()))[0]
    known = _patterns()[kind]
    if split == "train":
        known = known[: len(known) - len(known) // NEW_WORDING]
    pattern = rng.choice(known)
    does: dict[str, set[str]] = {}  # what a drug of the sentence does beside nothing
    for drug, _, labels in pattern.asked:
        does.setdefault(drug, set()).update({*labels} - {"none"} if len(labels) == 1 else ())
    found: dict[str, str] = {}

    def fill(slot: str) -> str:
        if slot not in found:
            role = does.get(slot, set())
            bound = habits and len(role) == 1 and rng.random() < HABIT
            while True:
                term = pool.draw(rng, slot.rstrip("2"), split).text
                if term not in found.values() and (not bound or habit(term, seed) in role):
                    break
            found[slot] = term
        return found[slot]

    text, spans = render(rng, rng.choice(pattern.variants), fill)
    rows = []
    for drug, disease, labels in pattern.asked:
        usual = habit(found[drug], seed)
        label = usual if habits and usual in labels and rng.random() < HABIT else rng.choice(labels)
        mentions = [[*spans[drug], "@DRUG$"], [*spans[disease], "@DISEASE$"]]
        rows.append({"text": text, "label": label, "mentions": mentions})
    return rows


def habit(drug: str, seed: int) -> str:
    """What a drug mostly does in train."""
    return random.Random(f"pocket-relation/{seed}/{drug}").choice(("treats", "causes"))


def _relation_rows(rng: random.Random, seed: int, split: str) -> Callable[[], list[Row]]:
    pool = SplitTerms(seed)
    return lambda: relations(rng, pool, split, seed=seed)


# --- similarity --------------------------------------------------------------------------------


@cache
def _lists() -> dict[str, list[str]]:
    return dict(sections("tasks.txt"))


def _effects(better: bool) -> list[str]:
    return _lists()["effect better" if better else "effect worse"]


def similarity(rng: random.Random, split: str) -> Row:
    """Two sentences and the mean score of the annotators."""
    groups = list(drug_groups().values())
    group = rng.choice(groups)
    areas = list(fields().values())
    area = rng.choice(areas)
    people = _lists()["people"]
    one: dict[str, Any] = {
        "drug": rng.choice(group.drugs.items),
        "disease": rng.choice(area.diseases.items).text,
        "people": rng.choice(people),
        "better": rng.random() < 0.5,
    }
    two, lost = dict(one), 0.0
    for facet, cost in COSTS.items():
        if rng.random() >= CHANGE:
            continue
        near = rng.random() < 0.5
        if facet == "effect":
            two["better"], near = not one["better"], False
        elif facet == "people":
            two["people"], near = rng.choice([p for p in people if p != one["people"]]), False
        elif facet == "drug":
            drugs = group.drugs.items if near else rng.choice(groups).drugs.items
            two["drug"] = rng.choice([d for d in drugs if d != one["drug"]])
        else:
            diseases = area.diseases.items if near else rng.choice(areas).diseases.items
            two["disease"] = rng.choice([d.text for d in diseases if d.text != one["disease"]])
        lost += cost / 2 if near else cost
    texts = []
    for facets in (one, two):
        wordings = templates("tasks.txt")["similarity", EVERYWHERE]
        if split == "train":
            wordings = wordings[: len(wordings) - len(wordings) // NEW_WORDING]
        values = {**facets, "effect": rng.choice(_effects(facets["better"]))}
        texts.append(render(rng, rng.choice(rng.choice(wordings)), values.__getitem__).text)
    scores = [min(4, max(0, round(rng.gauss(4 - lost, OFF)))) for _ in range(ANNOTATORS)]
    return {"text": texts[0], "second": texts[1], "score": sum(scores) / len(scores)}


def _similarity_rows(rng: random.Random, seed: int, split: str) -> Callable[[], list[Row]]:
    return lambda: [similarity(rng, split)]


# --- fields ------------------------------------------------------------------------------------

Pools = dict[str, dict[str, tuple[str, ...]]]


def _field_pools(seed: int, split: str) -> Pools:
    """Field → class → its terms in a split: those of all splits, and its own half of the time."""
    pools: Pools = {}
    for name in FIELDS:
        area = fields()[name]
        pools[name] = {}
        for kind in ("disease", "symptom", "procedure", "anatomy"):
            own: Sequence[Term] = area.diseases.items if kind == "disease" else area.own[kind]
            some = sorted({term.text for term in own or area.terms[kind]})
            random.Random(f"pocket-fields/{seed}/{name}/{kind}").shuffle(some)
            dealt = {}
            for part, share in HELD_OUT.items():
                count = round(share * len(some))
                dealt[part], some = some[:count], some[count:]
            pools[name][kind] = (*some, *dealt.get(split, ()))
    return pools


def _drawn(rng: random.Random, pool: Mapping[str, Sequence[str]], slot: str) -> str:
    return rng.choice(pool[slot])


def document(rng: random.Random, pools: Pools) -> Row:
    """A short text about some fields."""
    found = templates("tasks.txt")
    count = rng.choices(list(ABOUT), weights=list(ABOUT.values()))[0]
    about = rng.sample(FIELDS, count)
    plan = [(name, "about") for name in about for _ in range(rng.randint(1, 2))]
    others = [name for name in FIELDS if name not in about]
    plan += [(rng.choice(others), "denied")] if rng.random() < DENIED else []
    plan += [(rng.choice(FIELDS), "neutral") for _ in range(rng.randint(1, 2))]
    rng.shuffle(plan)
    lines = [
        render(
            rng, rng.choice(rng.choice(found["fields", kind])), partial(_drawn, rng, pools[name])
        ).text
        for name, kind in plan
    ]  # fmt: skip
    return {"text": " ".join(lines), "labels": [name for name in FIELDS if name in about]}


def _field_rows(rng: random.Random, seed: int, split: str) -> Callable[[], list[Row]]:
    pools = _field_pools(seed, split)
    return lambda: [document(rng, pools)]


# --- sections of notes -------------------------------------------------------------------------


def _section_rows(rng: random.Random, seed: int, split: str) -> Callable[[], list[Row]]:
    return lambda: [pocket_notes.section_row(rng, known=split == "train")]


# --- sets --------------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[random.Random, int, str], Callable[[], list[Row]]]] = {
    "pocket-relation": _relation_rows,
    "pocket-similarity": _similarity_rows,
    "pocket-fields": _field_rows,
    "pocket-sections": _section_rows,
}


def splits(
    name: str, *, seed: int = 0, sizes: dict[str, int] | None = None
) -> dict[str, list[Row]]:
    """The examples of a task as JSON objects, by split; no text is in two splits.

    Args:
        name: a row of ``MAKERS``.
        sizes: examples of each split; ``SIZES`` as a rule.

    Raises:
        ValueError: no such task, or a size below 0.
    """
    if name not in MAKERS:
        raise ValueError(f"no generated task {name!r}: choose one of {', '.join(MAKERS)}")
    sizes = SIZES | (sizes or {})
    seen: set[str] = set()
    found: dict[str, list[Row]] = {}
    for split in SIZES:
        if sizes[split] < 0:
            raise ValueError(f"{split} must not be negative, got {sizes[split]}")
        make = MAKERS[name](random.Random(f"{name}/{seed}/{split}"), seed, split)
        rows: list[Row] = []
        while len(rows) < sizes[split]:
            some = make()
            key = "\0".join(some[0].get(part, "") for part in ("text", "second")).casefold()
            if key not in seen:
                seen.add(key)
                rows += some
        found[split] = [{"id": f"{split}-{i}", **row} for i, row in enumerate(rows[: sizes[split]])]
    return found


def write(
    name: str,
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    sizes: dict[str, int] | None = None,
) -> Path:
    """Write a task as ``train.jsonl``, ``devel.jsonl``, ``test.jsonl``, whole or not at all."""
    made = splits(name, seed=seed, sizes=sizes)
    with atomic_dir(folder) as temporary:
        for split, rows in made.items():
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (temporary / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return Path(folder)


def _sizes(place: Path) -> dict[str, int]:
    files = {split: place / f"{split}.jsonl" for split in SIZES}
    return {split: len(file.read_bytes().splitlines()) for split, file in files.items()
            if file.exists()}  # fmt: skip


def generated(
    name: str,
    folder: str | os.PathLike[str],
    *,
    sizes: Mapping[str, int] | None = None,
) -> Path:
    """The folder of a generated task below ``folder``; written if it is not there in these sizes.

    Args:
        sizes: examples of each split, as ``write`` takes them; what is not named may be any.
    """
    place = Path(folder) / name
    found = _sizes(place)
    if found.keys() != SIZES.keys() or any(found[split] != n for split, n in (sizes or {}).items()):
        write(name, place, sizes=dict(sizes or {}))
    return place
