"""ONNX files for a release, and what their 8 bits cost on text: entity F1, or guesses and loss.

Logits that differ by so much say little to a reader. So both files are asked what the model is for,
on the test sentences of the run: a tagger for entities, a masked model for hidden pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bioptimus_lib.onnx_model import FILE, SMALL, OnnxModel, exported
from bioptimus_lib.tagger import Tagger

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.conll import Sentence

MOST_TEXTS = 200  # sentences for a masked model: every position has a logit for each piece
EVERY = 7  # pieces, of which one is hidden


def add_onnx(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    *,
    sentences: Sequence[Sentence],
) -> dict[str, Any]:
    """Write both files into a folder and say what was measured, for ``release.json`` and the card.

    Args:
        sentences: with their gold tags, if the model is a tagger; their words alone if not.

    Returns:
        What ``exported`` found, and under ``text``: ``sentences``, and for a tagger ``f1`` and
        ``int8_f1`` in per cent, for a masked model ``same_guesses`` (a share of one), ``hidden``,
        ``loss`` and ``int8_loss`` in nats.

    Raises:
        ModuleNotFoundError, ValueError: as ``exported``.
    """
    found = exported(model, tokenizer, folder)
    whole, small = (OnnxModel(Path(folder) / name, model.config) for name in (FILE, SMALL))
    names = cast("dict[int, str]", model.config.id2label)
    labels = [names[i] for i in range(len(names))]
    if "O" in labels:
        both = (cast("PreTrainedModel", one) for one in (whole, small))  # they answer as one
        f1s = [f1_of(Tagger(one, tokenizer, tuple(labels)), sentences) for one in both]
        text = {"sentences": len(sentences), "f1": f1s[0], "int8_f1": f1s[1]}
    else:
        some = [" ".join(sentence.tokens) for sentence in sentences[:MOST_TEXTS]]
        (best, loss), (others, rounded) = (guesses(one, tokenizer, some) for one in (whole, small))
        text = {"sentences": len(some), "hidden": len(best), "loss": loss, "int8_loss": rounded,
                "same_guesses": float((best == others).mean())}  # fmt: skip
    return {**found, "text": text}


def f1_of(tagger: Tagger, sentences: Sequence[Sentence]) -> float:
    """Strict entity F1 in per cent."""
    from bioptimus_lib.ner import evaluate

    return evaluate(sentences, tagger.predict(sentences))[0]["f1"]


def guesses(
    model: Any, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> tuple[np.ndarray, float]:
    """First guesses of a masked model at each seventh piece of some texts, (hidden,), and its mean
    loss there in nats."""
    import numpy as np
    import torch

    window = min(model.config.max_position_embeddings, tokenizer.model_max_length)
    best, losses = [], []
    for text in texts:
        row = tokenizer(text, truncation=True, max_length=window, return_tensors="pt")
        ids = row["input_ids"]
        places = torch.arange(min(3, ids.shape[1] - 2), ids.shape[1] - 1, EVERY)
        if ids.shape[1] < 3:
            continue
        hidden = ids.clone()
        hidden[0, places] = tokenizer.mask_token_id
        with torch.inference_mode():
            logits = model(input_ids=hidden, attention_mask=row["attention_mask"]).logits[0, places]
        best.append(logits.argmax(-1).numpy())
        losses.append(torch.nn.functional.cross_entropy(logits, ids[0, places], reduction="none"))
    if not best:
        return np.empty(0, np.int64), float("nan")
    return np.concatenate(best), float(torch.cat(losses).mean())
