"""The last stage of a run: every model is fine-tuned on the NER set and tested, several at a time.

The settings are the same for all, and the first seed of all models comes before the second, so
that a run that is cut has something to compare.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.files import atomic_write
from bioptimus_lib.machine import usable_cores
from bioptimus_lib.nested import PER_RUN

if TYPE_CHECKING:
    from bioptimus_lib.conll import Sentence
    from bioptimus_lib.ner import NerSettings
    from bioptimus_lib.pipeline import Run
    from bioptimus_lib.profile import Profile

MODELS = ("old", "continued", *(phase.version for phase in PHASES))
PROBE_SENTENCES = 200  # sentences that measure how fast it tags
SIDE_BY_SIDE = 4  # fine-tunings at a time, at most: each holds a model and its optimiser
WORTH_IT = 1_000_000  # words to read in all fine-tunings from which processes are worth starting


def ner(run: Run) -> dict[str, Any]:
    """Fine-tune and test every model, once per seed; on a CPU several at a time."""
    import numpy as np
    from tqdm.auto import tqdm

    from bioptimus_lib.workers import WorkerPool

    splits = ner_splits(run)
    workers, threads = side_by_side(run, splits)
    jobs = []
    for number, model in fine_tunings(run.profile):
        seed = PER_RUN * run.seed + number
        file = run.out / "ner" / f"{model}-seed{seed}.json"
        if not file.exists():
            settings = ner_settings(run.profile, seed=seed)
            jobs.append(Tagging(run.folder(model), splits, settings, run.device, threads, file))
    with WorkerPool(workers if jobs else 0, models=True) as pool:
        done = pool.in_order(tag, jobs)
        for _ in tqdm(done, total=len(jobs), unit="fine-tuning", disable=not run.progress):
            pass
    means = {model: float(np.mean(values)) for model, values in run.scores().items()}
    return {
        "size": f"{len(fine_tunings(run.profile))} fine-tunings",
        "measure": f"F1 {means['old']:.1f} old, {means[MODELS[-1]]:.1f} {MODELS[-1]}",
        "f1": means,
    }


class Tagging(NamedTuple):
    """One fine-tuning with its test, for ``tag``."""

    model: Path
    splits: dict[str, list[Sentence]]
    settings: NerSettings
    device: str | None
    threads: int | None
    file: Path


def tag(job: Tagging) -> None:
    """Fine-tune, test, and write what came out to the job's file."""
    import torch

    from bioptimus_lib.ner import fine_tune

    if job.threads:
        torch.set_num_threads(job.threads)
    result = fine_tune(job.model, job.splits, settings=job.settings, device=job.device)
    with atomic_write(job.file) as handle:
        json.dump(result.as_dict(), handle, indent=1)


def side_by_side(run: Run, splits: dict[str, list[Sentence]]) -> tuple[int, int | None]:
    """(processes, threads of each) for the fine-tunings: small models use a core each best.

    0 processes and None stand for this process as it is: on a GPU, and when there is little to do.
    """
    words = sum(len(sentence.tokens) for sentence in splits["train"])
    work = words * run.profile.ner_epochs * len(fine_tunings(run.profile))
    cores = usable_cores()
    if run.torch_device != "cpu" or cores == 1 or work < WORTH_IT:
        return 0, None
    workers = min(cores, SIDE_BY_SIDE)
    return workers, cores // workers


def values_of(profile: Profile) -> dict[str, Any]:
    """What the profile asks of a fine-tuning, by the names of ``NerSettings``; what it leaves open
    is not there.

    >>> from bioptimus_lib.profile import profile
    >>> values_of(profile("laptop"))
    {'epochs': 8, 'learning_rate': 0.0006}
    """
    asked = {
        "epochs": profile.ner_epochs,
        "learning_rate": profile.ner_learning_rate,
        "batch_tokens": profile.ner_batch_tokens,
        "dropout": profile.ner_dropout,
    }
    return {name: value for name, value in asked.items() if value is not None}


def ner_settings(profile: Profile, *, seed: int, epochs: int | None = None) -> NerSettings:
    """The profile's settings of fine-tuning."""
    from bioptimus_lib.ner import NerSettings

    own = {"epochs": epochs} if epochs else {}
    return NerSettings(**values_of(profile) | own, seed=seed)


def fine_tunings(profile: Profile) -> list[tuple[int, str]]:
    """(seed, model) of every fine-tuning; the first seed of all models comes first."""
    most = max(profile.seeds, profile.seeds_between)
    compared = (*MODELS[:2], MODELS[-1])
    return [
        (seed, model)
        for seed in range(most)
        for model in MODELS
        if seed < (profile.seeds if model in compared else profile.seeds_between)
    ]


def ner_folder(run: Run) -> Path:
    """The folder of the run's NER set: given, generated or fetched."""
    from bioptimus_lib import pocket_ner, sources

    if run.ner_source is not None:
        return run.ner_source
    if run.profile.ner != "pocket":
        return sources.fetch(run.profile.ner, progress=run.progress)
    folder = run.out / "ner-set"
    if not (folder / "test.tsv").exists():
        test = run.profile.ner_test_sentences
        sizes = {"devel": test // 2, "test": test} if test else {}
        pocket_ner.write_ner(folder, seed=run.seed, **sizes)
    return folder


def ner_splits(run: Run) -> dict[str, list[Sentence]]:
    """The run's NER set, its training sentences cut to as many as the profile wants."""
    from bioptimus_lib.conll import load_splits

    splits = load_splits(ner_folder(run))
    if run.profile.ner_sentences:
        splits["train"] = splits["train"][: run.profile.ner_sentences]
    return splits


def expected_tagging(run: Run) -> float:
    """Seconds that all fine-tunings of the run will take, by what a few sentences take."""
    import torch

    from bioptimus_lib.ner import fine_tune

    splits = ner_splits(run)
    workers, threads = side_by_side(run, splits)
    few = [s for s in splits["train"] if any(tag != "O" for tag in s.tags)][:PROBE_SENTENCES]
    usual = torch.get_num_threads()
    torch.set_num_threads(threads or usual)
    try:
        result = fine_tune(
            run.folder("old"),
            dict.fromkeys(splits, few),
            settings=ner_settings(run.profile, epochs=1, seed=run.seed),
            device=run.device,
        )
    finally:
        torch.set_num_threads(usual)
    seen, speed = result.report["train"], result.report["pieces_per_second"]
    words = {name: sum(len(s.tokens) for s in split) for name, split in splits.items()}
    pieces = {name: n * seen["pieces"] / seen["tokens"] for name, n in words.items()}
    # Devel is read after each epoch, test once.
    epoch = pieces["train"] / speed["train"] + pieces["devel"] / speed["predict"]
    one = run.profile.ner_epochs * epoch + pieces["test"] / speed["predict"]
    return float(one) * math.ceil(len(fine_tunings(run.profile)) / max(workers, 1))
