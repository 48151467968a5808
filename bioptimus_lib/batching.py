"""Batches of sentences: which of them make a step together, and how they lie in rows.

The first decides what a training learns, the second what it costs. Sentences of like length in one
batch need little padding, but they are also alike in what they say (titles, headings, lists), and a
batch is then no fair sample of the text. So batches are drawn at random here, and the padding is
saved inside the batch: several sentences lie in one row, each with positions of its own, and none
attends to another (Krell et al., 2021). That is the same computation, not a similar one.

``bioptimus bench ner`` measures what each way costs, ``bioptimus experiment ner-batches`` what it
does to F1.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from bioptimus_lib.arrays import Ints

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)
POOL = 16  # batches that are sorted by length together in ``pools``
ALIKE = 1e-4  # logits that differ by less are the same, up to the order of sums

# --- which sentences make a batch --------------------------------------------------------------


def by_length(lengths: Ints, *, budget: int) -> list[np.ndarray]:
    """Indices in batches of at most ``budget`` positions, long sentences first: for prediction,
    where only the padding counts.

    >>> [list(map(int, batch)) for batch in by_length([3, 9, 2, 4], budget=10)]
    [[1], [3, 0], [2]]
    """
    lengths = np.asarray(lengths)
    _check(budget)
    order, out, start = np.argsort(-lengths, kind="stable"), [], 0
    while start < len(order):
        rows = max(1, budget // int(lengths[order[start]]))
        out.append(order[start : start + rows])
        start += rows
    return out


def evenly(
    lengths: Ints, *, budget: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Random batches of about as many pieces, at most ``budget`` on average.

    Each is a share of the shuffled sentences, cut where the sentence nearest to the mark ends, so
    none differs from the mean by more than a sentence. A step is the mean over its tokens: with
    equal batches every token of an epoch has the same weight, and none is left over for a last,
    small batch, whose few tokens would weigh as much as all of another.
    """
    lengths = np.asarray(lengths)
    steps = _steps(lengths, budget)
    order = generator.permutation(len(lengths))
    ends = np.cumsum(lengths[order])
    middle = ends - lengths[order] / 2
    cuts = np.searchsorted(middle, np.arange(1, steps) * (ends[-1] / steps)) if steps else []
    return [batch for batch in np.split(order, cuts) if len(batch)]


