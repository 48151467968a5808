"""The masking rate laid open for a lesson: what is left in view, what a guess costs with less of
it, how much of a gradient is signal.

Masks are drawn as ``masking`` draws them. There, units are taken in an order that does not depend
on the rate, so from one seed a higher rate hides what a lower one hides, and more: the same guesses
can be compared with less and less around them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch

from bioptimus_lib.masked_loss import EVALUATION_SEED, masked_logits
from bioptimus_lib.masking import Masking, PieceTable, generator_for, mask
from bioptimus_lib.models import autocast, precision_for

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.looks import Guesses

BATCH = 64  # blocks; the masks of a seed depend on it, as in ``evaluate_mlm``


def drawn(
    blocks: np.ndarray,
    masking: Masking,
    pieces: PieceTable,
    *,
    seed: int = EVALUATION_SEED,
    batch: int = BATCH,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and labels (B, T) of a text, batch by batch; those that ``evaluate_mlm`` draws."""
    for start in range(0, len(blocks), batch):
        ids = torch.from_numpy(blocks[start : start + batch].astype("int64"))
        ids = ids.to(pieces.special.device)
        yield mask(ids, masking, pieces, generator=generator_for(seed, start))


def in_view(chosen: np.ndarray, ordinary: np.ndarray) -> dict[str, float]:
    """What stands around the pieces that are to be guessed.

    Args:
        chosen: bool (N, T), the pieces to be guessed.
        ordinary: bool (N, T), pieces that are not special.

    Returns:
        ``both`` and ``neither``: shares of the guesses with both, or none, of their two neighbours
        in view, among guesses between two ordinary pieces; ``run``: mean number of guesses in a
        row.

    Raises:
        ValueError: nothing is chosen between two ordinary pieces.
    """
    middle = chosen[:, 1:-1] & ordinary[:, :-2] & ordinary[:, 2:]
    left, right = chosen[:, :-2][middle], chosen[:, 2:][middle]
    if not len(left):
        raise ValueError("no chosen piece stands between two ordinary ones")
    begins = chosen.copy()
    begins[:, 1:] &= ~chosen[:, :-1]
    return {
        "both": float((~left & ~right).mean()),
        "neither": float((left & right).mean()),
        "run": float(chosen.sum() / begins.sum()),
    }


def same_guesses(found: Mapping[float, Guesses]) -> dict[float, np.ndarray]:
    """Losses of the guesses that all rates have in common, in the same order for each.

    Args:
        found: rate → what ``looks.guesses`` gives for it, from the same text and seed. The lowest
            rate's guesses are then among those of every other.

    Raises:
        ValueError: no guess is common to all.
    """
    where = {rate: some.block * 2**20 + some.place for rate, some in found.items()}
    common = reduce(np.intersect1d, where.values())
    if not len(common):
        raise ValueError(f"rates {list(found)} share no guess: take the same text and seed")
    return {
        rate: found[rate].loss[np.argsort(places)][np.isin(np.sort(places), common)]
        for rate, places in where.items()
    }


def gradient_signal(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    masking: Masking,
    *,
    batch: int = 16,
    precision: str = "auto",
    seed: int = 0,
) -> dict[str, float]:
    """How much of the gradient of one batch is what all batches have in common.

    The gradient of a batch is that of all text, plus noise. Over n batches with gradients gᵢ the
    mean product of two different ones estimates the squared norm of the first, without bias; what
    the mean square of single ones has more is noise (McCandlish et al., 2018, appendix A).

    Args:
        blocks: (N, T), cut into N // ``batch`` batches, at least two.
        precision: ``fp32``, ``bf16`` or ``auto``; in fp16 small gradients would vanish.

    Returns:
        ``signal``: share of the squared norm that is common, ``norm``: root mean square norm of a
        batch's gradient, ``guesses``: per batch, ``batches``: n.

    Raises:
        ValueError: the blocks do not fill two batches.
    """
    count = len(blocks) // batch
    if count < 2:
        raise ValueError(f"{len(blocks)} blocks do not fill two batches of {batch}")
    pieces = PieceTable.of(tokenizer).to(model.device)
    weights = [p for p in model.parameters() if p.requires_grad]
    whole = [torch.zeros_like(p) for p in weights]
    squares, guesses = 0.0, 0
    kind = precision_for(model.device, precision)
    kind = "fp32" if kind == "fp16" else kind
    model.eval()
    for inputs, labels in drawn(blocks[: count * batch], masking, pieces, seed=seed, batch=batch):
        with autocast(model.device, kind):
            logits, target = masked_logits(model, inputs, labels)
        loss = torch.nn.functional.cross_entropy(logits.float(), target)
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for total, gradient in zip(whole, gradients, strict=True):
            if gradient is not None:
                total += gradient
                squares += torch.linalg.vector_norm(gradient).item() ** 2
        guesses += len(target)
    together = sum(torch.linalg.vector_norm(total).item() ** 2 for total in whole)
    common = (together - squares) / (count * (count - 1))
    return {
        "signal": common / (squares / count),
        "norm": math.sqrt(squares / count),
        "guesses": guesses / count,
        "batches": count,
    }
