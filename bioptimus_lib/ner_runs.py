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
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import sha256_of
from bioptimus_lib.tagger import NerSettings

if TYPE_CHECKING:
    import numpy as np

Result = dict[str, Any]
#: What makes a model: its weights, its shape, its tokenizer.
MODEL_FILES = ("*.safetensors", "config.json", "tokenizer.json", "vocab.txt")


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
    found = sorted({path for pattern in MODEL_FILES for path in job.folder.glob(pattern)})
    return {
        "settings": asdict(job.settings),
        "sentences": job.sentences or None,
        "model": {path.name: _hash(path) for path in found},
        "data": {split: _hash(job.files[split]) for split in SPLITS},
    }


def _hash(path: Path) -> str:
    status = path.stat()
    return _hash_of(path, status.st_mtime_ns, status.st_size)


@lru_cache(1000)
def _hash_of(path: Path, *_: int) -> str:
    return sha256_of(path)


def kept(job: Job) -> Result | None:
    """The result of a job that was done before, or None.

    Raises:
        ValueError: its place holds the result of something else; the message says what differs.
        DataError: the result cannot be read.
    """
    file = job.place / "result.json"
    if not file.is_file():
        if job.place.exists():
            raise ValueError(f"{job.place} is there and holds no result.json: give another --out")
        return None
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        there = result["origin"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"no result of this version ({type(error).__name__}): delete its folder, and it is "
            "made again",
            path=file,
        ) from None
    if differences := _differences(there, origin(job)):
        raise ValueError(
            f"{job.place} holds a run with other settings ({'; '.join(differences)}): give another "
            "--out, or delete it"
        )
    if not (job.place / "predictions.tsv").is_file():
        raise DataError("the predictions are missing: delete the folder, and it is made again",
                        path=job.place)  # fmt: skip
    return result


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs between two origins, in words."""
    old, new = there.get("settings") or {}, here["settings"]
    found = [f"{k} {old.get(k)} there, {new[k]} here" for k in new if old.get(k) != new[k]]
    if there.get("sentences") != here["sentences"]:
        some = [origin.get("sentences") or "all" for origin in (there, here)]
        found.append("{} sentences of train there, {} here".format(*some))
    if there.get("model") != here["model"]:
        found.append("the model is another one")
    data = there.get("data") or {}
    changed = [split for split in SPLITS if data.get(split) != here["data"][split]]
    return found + ([f"changed since: {', '.join(changed)}"] if changed else [])


def splits_of(job: Job) -> dict[str, list[Sentence]]:
    """The sentences of a job, train cut to as many as it wants; read once for many jobs."""
    files = tuple(job.files[split] for split in SPLITS)
    return _splits(files, tuple(map(_hash, files)), job.sentences or None)


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
    from bioptimus_lib.provenance import provenance

    if job.threads:
        torch.set_num_threads(job.threads)
    splits = splits_of(job)
    result = ner.fine_tune(
        job.folder, splits, settings=job.settings, device=job.device, progress=job.progress
    )
    weights = sorted(job.folder.glob("*.safetensors"))
    notes = {
        "origin": origin(job),
        "provenance": provenance(data=[*job.files.values(), *weights], device=job.device),
    }
    ner.save(result, splits["test"], job.place, model=job.keep_model, notes=notes)
    return json.loads((job.place / "result.json").read_text(encoding="utf-8"))


def do_all(todo: Sequence[Job], *, workers: int = 0) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, in their order; several at a time with ``workers`` processes.

    A small model gains little from a second core, a second fine-tuning nearly all of it: give each
    process one thread (``Job.threads``).
    """
    from bioptimus_lib.passes import Crew

    missing = [job for job in todo if kept(job) is None]  # what is refused is refused now
    new = {job.place for job in missing}
    with Crew(workers if len(missing) > 1 else 0) as crew:
        made = crew.in_order(do, missing)
        for job in todo:
            yield job, next(made) if job.place in new else do(job)


# --- many jobs ----------------------------------------------------------------------------------


def counts(done: Iterable[Job]) -> np.ndarray:
    """Entities (found, spurious, missed) of the predictions on disk: (jobs, sentences, 3).

    Raises:
        ValueError: the predictions are not those of the test file.
    """
    import numpy as np

    from bioptimus_lib.stats import entity_counts

    rows = []
    for job in done:
        gold = [sentence.tags for sentence in splits_of(job)["test"]]
        file = job.place / "predictions.tsv"
        try:
            rows.append(entity_counts(gold, read_predictions(file)))
        except DataError:
            raise
        except ValueError as error:
            what = f"not the predictions of {job.files['test']}: {error}"
            raise DataError(what, path=file) from None
    return np.stack(rows)


def work(job: Job) -> float:
    """Words that a job reads, by what they cost: a prediction is about a third of a step."""
    words = {split: sum(map(len, some)) for split, some in splits_of(job).items()}
    epochs = job.settings.epochs
    return epochs * words["train"] + (epochs * words["devel"] + words["test"]) / 3


def seconds_left(todo: Iterable[Job], done: Iterable[tuple[Job, Result]]) -> float | None:
    """What jobs will take, by what others took: the same model if there is one; None if there is
    nothing to go by."""
    rates: dict[str, list[float]] = {}
    for job, result in done:
        rates.setdefault(job.model, []).append(result["seconds"] / work(job))
    if not rates:
        return None
    means = {model: sum(some) / len(some) for model, some in rates.items()}
    usual = sum(means.values()) / len(means)
    return sum(means.get(job.model, usual) * work(job) for job in todo)