def by_number(
    lengths: Ints, *, budget: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Random batches of as many sentences, as a stock data loader makes them."""
    return _cut(generator.permutation(len(lengths)), _rows(lengths, budget))


def buckets(
    lengths: Ints, *, budget: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """All sentences sorted by length, cut into batches of as many, the batches shuffled."""
    order = generator.permutation(len(lengths))  # equal lengths meet others in each epoch
    order = order[np.argsort(-np.asarray(lengths)[order], kind="stable")]
    return _shuffled(_cut(order, _rows(lengths, budget)), generator)


def pools(
    lengths: Ints,
    *,
    budget: int,
    generator: np.random.Generator,
    pool: int | None = POOL,
) -> list[np.ndarray]:
    """Batches of at most ``budget`` positions, sorted by length only within ``pool`` of them.

    Args:
        pool: batches that are sorted together; ``None`` for all.
    """
    lengths = np.asarray(lengths)
    _check(budget)
    order = generator.permutation(len(lengths))
    size = max(1, len(order))
    if pool is not None and len(order):
        size = max(1, round(pool * budget / lengths.mean()))
    return _shuffled([
        order[start : start + size][batch]
        for start in range(0, len(order), size)
        for batch in by_length(lengths[order[start : start + size]], budget=budget)
    ], generator)  # fmt: skip


def sorted_pieces(
    lengths: Ints, *, budget: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """All sentences sorted by length, in batches of as many positions, the batches shuffled."""
    return pools(lengths, budget=budget, generator=generator, pool=None)


def _check(budget: int) -> None:
    if budget < 1:
        raise ValueError(f"a budget of {budget} positions per batch: give 1 or more")


def _steps(lengths: Ints, budget: int) -> int:
    """Batches in which the sentences have ``budget`` pieces on average, or fewer."""
    _check(budget)
    return -(-int(np.sum(lengths)) // budget)


def _rows(lengths: Ints, budget: int) -> int:
    """Sentences per batch that give about as many steps as ``evenly``."""
    return max(1, round(len(lengths) / max(1, _steps(lengths, budget))))


def _cut(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def _shuffled(found: list[np.ndarray], generator: np.random.Generator) -> list[np.ndarray]:
    return [found[i] for i in generator.permutation(len(found))]


# --- how a batch lies in rows ------------------------------------------------------------------


class Layout(NamedTuple):
    """Where the sentences of a batch lie.

    row, start: int (n,), row of each sentence and the position at which it begins.
    shape: rows and positions of a row.
    """

    row: np.ndarray
    start: np.ndarray
    shape: tuple[int, int]

    @property
    def packed(self) -> bool:
        """Whether a row holds more than one sentence."""
        return len(self.row) > self.shape[0]


def padded(lengths: Ints) -> Layout:
    """A row for each sentence, as long as the longest."""
    count = len(lengths)
    return Layout(np.arange(count), np.zeros(count, np.int64), (count, int(max(lengths))))


def packed(lengths: Ints) -> Layout:
    """Several sentences in a row: each, the longest first, goes to the row that is shortest yet.

    There are as many rows as the pieces fill if a row is as long as the longest sentence, rounded
    down; so rows are a little longer than it, and nearly full. Longer rows would hold less padding
    still, but the cost of attention grows with them.

    >>> layout = packed([5, 2, 4, 1])
    >>> layout.row.tolist(), layout.start.tolist(), layout.shape
    ([0, 1, 1, 0], [0, 4, 0, 5], (2, 6))
    """
    lengths = np.asarray(lengths)
    rows = max(1, int(lengths.sum()) // int(lengths.max()))
    row, start = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    heap = [(0, number) for number in range(rows)]  # pieces in each row
    for i in np.argsort(-lengths, kind="stable"):
        start[i], row[i] = heap[0]
        heapq.heapreplace(heap, (int(start[i] + lengths[i]), int(row[i])))
    return Layout(row, start, (rows, max(size for size, _ in heap)))


def places(lengths: Ints, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """For each piece of a batch, sentence after sentence, its place in the flat rows, and its
    position in its sentence: int (P,) both."""
    lengths = np.asarray(lengths)
    before = np.cumsum(lengths) - lengths
    inside = np.arange(int(lengths.sum())) - np.repeat(before, lengths)
    return np.repeat(layout.row * layout.shape[1] + layout.start, lengths) + inside, inside


def filled(sequences: Sequence[np.ndarray], layout: Layout, value: int) -> np.ndarray:
    """Sequences in their places: int64 (R, T), ``value`` where there is none."""
    out = np.full(layout.shape, value, np.int64)
    out.flat[places([len(some) for some in sequences], layout)[0]] = np.concatenate(sequences)
    return out


def model_inputs(
    sequences: Sequence[np.ndarray],
    layout: Layout,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, torch.Tensor]:
    """What a model is given to read sentences in their places, on its device.

    Packed rows come with a mask (R, 1, T, T) that keeps each sentence to itself and with positions
    that begin anew; others with the usual mask (R, T), which every model knows.
    """
    import torch

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(model.device)

    at, inside = places([len(some) for some in sequences], layout)
    sentence, position = np.zeros(layout.shape, np.int64), np.zeros(layout.shape, np.int64)
    sentence.flat[at] = 1 + np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
    ids = tensor(filled(sequences, layout, tokenizer.pad_token_id))
    if not layout.packed:
        return {"input_ids": ids, "attention_mask": tensor((sentence > 0).astype(np.int64))}
    position.flat[at] = inside
    whose = tensor(sentence)
    mask = whose[:, None, :, None] == whose[:, None, None, :]  # padding attends to padding
    if model.config._attn_implementation == "eager":  # adds the mask to the scores
        mask = torch.where(mask, 0.0, torch.finfo(torch.float32).min)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": tensor(position)}


def reads_packed(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a model answers on packed rows as on single sentences: it is tried.

    Most do. Not those that mix neighbours outside of attention (MobileBERT) or count positions
    otherwise (RoBERTa).
    """
    import torch

    draw = np.random.default_rng(0)
    ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
    some = [
        np.array([tokenizer.cls_token_id, *draw.choice(ordinary, size), tokenizer.sep_token_id])
        for size in (3, 2, 2, 1)
    ]
    lengths = [len(one) for one in some]
    training = model.training
    model.eval()
    answers = []
    try:
        for layout in (padded(lengths), packed(lengths)):
            with torch.inference_mode():
                logits = model(**model_inputs(some, layout, model, tokenizer)).logits
            at = torch.from_numpy(places(lengths, layout)[0]).to(logits.device)
            answers.append(logits.flatten(0, 1)[at])
    except (TypeError, ValueError, RuntimeError):  # it takes no positions, or no such mask
        return False
    finally:
        model.train(training)
    alone, together = answers
    return torch.allclose(alone, together, rtol=0, atol=ALIKE)


# --- the ways ----------------------------------------------------------------------------------


class Draw(Protocol):
    """Batches of an epoch, as indices of sentences of so many pieces."""

    def __call__(
        self, lengths: Ints, *, budget: int, generator: np.random.Generator
    ) -> list[np.ndarray]: ...


@dataclass(frozen=True)
class Batching:
    """A way to make batches: what it does, how it draws them, how it lays a batch in rows."""

    about: str
    draw: Draw
    lay: Callable[[Sequence[int]], Layout] = padded


#: ``packed`` is what we train with; ``padded`` is the same for models that cannot read packed rows;
#: the others are what one would do else, and are kept to be compared.
BATCHINGS: dict[str, Batching] = {
    "packed": Batching("random, even batches, several sentences in a row", evenly, packed),
    "padded": Batching("the same batches, a row each", evenly),
    "random": Batching("random batches of as many sentences", by_number),
    "buckets": Batching("sorted by length, as many sentences in each", buckets),
    "sorted": Batching("sorted by length, as many positions in each", sorted_pieces),
    "pools": Batching(f"sorted in pools of {POOL} batches, as many positions in each", pools),
}


def batching_for(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> Batching:
    """A row of ``BATCHINGS``; for a model that cannot read packed rows, ``padded`` for ``packed``.

    Raises:
        ValueError: no such row.
    """
    check_batching(name)
    if name == "packed" and not reads_packed(model, tokenizer):
        log.info("%s cannot read packed rows: a row for each sentence", type(model).__name__)
        name = "padded"
    return BATCHINGS[name]


def check_batching(name: str) -> None:
    """ValueError unless there is such a row in ``BATCHINGS``."""
    if name not in BATCHINGS:
        raise ValueError(f"batching {name!r} is unknown: choose one of {', '.join(BATCHINGS)}")
