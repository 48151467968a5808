"""The five real NER sets in numbers: lengths, ambiguity, what is new in a test, what sets share.

A cell is a set, or all pairs of them. Nothing is drawn at random and no text comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib import ner_facts
from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.inputs import ner_files, ner_splits
from bioptimus_lib.ner_sets import names

if TYPE_CHECKING:
    from bioptimus_lib.conll import Sentence

ABOUT = "entity lengths, ambiguity, mentions seen in training, overlap between the real NER sets"
METRICS = ["sentences", "entities", "mean_length", "seen", "partly", "never", "mentions"]
PAIRS = "pairs"
LONGEST = 8  # tokens; longer entities are counted with these


def cells(setting: Setting) -> list[str]:
    """A cell for each set, and one for the pairs."""
    return [*names(), PAIRS]


def data(setting: Setting) -> list[Path]:
    """The files that the numbers come from."""
    return ner_files(setting, names())


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The rows of a cell."""
    wanted = names() if cell == PAIRS else [cell]
    loaded = {name: ner_splits(setting, name) for name in wanted}
    rows = _pairs(loaded) if cell == PAIRS else facts(loaded[cell], cell)
    for row in rows:
        metrics = {key: round(value, 5) for key, value in row["metrics"].items()}
        yield {"model": "gold entities", "seed": None, **row, "metrics": metrics}


def facts(splits: dict[str, list[Sentence]], name: str) -> Iterator[dict[str, Any]]:
    """A row for each split, one for what is ambiguous in training, one for what the test asks."""
    from bioptimus_lib.conll import count, types_of

    for split, counts in count(splits).items():
        sizes = ner_facts.lengths(splits[split])
        documents = {s.document for s in splits[split]} - {None}
        yield {"dataset": name, "variant": split, "metrics": {
            **counts,
            "documents": len(documents),
            "types": len(types_of(splits[split])),
            "texts": len({text for text, _ in ner_facts.named(splits[split])}),
            "mean_length": sum(k * n for k, n in sizes.items()) / max(counts["entities"], 1),
            "longest": max(sizes, default=0),
        }, "lengths": [
            [k, sum(n for size, n in sizes.items() if min(size, LONGEST) == k)]
            for k in range(1, LONGEST + 1)
        ]}  # fmt: skip
    yield {"dataset": name, "variant": "ambiguity, train",
           "metrics": ner_facts.ambiguity(splits["train"])}  # fmt: skip
    test, train = (ner_facts.named(splits[split]) for split in ("test", "train"))
    found = ner_facts.familiarity(test, train)
    yield {"dataset": name, "variant": "test against train", "metrics": {
        **{level: found.count(level) / max(len(found), 1) for level in ner_facts.FAMILIAR},
        "same_sentences": ner_facts.overlap(splits["test"], splits["train"])["sentences"],
    }}  # fmt: skip


def _pairs(loaded: dict[str, dict[str, list[Sentence]]]) -> Iterator[dict[str, Any]]:
    """A row for each ordered pair: how much of the test of one stands in the training of other."""
    for one, other in permutations(loaded, 2):
        yield {"dataset": one, "variant": f"test in {other}, train",
               "metrics": ner_facts.overlap(loaded[one]["test"], loaded[other]["train"])}
