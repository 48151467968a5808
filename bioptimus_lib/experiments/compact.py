"""Compact models on real text: does a teacher help, what do the published faults cost, and what is
a point of F1 worth in milliseconds?

The teacher is the model of the setting, as it is; it must have its head. For each recipe that is
distilled there is the same student, from the same weights, trained by the masked language model
alone: as many steps, the same blocks, the same masks. The recipes that train a small general model
on need one: it is distilled here from the general model that ``models`` names, on the general text
that ``fit_corpus`` names; without these two they are left out.

A cell is a training, a fine-tuning (with the same tagger in 8 bits), or a measurement of speed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib.experiments.cells import Row, Setting, same_setting
from bioptimus_lib.experiments.compact_students import (
    ALONE,
    ARMS,
    CONTINUED,
    DISTILLED,
    GENERAL,
    TEACHER,
    folder,
    general_row,
    named,
    of,
    pre_trained,
)
from bioptimus_lib.experiments.compared import differences, packed
from bioptimus_lib.experiments.inputs import model_folder, ner_folder
from bioptimus_lib.recipes import RECIPES

if TYPE_CHECKING:
    from bioptimus_lib.ner_runs import Job

ABOUT = "compact students: distilled and by MLM alone, entity F1, the faults, 8 bits, speed"
METRICS = ["loss", "f1", "milliseconds_1", "milliseconds_32", "difference"]
SPEED = "speed"
SETS = ("NCBI-disease",)
EIGHT = ", 8 bits"
LENGTH, ROUNDS = 128, 5  # of the rows that are timed, and how often each is
NAMES = (*ARMS, TEACHER)
FAULTS = {name: arm.recipe for name, arm in ARMS.items() if arm.traps.names}
#: (name of the control in the rows of differences, question → (arm, its control)).
PAIRS: tuple[tuple[str, dict[str, tuple[str, str]]], ...] = (
    ("MLM alone", {name: (name, f"{name}-{ALONE}") for name in DISTILLED}),
    ("without the fault", {name: (name, recipe) for name, recipe in FAULTS.items()}),
    (TEACHER, {name: (name, TEACHER) for name in (*DISTILLED, *CONTINUED)}),
)
SIDES = {"MLM alone": "distilled", "without the fault": "with it", TEACHER: "student"}


def arms(setting: Setting) -> list[str]:
    """The arms that are asked for and can be made."""
    wanted = [name for name in ARMS if not setting.strategies or name in setting.strategies]
    return [name for name in wanted if name not in CONTINUED or _has_general(setting)]


def cells(setting: Setting) -> list[str]:
    """All of the first seed, then of the second; what is trained before what is made of it."""
    if _has_general(setting):  # what the small general models of this folder were made from
        same_setting(setting.out / "compact" / "general.json", {"general": setting.models[0]})
    wanted = arms(setting)
    names = [f"{GENERAL}+{name}" for name in wanted if name in CONTINUED]
    for seed in range(setting.seeds):
        names += [f"train+{name}+{seed}" for name in wanted]
        for dataset in setting.datasets or SETS:
            tagged = [TEACHER, *wanted]
            names += [f"{Path(dataset).name}+{name}+{seed}" for name in tagged]
        if not seed:
            recipes = [name for name in wanted if name in RECIPES]
            names += [f"{SPEED}+{name}" for name in (TEACHER, *recipes)]
    return names


def rounds(_: Setting, cells: list[str]) -> list[list[list[str]]]:
    """One training of each text, which packs it; all other trainings at once; all fine-tunings at
    once; at last what is timed, one after the other on a quiet machine."""
    kinds: dict[str, list[str]] = {GENERAL: [], "train": [], "": [], SPEED: []}
    for cell in cells:
        kinds[kind if (kind := cell.split("+")[0]) in kinds else ""].append(cell)
    of_teacher = [c for c in kinds["train"] if c.split("+")[1] not in CONTINUED]
    of_general = [c for c in kinds["train"] if c.split("+")[1] in CONTINUED]
    first = [*kinds[GENERAL][:1], *of_teacher[:1]]
    steps = [
        [first],
        [[cell] for cell in (*kinds[GENERAL][1:], *of_teacher[1:])],
        [of_general[:1]],
        [[cell] for cell in of_general[1:]],
        [[cell] for cell in kinds[""]],
        [kinds[SPEED]],
    ]
    return [[group for group in groups if group] for groups in steps]


def run(setting: Setting, cell: str) -> Iterator[Row]:
    """The rows of a cell."""
    what, name, *seed = cell.split("+")
    if what == SPEED:
        yield from timed(setting, name)
    elif what == GENERAL:
        yield general_row(setting, name)
    elif what == "train":
        yield pre_trained(setting, name, int(seed[0]))
    else:
        yield from tagged(setting, what, name, int(seed[0]))


def notes(setting: Setting) -> list[str]:
    """What is left out, and how to make it."""
    if _has_general(setting):
        return []
    return [
        f"{', '.join(CONTINUED)} train a small general model on, and need one: "
        "--models pocket-bert --fit-corpus general makes one for each"
    ]


def _has_general(setting: Setting) -> bool:
    return bool(setting.models and setting.fit_corpus)


# --- fine-tunings --------------------------------------------------------------------------------


def weights_of(setting: Setting, name: str, seed: int) -> Path:
    """The folder of an arm's model, or of the teacher."""
    return model_folder(setting) if name == TEACHER else folder(setting, name, seed) / "model"


