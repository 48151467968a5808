"""Tasks beyond named entities with a pre-trained encoder: fine-tune, choose on devel, test once.

Relations, similarity, classification, questions and entailment: what is read and answered differs
by the task (``task_table``), all else is the same. Classes are learnt as they come: none is
weighted or drawn more often. The loop, the optimiser and the remedies of ``finetune`` are those of
the entities.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioptimus_lib.batching import BATCHINGS, Layout
from bioptimus_lib.conll import SPLITS
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_dir, atomic_write, json_lines
from bioptimus_lib.fitting import Fitted, Groups, MakeOptimizer, adamw, decay_groups, fit
from bioptimus_lib.sequences import (
    Classifier,
    Encoded,
    TaskSettings,
    classifier_on,
    encode,
    load_classifier,
    settings_for,
)
from bioptimus_lib.task_data import Answer, Data, Example, Splits, number_of
from bioptimus_lib.task_metrics import METRICS, best_constant, report
from bioptimus_lib.task_table import TASKS, Task, task

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "Classifier", "Data", "Example", "METRICS", "TASKS", "Task", "TaskResult", "TaskSettings",
    "baseline", "encode", "evaluate", "fine_tune", "load_classifier", "read_predictions",
    "repeated", "rows", "save", "settings_for", "task",
]  # fmt: skip


@dataclass(frozen=True)
class TaskResult:
    """What fine-tuning gave; of several folds, of all of them together.

    metrics: on test: ``score`` (the task's metric), ``devel_score`` of the chosen epochs (the mean
        over the folds), ``baseline``, what ``task_metrics.report`` gives, and, where test texts
        stand in train too, what ``repeated`` gives.
    labels: precision, recall, F1 and gold number of each label, on test.
    devel: for each fold, for each epoch: ``epoch``, ``loss``, ``score``, ``seconds``, ``steps``.
    epochs: the one chosen in each fold, from 1.
    predictions: an answer for each test example, in the order of ``data.test``.
    report: what data and encoding say of themselves, and pieces per second.
    """

    metrics: dict[str, float]
    labels: dict[str, dict[str, float]]
    devel: list[list[dict[str, float]]]
    epochs: list[int]
    predictions: list[Answer]
    report: dict[str, Any]
    settings: TaskSettings
    seconds: float
    classifiers: tuple[Classifier, ...] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """All that JSON can hold: without the predictions and the models."""
        names = ("metrics", "labels", "devel", "epochs", "report", "seconds")
        return {name: getattr(self, name) for name in names} | {"settings": asdict(self.settings)}


# --- scores ------------------------------------------------------------------------------------


def rows(of: Task, test: Sequence[Example], predicted: Sequence[Answer]) -> np.ndarray:
    """A row for each test example, for the measure of the task: (examples, width).

    Raises:
        ValueError: not one answer for each example.
    """
    gold = [example.answer for example in test]
    return of.judge.rows(gold, predicted, labels=of.labels, positive=of.positive)


def evaluate(
    of: Task, test: Sequence[Example], predicted: Sequence[Answer]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """(``score`` and what else is reported, the numbers of each label) of predictions."""
    gold = [example.answer for example in test]
    found, labels = report(gold, predicted, labels=of.labels, positive=of.positive)
    return {"score": of.judge.value(rows(of, test, predicted)), **found}, labels


def baseline(of: Task, data: Data) -> tuple[float, list[Answer]]:
    """(score, its constant answer for each test example): the constant that is best on train."""
    made: list[Answer] = []
    for fold in data.folds:
        answers = [example.answer for example in fold["train"]]
        constant = best_constant(answers, of.judge, labels=of.labels, positive=of.positive)
        made += [constant] * len(fold["test"])
    if of.answer == "score":  # constants of several folds differ by chance, which is no correlation
        made = [made[0]] * len(made)
    return of.judge.value(rows(of, data.test, made)), made


def repeated(of: Task, data: Data, predicted: Sequence[Answer]) -> dict[str, float]:
    """What the test texts that stand in train too do to the score: ``score_seen`` on these,
    ``score_new`` on the others, and ``copied``, what the answer that train has for a text (the most
    frequent one) would reach on those seen. Nothing if there are none of either kind."""
    answers: list[Answer | None] = []
    for fold in data.folds:
        found: dict[tuple[str, ...], Counter[Answer]] = {}
        for example in fold["train"]:
            found.setdefault(example.texts, Counter())[example.answer] += 1
        answers += [
            found[e.texts].most_common(1)[0][0] if e.texts in found else None for e in fold["test"]
        ]
    seen = np.array([answer is not None for answer in answers])
    if not 0 < seen.sum() < len(seen):
        return {}
    made = rows(of, data.test, predicted)
    pairs = [(e, a) for e, a in zip(data.test, answers, strict=True) if a is not None]
    copied = rows(of, [example for example, _ in pairs], [answer for _, answer in pairs])
    score = of.judge.value
    return {"score_seen": score(made[seen]), "score_new": score(made[~seen]),
            "copied": score(copied)}  # fmt: skip


# --- fine-tuning -------------------------------------------------------------------------------


def fine_tune(
    model: str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase],
    of: Task,
    data: Data,
    *,
    settings: TaskSettings | None = None,
    groups: Groups = decay_groups,
    optimizer: MakeOptimizer = adamw,
    device: str | None = None,
    progress: bool = False,
) -> TaskResult:
    """Fine-tune an encoder on train, keep the epoch that is best on devel, and test it once; with
    several folds, in each of them.

    Args:
        model: folder of a masked language model, or (model, tokenizer), which is not changed.
        of: the task.
        data: its examples as they are to be read (``Data.shown``).
        settings: how to train.
        groups: makes the optimiser's parameter groups; it may change the model first
            (``finetune.Recipe.groups``).
        optimizer: makes the optimiser for these groups.
        device: by default a GPU if there is one.
        progress: show a progress bar.

    Raises:
        ValueError: mentions that no view has been chosen for.
        FloatingPointError: the loss is NaN or infinite.
    """
    import torch

    if of.views and any(example.mentions for example in data.test):
        raise ValueError(
            f"{of.name} has mentions, choose how they are shown: data.shown({of.views[0]!r})"
        )
    settings = settings or TaskSettings()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    started = time.perf_counter()
    devices = [torch.cuda.current_device()] if torch.device(device).type == "cuda" else []
    parts = []
    for splits in data.folds:
        with torch.random.fork_rng(devices):  # the caller's random numbers are as if never used
            parts.append(_fold(
                model, of, splits, settings, groups=groups, make=optimizer, device=device,
                progress=progress,
            ))  # fmt: skip
    predictions = [answer for part in parts for answer in part.predictions]
    metrics, labels = evaluate(of, data.test, predictions)
    chosen = [part.fitted.rows[part.fitted.best - 1]["score"] for part in parts]
    seen = {split: [part.encoded[split].report for part in parts] for split in SPLITS}
    return TaskResult(
        metrics=metrics
        | {"devel_score": float(np.mean(chosen)), "baseline": baseline(of, data)[0]}
        | repeated(of, data, predictions),
        labels=labels,
        devel=[part.fitted.rows for part in parts],
        epochs=[part.fitted.best for part in parts],
        predictions=predictions,
        report=data.report()
        | {
            "pieces": {
                split: {key: sum(one[key] for one in each) for key in each[0]}
                for split, each in seen.items()
            },
            "pieces_per_second": round(float(np.mean([part.fitted.speed for part in parts]))),
        },
        settings=settings,
        seconds=round(time.perf_counter() - started, 2),
        classifiers=tuple(part.classifier for part in parts),
    )


@dataclass(frozen=True)
class _Part:
    """What one fold gave."""

    classifier: Classifier
    encoded: dict[str, Encoded]
    fitted: Fitted
    predictions: list[Answer]


def _fold(
    model: Any,
    of: Task,
    splits: Splits,
    settings: TaskSettings,
    *,
    groups: Groups,
    make: MakeOptimizer,
    device: str,
    progress: bool,
) -> _Part:
    from bioptimus_lib.models import place

    network, tokenizer = classifier_on(model, of, seed=settings.seed)
    if settings.dropout is not None:
        from bioptimus_lib.pretrain import set_dropout

        set_dropout(network, settings.dropout)
    scale = (0.0, 1.0)
    if of.answer == "score":
        scores = [number_of(example.answer) for example in splits["train"]]
        scale = float(np.mean(scores)), float(np.std(scores)) or 1.0
        network.config.score_scale = list(scale)  # is saved with the model
    classifier = Classifier(place(network, device), tokenizer, of, settings, scale)
    encoded = {split: classifier.encode(splits[split]) for split in SPLITS}
    targets = classifier.targets(splits["train"])

    def loss_of(members: np.ndarray, layout: Layout) -> torch.Tensor:
        logits = classifier.logits(encoded["train"], members, layout)
        return classifier.loss(logits, targets[members])

    def devel() -> Mapping[str, float]:
        made = classifier.predict(splits["devel"], encoded["devel"])
        return {"score": of.judge.value(rows(of, splits["devel"], made))}

    fitted = fit(
        network, settings, lengths=[len(ids) for ids in encoded["train"].ids], loss_of=loss_of,
        devel=devel, choose="score", groups=groups, make=make, progress=progress,
        batching=BATCHINGS[settings.batching],
    )  # fmt: skip
    return _Part(
        classifier, encoded, fitted, classifier.predict(splits["test"], encoded["test"])
    )


# --- files -------------------------------------------------------------------------------------


def save(
    result: TaskResult,
    test: Sequence[Example],
    out: str | Path,
    *,
    model: bool = True,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``predictions.jsonl`` (id, gold, predicted; no text), ``result.json`` with notes among
    its numbers and, if wanted, the model of each fold, whole or not at all."""
    from bioptimus_lib.models import save_model

    several = len(result.classifiers) > 1
    with atomic_dir(out) as folder:
        with atomic_write(folder / "predictions.jsonl") as file:
            for example, answer in zip(test, result.predictions, strict=True):
                row = {"id": example.id, "gold": example.answer, "predicted": answer}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        text = json.dumps(result.as_dict() | dict(notes or {}), indent=1) + "\n"
        (folder / "result.json").write_text(text, encoding="utf-8")
        for number, one in enumerate(result.classifiers if model else ()):
            name = f"model-{number}" if several else "model"
            save_model(one.model, one.tokenizer, folder / name)
    return Path(out)


def read_predictions(path: str | Path, test: Sequence[Example]) -> list[Answer]:
    """The predicted answers of a file of ``save``, in the order of the test examples.

    Raises:
        FileNotFoundError: no such file.
        DataError: not the predictions of these examples: other ids, other gold answers, or more or
            fewer of them.
    """
    found = json_lines(path)
    if len(found) != len(test):
        raise DataError(f"{len(found)} predictions for {len(test)} examples", path=path)
    answers: list[Answer] = []
    for line, (row, example) in enumerate(zip(found, test, strict=True), start=1):
        gold, made = (_answer(row.get(key)) for key in ("gold", "predicted"))
        if row.get("id") != example.id or gold != example.answer or made is None:
            raise DataError(f"not the prediction of {example.id}", path=path, line=line)
        answers.append(made)
    return answers


def _answer(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
