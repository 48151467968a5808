"""Hidden states of words where they occur: the one expensive loop of the distillation.

Each sentence is encoded once however many words are wanted in it; sequences of like length share a
batch; the forward pass stops at the deepest layer that is read. What is kept is one running sum
per wanted token and layer, so memory does not grow with the number of sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from bioptimus_lib.cutting import Cutter, Piece
from bioptimus_lib.early_exit import only_layers, padded, recorded
from bioptimus_lib.onednn import by_onednn

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WINDOW = 128  # pieces; what is further away tells little about a word and costs the most
BATCH_TOKENS = 4096
SORTED_TOGETHER = 20_000  # sequences held at once to be sorted by length


class Span(NamedTuple):
    """What is wanted of a word: the characters ``start:end``, for the running sum ``slot``."""

    slot: int
    start: int
    end: int


class Request(NamedTuple):
    """A word wanted in a sentence, cut as if the piece ``off`` did not exist."""

    word: str
    spans: tuple[Span, ...]
    off: int | None = None


class HasIds(Protocol):
    """Anything that is a model input."""

    @property
    def ids(self) -> list[int]: ...


Input = TypeVar("Input", bound=HasIds)


class ModelInput(NamedTuple):
    """Ids of one model input and the (slot, first, end) positions to be read from it."""

    ids: list[int]
    reads: list[tuple[int, int, int]]


@dataclass(frozen=True)
class States:
    """Mean hidden states.

    Attributes:
        mean: float32 (slots, layers, H) on the CPU: over the pieces of an occurrence, then over
            occurrences; zero where there was none.
        count: int64 (slots,), occurrences read.
        layers: which layers, 0 is the embedding layer's output.
        tally: counts of ``sentences`` encoded, ``contexts`` read, ``cropped`` to the window,
            ``too_long`` for it, ``absent`` (the sentence does not hold the word), ``tokens``.
    """

    mean: torch.Tensor
    count: torch.Tensor
    layers: tuple[int, ...]
    tally: Counter[str]


def read_states(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Mapping[str, Sequence[Request]],
    *,
    slots: int,
    layers: Sequence[int],
    window: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    device: torch.device | str | None = None,
    precision: str = "fp32",
    progress: str | None = None,
) -> States:
    """Encode the sentences of ``requests`` and average the hidden states of the wanted words.

    Args:
        requests: sentence → what is wanted in it.
        slots: number of running sums.
        layers: layers to read; the forward pass stops after the deepest.
        window: longest model input in pieces; longer sentences are cropped around the word. By
            default ``WINDOW``, or the model's own where that is shorter.
        batch_tokens: pieces per batch, padding included.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``auto``; sums are kept in 32 bits.
        progress: label of a progress bar; none by default.

    Raises:
        ValueError: a layer that the model does not have, or a window that holds no word.
    """
    import torch
    from tqdm.auto import tqdm

    from bioptimus_lib.models import precision_for

    depth, room = model.config.num_hidden_layers, model.config.max_position_embeddings
    layers = tuple(layers)
    if not layers or not all(0 <= layer <= depth for layer in layers):
        raise ValueError(f"layers {list(layers)} of a model that has layers 0 to {depth}")
    window = min(WINDOW, room) if window is None else window
    if not 3 <= window <= room:
        raise ValueError(f"a window of {window} pieces: the model takes 3 to {room}")
    device = torch.device(device) if device is not None else model.device
    precision = precision_for(device, precision)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    cutter, tally = Cutter(tokenizer), Counter()
    ends = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    sums = torch.zeros(slots, len(layers), model.config.hidden_size, device=device)
    count = torch.zeros(slots, dtype=torch.int64)

    def inputs() -> Iterator[ModelInput]:
        for sentence in sorted(requests):  # sums do not depend on the order of the mapping
            yield from sequences(cutter, sentence, requests[sentence], window - 2, ends, tally)

    home = model.device
    model.to(device)
    with (
        torch.inference_mode(),
        only_layers(model, max(1, *layers)),  # transformers needs one layer
        recorded(model) as output,
        by_onednn(model) if half is None else nullcontext(),
        torch.autocast(device.type, dtype=half, enabled=half is not None),
        tqdm(total=len(requests), desc=progress, disable=progress is None) as bar,
    ):
        for batch in batches(inputs(), batch_tokens):
            ids, attention = padded([sequence.ids for sequence in batch], tokenizer.pad_token_id)
            length = ids.shape[1]
            output.clear()
            model.base_model(input_ids=ids.to(device), attention_mask=attention.to(device))
            place, slot, weight = [], [], []
            for row, sequence in enumerate(batch):
                for wanted, first, end in sequence.reads:
                    place.extend(range(row * length + first, row * length + end))
                    slot.extend([wanted] * (end - first))
                    weight.extend([1 / (end - first)] * (end - first))
                    count[wanted] += 1
            at = torch.tensor(place, device=device)
            states = torch.stack([output[layer].flatten(0, 1)[at].float() for layer in layers], 1)
            states *= torch.tensor(weight, device=device)[:, None, None]
            sums.index_add_(0, torch.tensor(slot, device=device), states)
            tally["sentences"] += len(batch)
            tally["tokens"] += int(attention.sum())
            bar.update(len(batch))
    model.to(home)
    mean = sums.cpu() / count.clamp(min=1)[:, None, None]
    return States(mean=mean, count=count, layers=layers, tally=tally)


def crops(
    cutter: Cutter,
    sentence: str,
    requests: Sequence[Request],
    room: int,
    tally: Counter[str],
) -> Iterator[list[tuple[tuple[Piece, ...], Request | None]]]:
    """The pieces of each word with what is wanted of it: the whole sentence, or, where that is
    longer than ``room`` pieces, the words around each wanted one."""
    words = cutter.words(sentence)
    wanted: dict[int, Request] = {}
    for request in requests:
        if request.word in words:
            wanted[words.index(request.word)] = request
        else:
            tally["absent"] += 1
    pieces = [
        cutter.cut(word, off=wanted[i].off if i in wanted else None) for i, word in enumerate(words)
    ]
    lengths = [len(some) for some in pieces]
    if sum(lengths) <= room:
        if wanted:
            yield [(pieces[i], wanted.get(i)) for i in range(len(words))]
        return
    for i, request in wanted.items():
        if lengths[i] > room:
            tally["too_long"] += 1
            continue
        tally["cropped"] += 1
        first, end = _crop(lengths, i, room)
        yield [(pieces[n], request if n == i else None) for n in range(first, end)]


def sequences(
    cutter: Cutter,
    sentence: str,
    requests: Sequence[Request],
    room: int,
    ends: tuple[int, int],
    tally: Counter[str],
) -> Iterator[ModelInput]:
    """The model inputs of a sentence, and where to read in them."""
    for crop in crops(cutter, sentence, requests, room, tally):
        sequence = ModelInput([ends[0]], [])
        for pieces, request in crop:
            if request is not None:
                tally["contexts"] += 1
                for slot, start, stop in request.spans:
                    covered = [
                        len(sequence.ids) + n
                        for n, piece in enumerate(pieces)
                        if piece.start < stop and piece.end > start
                    ]
                    sequence.reads.append((slot, covered[0], covered[-1] + 1))
            sequence.ids.extend(piece.id for piece in pieces)
        sequence.ids.append(ends[1])
        yield sequence


def _crop(lengths: Sequence[int], at: int, room: int) -> tuple[int, int]:
    """The words ``first:end`` around word ``at`` that fit into ``room`` pieces.

    It grows by a word on the side that holds fewer pieces so far, on the other when that is full.

    >>> _crop([1, 1, 1, 1, 1, 1, 1], 3, 4)
    (2, 6)
    """
    first, end, left, right = at, at + 1, 0, 0
    free = room - lengths[at]
    while True:
        can_left = first > 0 and lengths[first - 1] <= free
        can_right = end < len(lengths) and lengths[end] <= free
        if can_left and (left < right or not can_right):
            first -= 1
            left, free = left + lengths[first], free - lengths[first]
        elif can_right:
            right, free = right + lengths[end], free - lengths[end]
            end += 1
        else:
            return first, end


def batches(sequences: Iterable[Input], batch_tokens: int) -> Iterator[list[Input]]:
    """Batches of like length, longest first, of at most ``batch_tokens`` pieces with padding."""

    def cut(held: list[Input]) -> Iterator[list[Input]]:
        held.sort(key=lambda sequence: -len(sequence.ids))
        first = 0
        while first < len(held):
            rows = max(1, batch_tokens // len(held[first].ids))
            yield held[first : first + rows]
            first += rows

    held: list[Input] = []
    for sequence in sequences:
        held.append(sequence)
        if len(held) == SORTED_TOGETHER:
            yield from cut(held)
            held = []
    yield from cut(held)
