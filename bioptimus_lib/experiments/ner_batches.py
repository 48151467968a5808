"""What a batch is made of, and what that does to F1: each way of ``batching.BATCHINGS``, paired.

A cell is a way and a seed: the same start, the same classifier, as many steps (or one or two more),
another order of the sentences. It is fine-tuned for one epoch and by the whole recipe. A cell of
another kind asks the gradient: with a model that has been trained for an epoch, how much of a
batch's gradient do all batches share, and does their mean point where the whole text points?
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioptimus_lib.batching import BATCHINGS
from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.inputs import model_folder, ner_files, ner_splits, weights

if TYPE_CHECKING:
    from bioptimus_lib.conll import Sentence
    from bioptimus_lib.tagger import Tagger

ABOUT = "devel and test F1, and what gradients share, by the way to make batches"
METRICS = ["devel_f1", "devel_f1_minus_random", "f1", "loss", "signal", "bias"]
STOCK, HALF, GRADIENT = "random", "packed-bf16", "gradient"
#: name → what it changes in the recipe; all are in 32 bits, but for the one that asks about these.
WAYS: dict[str, dict[str, Any]] = {
    name: {"batching": name, "precision": "fp32"} for name in BATCHINGS if name != "padded"
} | {HALF: {"batching": "packed", "precision": "bf16"}}
#: The whole recipe is for what one would train with: it takes the longest.
WHOLE = (STOCK, "packed", HALF)
#: name → epochs, and what the ledger calls it; None for as many as the recipe has.
EPOCH, RECIPE = "epoch", "recipe"
LENGTHS: dict[str, tuple[int | None, str]] = {
    EPOCH: (1, "one epoch"), RECIPE: (None, "whole recipe")
}  # fmt: skip
GRADIENT_SEEDS = 3  # at most: a pass over the text for each way
#: What ``--strategies`` chooses from.
NAMES = (*WAYS, GRADIENT)


def cells(setting: Setting) -> list[str]:
    """A cell for each way, length of training and seed: one epoch first, then the gradients."""
    names = list(setting.strategies) or list(NAMES)
    ways, seeds = [name for name in names if name in WAYS], range(setting.seeds)
    found = [f"{way}-{EPOCH}-{seed}" for seed in seeds for way in ways]
    if GRADIENT in names:
        found += [f"{GRADIENT}-all-{seed}" for seed in seeds[:GRADIENT_SEEDS]]
    return found + [
        f"{way}-{RECIPE}-{seed}" for seed in seeds for way in ways if way in WHOLE
    ]  # fmt: skip


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The row of a fine-tuning, or the rows of the gradients of all ways."""
    way, length, seed = cell.rsplit("-", 2)
    common = {"dataset": setting.text_name, "seed": int(seed)}
    model = setting.model_name
    if way == GRADIENT:
        for name, metrics in gradients(setting, seed=int(seed)).items():
            yield {**common, "model": name, "variant": f"{model}, gradients", "metrics": metrics}
        return
    epochs, called = LENGTHS[length]
    done = tuned(setting, way, epochs=epochs, seed=int(seed))
    pieces = done.report["train"]["pieces"] * len(done.devel)
    yield {
        **common, "model": way, "variant": f"{model}, {called}",
        "metrics": done.metrics | {"loss": done.devel[-1]["loss"]},
        "steps": sum(row["steps"] for row in done.devel),
        "epochs": len(done.devel), "epoch": done.epoch,
        "training_seconds": round(pieces / done.report["pieces_per_second"]["train"], 2),
    }  # fmt: skip


