"""Every guess of a masked language model with what it can see: where the mean comes from.

``evaluate_mlm`` gives the mean over all guesses. Here each guess is kept with its fate (hidden,
replaced, left as it is) and with whether another piece of its word still stands in the input, so
that a difference between two settings can be taken apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch

from bioptimus_lib.guessing import asked
from bioptimus_lib.masked_loss import EVALUATION_SEED
from bioptimus_lib.masking import (
    IGNORED,
    Masking,
    PieceTable,
    generator_for,
    mask,
    ordinary,
    words_of,
)

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FATES = ("hidden", "replaced", "left as it is")
LONGEST = 6  # pieces; longer words count as words of so many


# -- leakage ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What stands around each of M guesses; all tensors are (M,).

    Attributes:
        fate: int64, index in ``FATES``.
        size: int64, pieces of its word.
        first: bool, whether it is the first piece of its word.
        leak: bool, whether another piece of its word stands in the input as it is.
    """

    fate: torch.Tensor
    size: torch.Tensor
    first: torch.Tensor
    leak: torch.Tensor


def seen(
    input_ids: torch.Tensor, inputs: torch.Tensor, labels: torch.Tensor, pieces: PieceTable
) -> Seen:
    """What each guess can see of its word, in the order of the positions; all arguments (B, T)."""
    candidate = ordinary(input_ids, pieces)
    chosen = labels != IGNORED
    word = words_of(input_ids, pieces)
    true = (inputs == input_ids) & candidate
    size, standing = (
        torch.zeros_like(word).scatter_add_(1, word, some.long()).gather(1, word)
        for some in (candidate, true)
    )
    before = torch.nn.functional.pad(candidate[:, :-1], (1, 0))
    same = torch.nn.functional.pad(word[:, 1:] == word[:, :-1], (1, 0)) & before
    fate = torch.where(inputs == pieces.mask_id, 0, torch.where(true, 2, 1))
    return Seen(fate[chosen], size[chosen], ~same[chosen], (standing - true.long() > 0)[chosen])


def leakage(
    blocks: np.ndarray, masking: Masking, pieces: PieceTable, *, seed: int = 0
) -> dict[int, tuple[float, int]]:
    """Share of the guesses that have another piece of their word before them, as it is.

    Args:
        blocks: packed, (N, T).

    Returns:
        Pieces of the word, 2 to ``LONGEST`` → (share, guesses); 0 → all words of several pieces.
    """
    ids = torch.from_numpy(blocks.astype("int64"))
    found = seen(ids, *mask(ids, masking, pieces, generator=generator_for(seed)), pieces)
    size, shares = found.size.clamp(max=LONGEST), {}
    for number in (0, *range(2, LONGEST + 1)):
        leak = found.leak[size == number if number else size > 1]
        if len(leak):
            shares[number] = leak.double().mean().item(), len(leak)
    return shares


def expected_leak(masking: Masking, size: int) -> float:
    """The same for words of so many pieces in a long text, by the rules alone.

    A piece stands as it is unless it is chosen and then hidden or replaced. (That a replaced piece
    is the true one by chance is left out.)

    >>> round(expected_leak(Masking("token", 0.15), 2), 3), expected_leak(Masking("word"), 1)
    (0.865, 0.0)
    """
    gone = 0.9 if masking.corruption else 1.0
    if masking.unit == "token":
        gone *= masking.rate
    return 1 - gone ** (size - 1)


# -- guesses ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guesses(Seen):
    """Also what a model made of each guess: ``loss`` in nats, float, and ``right``, bool; (M,)."""

    loss: torch.Tensor
    right: torch.Tensor

    def score(self, where: torch.Tensor | None = None) -> dict[str, float]:
        """Mean loss and accuracy, and the number of guesses; of those ``where`` it is true."""
        return _means(*(x if where is None else x[where] for x in (self.loss, self.right)))


