"""Stability at scale: fine-tunings of few sentences and of all, plain and with each remedy.

The sentences to train on are drawn once from an NER set (``corpus``): 50 are a part of the 100, and
so on; all seeds see the same. A cell is one fine-tuning, chosen on devel and tested once on all of
test. Who has few sentences to train on has few to choose on, so devel is a sample there, too. The
remedies are compared at the small sizes; what was best on devel is put together, and goes to the
larger ones, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bioptimus_lib.conll import Sentence
from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.inputs import (
    model_folder,
    ner_files,
    ner_folder,
    ner_splits,
    weights,
)
from bioptimus_lib.files import atomic_write
from bioptimus_lib.finetune import REMEDIES, Recipe
from bioptimus_lib.stability import best_together, list_f1, sample, trial

ABOUT = "F1 over seeds of fine-tunings with few sentences and with all, plain and with remedies"
METRICS = ["f1", "devel_f1", "failed", "epoch"]
SWEPT = (50, 100)  # sentences at which every remedy is tried
LARGER = (500,)  # sentences at which the best of the largest sweep is tried
ALL = 0
DEVEL = 100  # sentences to choose the epoch on, of those who have few
#: Passes over few sentences and positions per batch. Three passes suit a whole set, and would be a
#: dozen steps over fifty sentences; twenty are usual for NCBI-disease (LinkBERT's scripts).
FEW_EPOCHS, BATCH = 20, 512
LIST, TOGETHER = "list", "together"


def cells(setting: Setting) -> list[str]:
    """Plain at each small size, the remedies seed by seed, what is best together, at last all."""
    sizes, seeds = (*SWEPT, *LARGER), range(setting.seeds)
    names = [f"{size}-{LIST}" for size in (*sizes, ALL)]
    names += [f"{size}-plain-{seed}" for size in sizes for seed in seeds]
    for size in SWEPT:
        remedies = [name for name in REMEDIES if name != "plain"]
        names += [f"{size}-{remedy}-{seed}" for seed in seeds for remedy in remedies]
        names += [f"{size}-{TOGETHER}-{seed}" for seed in seeds]
    names += [f"{size}-{TOGETHER}-{seed}" for size in LARGER for seed in seeds]
    return names + [f"{ALL}-{what}-{seed}" for seed in seeds for what in ("plain", TOGETHER)]


def rounds(_: Setting, cells: list[str]) -> list[list[list[str]]]:
    """All but what is chosen from them, at once; then that."""
    chosen = [cell for cell in cells if f"-{TOGETHER}-" in cell]
    return [[[cell] for cell in some] for some in
            ([cell for cell in cells if cell not in chosen], chosen)]  # fmt: skip


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The row of a cell."""
    from bioptimus_lib.ner import recipe_for

    first, rest = cell.split("-", 1)
    size = int(first)
    remedy, _, seed = (rest, "", "") if rest == LIST else rest.rpartition("-")
    splits = splits_for(setting, size)
    name = {
        "dataset": ner_folder(setting).name, "variant": f"{words_for(size)}, {remedy}",
        "sentences": len(splits["train"]),
    }  # fmt: skip
    floor = list_f1(splits["train"], splits["test"])
    if remedy == LIST:
        yield {**name, "model": "list of names", "seed": None, "metrics": {"f1": round(floor, 4)}}
        return
    model = model_folder(setting)
    recipe = together(setting, size) if remedy == TOGETHER else REMEDIES[remedy]
    few = {"epochs": FEW_EPOCHS, "batch_tokens": BATCH} if size else {}
    settings = recipe_for(model, seed=int(seed), **few)
    done = asdict(trial(model, splits, recipe, settings=settings, device=setting.device))
    metrics = {m: round(done[m], 4) for m in ("f1", "devel_f1", "recall_unseen")}
    yield {
        **name, "model": model_name(setting), "seed": done["seed"],
        "metrics": metrics | {"failed": float(done["f1"] <= floor), "epoch": done["epoch"],
                              "steps": done["steps"]},
        "remedy": remedy, "recipe": recipe.changes(),
        "settings": asdict(recipe.settings(settings)),
        "devel": [round(value, 2) for value in done["devel"]], "seconds": done["seconds"],
    }  # fmt: skip


def data(setting: Setting) -> list[Path]:
    """The files that the rows come from."""
    return ner_files(setting) + weights(setting)


# --- parts -------------------------------------------------------------------------------------


def model_name(setting: Setting) -> str:
    """The model as the ledger names it."""
    return setting.model_name


def words_for(size: int) -> str:
    """A size in words."""
    return f"{size} sentences" if size else "all sentences"


def splits_for(setting: Setting, size: int) -> dict[str, list[Sentence]]:
    """Train and devel as a size has them, and all of test."""
    whole = ner_splits(setting)
    if size == ALL:
        return whole
    devel = sample(whole["devel"], min(DEVEL, len(whole["devel"])))
    return {**whole, "train": sample(whole["train"], size), "devel": devel}


def together(setting: Setting, size: int) -> Recipe:
    """The combination for a size, chosen once, on devel; sizes without a sweep have the largest's.

    Raises:
        FileNotFoundError: a cell that it is chosen from is missing.
    """
    size = size if size in SWEPT else max(SWEPT)
    folder = setting.out / "stability"
    file = folder / f"together-{size}.json"
    if not file.exists():
        devel = {
            remedy: [_devel_f1(folder / f"{size}-{remedy}-{n}.json") for n in range(setting.seeds)]
            for remedy in REMEDIES
        }
        chosen = best_together(devel, depth=_depth(setting))
        means = {name: round(float(np.mean(values)), 4) for name, values in devel.items()}
        with atomic_write(file) as handle:
            json.dump({"recipe": chosen.changes(), "devel_f1": means}, handle, indent=1)
    return Recipe(**json.loads(file.read_text(encoding="utf-8"))["recipe"])


def _devel_f1(cell: Path) -> float:
    (row,) = json.loads(cell.read_text(encoding="utf-8"))
    return float(row["metrics"]["devel_f1"])


def _depth(setting: Setting) -> int:
    config = model_folder(setting) / "config.json"
    return int(json.loads(config.read_text(encoding="utf-8"))["num_hidden_layers"])
