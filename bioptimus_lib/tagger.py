"""A model that tags tokens: its settings, how it reads a batch, how it chooses the tags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioptimus_lib.batching import by_length, check_batching, model_inputs, padded
from bioptimus_lib.conll import Sentence
from bioptimus_lib.errors import DataError
from bioptimus_lib.models import autocast, precision_for
from bioptimus_lib.windows import Encoding, encode

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class NerSettings:
    """How to fine-tune.

    Args:
        epochs: passes over the training sentences.
        batch_tokens: pieces in a batch, padding not counted.
        batching: which sentences make a batch, and how they lie in it: a row of
            ``batching.BATCHINGS``.
        learning_rate: peak; rises over the warm-up, then falls linearly to 0.
        head_learning_rate: of the new classifier; ``None`` for the same.
        warmup: share of the steps over which the rate rises.
        weight_decay: AdamW's, not applied to biases and layer norms.
        dropout: probability in training; ``None`` keeps the model's own.
        clip: largest norm of a gradient.
        max_length: window in pieces; ``None`` for all that the model has.
        overlap: pieces that two windows of a long sentence share; ``None`` for a quarter.
        constrained: choose the best tag sequence that is valid IOB2; ``False`` takes the best tag
            of each token, valid or not.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``auto`` (what the device does fast).
        seed: of classifier, data order and dropout.
    """

    epochs: int = 3
    batch_tokens: int = 1024
    batching: str = "packed"
    learning_rate: float = 6e-4
    head_learning_rate: float | None = None
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float | None = None
    clip: float = 1.0
    max_length: int | None = None
    overlap: int | None = None
    constrained: bool = True
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if not self.learning_rate > 0 or not 0 <= self.warmup <= 1 or not self.clip > 0:
            raise ValueError(
                f"learning_rate {self.learning_rate} and clip {self.clip} must be above 0, "
                f"warmup {self.warmup} from 0 to 1"
            )
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise ValueError(f"precision {self.precision!r}: choose auto, fp32, bf16 or fp16")
        check_batching(self.batching)


#: How to fine-tune a model of at most so many hidden units. The first row was searched on the devel
#: set of NCBI-disease with an early pocket BERT (rates 2.5e-4, 6e-4 and 1.5e-3 gave F1 72.5, 75.1
#: and 70.6 after three epochs, one seed each); the last is as published (LinkBERT's scripts for the
#: same set: 20 epochs, 5e-5, batches of 32); the second lies between and was not searched.
RECIPES: dict[int, dict[str, Any]] = {
    320: {"epochs": 3, "learning_rate": 6e-4, "batch_tokens": 1024},
    512: {"epochs": 8, "learning_rate": 1e-4, "batch_tokens": 1024},
    10**9: {"epochs": 20, "learning_rate": 5e-5, "batch_tokens": 2048},
}


def recipe_for(model: str | Path | PreTrainedModel, **changes: Any) -> NerSettings:
    """The settings of ``RECIPES`` for a model or a folder, with some of them changed.

    Raises:
        FileNotFoundError: no model in the folder.
    """
    if isinstance(model, str | Path):
        file = Path(model) / "config.json"
        if not file.is_file():
            raise FileNotFoundError(f"{model} holds no model (no config.json)")
        config = json.loads(file.read_text(encoding="utf-8"))
        size = config.get("hidden_size") or config.get("dim") or 768
    else:
        size = model.config.hidden_size
    row = next(row for largest, row in RECIPES.items() if size <= largest)
    return NerSettings(**row | changes)


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
        """Log-probabilities (tokens, labels) of each sentence."""
        import torch

        self.model.eval()
        device, outputs = self.model.device, [np.empty(0)] * len(encoding.windows)
        lengths = [len(piece.ids) for piece in encoding.windows]
        # Without gradients a batch needs a fraction of the memory.
        for members in by_length(lengths, budget=4 * self.settings.batch_tokens):
            some = [encoding.windows[i].ids for i in members]
            layout = padded([lengths[i] for i in members])
            inputs = model_inputs(some, layout, self.model, self.tokenizer)
            with torch.inference_mode(), autocast(device, self.settings.precision):
                logits = self.model(**inputs).logits
            for i, row in zip(members, logits.float().log_softmax(-1).cpu().numpy(), strict=True):
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
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    from bioptimus_lib import mini_albert  # noqa: F401  (Transformers learns its name)
    from bioptimus_lib.models import no_bars, place

    if not (Path(folder) / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no model (no config.json)")
    with no_bars():
        model = AutoModelForTokenClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
    labels = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return Tagger(place(model, "cpu").eval(), tokenizer, labels, settings or NerSettings())


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
    import torch
    from transformers import AutoModelForTokenClassification

    from bioptimus_lib.models import load_masked_lm

    source, tokenizer = model if isinstance(model, tuple) else load_masked_lm(model)
    config = type(source.config).from_dict(source.config.to_dict())
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    torch.manual_seed(seed)
    tagger = AutoModelForTokenClassification.from_config(config, dtype=torch.float32)
    found = tagger.base_model.load_state_dict(source.base_model.state_dict(), strict=False)
    if found.missing_keys:
        raise DataError(f"the model lacks the weights {found.missing_keys[:3]} of its encoder")
    torch.manual_seed(seed)
    return tagger, tokenizer


def decay_groups(model: PreTrainedModel, settings: NerSettings) -> list[dict[str, Any]]:
    """The usual groups: weight decay for matrices alone, the classifier at its own rate."""
    head_rate = settings.head_learning_rate or settings.learning_rate
    groups: dict[tuple[float, float], list] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = settings.learning_rate if name.startswith(model.base_model_prefix) else head_rate
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": p, "lr": lr, "weight_decay": d} for (lr, d), p in groups.items()]


def adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The usual optimiser of such groups."""
    import torch

    return torch.optim.AdamW(groups, fused=True)


# --- parts -------------------------------------------------------------------------------------


def window_of(model: Any, tokenizer: Any, wanted: int | None = None) -> int:
    """Pieces that a model can read at once, special ones included; at most ``wanted``."""
    sizes = (wanted, getattr(model.config, "max_position_embeddings", None))
    return min(int(size) for size in (*sizes, tokenizer.model_max_length) if size)


def grad_scaler(device: Any, precision: str) -> torch.amp.GradScaler:
    """What keeps small gradients from becoming zero in fp16; with other numbers it does nothing."""
    import torch

    half = precision_for(device, precision) == "fp16"
    return torch.amp.GradScaler(torch.device(device).type, enabled=half)


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
