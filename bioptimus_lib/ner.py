"""Named entity recognition with a pre-trained encoder: fine-tune, choose on devel, test once.

A classifier over each token's first piece. The loop is plain PyTorch: sentences are packed into
rows, so nearly nothing is padding (``batching``), and the same seed gives the same numbers.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioptimus_lib.batching import Layout, batching_for, filled, model_inputs
from bioptimus_lib.conll import (
    SPLITS,
    Entity,
    Sentence,
    entities,
    labels_of,
    load_splits,
    read_conll,
    types_of,
    write_conll,
)
from bioptimus_lib.entity_score import recall_unseen, score
from bioptimus_lib.files import atomic_dir
from bioptimus_lib.fitting import Fitted, Groups, MakeOptimizer, fit, step
from bioptimus_lib.models import autocast
from bioptimus_lib.tagger import (
    NerSettings,
    Tagger,
    adamw,
    classifier_on,
    decay_groups,
    load_tagger,
    recipe_for,
)
from bioptimus_lib.windows import IGNORED, Encoding

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "Entity", "NerResult", "NerSettings", "Sentence", "Tagger", "check_splits", "classifier_on",
    "decay_groups", "entities", "evaluate", "fine_tune", "load_splits", "load_tagger", "read_conll",
    "recall_unseen", "recipe_for", "save", "score", "step",
]  # fmt: skip

log = logging.getLogger(__name__)
Splits = Mapping[str, Sequence[Sentence]]


@dataclass(frozen=True)
class NerResult:
    """What fine-tuning gave.

    metrics: on test, in percent: ``f1``, ``precision``, ``recall``, ``recall_unseen``, and
        ``devel_f1`` of the chosen epoch.
    types: precision, recall, F1 and number of gold entities of each type, on test.
    devel: for each epoch ``epoch``, ``loss``, ``precision``, ``recall``, ``f1``, ``seconds``,
        ``steps``.
    epoch: the one chosen, from 1.
    predictions: tags of the test sentences.
    report: what encoding met in each split (``windows.Encoding.report``), and speeds.
    seconds: of all of it.
    tagger: the model of the chosen epoch.
    """

    metrics: dict[str, float]
    types: dict[str, dict[str, float]]
    devel: list[dict[str, float]]
    epoch: int
    predictions: list[tuple[str, ...]]
    report: dict[str, Any]
    settings: NerSettings
    seconds: float
    tagger: Tagger = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """All that JSON can hold: without the predictions and the model."""
        names = ("metrics", "types", "devel", "epoch", "report", "seconds")
        return {name: getattr(self, name) for name in names} | {"settings": asdict(self.settings)}


# --- fine-tuning -------------------------------------------------------------------------------


def fine_tune(
    model: str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase],
    splits: Splits,
    *,
    settings: NerSettings | None = None,
    groups: Groups = decay_groups,
    optimizer: MakeOptimizer = adamw,
    out: str | Path | None = None,
    device: str | None = None,
    progress: bool = False,
) -> NerResult:
    """Fine-tune an encoder on train, keep the epoch that is best on devel, and test it once.

    Args:
        model: folder of a masked language model, or (model, tokenizer), which is not changed.
        splits: ``train``, ``devel`` and ``test``, as from ``load_splits``.
        settings: how to train.
        groups: makes the optimiser's parameter groups; it may change the model first.
        optimizer: makes the optimiser for these groups.
        out: folder for ``predictions.tsv`` (token, gold tag, predicted tag), ``result.json`` and
            the tagger in ``model/``.
        device: by default a GPU if there is one.
        progress: show a progress bar.

    Raises:
        ValueError: as ``check_splits``.
        FloatingPointError: the loss is NaN or infinite.
    """
    import torch

    from bioptimus_lib.models import place

    settings = settings or NerSettings()
    kinds = check_splits(splits)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    started = time.perf_counter()
    labels = labels_of(kinds)
    devices = [torch.cuda.current_device()] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices):  # the caller's random numbers are as if never used
        network, tokenizer = classifier_on(model, labels, seed=settings.seed)
        if settings.dropout is not None:
            from bioptimus_lib.pretrain import set_dropout

            set_dropout(network, settings.dropout)
        tagger = Tagger(place(network, device), tokenizer, tuple(labels), settings)
        encoded = {split: tagger.encode(splits[split]) for split in SPLITS}
        devel, epoch, fast = _train(
            tagger, splits, encoded, groups=groups, make=optimizer, progress=progress
        )
    tested = time.perf_counter()
    predictions = tagger.predict(splits["test"], encoded["test"])
    speed = {"train": fast}
    speed["predict"] = encoded["test"].report["pieces"] / (time.perf_counter() - tested)
    metrics, types = evaluate(splits["test"], predictions, training=splits["train"])
    result = NerResult(
        metrics=metrics | {"devel_f1": devel[epoch - 1]["f1"]},
        types=types,
        devel=devel,
        epoch=epoch,
        predictions=predictions,
        report={split: encoded[split].report for split in SPLITS}
        | {"pieces_per_second": {key: round(value) for key, value in speed.items()}},
        settings=settings,
        seconds=round(time.perf_counter() - started, 2),
        tagger=tagger,
    )
    if out is not None:
        save(result, splits["test"], out)
    return result


def evaluate(
    sentences: Sequence[Sentence],
    predicted: Sequence[Sequence[str]],
    *,
    training: Sequence[Sentence] | None = None,
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """(numbers in percent, the same per type) of predictions, ``recall_unseen`` if training is
    given."""
    found = score([sentence.tags for sentence in sentences], predicted)
    types = found.pop("types")
    metrics = {name: found[name] for name in ("f1", "precision", "recall")}
    if training is not None:
        metrics["recall_unseen"] = recall_unseen(sentences, predicted, training=training)["recall"]
    return metrics, types


def save(
    result: NerResult,
    test: Sequence[Sentence],
    out: str | Path,
    *,
    model: bool = True,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Write predictions, numbers (with notes among them) and, if wanted, the tagger to a folder,
    whole or not at all."""
    from bioptimus_lib.models import save_model

    with atomic_dir(out) as folder:
        write_conll(folder / "predictions.tsv", test, result.predictions)
        text = json.dumps(result.as_dict() | dict(notes or {}), indent=1) + "\n"
        (folder / "result.json").write_text(text, encoding="utf-8")
        if model:
            save_model(result.tagger.model, result.tagger.tokenizer, folder / "model")
    return Path(out)