@torch.no_grad()
def guesses(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    masking: Masking,
    *,
    batch: int = 64,
    seed: int = EVALUATION_SEED,
) -> Guesses:
    """Every guess of a model on packed blocks (N, T); with the masks of ``evaluate_mlm``."""
    pieces = PieceTable.of(tokenizer)
    parts = []
    for start in range(0, len(blocks), batch):
        ids = torch.from_numpy(blocks[start : start + batch].astype("int64"))
        inputs, labels = mask(ids, masking, pieces, generator=generator_for(seed, start))
        loss, right = _answers(model, inputs, labels)
        around = seen(ids, inputs, labels, pieces)
        parts.append({**{f.name: getattr(around, f.name) for f in fields(around)},
                      "loss": loss, "right": right})  # fmt: skip
    return Guesses(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def _answers(
    model: PreTrainedModel, inputs: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and rightness of each guess."""
    found = asked(model, inputs.to(model.device), labels.to(model.device))
    return torch.from_numpy(found.loss), torch.from_numpy(found.right)


def difficulty(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    maskings: Mapping[str, Masking],
    *,
    seeds: Iterable[int],
) -> dict[str, list[Guesses]]:
    """The guesses of one model under several maskings, once for each seed of the masks."""
    seeds = list(seeds)
    return {
        name: [guesses(model, tokenizer, blocks, masking, seed=seed) for seed in seeds]
        for name, masking in maskings.items()
    }


@torch.no_grad()
def sibling_gain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    rate: float = 0.15,
    batch: int = 64,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """What the other pieces of a word are worth: the same guesses with and without them.

    Whole words are hidden, and one piece of each word of several pieces is the guess. Then the
    other pieces of these words are put back, and the same guesses are made again. All else stays.

    Returns:
        ``hidden`` and ``visible``: loss, accuracy, guesses; ``gain``: of accuracy, in all, for
        first pieces and for continuations, with the standard error of the first.

    Raises:
        ValueError: no word of several pieces was hidden.
    """
    pieces = PieceTable.of(tokenizer)
    masking, first = Masking("word", rate, False), []
    sides: dict[str, list[tuple[torch.Tensor, ...]]] = {"hidden": [], "visible": []}
    for start in range(0, len(blocks), batch):
        ids = torch.from_numpy(blocks[start : start + batch].astype("int64"))
        generator = generator_for(seed, start)
        hidden, labels = mask(ids, masking, pieces, generator=generator)
        several, target = _one_of_each(ids, labels != IGNORED, pieces, generator)
        goal = labels.masked_fill(~target, IGNORED)
        visible = torch.where(several & ~target, ids, hidden)
        sides["hidden"].append(_answers(model, hidden, goal))
        sides["visible"].append(_answers(model, visible, goal))
        first.append(seen(ids, hidden, goal, pieces).first)
    done = {
        name: tuple(torch.cat(some) for some in zip(*parts, strict=True))
        for name, parts in sides.items()
    }
    if not len(done["hidden"][0]):
        raise ValueError("no word of several pieces was hidden: give more blocks")
    begins = torch.cat(first)
    gain = done["visible"][1].double() - done["hidden"][1].double()
    found = {name: _means(*some) for name, some in done.items()}
    found["gain"] = {
        "accuracy": gain.mean().item(),
        "error": gain.std().item() / len(gain) ** 0.5,
        "first": gain[begins].mean().item(),
        "others": gain[~begins].mean().item(),
    }
    return found


def _means(loss: torch.Tensor, right: torch.Tensor) -> dict[str, float]:
    return {
        "loss": loss.double().mean().item(),
        "accuracy": right.double().mean().item(),
        "guesses": len(loss),
    }


def _one_of_each(
    ids: torch.Tensor, chosen: torch.Tensor, pieces: PieceTable, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Chosen pieces of words of several pieces, and one of them for each word: bool (B, T) both."""
    word = words_of(ids, pieces)
    candidate = ordinary(ids, pieces)
    size = torch.zeros_like(word).scatter_add_(1, word, candidate.long()).gather(1, word)
    several = chosen & (size > 1)
    key = torch.rand(ids.shape, generator=generator, dtype=torch.float64)
    key = key.masked_fill(~several, 2.0)
    least = torch.full_like(key, 2.0).scatter_reduce_(1, word, key, "amin").gather(1, word)
    return several, several & (key == least)
