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

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib.compress import MASKING, Traps
from bioptimus_lib.experiments.cells import Row, Setting
from bioptimus_lib.experiments.inputs import model_folder, ner_folder
from bioptimus_lib.files import atomic_write
from bioptimus_lib.objectives import OBJECTIVES, Objective, Term
from bioptimus_lib.recipes import COMPACT, RECIPES, Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.ner_runs import Job
    from bioptimus_lib.pipeline import Run

ABOUT = "compact students: distilled and by MLM alone, entity F1, the faults, 8 bits, speed"
METRICS = ["loss", "f1", "milliseconds_1", "milliseconds_32", "difference"]
TEACHER, GENERAL, SPEED = "teacher", "general", "speed"
SETS = ("NCBI-disease",)
EIGHT = ", 8 bits"
LENGTH, ROUNDS = 128, 5  # of the rows that are timed, and how often each is
#: What makes a small general model: no term needs equal widths.
SMALL_GENERAL = Objective((Term("soft_targets", 5, temperature=2), Term("masked_lm", 2)))


@dataclass(frozen=True)
class Arm:
    """One student: a recipe, perhaps without its teacher, perhaps with a fault."""

    recipe: str
    alone: bool = False
    traps: Traps = Traps()

    @property
    def plan(self) -> Recipe:
        """Its row of the table."""
        return RECIPES[self.recipe]


DISTILLED = tuple(r.name for r in RECIPES.values() if r.paper == COMPACT and not r.continues)
CONTINUED = tuple(r.name for r in RECIPES.values() if r.paper == COMPACT and r.continues)
ALONE = "alone"
ARMS: dict[str, Arm] = {
    **{name: Arm(name) for name in DISTILLED},
    **{f"{name}-{ALONE}": Arm(name, alone=True) for name in DISTILLED},
    "teacher-in-training": Arm("DistilBioBERT", traps=Traps(teacher_in_training=True)),
    "random-head": Arm("DistilBioBERT", traps=Traps(random_head=True)),
    "attention-per-element": Arm("CompactBioBERT", traps=Traps(attention_per_element=True)),
    **{name: Arm(name) for name in CONTINUED},
}
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


def of(setting: Setting) -> str:
    """What all rows of a setting share, in words."""
    return f"teacher {Path(setting.model).name}, {setting.steps:,} steps"


# --- trainings -----------------------------------------------------------------------------------


def text_of(setting: Setting, name: str = "") -> Run:
    """The run that holds the clean text; ``GENERAL`` is that of ``fit_corpus``."""
    from bioptimus_lib.experiments.laptop import laptop_run
    from bioptimus_lib.experiments.text import corpus

    source = setting.fit_corpus if name else setting.corpus
    found = laptop_run(
        replace(setting, corpus=str(corpus(setting, source))), f"compact-text{name and f'-{name}'}"
    )
    found.stage("corpus")
    return found


def folder(setting: Setting, arm: str, seed: int) -> Path:
    """Where an arm is trained; its model stands in ``model``."""
    return setting.out / "compact" / "models" / arm / f"seed-{seed}"


