"""The stock collator under a lens, for a lesson: what it takes for a word, what it repeats.

Everything is found by looking on from outside, so that it holds for the version that is installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from bioptimus_lib.masking import IGNORED, Masking, PieceTable, choose, generator_for

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def stock_collator(tokenizer: PreTrainedTokenizerBase, **options: Any) -> Any:
    """Hugging Face's collator, and what it warns of: (collator, messages).

    Args:
        options: its own, such as ``whole_word_mask``, ``mlm_probability`` and ``seed``.
    """
    from transformers import DataCollatorForLanguageModeling

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        collator = DataCollatorForLanguageModeling(tokenizer, **options)
    return collator, [str(one.message) for one in said]


def stock_rows(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, length: int = 128
) -> list[dict[str, Any]]:
    """Texts as the collator wants them for whole words: ids, special pieces, places."""
    return [
        dict(tokenizer(text, truncation=True, max_length=length, return_offsets_mapping=True,
                       return_special_tokens_mask=True))
        for text in texts
    ]  # fmt: skip


def stock_words(
    tokenizer: PreTrainedTokenizerBase, text: str, *, draws: int = 64
) -> list[list[str]]:
    """What the collator takes for the words of a text: the pieces that it always masks together.

    Found by looking on: of so many draws at rate one half, neighbours that were never told apart.
    """
    collator, _ = stock_collator(tokenizer, whole_word_mask=True, mlm_probability=0.5, seed=0)
    (row,) = stock_rows(tokenizer, [text])
    names = tokenizer.convert_ids_to_tokens(row["input_ids"])
    masked = collator([dict(row) for _ in range(draws)])["labels"] != IGNORED
    words: list[list[str]] = []
    for place in range(1, len(names) - 1):
        if place > 1 and (masked[:, place] == masked[:, place - 1]).all():
            words[-1].append(names[place])
        else:
            words.append([names[place]])
    return words


def stock_epochs(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    workers: int,
    epochs: int = 2,
    seed: int = 0,
) -> list[torch.Tensor]:
    """What a seeded collator asks for in each epoch, behind a loader: bool (texts, T) each."""
    from torch.utils.data import DataLoader

    collator, _ = stock_collator(tokenizer, seed=seed)
    rows = [{"input_ids": row["input_ids"]} for row in stock_rows(tokenizer, texts)]
    width = max(len(row["input_ids"]) for row in rows)
    for row in rows:
        row["input_ids"] += [tokenizer.pad_token_id] * (width - len(row["input_ids"]))
    loader = DataLoader(rows, batch_size=4, collate_fn=collator, num_workers=workers)
    return [
        torch.cat([batch["labels"] != IGNORED for batch in loader]) for _ in range(epochs)
    ]


# -- choosing --------------------------------------------------------------------------------------


def coin(
    input_ids: torch.Tensor, rate: float, pieces: PieceTable, *, seed: int = 0
) -> torch.Tensor:
    """The positions that a coin for each ordinary piece chooses: bool (B, T)."""
    drawn = torch.rand(input_ids.shape, generator=generator_for(seed))
    return (drawn < rate) & ~pieces.special[input_ids]


def shares_of_rows(
    input_ids: torch.Tensor, masking: Masking, pieces: PieceTable, *, seed: int = 0
) -> dict[str, list[float]]:
    """Share of each row that is to be guessed: by a coin for each piece, and by the budget."""
    size = (~pieces.special[input_ids]).sum(1)
    ways = {
        "a coin for each piece": coin(input_ids, masking.rate, pieces, seed=seed),
        "a budget": choose(input_ids, masking, pieces, generator=generator_for(seed)),
    }
    return {name: (chosen.sum(1) / size).tolist() for name, chosen in ways.items()}
