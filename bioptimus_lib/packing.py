"""Text as full blocks of pieces without padding: no position is computed for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from bioptimus_lib.files import atomic_write

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def pack(
    documents: Iterable[str], tokenizer: PreTrainedTokenizerBase, *, length: int = 128
) -> np.ndarray:
    """Cut a stream of documents into full blocks without padding.

    A block is ``[CLS]`` + ``length − 2`` pieces + ``[SEP]``; documents follow one another with a
    ``[SEP]`` between them, and the rest that fills no block is dropped.

    Returns:
        Array (N, length), uint16 where the vocabulary allows it, else int32.

    Raises:
        ValueError: the text does not fill one block.
    """
    kind = np.uint16 if len(tokenizer) <= 2**16 else np.int32
    parts: list[np.ndarray] = []
    fast = tokenizer.backend_tokenizer
    fast.no_truncation()  # an earlier call may have left either on
    fast.no_padding()
    before, fast.encode_special_tokens = fast.encode_special_tokens, True  # "[SEP]" is a text
    for some in _batches(documents, 512):
        for encoding in fast.encode_batch(some, add_special_tokens=False):
            parts.append(np.array([*encoding.ids, tokenizer.sep_token_id], dtype=kind))
    fast.encode_special_tokens = before
    stream = np.concatenate(parts) if parts else np.empty(0, kind)
    parts.clear()  # or the text is in memory three times
    inner = length - 2
    rows = len(stream) // inner
    if rows == 0:
        raise ValueError(
            f"the text has {len(stream)} pieces, fewer than the {inner} of one block: "
            "give more text or a smaller block length"
        )
    blocks = np.empty((rows, length), kind)
    blocks[:, 0], blocks[:, -1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    blocks[:, 1:-1] = stream[: rows * inner].reshape(rows, inner)
    return blocks


def kept(
    file: Path, texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, *, length: int
) -> np.ndarray:
    """What ``pack`` gives, kept in a file: made once, and then read as it is needed."""
    if not file.exists():
        with atomic_write(file, "wb") as handle:
            np.save(handle, pack(texts, tokenizer, length=length))
    blocks: np.ndarray = np.load(file, mmap_mode="r")
    return blocks


def _batches(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of ``size`` items; the last may be shorter."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


class Steps(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """The blocks of each optimiser step of a training: item n is int64 (G, T), those of step n.

    The blocks are read in a new order in each pass over them, one pass after the other without a
    gap, so that all steps are of one size. The order depends on the seed alone, not on how a step
    is divided between processes or batches.

    Args:
        blocks: packed text (N, T).
        count: steps in all.
        size: blocks per step, G.
        parts: items per step; each is the whole step, for the reason in ``MaskedTrainer``.
        seed: of the order.
    """

    def __init__(
        self, blocks: np.ndarray, *, count: int, size: int, parts: int = 1, seed: int = 0
    ) -> None:
        self.blocks, self.count, self.size, self.parts, self.seed = blocks, count, size, parts, seed
        self._orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.count * self.parts

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        rows = self.blocks[self.rows(item // self.parts)]
        return {"input_ids": torch.from_numpy(rows.astype("int64"))}

    def rows(self, step: int) -> np.ndarray:
        """Which blocks a step reads: (G,)."""
        rounds, places = np.divmod(
            np.arange(step * self.size, (step + 1) * self.size), len(self.blocks)
        )
        return np.concatenate(
            [self._order(number)[places[rounds == number]] for number in np.unique(rounds)]
        )

    def _order(self, number: int) -> np.ndarray:
        """The order of a pass; only the last ones are kept, for it may be long."""
        if number not in self._orders:
            self._orders = {n: o for n, o in self._orders.items() if n == number - 1}
            order = np.arange(len(self.blocks), dtype=np.uint32)
            np.random.default_rng([self.seed, number]).shuffle(order)
            self._orders[number] = order
        return self._orders[number]


def only(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The only item of a list: an item of ``Steps`` is a batch already."""
    (item,) = items
    return item
