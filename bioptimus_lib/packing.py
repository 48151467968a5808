"""Text as full blocks of pieces without padding: no position is computed for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

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
    for some in _batches(documents, 512):
        for encoding in fast.encode_batch(some, add_special_tokens=False):
            parts.append(np.array([*encoding.ids, tokenizer.sep_token_id], dtype=kind))
    stream = np.concatenate(parts) if parts else np.empty(0, kind)
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


def _batches(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of ``size`` items; the last may be shorter."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


class Blocks(torch.utils.data.Dataset):
    """Packed blocks (N, T) as ``Trainer`` wants to read them."""

    def __init__(self, blocks: np.ndarray) -> None:
        self.blocks = blocks

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"input_ids": self.blocks[index]}


def collate(rows: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Rows of packed blocks to one batch: int64 (B, T)."""
    return {"input_ids": torch.from_numpy(np.stack([r["input_ids"] for r in rows]).astype("int64"))}
