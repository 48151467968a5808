"""The five clinical models on generated notes: sections of notes told by each, over seeds.

A cell is a seed of everything: the notes' order and masks, the students' first weights, the
fine-tuning. All models have the same steps on notes, the teacher's come on top of its students'.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.inputs import model_folder, weights

ABOUT = "accuracy on sections of generated notes: the five clinical models and where they come from"
METRICS = ["score", "devel_score", "held_out_loss"]
NOTES, MEGABYTES = 6000, 8.0
TASK = "pocket-sections"


def cells(setting: Setting) -> list[str]:
    """A cell for each seed."""
    return [str(seed) for seed in range(setting.seeds)]


def data(setting: Setting) -> list[Path]:
    """Notes and text are generated, so the weights alone."""
    return weights(setting)


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """A row for each model."""
    from bioptimus_lib.clinical_models import make
    from bioptimus_lib.clinical_steps import pocket_text, section_jobs
    from bioptimus_lib.pretrain import Settings
    from bioptimus_lib.task_runs import do_all

    seed, place = int(cell), setting.out / "clinical"
    notes, biomedical = pocket_text(place / "text", notes=NOTES, megabytes=MEGABYTES)
    settings = Settings(steps=setting.steps, batch=16, learning_rate=1e-3, seed=seed)
    made = make(
        model_folder(setting), notes, biomedical, out=place / f"models-{cell}", settings=settings,
        device=setting.device, progress=setting.progress,
    )  # fmt: skip
    folders = {name: one.folder for name, one in made.items()}
    jobs = section_jobs(folders, place / "sets", seeds=[seed], device=setting.device,
                        out=place / f"runs-{cell}")  # fmt: skip
    for job, result in do_all(jobs):
        one = made[job.model]
        metrics = {key: round(result["metrics"][key], 4)
                   for key in ("score", "devel_score", "baseline")}  # fmt: skip
        if one.after:
            metrics["held_out_loss"] = round(one.after["loss"], 4)
        yield {"model": job.model, "dataset": TASK, "variant": f"{setting.steps} steps",
               "seed": seed, "steps": one.steps, "metrics": metrics}  # fmt: skip
