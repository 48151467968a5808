"""What a phase has done to a model: losses under any masks, what is guessed right, how far rows
have moved, gaps filled by several versions side by side, a quick fine-tuning.

Everything here looks and changes nothing. Two versions that share a vocabulary are asked the same
questions: the masks depend on a seed and on the text alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from bioptimus_lib.files import json_lines
from bioptimus_lib.gap_filling import Filled, Gap, fill_mask, gaps
from bioptimus_lib.guessing import WHOLE_WORDS, Guesses, by_shown, frequency_loss, guesses
from bioptimus_lib.masked_loss import EVALUATION_SEED, bits_per_byte, evaluate_mlm
from bioptimus_lib.models import input_table
from bioptimus_lib.word_guesses import (
    EDGES,
    KINDS,
    Siblings,
    Spans,
    Tally,
    accuracy_by_band,
    accuracy_by_pieces,
    accuracy_by_repeat,
    band_names,
    by_kind,
    entity_words,
    kind_of,
    siblings,
    spans,
)
from bioptimus_lib.words import function_words

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.conll import Sentence
    from bioptimus_lib.masking import Masking
    from bioptimus_lib.ner import NerSettings

    Pair = tuple[PreTrainedModel, PreTrainedTokenizerBase]

__all__ = [
    "EDGES", "KINDS", "WHOLE_WORDS", "Drift", "Filled", "Gap", "Guesses", "Siblings", "Spans",
    "Tally", "accuracy_by_band", "accuracy_by_pieces", "accuracy_by_repeat", "band_names",
    "bits_per_byte", "by_kind", "by_shown", "curve", "drift", "embeddings", "entity_words",
    "fill_mask", "frequency_loss", "function_words", "gaps", "guesses", "kind_of", "losses_under",
    "ner_probe", "siblings", "spans",
]  # fmt: skip


# -- losses --------------------------------------------------------------------------------------


def losses_under(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    maskings: Mapping[str, Masking],
    *,
    draws: int = 1,
) -> dict[str, dict[str, float]]:
    """Loss (nats per guessed piece) and accuracy of one model under several maskings.

    Args:
        blocks: packed text (N, T) in the tokenizer's vocabulary.
        maskings: name → masking.
        draws: how many times each is drawn; the numbers are means over the draws.

    Returns:
        name → ``loss``, ``accuracy``, ``spread`` (standard deviation of the loss over draws, NaN
        for one draw), ``masked`` (pieces guessed in all draws).
    """
    found = {}
    for name, masking in maskings.items():
        scores = [
            evaluate_mlm(model, tokenizer, blocks, masking=masking, seed=EVALUATION_SEED + draw)
            for draw in range(draws)
        ]
        losses = [score["loss"] for score in scores]
        found[name] = {
            "loss": float(np.mean(losses)),
            "accuracy": float(np.mean([score["accuracy"] for score in scores])),
            "spread": float(np.std(losses, ddof=1)) if draws > 1 else float("nan"),
            "masked": sum(score["masked"] for score in scores),
        }
    return found


# -- rows of the embedding -----------------------------------------------------------------------


class Drift(NamedTuple):
    """How rows have moved, each (rows,): cosine to where they were, norms, distance over norm."""

    cosine: np.ndarray
    before: np.ndarray
    after: np.ndarray
    moved: np.ndarray


def embeddings(model: PreTrainedModel) -> torch.Tensor:
    """The table of the pieces, float32 (V, H), a copy on the CPU."""
    return input_table(model).detach().float().cpu().clone()


def drift(
    before: torch.Tensor, after: torch.Tensor, rows: Mapping[str, Sequence[int]]
) -> dict[str, Drift]:
    """How far groups of rows have moved from one table (V, H) to another of the same vocabulary.

    Args:
        rows: name → ids, such as the new and the shared pieces of a plan.

    Raises:
        ValueError: the tables differ in shape, or a group is empty.
    """
    if before.shape != after.shape:
        raise ValueError(f"tables {tuple(before.shape)} and {tuple(after.shape)}: not the same")
    found = {}
    for name, ids in rows.items():
        if not len(ids):
            raise ValueError(f"group {name!r} has no rows")
        was, now = before[list(ids)].double(), after[list(ids)].double()
        norm = was.norm(dim=1)
        found[name] = Drift(
            torch.nn.functional.cosine_similarity(was, now).numpy(),
            norm.numpy(),
            now.norm(dim=1).numpy(),
            ((now - was).norm(dim=1) / norm.clamp(min=1e-12)).numpy(),
        )
    return found


# -- training and task ---------------------------------------------------------------------------


def curve(folder: str | Path) -> dict[str, list[float]]:
    """The log of a training folder as columns: step, tokens, loss, grad_norm, learning_rate.

    Raises:
        FileNotFoundError: the folder has no ``log.jsonl``.
    """
    rows = [row for row in json_lines(Path(folder) / "log.jsonl") if "loss" in row]
    names = ("step", "tokens", "loss", "grad_norm", "learning_rate")
    return {name: [row[name] for row in rows] for name in names}


def ner_probe(
    models: Mapping[str, str | Path | Pair],
    splits: Mapping[str, Sequence[Sentence]],
    *,
    settings: NerSettings,
    seeds: int = 2,
    sentences: int = 0,
    device: str | None = None,
) -> dict[str, list[float]]:
    """Test F1 in per cent of quick fine-tunings, one number per seed, the same seeds for all.

    Args:
        models: name → folder or (model, tokenizer); none is changed.
        settings: of each fine-tuning; its seed is the first.
        seeds: fine-tunings of each model.
        sentences: of train that are used; 0 for all.
    """
    from bioptimus_lib.ner import fine_tune

    few = {**splits, "train": splits["train"][: sentences or None]}
    return {
        name: [
            fine_tune(
                model, few, settings=replace(settings, seed=settings.seed + n), device=device
            ).metrics["f1"]
            for n in range(seeds)
        ]
        for name, model in models.items()
    }