def check_splits(splits: Splits) -> list[str]:
    """The types of train, which a model can learn; types of devel and test that it lacks are logged
    as a warning.

    Raises:
        ValueError: a split is missing, empty or without an entity, or train has none of the types
            of devel or test.
    """
    for split in SPLITS:
        if not splits.get(split):
            raise ValueError(f"no sentence in {split}: train, devel and test are all needed")
    kinds = {split: types_of(splits[split]) for split in SPLITS}
    purposes = {"train": "learn", "devel": "choose an epoch by", "test": "find"}
    for split, purpose in purposes.items():
        if not kinds[split]:
            raise ValueError(f"{split} holds no entity: there is nothing to {purpose}")
    for split in ("devel", "test"):
        new = sorted(set(kinds[split]) - set(kinds["train"]))
        if new and len(new) == len(kinds[split]):
            raise ValueError(
                f"train has the types {kinds['train']}, {split} has {new}: none fits; a type must "
                "be written alike in all three"
            )
        if new:
            _say_unknown(split, tuple(new))
    return kinds["train"]


@lru_cache
def _say_unknown(split: str, types: tuple[str, ...]) -> None:
    """Once is enough: a set is checked for every seed."""
    log.warning("types %s occur in %s and not in train: all will be missed", list(types), split)


def _train(
    tagger: Tagger,
    splits: Splits,
    encoded: Mapping[str, Encoding],
    *,
    groups: Groups,
    make: MakeOptimizer,
    progress: bool,
) -> Fitted:
    """Train in place; leaves the model with the weights of the best epoch."""
    model, settings = tagger.model, tagger.settings
    pieces = encoded["train"].windows
    index = {label: i for i, label in enumerate(tagger.labels)}
    labels = encoded["train"].labels([sentence.tags for sentence in splits["train"]], index)

    def loss_of(members: np.ndarray, layout: Layout) -> torch.Tensor:
        return batch_loss(
            tagger, [pieces[i].ids for i in members], [labels[i] for i in members], layout
        )

    def devel() -> dict[str, float]:
        gold = [sentence.tags for sentence in splits["devel"]]
        found = score(gold, tagger.predict(splits["devel"], encoded["devel"]))
        return {name: found[name] for name in ("precision", "recall", "f1")}

    return fit(
        model, settings, lengths=[len(piece.ids) for piece in pieces], loss_of=loss_of,
        devel=devel, choose="f1", groups=groups, make=make, progress=progress,
        batching=batching_for(settings.batching, model, tagger.tokenizer),
    )  # fmt: skip


def batch_loss(
    tagger: Tagger,
    sequences: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    layout: Layout,
) -> torch.Tensor:
    """The loss of a batch, the mean over its labelled tokens, wherever they lie in it."""
    import torch

    device = tagger.model.device
    target = torch.from_numpy(filled(labels, layout, IGNORED)).to(device)
    with autocast(device, tagger.settings.precision):
        inputs = model_inputs(sequences, layout, tagger.model, tagger.tokenizer)
        logits = tagger.model(**inputs).logits
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), target.flatten(), ignore_index=IGNORED
    )
