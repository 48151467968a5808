"""The students of the experiment ``compact``: which there are, and how each is trained.

All share one clean text. A training that was cut goes on, one that is done is read.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib.compress import MASKING, Traps
from bioptimus_lib.experiments.cells import Row, Setting
from bioptimus_lib.experiments.inputs import model_folder
from bioptimus_lib.files import atomic_write
from bioptimus_lib.objectives import OBJECTIVES, Objective, Term
from bioptimus_lib.recipes import COMPACT, RECIPES, Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.pipeline import Run

TEACHER, GENERAL = "teacher", "general"
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


def of(setting: Setting) -> str:
    """What all rows of a setting share, in words."""
    return f"teacher {setting.model_name}, {setting.steps:,} steps"


def named(setting: Setting, name: str, seed: int | None, dataset: str, more: str = "") -> Row:
    """The names of a row."""
    return {
        "model": name, "dataset": dataset, "seed": seed, "variant": of(setting) + more, "arm": name
    }


# --- trainings -----------------------------------------------------------------------------------


def text_of(setting: Setting, name: str = "") -> Run:
    """The run that holds the clean text; ``GENERAL`` is that of ``fit_corpus``."""
    from bioptimus_lib.experiments.laptop import laptop_run

    source = setting.fit_corpus if name else setting.corpus
    found = laptop_run(replace(setting, corpus=source), f"compact-text{name and f'-{name}'}")
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
    objective, layers = arm.traps.applied(arm.plan), tuple[int, ...]()
    if arm.alone:
        objective = OBJECTIVES["masked language model"]
    elif teacher is not None:
        layers = mapped(arm.plan, student, teacher)
    row = _train(
        setting, student, tokenizer, teacher, objective, layers, arm.traps,
        place=folder(setting, name, seed), run=text_of(setting), seed=seed,
        vocabulary=GENERAL if arm.plan.continues else TEACHER,
    )  # fmt: skip
    return named(setting, name, seed, Path(setting.corpus).name, ", pre-training") | row


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
    return named(setting, RECIPES[name].start, 0, dataset, ", small general model") | row


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
    from bioptimus_lib.one_phase import train_version
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
    made: Row = json.loads(done.read_text(encoding="utf-8"))
    return made
