"""The table of the paper at the size that runs here: entity F1 of every version on the NER sets.

The models are those of the experiment ``phases``: the old one, the same continued with its old
vocabulary, and v0.1 to v0.4; any other, such as ``minilm`` as it was published, by its name. From
scratch is no part of ``phases``: whoever names ``scratch`` has it trained here, in the new
vocabulary, through the same four phases with as many steps, which takes as long as they did.

A cell is a model, a set and a seed of fine-tuning. Each cell keeps its predictions and its own
origin, so cells of different days stand in one table. Pre-training was done once for each run of
``phases``: the spread over the seeds of one run is that of fine-tuning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.experiments.cells import Row, Setting, same_setting
from bioptimus_lib.experiments.compared import counts_of, differences, packed, unpacked
from bioptimus_lib.experiments.course import train_course
from bioptimus_lib.experiments.inputs import ner_folder
from bioptimus_lib.nested import ORDER, PER_RUN

if TYPE_CHECKING:
    from bioptimus_lib.ner_runs import Job

ABOUT = "entity F1 of old, continued, from scratch and v0.1 to v0.4 on the NER sets"
METRICS = ["f1", "recall_unseen", "devel_f1"]
OLD, SCRATCH, LAST = "old", "scratch", PHASES[-1].version
SETS = ("NCBI-disease", "BC5CDR-chem", "BC5CDR-disease", "BC2GM", "JNLPBA")
PUBLISHED, TRAINED = "as published", "pre-training"


@dataclass(frozen=True)
class Cell:
    """A model of a run, fine-tuned on a set with a seed; without a set: trained from scratch."""

    model: str
    run: int
    dataset: str = ""
    seed: int = 0

    def __str__(self) -> str:
        if not self.dataset:
            return f"{self.model}+{self.run}"
        return f"{self.dataset}+{self.model}+{self.run}+{self.seed}"


def cells(setting: Setting) -> list[str]:
    """The first seed of all models on all sets, then the second; trainings before all that need
    them.

    Raises:
        ValueError: no finished run of ``phases`` for the models that come from one, or cells of
            another one in this folder.
    """
    return [str(cell) for cell in _cells(setting)]


def _cells(setting: Setting) -> list[Cell]:
    family = [name for name in _models(setting) if name in ORDER]
    others = [Cell(name, 0) for name in _models(setting) if name not in ORDER]
    made: list[Cell] = []
    if family:
        numbers, phases = runs(setting), str(phases_folder(setting).resolve())
        same_setting(setting.out / "ner-table" / "phases.json", {"phases": phases})
        made = [Cell(OLD, 0)] if OLD in family else []  # it is the same for all runs
        made += [
            Cell(model, run)
            for run in numbers
            for model in family
            if model != OLD and (model == SCRATCH or folder(setting, model, run))
        ]
    trainings = [cell for cell in made if cell.model == SCRATCH]
    return trainings + [
        Cell(cell.model, cell.run, _name(dataset), seed)
        for seed in range(setting.seeds)
        for dataset in setting.datasets or SETS
        for cell in (*made, *others)
    ]


def rounds(_: Setting, cells: list[str]) -> list[list[list[str]]]:
    """Trainings from scratch, then all fine-tunings at once."""
    trainings = [cell for cell in cells if cell.count("+") == 1]
    return [[[cell] for cell in some] for some in
            (trainings, [cell for cell in cells if cell not in trainings])]  # fmt: skip


def run(setting: Setting, cell: str) -> Iterator[Row]:
    """The row of a cell."""
    (found,) = (one for one in _cells(setting) if str(one) == cell)
    yield tagged(setting, found) if found.dataset else trained(setting, found.run)


# --- where models and sets are -------------------------------------------------------------------


def _models(setting: Setting) -> tuple[str, ...]:
    return setting.models or tuple(name for name in ORDER if name != SCRATCH)


def _name(dataset: str) -> str:
    return Path(dataset).name


def phases_folder(setting: Setting) -> Path:
    """The folder of the experiment ``phases``."""
    return Path(setting.phases) if setting.phases else setting.out


def runs(setting: Setting) -> list[int]:
    """The finished runs of ``phases``: those that have the last version.

    Raises:
        ValueError: there is none.
    """
    place = phases_folder(setting)
    found = [
        int(path.name.removeprefix("run-"))
        for path in place.glob("run-*")
        if (path / "models" / LAST / "config.json").is_file()
    ]
    if not found:
        raise ValueError(
            f"{place} holds no finished run of the experiment phases (no run-0/models/{LAST}): "
            f"make one with 'bioptimus experiment phases --out {place}', give --phases, or name "
            "other --models"
        )
    return sorted(found)


def folder(setting: Setting, model: str, run: int) -> Path | None:
    """The folder of a model; None for one that the run does not have."""
    from bioptimus_lib.sources import model_path

    if model not in ORDER:
        return model_path(model, progress=setting.progress)
    place = phases_folder(setting)
    if model == OLD:
        there = json.loads((place / "setting.json").read_text(encoding="utf-8"))
        return model_path(there["model"], progress=setting.progress)
    made = place / f"run-{run}" / "models" / model
    if model == SCRATCH:
        made = setting.out / "scratch" / f"run-{run}" / LAST
    return made if (made / "config.json").is_file() else None


def notes(setting: Setting) -> list[str]:
    """What the table lacks, and how to make it."""
    family = [name for name in _models(setting) if name in ORDER]
    place = phases_folder(setting)
    lines = [
        f"{model} is not in {place / f'run-{run}'}: 'bioptimus experiment phases --out {place}' "
        "goes on with it"
        for run in (runs(setting) if family else ())
        for model in family
        if model != SCRATCH and folder(setting, model, run) is None
    ]
    if family and SCRATCH not in family:
        lines.append(
            f"{SCRATCH} was not asked for: the experiment phases trains no model from scratch. "
            f"--models {' '.join((*family, SCRATCH))} trains one here, for as long as all phases"
        )
    return lines


def data(_: Setting) -> list[Path]:
    """No file: every row says itself what it was made from."""
    return []


# --- cells ---------------------------------------------------------------------------------------


def job_of(setting: Setting, cell: Cell) -> Job:
    """The fine-tuning of a cell, by the recipe for a model of its size."""
    from bioptimus_lib.conll import split_files
    from bioptimus_lib.ner_runs import Job
    from bioptimus_lib.tagger import recipe_for

    given = next(d for d in setting.datasets or SETS if _name(d) == cell.dataset)
    model = folder(setting, cell.model, cell.run)
    if model is None:
        raise FileNotFoundError(f"{cell.model} of run {cell.run} is gone since the cells were told")
    return Job(
        cell.model, model, cell.dataset, split_files(ner_folder(setting, given)),
        recipe_for(model, seed=PER_RUN * cell.run + cell.seed),
        setting.out / "ner-table" / "runs" / str(cell),
        device="cpu" if setting.device == "cpu" else None, progress=False,
    )  # fmt: skip


def tagged(setting: Setting, cell: Cell) -> Row:
    """F1 of a cell, with an interval over the test sentences, and its counts for ``finish``."""
    from bioptimus_lib import ner_runs, stats

    job = job_of(setting, cell)
    result = ner_runs.do(job)
    (counts,) = ner_runs.counts([job])
    interval = stats.bootstrap(counts)
    variant = PUBLISHED
    if cell.model in ORDER:
        place = phases_folder(setting)
        there = json.loads((place / "phases" / "setting.json").read_text(encoding="utf-8"))
        variant = f"{there['model']}, {len(PHASES)} × {there['steps']:,} steps"
    return {
        **result["provenance"], "model": _name(cell.model), "dataset": cell.dataset,
        "seed": job.settings.seed, "variant": variant,
        "metrics": result["metrics"] | {"low": interval.low, "high": interval.high},
        "epoch": result["epoch"], "settings": result["settings"], "seconds": result["seconds"],
        "counts": packed(counts),
    }  # fmt: skip


def trained(setting: Setting, number: int) -> Row:
    """A model from scratch, in the new vocabulary, through the four phases of a run; a phase that
    is done is not done again."""
    from bioptimus_lib.models import place, random_masked_lm
    from bioptimus_lib.pipeline import Run
    from bioptimus_lib.provenance import provenance
    from bioptimus_lib.stages import packed, settings_of

    run = Run.opened(phases_folder(setting) / f"run-{number}", progress=False)
    goals = setting.out / "scratch" / f"run-{number}"
    tokenizer = run.tokenizer("new")
    blocks, held_out = (packed(run, name, tokenizer, "new") for name in ("train", "held-out"))
    model = random_masked_lm(run.folder(OLD), tokenizer, seed=run.seed)
    model = place(model, run.torch_device)
    steps, first = run.finished("budget")["steps"], run.seed * len(PHASES)
    course = {  # with the masks of the other versions
        phase.version: (phase.masking, settings_of(run, steps, seed=first + phase.number))
        for phase in PHASES
    }
    rows = train_course(
        run, model, tokenizer, blocks, held_out, course, folder=goals, progress=setting.progress
    )
    weights = (goals / LAST).glob("*.safetensors")
    return {
        **provenance(data=weights, device=setting.device), "model": SCRATCH,
        "dataset": Path(run.corpus_source or run.profile.corpus).name, "seed": number,
        "variant": TRAINED, "metrics": rows[-1]["held_out"],
        **{name: sum(row[name] for row in rows) for name in ("steps", "tokens", "seconds")},
    }  # fmt: skip


# --- all cells together --------------------------------------------------------------------------


def finish(rows: list[Row]) -> list[Row]:
    """The rows; one for each model beside the old one, corrected for all of these comparisons; and
    one for each model over all its seeds."""
    import numpy as np

    from bioptimus_lib import stats

    together: list[Row] = []
    for (dataset, variant), models in counts_of(rows).items():
        for model, some in models.items():
            counts = np.array([unpacked(row["counts"]) for row in some])
            interval = stats.bootstrap(counts, groups=[_pre_training(row) for row in some])
            unseen = [row["metrics"]["recall_unseen"] for row in some]
            together.append({
                "model": model, "dataset": dataset, "seed": None, "variant": f"{variant}, together",
                "metrics": {"f1": interval.value, "low": interval.low, "high": interval.high,
                            "recall_unseen": float(np.mean(unseen)), "seeds": len(some)},
                "seconds": sum(row["seconds"] for row in some),
            })  # fmt: skip
    return rows + differences(rows, first=OLD, group=_pre_training) + together


def _pre_training(row: Row) -> int:
    """The seed of the pre-training that a fine-tuning belongs to; 0 for models as published."""
    return int(row["seed"]) // PER_RUN
