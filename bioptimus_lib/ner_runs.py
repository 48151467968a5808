"""Fine-tunings that are kept: a folder for each model, set and seed, made once and read ever after.

A folder appears when its fine-tuning is done, whole. It says what it was made from: settings, the
hashes of the model and of the three files, and where it was computed. The same is not done again;
something else in its place is refused, with the difference in words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.conll import SPLITS, Sentence, read_conll, read_predictions
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
from bioptimus_lib.tagger import NerSettings

if TYPE_CHECKING:
    import numpy as np

PREDICTIONS = "predictions.tsv"


@dataclass(frozen=True)
class Job:
    """One fine-tuning with its test.

    Args:
        model: name of the model.
        folder: where it is.
        dataset: name of the set.
        files: train, devel and test of the set.
        settings: how to fine-tune; the seed is among them.
        place: folder of what comes out: ``predictions.tsv``, ``result.json`` and, with
            ``keep_model``, ``model/``.
        sentences: the first so many of train; ``None`` or 0 for all.
        device: by default a GPU if there is one.
        threads: of PyTorch; ``None`` leaves them as they are.
        progress: show a progress bar.
    """

    model: str
    folder: Path
    dataset: str
    files: Mapping[str, Path]
    settings: NerSettings
    place: Path
    sentences: int | None = None
    device: str | None = None
    threads: int | None = None
    progress: bool = False
    keep_model: bool = False


def jobs(
    models: Mapping[str, Path],
    dataset: str,
    files: Mapping[str, Path],
    *,
    seeds: Sequence[int],
    settings: Mapping[str, NerSettings],
    out: Path,
    **others: Any,
) -> list[Job]:
    """The jobs of some models on a set; the first seed of all models comes before the second, so
    that work that is cut short can be compared.

    Args:
        models: name → folder.
        settings: name of the model → how to fine-tune it, but for the seed.
        out: folder of the places, ``<out>/<dataset>/<model>/seed-<n>``.
        others: further fields of ``Job``, the same for all.
    """
    return [
        Job(
            model, folder, dataset, files, replace(settings[model], seed=seed),
            out / dataset / model / f"seed-{seed}", **others,
        )
        for seed in seeds
        for model, folder in models.items()
    ]  # fmt: skip


# --- one job ------------------------------------------------------------------------------------


def origin(job: Job) -> dict[str, Any]:
    """What a result depends on: settings, sentences of train, hashes of the model and the files."""
    return {
        "settings": asdict(job.settings),
        "sentences": job.sentences or None,
        "model": model_hashes(job.folder),
        "data": {split: hash_of(job.files[split]) for split in SPLITS},
    }


def kept(job: Job) -> Result | None:
    """The result of a job that was done before, or None.

    Raises:
        ValueError: its place holds the result of something else; the message says what differs.
        DataError: the result cannot be read.
    """
    return read_kept(job.place, origin(job), files=(PREDICTIONS,), model=job.keep_model)


def splits_of(job: Job) -> dict[str, list[Sentence]]:
    """The sentences of a job, train cut to as many as it wants; read once for many jobs."""
    files = tuple(job.files[split] for split in SPLITS)
    return _splits(files, tuple(map(hash_of, files)), job.sentences or None)


@lru_cache(8)
def _splits(
    files: tuple[Path, ...], _: tuple[str, ...], sentences: int | None
) -> dict[str, list[Sentence]]:
    splits = {split: read_conll(path) for split, path in zip(SPLITS, files, strict=True)}
    return {**splits, "train": splits["train"][:sentences]}


def do(job: Job) -> Result:
    """Fine-tune, test, and keep what came out; what is kept is read."""
    if (done := kept(job)) is not None:
        return done
    import torch

    from bioptimus_lib import ner

    if job.threads:
        torch.set_num_threads(job.threads)
    splits = splits_of(job)
    result = ner.fine_tune(
        job.folder, splits, settings=job.settings, device=job.device, progress=job.progress
    )
    ner.save(
        result, splits["test"], job.place, model=job.keep_model,
        notes=notes(job, origin(job), files=job.files.values()),
    )  # fmt: skip
    made: Result = json.loads((job.place / "result.json").read_text(encoding="utf-8"))
    return made


def do_all(todo: Sequence[Job], *, workers: int = 0) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, in their order, as ``kept.each``."""
    return each(todo, do=do, kept=kept, workers=workers)


# --- many jobs ----------------------------------------------------------------------------------


def counts(done: Iterable[Job]) -> np.ndarray:
    """Entities (found, spurious, missed) of the predictions on disk: (jobs, sentences, 3).

    Raises:
        DataError: the predictions are not those of the test file.
    """
    from bioptimus_lib.stats import entity_counts

    def read(job: Job, file: Path) -> np.ndarray:
        gold = [sentence.tags for sentence in splits_of(job)["test"]]
        return entity_counts(gold, read_predictions(file))

    return stacked(
        done, read, file=PREDICTIONS, what=lambda job: f"the predictions of {job.files['test']}"
    )


def work(job: Job) -> float:
    """Words that a job reads, by what they cost: a prediction is about a third of a step."""
    words = {split: sum(map(len, some)) for split, some in splits_of(job).items()}
    epochs = job.settings.epochs
    return epochs * words["train"] + (epochs * words["devel"] + words["test"]) / 3


def seconds_left(todo: Iterable[Job], done: Iterable[tuple[Job, Result]]) -> float | None:
    """What jobs will take, by what others took: the same model if there is one; None if there is
    nothing to go by."""
    return expected(todo, done, work=work)
