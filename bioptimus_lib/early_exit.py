"""A forward pass that stops after some layers, and what these layers gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of ids as one batch: ids and attention mask, both int64 (B, T)."""
    ids = torch.full((len(rows), max(map(len, rows))), pad)
    attention = torch.zeros_like(ids)
    for n, row in enumerate(rows):
        ids[n, : len(row)] = torch.tensor(row)
        attention[n, : len(row)] = 1
    return ids, attention


@contextmanager
def only_layers(model: PreTrainedModel, depth: int) -> Iterator[None]:
    """Let the encoder run its first ``depth`` layers only, without dropout."""
    encoder, training = model.base_model.encoder, model.training
    layers = encoder.layer
    encoder.layer = layers[:depth]
    model.eval()
    try:
        yield
    finally:
        encoder.layer = layers
        model.train(training)


@contextmanager
def recorded(model: PreTrainedModel) -> Iterator[list[torch.Tensor]]:
    """A list to which each pass adds the embeddings' output and that of each layer, (B, T, H).

    Transformers' own ``output_hidden_states`` marks the layers to record at its first use and
    never again: used first on a shortened model, it would leave later users states of the wrong
    layers.
    """
    output: list[torch.Tensor] = []

    def record(_module, _inputs, found):
        output.append(found[0] if isinstance(found, tuple) else found)

    encoder = model.base_model
    hooks = [
        part.register_forward_hook(record) for part in (encoder.embeddings, *encoder.encoder.layer)
    ]
    try:
        yield output
    finally:
        for hook in hooks:
            hook.remove()
