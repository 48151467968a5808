"""Two texts that are read apart: words that they share, states that differ, a regression on both.

A model that reads a pair together must learn to compare. Read apart, the comparison is arithmetic
on two vectors, and only its weights are learnt, which takes seconds.

References:
    Reimers and Gurevych, EMNLP 2019, section 3 (u, v and |u − v|; there the encoder learns, too).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bioptimus_lib.task_data import Data, Example

#: Strengths of the ridge that ``read_apart`` chooses from.
STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10000.0)


def shared_words(example: Example) -> float:
    """The share of the words of a pair that both texts have, which no model is needed for.

    >>> shared_words(Example("1", "gout is rare", 0.0, second="Gout was rare"))
    0.5
    """
    one, two = ({word.strip(".,;()").casefold() for word in text.split()} for text in example.texts)
    return len(one & two) / max(len(one | two), 1)


def mean_states(model: Any, tokenizer: Any, texts: Sequence[str]) -> np.ndarray:
    """The mean of the last states of each text, before any fine-tuning: float (texts, H)."""
    import torch

    model.eval()
    parts = []
    for start in range(0, len(texts), 64):
        batch = tokenizer(
            list(texts[start : start + 64]), return_tensors="pt", padding=True, truncation=True
        ).to(model.device)
        with torch.inference_mode():
            states = model.base_model(**batch).last_hidden_state  # (B, T, H)
        seen = batch["attention_mask"].unsqueeze(-1)
        parts.append(((states * seen).sum(1) / seen.sum(1)).cpu().numpy())
    return np.concatenate(parts)


def _both(model: Any, tokenizer: Any, pairs: Sequence[Example]) -> np.ndarray:
    """The mean states of the first and of the second texts of pairs: float (2, pairs, H)."""
    sides = zip(*(pair.texts for pair in pairs), strict=True)
    return np.stack([mean_states(model, tokenizer, texts) for texts in sides])


def sentence_cosine(model: Any, tokenizer: Any, pairs: Sequence[Example]) -> list[float]:
    """Cosine of the mean last states of the two texts of each pair, before any fine-tuning."""
    u, v = _both(model, tokenizer, pairs)
    below = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    found: list[float] = ((u * v).sum(1) / np.maximum(below, 1e-9)).tolist()
    return found


def read_apart(model: Any, tokenizer: Any, data: Data) -> list[float]:
    """Scores of the test pairs by texts that are read apart, and a regression on how they differ.

    The encoder stays as it is. Of the mean states u and v of the two texts, in standard units of
    train, the regression sees |u − v| and u · v, number by number. Its strength is chosen on devel.
    """
    from sklearn.linear_model import Ridge

    from bioptimus_lib.task_metrics import METRICS

    made: list[float] = []
    judge = METRICS["pearson"]
    pairs = {e.texts: e for fold in data.folds for some in fold.values() for e in some}
    place = {texts: n for n, texts in enumerate(pairs)}
    states = _both(model, tokenizer, list(pairs.values()))  # once for all folds
    for fold in data.folds:
        sides = {split: states[:, [place[e.texts] for e in some]] for split, some in fold.items()}
        whole = sides["train"].reshape(-1, states.shape[-1])
        mean, spread = whole.mean(0), whole.std(0) + 1e-9
        seen = {}
        for split, (u, v) in sides.items():
            u, v = (u - mean) / spread, (v - mean) / spread
            seen[split] = np.concatenate([np.abs(u - v), u * v], axis=1)
        gold = {split: [e.answer for e in some] for split, some in fold.items()}
        tried = [Ridge(alpha=alpha).fit(seen["train"], gold["train"]) for alpha in STRENGTHS]
        chosen = [
            judge.value(judge.rows(gold["devel"], ridge.predict(seen["devel"]).tolist(),
                                   labels=(), positive=()))
            for ridge in tried
        ]  # fmt: skip
        made += tried[int(np.argmax(chosen))].predict(seen["test"]).tolist()
    return made