def job_of(setting: Setting, dataset: str, name: str, seed: int) -> Job:
    """The fine-tuning of an arm, by the recipe for a model of its size, on all sentences."""
    from bioptimus_lib.conll import split_files
    from bioptimus_lib.ner_runs import Job
    from bioptimus_lib.tagger import recipe_for

    given = next(d for d in setting.datasets or SETS if Path(d).name == dataset)
    model = weights_of(setting, name, seed)
    return Job(
        name, model, dataset, split_files(ner_folder(setting, given)),
        recipe_for(model, seed=seed),
        setting.out / "compact" / "ner" / f"{dataset}+{name}+{seed}",
        device="cpu" if setting.device == "cpu" else None, progress=False, keep_model=True,
    )  # fmt: skip


def tagged(setting: Setting, dataset: str, name: str, seed: int) -> Iterator[Row]:
    """F1 of an arm, and of the same tagger with its encoder in 8 bits."""
    from bioptimus_lib import ner_runs
    from bioptimus_lib.conll import read_conll
    from bioptimus_lib.ner import evaluate
    from bioptimus_lib.quantise import int8_tagger
    from bioptimus_lib.tagger import load_tagger

    job = job_of(setting, dataset, name, seed)
    result = ner_runs.do(job)
    (counts,) = ner_runs.counts([job])
    shared = named(setting, name, seed, dataset) | {
        **result["provenance"], "epoch": result["epoch"], "settings": result["settings"],
    }  # fmt: skip
    yield shared | {
        "metrics": result["metrics"], "seconds": result["seconds"], "counts": packed(counts)
    }
    began = time.monotonic()
    tagger = load_tagger(job.place / "model", settings=job.settings)
    test = read_conll(job.files["test"])
    small = int8_tagger(tagger).predict(test)
    scored = evaluate(test, small, training=read_conll(job.files["train"]))[0]
    yield shared | {
        "variant": of(setting) + EIGHT, "seconds": round(time.monotonic() - began, 1),
        "metrics": scored | {"lost": result["metrics"]["f1"] - scored["f1"]},
    }  # fmt: skip


# --- speed ---------------------------------------------------------------------------------------


def timed(setting: Setting, name: str) -> Iterator[Row]:
    """Latency, throughput and memory of a student of the first seed on a CPU, in 32 and in 8 bits,
    in turns with its teacher."""
    import torch

    from bioptimus_lib.footprint import flat, measure
    from bioptimus_lib.models import load_masked_lm, place
    from bioptimus_lib.quantise import int8

    names = dict.fromkeys((TEACHER, name))
    sides = {n: place(load_masked_lm(weights_of(setting, n, 0))[0], "cpu") for n in names}
    sides[name + EIGHT] = int8(sides[name])
    found = {row.model: row for row in measure(sides, length=LENGTH, rounds=ROUNDS)}
    plain, small = found[name], found[name + EIGHT]
    threads = f", {torch.get_num_threads()} threads"
    for row, more in ((plain, ""), (small, EIGHT)):
        times = {
            f"than_32_bits_{b}": plain.milliseconds[b] / row.milliseconds[b]
            for b in row.milliseconds
        }
        yield named(setting, name, None, f"random rows of {LENGTH}", more + threads) | {
            "metrics": flat(row) | (times if more else {})
        }


# --- all cells together --------------------------------------------------------------------------


def finish(rows: list[Row]) -> list[Row]:
    """The rows, and one for each pair of an arm and its control, corrected for all pairs with that
    kind of control."""
    counted = [row for row in rows if "counts" in row]
    more: list[Row] = []
    for control, pairs in PAIRS:
        sides = [
            row | {
                "model": SIDES[control] if row["arm"] == one else control,
                "variant": f"{row['variant']}, {question}",
            }
            for question, (one, other) in pairs.items()
            for row in counted if row["arm"] in (one, other)
        ]  # fmt: skip
        more += differences(sides, first=control)
    return rows + more
