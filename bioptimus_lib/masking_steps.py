"""Other ways to mask beside ours, for a lesson: the stock collator, a coin, rules for a budget.

What the collator does is found by looking on from outside, so that it holds for the version that
is installed.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch

from bioptimus_lib.masking import (
    IGNORED,
    Masking,
    PieceTable,
    choose,
    generator_for,
    ordinary,
    words_of,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def stock_collator(
    tokenizer: PreTrainedTokenizerBase,
    *,
    whole_words: bool = False,
    rate: float = 0.15,
    seed: int | None = None,
) -> tuple[Any, list[str]]:
    """Hugging Face's collator for these settings, and what it warns of when it is made."""
    from transformers import DataCollatorForLanguageModeling

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        collator = DataCollatorForLanguageModeling(
            tokenizer, whole_word_mask=whole_words, mlm_probability=rate, seed=seed
        )
    return collator, [str(one.message) for one in said]


def stock_rows(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, length: int = 128
) -> list[dict[str, Any]]:
    """Texts as the collator wants them for whole words: ids, special pieces, places.

    They are padded here, since it pads ids and stops at places of different length.
    """
    coded = tokenizer(
        list(texts), truncation=True, max_length=length, padding=True,
        return_offsets_mapping=True, return_special_tokens_mask=True,
    )  # fmt: skip
    return [{name: coded[name][n] for name in coded} for n in range(len(texts))]


def stock_words(
    tokenizer: PreTrainedTokenizerBase, text: str, *, draws: int = 64
) -> list[list[str]]:
    """What the collator takes for the words of a text: the pieces that it always masks together.

    Found by looking on: of so many draws at rate one half, neighbours that were never told apart.
    """
    collator, _ = stock_collator(tokenizer, whole_words=True, rate=0.5, seed=0)
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
    rows: Any = [{"input_ids": row["input_ids"]} for row in stock_rows(tokenizer, texts)]
    loader: DataLoader[Any] = DataLoader(
        rows, batch_size=4, collate_fn=collator, num_workers=workers
    )
    return [
        torch.cat([batch["labels"] != IGNORED for batch in loader]) for _ in range(epochs)
    ]


# -- choosing --------------------------------------------------------------------------------------


def coin(
    input_ids: torch.Tensor, rate: float, pieces: PieceTable, *, seed: int = 0
) -> torch.Tensor:
    """The positions that a coin for each ordinary piece chooses: bool (B, T)."""
    drawn = torch.rand(input_ids.shape, generator=generator_for(seed))
    return (drawn < rate) & ordinary(input_ids, pieces)


def shares_of_rows(
    input_ids: torch.Tensor, masking: Masking, pieces: PieceTable, *, seed: int = 0
) -> dict[str, list[float]]:
    """Share of each row that is to be guessed: by a coin for each piece, and by the budget."""
    size = ordinary(input_ids, pieces).sum(1)
    ways = {
        "a coin for each piece": coin(input_ids, masking.rate, pieces, seed=seed),
        "a budget": choose(input_ids, masking, pieces, generator=generator_for(seed)),
    }
    return {name: (chosen.sum(1) / size).tolist() for name, chosen in ways.items()}


#: Ways to choose units until a budget of pieces is met: name → function of (sizes in random order,
#: budget, a random number in [0, 1)) that gives the places of those that are chosen.
Rule = Callable[[Sequence[int], float, float], list[int]]


def until_full(sizes: Sequence[int], budget: float, _: float) -> list[int]:
    """Take units until the budget is met: the one that crosses it is always taken."""
    before = [0, *accumulate(sizes)]
    return [n for n in range(len(sizes)) if before[n] < budget]


def last_by_chance(sizes: Sequence[int], budget: float, turn: float) -> list[int]:
    """The same, but the unit that crosses is taken as often as makes the mean right."""
    before = [0, *accumulate(sizes)]
    return [n for n, size in enumerate(sizes) if turn * size < budget - before[n]]


def window(sizes: Sequence[int], budget: float, turn: float) -> list[int]:
    """The library's: units that begin in a window of a circle, which begins anywhere."""
    before, total = [0, *accumulate(sizes)], sum(sizes)
    return [n for n in range(len(sizes)) if (before[n] + turn * total) % total < budget]


RULES: dict[str, Rule] = {
    "until full": until_full, "last by chance": last_by_chance, "window": window
}  # fmt: skip


def rate_by_length(
    rows: Sequence[Sequence[int]], rule: Rule, *, rate: float, draws: int = 20, seed: int = 0
) -> dict[int, tuple[float, float]]:
    """How often a rule chooses words of each length: length → (share, standard error); 0 → pieces.

    Args:
        rows: sizes of the words of each row; rows of fewer pieces than a window needs to hold the
            longest word mislead, since a row must ask something.
        draws: times that each row is drawn.
    """
    chance = random.Random(seed)
    chosen, all_of = Counter[int](), Counter[int]()
    for sizes in rows:
        shuffled = list(sizes)
        for _ in range(draws):
            chance.shuffle(shuffled)
            taken = rule(shuffled, rate * sum(sizes), chance.random())
            chosen.update(shuffled[n] for n in taken)
            all_of.update(shuffled)
    chosen[0], all_of[0] = (sum(k * n for k, n in some.items()) for some in (chosen, all_of))
    shares = {size: chosen[size] / all_of[size] for size in sorted(all_of)}
    return {k: (p, (p * (1 - p) / all_of[k]) ** 0.5) for k, p in shares.items()}


def word_sizes(input_ids: torch.Tensor, pieces: PieceTable) -> list[list[int]]:
    """Pieces of each word of each row (B, T)."""
    word, candidate = words_of(input_ids, pieces), ordinary(input_ids, pieces)
    sizes = torch.zeros_like(word).scatter_add_(1, word, candidate.long())
    return [[size for size in row if size] for row in sizes.tolist()]
