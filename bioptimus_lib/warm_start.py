"""A start from which a small BERT learns at once, instead of after a long plateau.

From a random start a small model first learns how frequent each piece is, and then for millions
of tokens hardly anything, because embeddings and attention are only useful together. Three cheap
facts about the text and about language, put into the weights before training, avoid that:

1. how frequent each piece is goes into the bias of the output layer;
2. which pieces keep company goes into the embeddings, as a factorisation of their positive
   pointwise mutual information (Levy & Goldberg, NeurIPS 2014);
3. that near words matter most goes into the attention: positions start as sinusoids (Vaswani et
   al., 2017, section 3.5), so near ones are alike, and keys start equal to queries, so what is
   alike attends to each other (Trockman & Kolter, ICML 2023).

All of it is learnt on like any other weight.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from transformers import BertForMaskedLM

from bioptimus_lib.models import input_table

WINDOW = 4  # pieces to each side; the nearest counts most
CONTEXT_POWER = 0.75  # smooths the frequency of contexts (Levy, Goldberg & Dagan, TACL 2015)


def company(blocks: np.ndarray, size: int, *, window: int = WINDOW) -> np.ndarray:
    """How often pieces stand near each other: float32 (V, V), symmetric, nearer ones weigh more.

    ``blocks`` (N, T) begin and end with a special piece, which is not counted.
    """
    inner = np.asarray(blocks[:, 1:-1], dtype=np.int64)
    counts = np.zeros(size * size, dtype=np.float32)
    for distance in range(1, window + 1):
        pairs = inner[:, :-distance] * size + inner[:, distance:]
        weight = (window + 1 - distance) / window
        counts += weight * np.bincount(pairs.ravel(), minlength=size * size).astype(np.float32)
    table = counts.reshape(size, size)
    return table + table.T


def company_vectors(counts: np.ndarray, hidden: int, *, seed: int = 0) -> np.ndarray:
    """Vectors (V, hidden) whose products approximate the positive mutual information of pieces."""
    from sklearn.utils.extmath import randomized_svd

    total = counts.sum(1)
    context = total**CONTEXT_POWER
    context /= context.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(counts / (total[:, None] * context))
    information = np.where(np.isfinite(information), np.maximum(information, 0), 0)
    left, strength, _ = randomized_svd(information, hidden, n_iter=2, random_state=seed)
    vectors = left * np.sqrt(strength)
    centred: np.ndarray = vectors - vectors.mean(0)  # what all pieces share says nothing about any
    return centred


@torch.no_grad()
def start_well(
    model: BertForMaskedLM, blocks: np.ndarray, *, most: int = 60_000, seed: int = 0
) -> None:
    """Put the three facts into an untrained model, in place.

    Args:
        model: H hidden units, V pieces, T positions.
        blocks: packed text (N, T); the first ``most`` blocks are read.
        seed: of the factorisation.
    """
    table = input_table(model)
    size, hidden = table.shape
    scale = model.config.initializer_range
    some = np.asarray(blocks[:most])
    frequency = np.bincount(some[:, 1:-1].ravel(), minlength=size) + 1
    model.cls.predictions.bias.copy_(torch.from_numpy(np.log(frequency / frequency.sum())))

    vectors = company_vectors(company(some, size), hidden, seed=seed)
    table.copy_(torch.from_numpy(vectors / vectors.std() * 2 * scale))

    positions = model.bert.embeddings.position_embeddings.weight  # (T, H)
    length = len(positions)
    angle = torch.outer(torch.arange(length), 1000.0 ** (-torch.arange(0, hidden, 2) / hidden))
    waves = torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(length, hidden)
    positions.copy_(waves * scale * math.sqrt(2))
    layers: Any = model.bert.encoder.layer
    for layer in layers:
        attention = layer.attention.self
        attention.key.weight.copy_(attention.query.weight)
