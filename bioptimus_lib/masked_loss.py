"""The loss of a masked language model, with the vocabulary projected where there is something to
guess, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bioptimus_lib.masking import IGNORED, Masking, PieceTable, generator_for, mask
from bioptimus_lib.models import autocast

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EVALUATION_SEED = 20230713  # the masks of every evaluation, the same for all models


@contextmanager
def only_masked(model: PreTrainedModel, places: torch.Tensor) -> Iterator[None]:
    """Within the block, the output layer sees the hidden states of the chosen places alone.

    ``places`` is int64 (M,), numbers in the flat batch of B × T positions; the logits become
    (1, M, V) instead of (B, T, V). It works for every architecture whose head follows
    ``model.base_model``.
    """

    def select(_module: torch.nn.Module, _inputs: Any, output: Any) -> Any:
        states = output.last_hidden_state.flatten(0, 1)
        output.last_hidden_state = states.index_select(0, places).unsqueeze(0)
        return output

    hook = model.base_model.register_forward_hook(select)
    try:
        yield
    finally:
        hook.remove()


def masked_logits(
    model: PreTrainedModel, inputs: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (M, V) and true pieces (M,) at the masked positions of inputs and labels (B, T)."""
    flat = labels.flatten()
    # Found once: each search on a GPU waits until the GPU has done all that it was given.
    places = (flat != IGNORED).nonzero().squeeze(1)
    with only_masked(getattr(model, "module", model), places):
        logits = model(input_ids=inputs, return_dict=True).logits
    return logits.squeeze(0), flat.index_select(0, places)


@torch.no_grad()
def evaluate_mlm(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    masking: Masking | None = None,
    batch: int = 64,
    seed: int = EVALUATION_SEED,
) -> dict[str, float]:
    """Loss (nats per masked piece) and accuracy on packed blocks (N, T), with fixed masks.

    The masks depend on the seed, the blocks and ``batch`` alone, so models that share a vocabulary
    are compared on the same guesses if they are tested with the same ``batch``. A device that is
    fast in bf16 computes in bf16. The default masking is that of BERT without corruption: every
    chosen piece is hidden, so that nothing is scored that could be read off the input.
    """
    masking = masking or Masking("token", 0.15, corruption=False)
    device = model.device
    pieces = PieceTable.of(tokenizer).to(device)
    was_training, loss, right, total = model.training, 0.0, 0, 0
    model.eval()
    for start in range(0, len(blocks), batch):
        ids = torch.from_numpy(blocks[start : start + batch].astype("int64")).to(device)
        inputs, labels = mask(ids, masking, pieces, generator=generator_for(seed, start))
        with autocast(device):
            logits, target = masked_logits(model, inputs, labels)
        loss += torch.nn.functional.cross_entropy(logits.float(), target, reduction="sum").item()
        right += int((logits.argmax(-1) == target).sum())
        total += len(target)
    model.train(was_training)
    return {"loss": loss / total, "accuracy": right / total, "masked": total}


def bits_per_byte(loss: float, pieces_per_byte: float) -> float:
    """A loss in nats per piece as bits per byte of text.

    >>> round(bits_per_byte(math.log(2), 0.25), 3)
    0.25
    """
    return loss / math.log(2) * pieces_per_byte
