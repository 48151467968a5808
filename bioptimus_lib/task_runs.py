"""Fine-tunings on tasks that are kept: a folder for each model, task and seed (``kept``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.conll import SPLITS
from bioptimus_lib.finetune import Recipe
from bioptimus_lib.kept import (
    Result,
    each,
    expected,
    hash_of,
    model_hashes,
    notes,
    read_kept,
    stacked,
)
from bioptimus_lib.sequences import TaskSettings
from bioptimus_lib.task_data import Data
from bioptimus_lib.task_table import Task, task

if TYPE_CHECKING:
    import numpy as np

PREDICTIONS = "predictions.jsonl"


@dataclass(frozen=True)
class Job:
    """One fine-tuning with its test.

    Args:
        model: name of the model.
        folder: where it is.
        task: name of the task as ``task_table.task`` knows it: a row, or a folder of one's own.
        data: folder of its files.
        settings: how to fine-tune; the seed is among them.
        place: folder of what comes out: ``predictions.jsonl``, ``result.json`` and, with
            ``keep_model``, ``model/``.
        view: how mentions are shown; None for texts without them.
        recipe: what is frozen, slowed down or begun anew.
        examples: the first so many of train; ``None`` or 0 for all.
        device: by default a GPU if there is one.
        threads: of PyTorch; ``None`` leaves them as they are.
        progress: show a progress bar.
    """

    model: str
    folder: Path
    task: str
    data: Path
    settings: TaskSettings
    place: Path
    view: str | None = None
    recipe: Recipe = field(default_factory=Recipe)
    examples: int | None = None
    device: str | None = None
    threads: int | None = None
    progress: bool = False
    keep_model: bool = False

    @property
    def row(self) -> Task:
        return task(self.task)

    @property
    def dataset(self) -> str:
        """The name of what is measured: the task, and its view where it is not the usual one."""
        row = self.row
        return row.name if self.view == row.view() else f"{row.name}-{self.view}"


def jobs(
    models: Mapping[str, Path],
    name: str,
    data: Path,
    *,
    seeds: Sequence[int],
    settings: Mapping[str, TaskSettings],
    out: Path,
    view: str | None = None,
    **others: Any,
) -> list[Job]:
    """The jobs of some models on a task; the first seed of all models comes before the second.

    Args:
        models: name → folder.
        name: of the task.
        data: folder of its files.
        settings: name of the model → how to fine-tune it, but for the seed.
        out: folder of the places, ``<out>/<task>/<model>/seed-<n>``.
        others: further fields of ``Job``, the same for all.
    """
    view = task(name).view(view)
    made = []
    for seed in seeds:
        for model, folder in models.items():
            one = Job(model, folder, name, data, replace(settings[model], seed=seed), out,
                      view=view, **others)  # fmt: skip
            made.append(replace(one, place=out / one.dataset / model / f"seed-{seed}"))
    return made


# --- one job ------------------------------------------------------------------------------------


def files_of(job: Job) -> list[Path]:
    """The files of a task's folder, ``task.json`` among them, and of the folders of its splits."""
    found = [*job.data.iterdir(), *chain(*((job.data / split).rglob("*") for split in SPLITS))]
    return sorted(path for path in found if path.is_file())


def origin(job: Job) -> dict[str, Any]:
    """What a result depends on: settings, recipe, view, examples of train, hashes of the model and
    of the files."""
    return {
        "settings": asdict(job.settings),
        "recipe": asdict(job.recipe),
        "view": job.view,
        "examples": job.examples or None,
        "model": model_hashes(job.folder),
        "data": {path.relative_to(job.data).as_posix(): hash_of(path) for path in files_of(job)},
    }


def kept(job: Job) -> Result | None:
    """The result of a job that was done before, or None; errors as ``kept.read_kept``."""
    return read_kept(job.place, origin(job), files=(PREDICTIONS,), model=job.keep_model)


def data_of(job: Job) -> Data:
    """The examples of a job as they are to be read; read once for many jobs."""
    hashes = tuple(map(hash_of, files_of(job)))
    return _data(job.task, job.data, hashes, job.view, job.examples)


@lru_cache(16)  # more than the table has tasks: what is left to do is reckoned over all of them
def _data(
    name: str, folder: Path, _: tuple[str, ...], view: str | None, examples: int | None
) -> Data:
    row = task(name)
    data = row.load(folder).shown(view).first(examples)
    row.check_labels(data, folder)  # the first examples may lack a label that all have
    return data


def do(job: Job) -> Result:
    """Fine-tune, test, and keep what came out; what is kept is read."""
    if (done := kept(job)) is not None:
        return done
    import torch

    from bioptimus_lib import tasks

    if job.threads:
        torch.set_num_threads(job.threads)
    data = data_of(job)
    result = tasks.fine_tune(
        job.folder, job.row, data, settings=job.recipe.settings(job.settings),
        groups=job.recipe.groups, optimizer=job.recipe.optimizer, device=job.device,
        progress=job.progress,
    )  # fmt: skip
    tasks.save(
        result, data.test, job.place, model=job.keep_model,
        notes=notes(job, origin(job), files=files_of(job)),
    )  # fmt: skip
    made: Result = json.loads((job.place / "result.json").read_text(encoding="utf-8"))
    return made


def do_all(todo: Sequence[Job], *, workers: int = 0) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, in their order, as ``kept.each``."""
    return each(todo, do=do, kept=kept, workers=workers)


# --- many jobs ----------------------------------------------------------------------------------


def rows(done: Iterable[Job]) -> np.ndarray:
    """Rows of the predictions on disk, for the measure of the task: (jobs, examples, width).

    Raises:
        DataError: the predictions are not those of the test examples.
    """
    from bioptimus_lib import tasks

    def read(job: Job, file: Path) -> np.ndarray:
        test = data_of(job).test
        return tasks.rows(job.row, test, tasks.read_predictions(file, test))

    return stacked(done, read, file=PREDICTIONS, what=lambda job: f"predictions of {job.task}")


def work(job: Job) -> float:
    """Characters that a job reads, by what they cost: a prediction is about a third of a step."""
    total = 0.0
    for fold in data_of(job).folds:
        size = {split: sum(len(t) for e in some for t in e.texts) for split, some in fold.items()}
        epochs = job.recipe.settings(job.settings).epochs
        total += epochs * size["train"] + (epochs * size["devel"] + size["test"]) / 3
    return total


def seconds_left(todo: Iterable[Job], done: Iterable[tuple[Job, Result]]) -> float | None:
    """What jobs will take, as ``kept.expected``."""
    return expected(todo, done, work=work)