def finish(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with what each has more than the stock way of the same seed and length."""
    stock = {(row["variant"], row["seed"]): row["metrics"] for row in rows if row["model"] == STOCK}
    for row in rows:
        other = stock.get((row["variant"], row["seed"]), {})
        for name in ("devel_f1", "f1"):
            if name in other and row["model"] != STOCK:
                row["metrics"][f"{name}_minus_random"] = row["metrics"][name] - other[name]
    return list(rows)


def data(setting: Setting) -> list[Path]:
    """The files that the rows come from."""
    return ner_files(setting) + weights(setting)


# --- fine-tuning -------------------------------------------------------------------------------


def tuned(setting: Setting, way: str, *, epochs: int | None, seed: int) -> Any:
    """What ``fine_tune`` gives: the recipe for the model's size, for so many epochs or all."""
    from bioptimus_lib.ner import fine_tune, recipe_for

    folder = model_folder(setting)
    changes = WAYS[way] | ({"epochs": epochs} if epochs else {})
    return fine_tune(
        folder, ner_splits(setting), settings=recipe_for(folder, seed=seed, **changes),
        device=setting.device, progress=setting.progress,
    )  # fmt: skip


# --- gradients ---------------------------------------------------------------------------------


def gradients(setting: Setting, *, seed: int) -> dict[str, dict[str, float]]:
    """What the batches of each way share, after an epoch of training on random ones."""
    found, tagger = {}, tuned(setting, STOCK, epochs=1, seed=seed).tagger
    train = ner_splits(setting)["train"]
    for way in WAYS:
        if WAYS[way]["precision"] == "fp32":
            found[way] = shared(tagger, train, way, seed=seed)
    return found


def shared(
    tagger: Tagger, sentences: Sequence[Sentence], way: str, *, seed: int
) -> dict[str, float]:
    """How the gradients of an epoch's batches hang together, without dropout and without a step.

    Over n batches with gradients gᵢ the mean product of two different ones estimates the squared
    norm of what they share, without bias (McCandlish et al., 2018, appendix A).

    Returns:
        ``signal``: share of the squared norm of a batch's gradient that is common to all, in
        percent; ``bias``: how far the mean over the batches is from the gradient of the whole text,
        each token counted once, relative to its norm, in percent; ``uneven``: standard deviation of
        the labelled tokens in a batch, in percent of their mean.
    """
    import torch

    from bioptimus_lib.batching import batching_for
    from bioptimus_lib.ner import batch_loss

    model, encoding = tagger.model.eval(), tagger.encode(sentences)
    index = {label: i for i, label in enumerate(tagger.labels)}
    labels = encoding.labels([sentence.tags for sentence in sentences], index)
    ids = [piece.ids for piece in encoding.windows]
    lengths = np.array([len(some) for some in ids])
    batching = batching_for(WAYS[way]["batching"], model, tagger.tokenizer)
    weights = [p for p in model.parameters() if p.requires_grad]
    mean, whole = ([torch.zeros_like(p) for p in weights] for _ in range(2))
    squares, tokens = 0.0, []
    for batch in batching.draw(
        lengths, budget=tagger.settings.batch_tokens, generator=np.random.default_rng(seed)
    ):
        layout = batching.lay(lengths[batch])
        loss = batch_loss(tagger, [ids[i] for i in batch], [labels[i] for i in batch], layout)
        tokens.append(sum(int((labels[i] >= 0).sum()) for i in batch))
        gradient = torch.autograd.grad(loss, weights)
        torch._foreach_add_(mean, gradient)
        torch._foreach_add_(whole, gradient, alpha=tokens[-1])
        squares += sum(float(g.square().sum()) for g in gradient)
    count = len(tokens)
    if count < 2:
        raise ValueError(f"{len(sentences)} sentences are one batch: two are compared at least")
    torch._foreach_div_(whole, float(sum(tokens)))
    together = sum(float(g.square().sum()) for g in mean)
    common = (together - squares) / (count * (count - 1))
    torch._foreach_div_(mean, count)
    apart = sum(float((a - b).square().sum()) for a, b in zip(mean, whole, strict=True))
    norm = sum(float(g.square().sum()) for g in whole)
    return {
        "signal": 100 * common / (squares / count),
        "bias": 100 * math.sqrt(apart / norm),
        "uneven": 100 * float(np.std(tokens) / np.mean(tokens)),
        "batches": count,
    }
