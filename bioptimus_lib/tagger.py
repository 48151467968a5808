"""A model that tags tokens: its settings, how it reads a batch, how it chooses the tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioptimus_lib.batching import by_length, model_inputs, padded
from bioptimus_lib.conll import Sentence
from bioptimus_lib.fitting import (
    FitSettings,
    adamw,
    decay_groups,
    grad_scaler,
    head_on,
    recipe_of,
    window_of,
)
from bioptimus_lib.models import autocast, load_fine_tuned, precision_for
from bioptimus_lib.windows import Encoding, encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "NerSettings", "Tagger", "adamw", "best_each", "best_path", "classifier_on", "decay_groups",
    "grad_scaler", "load_tagger", "recipe_for", "window_of",
]  # fmt: skip


@dataclass(frozen=True)
class NerSettings(FitSettings):
    """How to fine-tune a tagger: ``FitSettings``, with windows of ``max_length`` pieces.

    Args:
        overlap: pieces that two windows of a long sentence share; ``None`` for a quarter.
        constrained: choose the best tag sequence that is valid IOB2; ``False`` takes the best tag
            of each token, valid or not.
    """

    overlap: int | None = None
    constrained: bool = True


def recipe_for(model: str | Path | PreTrainedModel, **changes: Any) -> NerSettings:
    """The settings of ``fitting.RECIPES`` for a model or a folder, with some of them changed.

    Raises:
        FileNotFoundError: no model in the folder.
    """
    return NerSettings(**recipe_of(model) | changes)


@dataclass(frozen=True)
class Tagger:
    """A model that tags tokens, its tokenizer and its tags, in the order of its outputs."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: tuple[str, ...]
    settings: NerSettings = field(default_factory=NerSettings)

    @property
    def window(self) -> int:
        """Pieces that fit: the least of the model's, the tokenizer's and the wanted window."""
        return window_of(self.model, self.tokenizer, self.settings.max_length)

    def encode(self, sentences: Sequence[Sentence]) -> Encoding:
        """Sentences in windows of pieces."""
        return encode(
            sentences, self.tokenizer, window=self.window, overlap=self.settings.overlap
        )

    def scores(self, encoding: Encoding) -> list[np.ndarray]:
        """Log-probabilities (tokens, labels) of each sentence; in 32 bits on a CPU by oneDNN."""
        import torch

        from bioptimus_lib.onednn import by_onednn

        self.model.eval()
        device, outputs = self.model.device, [np.empty(0)] * len(encoding.windows)
        lengths = [len(piece.ids) for piece in encoding.windows]
        precision = precision_for(device, self.settings.precision)
        # Without gradients a batch needs a fraction of the memory.
        with torch.inference_mode(), by_onednn(self.model, precision=precision):
            for members in by_length(lengths, budget=4 * self.settings.batch_tokens):
                some = [encoding.windows[i].ids for i in members]
                layout = padded([lengths[i] for i in members])
                inputs = model_inputs(some, layout, self.model, self.tokenizer)
                with autocast(device, precision):
                    logits = self.model(**inputs).logits
                rows = logits.float().log_softmax(-1).cpu().numpy()
                for i, row in zip(members, rows, strict=True):
                    outputs[i] = row[: lengths[i]]
        return encoding.merge(outputs)

    def predict(
        self, sentences: Sequence[Sentence], encoding: Encoding | None = None
    ) -> list[tuple[str, ...]]:
        """A tag for every token of every sentence; the sentences' own tags are not looked at."""
        rows = self.scores(encoding or self.encode(sentences))
        choose = best_path if self.settings.constrained else best_each
        return [choose(row, self.labels) for row in rows]


def load_tagger(folder: str | Path, *, settings: NerSettings | None = None) -> Tagger:
    """A fine-tuned tagger from the ``model`` folder that ``fine_tune`` wrote, on the CPU."""
    from transformers import AutoModelForTokenClassification

    model, tokenizer, labels = load_fine_tuned(folder, AutoModelForTokenClassification)
    return Tagger(model, tokenizer, labels, settings or NerSettings())


def classifier_on(
    model: str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase],
    labels: Sequence[str],
    *,
    seed: int,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A token classifier with the encoder of a folder, or of a model in memory, which stays as is.

    The new layer depends on the seed alone, and afterwards torch's generator does too.

    Raises:
        FileNotFoundError: no such folder, or no model in it.
        DataError: no safetensors, a NaN among the weights, or a tokenizer of another size.
    """
    from transformers import AutoModelForTokenClassification

    return head_on(model, labels, AutoModelForTokenClassification, seed=seed)


# --- parts -------------------------------------------------------------------------------------


def best_each(scores: np.ndarray, labels: Sequence[str]) -> tuple[str, ...]:
    """The best tag of each token, from scores (tokens, labels)."""
    return tuple(labels[i] for i in scores.argmax(-1))


def best_path(scores: np.ndarray, labels: Sequence[str]) -> tuple[str, ...]:
    """The valid IOB2 sequence with the highest sum of scores (tokens, labels), by Viterbi.

    >>> best_path(np.array([[2.0, 1.9, 0.0], [0.0, 0.1, 3.0]]), ["O", "B-X", "I-X"])
    ('B-X', 'I-X')
    """
    # A sequence without an orphan I- is its own best path: the usual case, and much faster.
    greedy = best_each(scores, labels)
    orphan = [
        tag[0] == "I" and before[1:] != tag[1:]
        for before, tag in zip(("O", *greedy), greedy, strict=False)
    ]
    if not any(orphan):
        return greedy
    allowed = np.array([[b[0] != "I" or a[1:] == b[1:] for b in labels] for a in labels])
    penalty = np.where(allowed, 0.0, -np.inf)  # (from, to)
    value = scores[0] + penalty[labels.index("O")]  # a sentence begins as if after O
    back = []
    for row in scores[1:]:
        through = value[:, None] + penalty
        back.append(through.argmax(0))
        value = through.max(0) + row
    path = [int(value.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    return tuple(labels[i] for i in reversed(path))
