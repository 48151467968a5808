"""What a way of scoring adds to F1, on real predictions; and which mistakes are behind F1.

A cell is a set and a seed: one fine-tuning by the recipe for the model's size, its predictions for
the test set scored in each of the ways of ``ner_scoring``, and its mistakes counted by kind. Ways
are compared within a cell, on the same tags, so the spread over seeds is that of the difference,
too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.inputs import model_folder, ner_files, ner_splits, weights

ABOUT = "entity F1 of the same predictions by each way of scoring, and kinds of mistakes"
METRICS = ["f1", "above_strict", "precision", "recall", "gold"]
SETS = ("NCBI-disease", "BC2GM")
MISTAKES = "kinds of mistakes"


def cells(setting: Setting) -> list[str]:
    """A cell for each set and seed; the first seed of all sets comes first."""
    return [f"{name}-{seed}" for seed in range(setting.seeds) for name in SETS]


def rounds(_: Setting, cells: list[str]) -> list[list[list[str]]]:
    """All of them at once."""
    return [[[cell] for cell in cells]]


def data(setting: Setting) -> list[Path]:
    """The files that the numbers come from."""
    return ner_files(setting, SETS) + weights(setting)


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """A row for each way of scoring, and one for the mistakes."""
    from bioptimus_lib.ner import fine_tune, recipe_for

    name, seed = cell.rsplit("-", 1)
    folder, splits = model_folder(setting), ner_splits(setting, name)
    settings = recipe_for(folder, seed=int(seed))
    done = fine_tune(folder, splits, settings=settings, device=setting.device)
    common = {"model": setting.model_name, "dataset": name, "seed": int(seed), "epoch": done.epoch}
    for variant, metrics in looked_at(done.tagger, splits["test"]):
        metrics = {key: round(value, 4) for key, value in metrics.items()}
        yield {**common, "variant": variant, "metrics": metrics}


def looked_at(tagger: Any, test: Any) -> Iterator[tuple[str, dict[str, float]]]:
    """(variant, metrics) of a tagger: each way of scoring, then the kinds of mistakes."""
    from bioptimus_lib.ner_errors import count
    from bioptimus_lib.ner_scoring import (
        BEST_PATH,
        STRICT,
        by_way,
        inflation,
        piece_sizes,
        plain,
    )
    from bioptimus_lib.tagger import best_each, best_path

    gold = [sentence.tags for sentence in test]
    scores = tagger.scores(tagger.encode(test))
    each, best = ([choose(row, tagger.labels) for row in scores] for choose in
                  (best_each, best_path))  # fmt: skip
    found = by_way(gold, each, piece_sizes(test, tagger.tokenizer))
    found[BEST_PATH] = plain(gold, best)
    found[STRICT] |= {"tags_right": 100 * sum(
        one == other for g, p in zip(gold, each, strict=True) for one, other in
        zip(g, p, strict=True)) / sum(map(len, gold))}  # fmt: skip
    above = inflation(found)
    for way, metrics in found.items():
        yield way, {**metrics, "above_strict": above[way]}
    yield MISTAKES, {key.replace("+", "_and_"): n for key, n in count(gold, best).items()}
