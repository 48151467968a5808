"""Hidden states of words where they occur: the one expensive loop of the distillation.

Each sentence is encoded once however many words are wanted in it; sequences of like length share a
batch; the forward pass stops at the deepest layer that is read, and this one is computed only for
the pieces that are read. What is kept is one running sum per wanted token and layer, so memory does
not grow with the number of sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from bioptimus_lib.crops import ModelInput, Request, sequences
from bioptimus_lib.cutting import Cutter
from bioptimus_lib.early_exit import layer_at, only_layers, padded, recorded
from bioptimus_lib.onednn import by_onednn

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WINDOW = 128  # pieces; what is further away tells little about a word and costs the most
BATCH_TOKENS = 4096
SORTED_TOGETHER = 20_000  # sequences held at once to be sorted by length


class HasIds(Protocol):
    """Anything that is a model input."""

    @property
    def ids(self) -> list[int]: ...


Input = TypeVar("Input", bound=HasIds)


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

    from bioptimus_lib.models import autocast, moved_to, precision_for

    depth, room = model.config.num_hidden_layers, model.config.max_position_embeddings
    layers = tuple(layers)
    if not layers or not all(0 <= layer <= depth for layer in layers):
        raise ValueError(f"layers {list(layers)} of a model that has layers 0 to {depth}")
    window = min(WINDOW, room) if window is None else window
    if not 3 <= window <= room:
        raise ValueError(f"a window of {window} pieces: the model takes 3 to {room}")
    device = torch.device(device) if device is not None else model.device
    precision = precision_for(device, precision)
    cutter, tally = Cutter(tokenizer), Counter[str]()
    ends = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    sums = torch.zeros(slots, len(layers), model.config.hidden_size, device=device)
    counts = [0] * slots
    deepest = max(layers)
    encoder: Any = model.base_model.encoder
    last = encoder.layer[deepest - 1] if deepest > 1 else None

    def inputs() -> Iterator[ModelInput]:
        for sentence in sorted(requests):  # sums do not depend on the order of the mapping
            yield from sequences(cutter, sentence, requests[sentence], window - 2, ends, tally)

    with (
        moved_to(model, device),
        torch.inference_mode(),
        by_onednn(model, precision=precision),
        only_layers(model, 1 if last is None else deepest - 1),  # transformers needs one layer
        recorded(model) as output,
        autocast(device, precision),
        tqdm(total=len(requests), desc=progress, disable=progress is None) as bar,
    ):
        for batch in batches(inputs(), batch_tokens):
            ids, attention = padded([sequence.ids for sequence in batch], tokenizer.pad_token_id)
            attention = attention.to(device)
            output.clear()
            model.base_model(input_ids=ids.to(device), attention_mask=attention)
            reads = _reads(batch, counts)
            row, position, column, slot = (
                torch.tensor(some, device=device)
                for some in (reads.row, reads.position, reads.column, reads.slot)
            )
            found = {layer: output[layer][row, position].float() for layer in {*layers} - {deepest}}
            if last is None:
                found[deepest] = output[deepest][row, position].float()
            else:
                places = padded(reads.places, 0)[0].to(device)
                found[deepest] = layer_at(last, output[-1], attention, places)[row, column].float()
            states = torch.stack([found[layer] for layer in layers], 1)
            states *= torch.tensor(reads.weight, device=device)[:, None, None]
            sums.index_add_(0, slot, states)
            tally["sentences"] += len(batch)
            tally["tokens"] += sum(len(sequence.ids) for sequence in batch)
            bar.update(len(batch))
    count = torch.tensor(counts)
    mean = sums.cpu() / count.clamp(min=1)[:, None, None]
    return States(mean=mean, count=count, layers=layers, tally=tally)


class Reads(NamedTuple):
    """What is read from a batch: for each piece that is read its row, position, column among the
    ``places`` of the row, running sum and weight."""

    row: list[int]
    position: list[int]
    column: list[int]
    slot: list[int]
    weight: list[float]
    places: list[list[int]]


def _reads(batch: Sequence[ModelInput], counts: list[int]) -> Reads:
    """What is read from a batch; ``counts`` of the running sums go up."""
    reads = Reads([], [], [], [], [], [])
    for row, sequence in enumerate(batch):
        columns: dict[int, int] = {}  # a piece that is read for two words is computed once
        for wanted, first, end in sequence.reads:
            counts[wanted] += 1
            for position in range(first, end):
                reads.row.append(row)
                reads.position.append(position)
                reads.column.append(columns.setdefault(position, len(columns)))
                reads.slot.append(wanted)
                reads.weight.append(1 / (end - first))
        reads.places.append(list(columns))
    return reads


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
