"""Every guess of a masked language model on packed text, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from bioptimus_lib.masked_loss import EVALUATION_SEED, masked_logits
from bioptimus_lib.masking import IGNORED, Masking, PieceTable, generator_for, mask
from bioptimus_lib.models import autocast

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WHOLE_WORDS = Masking("word", 0.15, corruption=False)  # the question that all versions are asked


@dataclass(frozen=True)
class Guesses:
    """Every guess of a model on packed blocks, M in all, in the order of the text.

    Attributes:
        block, place: int64 (M,), where in the blocks (N, T).
        answer, shown, best: int64 (M,), the true piece, what stood in its place, the first guess.
        loss: float32 (M,), nats.
    """

    block: np.ndarray
    place: np.ndarray
    answer: np.ndarray
    shown: np.ndarray
    best: np.ndarray
    loss: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """bool (M,): whether the first guess is the true piece."""
        same: np.ndarray = self.best == self.answer
        return same


def guesses(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    masking: Masking = WHOLE_WORDS,
    *,
    batch: int = 64,
    seed: int = EVALUATION_SEED,
) -> Guesses:
    """What ``evaluate_mlm`` with the same arguments sums up, guess by guess."""
    pieces = PieceTable.of(tokenizer).to(model.device)
    parts = []
    for start in range(0, len(blocks), batch):
        ids = on_device_of(model, blocks[start : start + batch])
        inputs, labels = mask(ids, masking, pieces, generator=generator_for(seed, start))
        parts.append(asked(model, inputs, labels, first=start))
    return joined(parts)


def frequency_loss(
    answer: np.ndarray, blocks: np.ndarray, tokenizer: PreTrainedTokenizerBase
) -> np.ndarray:
    """Loss in nats of each answer (M,) for a guesser that knows how frequent each piece is in
    ``blocks`` (N, T) and reads no sentence.

    One is added to each count. Special pieces have no share: nobody has to guess them.
    """
    times = np.bincount(np.asarray(blocks).ravel(), minlength=len(tokenizer)) + 1
    times[tokenizer.all_special_ids] = 0
    losses: np.ndarray = np.log(times.sum() / times[answer])
    return losses


@torch.no_grad()
def asked(
    model: PreTrainedModel, inputs: torch.Tensor, labels: torch.Tensor, *, first: int = 0
) -> Guesses:
    """The guesses of one batch, whose first row is block ``first``."""
    was_training = model.training
    model.eval()
    device = inputs.device
    with autocast(device):
        logits, answer = masked_logits(model, inputs, labels)
    model.train(was_training)
    loss = torch.nn.functional.cross_entropy(logits.float(), answer, reduction="none")
    block, place = torch.nonzero(labels != IGNORED, as_tuple=True)
    shown = inputs[block, place]
    found = (block + first, place, answer, shown, logits.argmax(-1), loss)
    return Guesses(*(values.cpu().numpy() for values in found))


def joined(parts: Sequence[Guesses]) -> Guesses:
    """The guesses of several batches as one."""
    names = ("block", "place", "answer", "shown", "best", "loss")
    return Guesses(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def on_device_of(model: PreTrainedModel, blocks: np.ndarray) -> torch.Tensor:
    """Packed blocks as int64 where the model is."""
    return torch.from_numpy(np.asarray(blocks).astype("int64")).to(model.device)


def by_shown(found: Guesses, tokenizer: PreTrainedTokenizerBase) -> dict[str, dict[str, float]]:
    """Loss and accuracy by what stood in the place: ``[MASK]``, ``another piece``, ``itself``.

    A random piece may by chance be the true one; it counts as ``itself``.
    """
    hidden = found.shown == tokenizer.mask_token_id
    kept = found.shown == found.answer
    kinds = {"[MASK]": hidden, "another piece": ~hidden & ~kept, "itself": kept}
    return {
        name: {
            "loss": float(found.loss[some].mean()),
            "accuracy": float(found.right[some].mean()),
            "masked": int(some.sum()),
        }
        for name, some in kinds.items()
        if some.any()
    }