def teacher_of(setting: Setting) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The teacher on its device, and its tokenizer.

    Raises:
        DataError: it has no head.
    """
    from bioptimus_lib.models import load_masked_lm, place

    model, tokenizer = load_masked_lm(model_folder(setting), needs_head=True)
    return place(model, text_of(setting).torch_device).eval(), tokenizer


def pre_trained(setting: Setting, name: str, seed: int) -> Row:
    """Losses of an arm on held-out text before, while and after it is trained."""
    from bioptimus_lib.compress import mapped
    from bioptimus_lib.models import load_masked_lm
    from bioptimus_lib.students import student_of

    arm = ARMS[name]
    if arm.plan.continues:
        teacher = None
        student, tokenizer = load_masked_lm(setting.out / "compact" / GENERAL / name / "model")
    else:
        teacher, tokenizer = teacher_of(setting)
        student = student_of(arm.plan, teacher, head=not arm.traps.random_head, seed=seed)
    objective, layers = arm.traps.applied(arm.plan), ()
    if arm.alone:
        objective = OBJECTIVES["masked language model"]
    elif teacher is not None:
        layers = mapped(arm.plan, student, teacher)
    row = _train(
        setting, student, tokenizer, teacher, objective, layers, arm.traps,
        place=folder(setting, name, seed), run=text_of(setting), seed=seed,
        vocabulary=GENERAL if arm.plan.continues else TEACHER,
    )  # fmt: skip
    return _row(setting, name, seed, Path(setting.corpus).name, ", pre-training") | row


def general_row(setting: Setting, name: str) -> Row:
    """The small general model that a recipe begins with, distilled from a general one."""
    from bioptimus_lib.models import load_masked_lm, place
    from bioptimus_lib.sources import model_path
    from bioptimus_lib.students import random_student

    text = text_of(setting, GENERAL)
    old, tokenizer = load_masked_lm(
        model_path(setting.models[0], progress=setting.progress), needs_head=True
    )
    old = place(old, text.torch_device).eval()
    student = random_student(RECIPES[name], old.config, seed=0)
    row = _train(
        setting, student, tokenizer, old, SMALL_GENERAL, (), Traps(), run=text, seed=0,
        place=setting.out / "compact" / GENERAL / name, vocabulary=GENERAL,
    )  # fmt: skip
    dataset = Path(setting.fit_corpus).name
    return _row(setting, RECIPES[name].start, 0, dataset, ", small general model") | row


def _train(
    setting: Setting,
    student: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    teacher: PreTrainedModel | None,
    objective: Objective,
    layers: tuple[int, ...],
    traps: Traps,
    *,
    place: Path,
    run: Run,
    seed: int,
    vocabulary: str,
) -> Row:
    """Train on the text of a run; what was cut goes on, what is done is read."""
    from bioptimus_lib.compress import trainer_of
    from bioptimus_lib.phases import train_version
    from bioptimus_lib.stages import packed, settings_of
    from bioptimus_lib.students import parameters

    done, steps = place / "training.json", setting.steps
    if not done.exists():
        began = time.monotonic()
        blocks, held_out = (packed(run, n, tokenizer, vocabulary) for n in ("train", "held-out"))
        settings = replace(
            settings_of(run, steps, seed=seed),
            evaluate_at=tuple(sorted({0, steps // 10, steps // 3, steps})),
        )
        row = train_version(
            student, tokenizer, blocks, held_out, masking=MASKING, settings=settings,
            training=place / "training", goal=place / "model", device=run.device,
            progress=setting.progress, trainer=trainer_of(objective, teacher, layers, traps),
        )  # fmt: skip
        curve = [[int(step), found["loss"]] for step, found in row["held_out_at"].items()]
        with atomic_write(done) as file:
            json.dump({
                "metrics": {
                    **{k: round(row["held_out"][k], 4) for k in ("loss", "accuracy")},
                    "parameters": parameters(student),
                    "encoder": parameters(student.base_model),
                },
                "objective": str(objective), "layer_map": list(layers), "curve": curve,
                "steps": row["steps"], "tokens": row["tokens"],
                "seconds": round(time.monotonic() - began, 1),
            }, file)  # fmt: skip
    return json.loads(done.read_text(encoding="utf-8"))


def _row(setting: Setting, name: str, seed: int | None, dataset: str, more: str = "") -> Row:
    return {
        "model": name, "dataset": dataset, "seed": seed, "variant": of(setting) + more, "arm": name
    }


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
    from bioptimus_lib.quantise import int8
    from bioptimus_lib.tagger import load_tagger

    job = job_of(setting, dataset, name, seed)
    result = ner_runs.do(job)
    (counts,) = ner_runs.counts([job])
    shared = _row(setting, name, seed, dataset) | {
        **result["provenance"], "epoch": result["epoch"], "settings": result["settings"],
    }  # fmt: skip
    yield shared | {
        "metrics": result["metrics"], "seconds": result["seconds"], "counts": counts.tolist()
    }
    began = time.monotonic()
    tagger = load_tagger(job.place / "model", settings=job.settings)
    test = read_conll(job.files["test"])
    small = replace(tagger, model=int8(tagger.model)).predict(test)
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

    from bioptimus_lib.bench_compact import flat, measure
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
        yield _row(setting, name, None, f"random rows of {LENGTH}", more + threads) | {
            "metrics": flat(row) | (times if more else {})
        }


# --- all cells together --------------------------------------------------------------------------


def finish(rows: list[Row]) -> list[Row]:
    """The rows without their counts, and one for each pair of an arm and its control, corrected
    for all pairs with that kind of control."""
    from bioptimus_lib.experiments.compared import differences, without_counts

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
        found = differences(sides, first=control)
        more += [row for row in found if "difference" in row["metrics"]]
    return without_counts(rows) + more
