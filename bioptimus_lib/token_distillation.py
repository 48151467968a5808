"""Token Distillation: rows by gradient, so that a token does to its sentence what its pieces did.

The teacher reads the sentence in old pieces; the student, the same frozen model, reads it with the
new tokens in their place. Only the new rows learn, until the hidden states of both agree (Dobler,
Elliott & de Melo, 2025). Their decoder can compare what comes after the token; an encoder looks
both ways, so here all other positions are compared, and the word's own: the mean over the pieces
against the mean over the tokens. The rest of the sentence keeps its positions, so that nothing but
the word tells the two apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from bioptimus_lib.crops import crops
from bioptimus_lib.cutting import Cutter
from bioptimus_lib.early_exit import only_layers, padded
from bioptimus_lib.occurrences import BATCH_TOKENS, SORTED_TOGETHER, WINDOW, batches

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.wanted import Wanted


@dataclass(frozen=True)
class TokenDistillation:
    """How rows are trained.

    Args:
        passes: over the contexts.
        learning_rate: of Adam, in standard deviations of the old table; it falls to 0 evenly.
        layer: whose hidden states are compared; None is the last.
        own: weight of the word's own position beside that of all others.
    """

    passes: int = 2
    learning_rate: float = 0.1
    layer: int | None = None
    own: float = 1.0

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError(f"passes is {self.passes}, it must be at least 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}, it must be above 0")
        if self.own < 0:
            raise ValueError(f"own is {self.own}, it cannot be negative")


class Pair(NamedTuple):
    """A sentence twice: in old pieces, and with new tokens.

    ``student`` holds old ids, and −1 − slot for a token that is trained; ``positions`` are the
    student's; ``same`` are pairs of places that hold the same piece; ``words`` are the places of
    a word, first and end, on both sides.
    """

    ids: list[int]
    student: list[int]
    positions: list[int]
    same: list[tuple[int, int]]
    words: list[tuple[int, int, int, int]]


def distil_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    wanted: Wanted,
    rows: torch.Tensor,
    *,
    settings: TokenDistillation | None = None,
    window: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    device: torch.device | str | None = None,
    precision: str = "fp32",
    seed: int = 0,
    progress: str | None = None,
) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """Train the rows of the wanted tokens, from ``rows`` (N, H) on.

    Returns:
        The rows, float32 (N, H) on the CPU; bool (N,), which of them had a context to learn from;
        and a report: ``batches``, and the ``losses``, one for each tenth of the way: squared error
        over the variance of the teacher's states.

    Raises:
        ValueError: a layer that the model does not have.
        FloatingPointError: the loss is NaN or infinite.
    """
    from tqdm.auto import tqdm

    from bioptimus_lib.models import autocast, input_table, moved_to

    settings = settings or TokenDistillation()
    depth = model.config.num_hidden_layers
    layer = depth if settings.layer is None else settings.layer
    if not 1 <= layer <= depth:
        raise ValueError(f"layer {layer}: states of layers 1 to {depth} can be compared")
    window = min(WINDOW, model.config.max_position_embeddings) if window is None else window
    device = torch.device(device) if device is not None else model.device
    table = input_table(model).detach().to(device)
    free = rows.detach().float().to(device).clone().requires_grad_()
    rate = settings.learning_rate * table.float().std().item()
    # Adam for rows: one that does not occur in a batch is left alone in it.
    optimizer = torch.optim.SparseAdam([free], lr=rate)
    total = settings.passes * len(wanted.requests)
    done: float = 0
    steps, losses = 0, []
    trained = torch.zeros(len(rows), dtype=torch.bool)
    with (
        moved_to(model, device),
        frozen(model),
        only_layers(model, layer),
        tqdm(total=total, desc=progress, disable=progress is None) as bar,
    ):
        for batch, sentences in _shuffled(tokenizer, wanted, window, batch_tokens, settings, seed):
            optimizer.param_groups[0]["lr"] = rate * (1 - done / total)
            with autocast(device, precision):
                loss = _loss(model, tokenizer, batch, table, free, settings.own)
            if not loss.isfinite():
                raise FloatingPointError(
                    f"the loss of token distillation is {loss.item()} after {steps} batches: lower "
                    "its learning rate or start from another strategy"
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            slots = {-1 - i for pair in batch for i in pair.student if i < 0}
            trained[list(slots)] = True
            done, steps = done + sentences, steps + 1
            losses.append((done / total, loss.item()))
            bar.update(sentences)
    return free.detach().cpu(), trained, {
        "batches": steps,
        "losses": [round(sum(some) / len(some), 5) for some in tenths(losses) if some],
        "loss": sum(value for _, value in losses) / steps if steps else math.nan,
    }


def tenths(losses: Iterable[tuple[float, float]]) -> list[list[float]]:
    """Values by the tenth of the training that their place, in (0, 1] but for rounding, is in.

    >>> tenths([(0.1, 5.0), (0.95, 4.0), (1 + 1e-12, 3.0)])[::9]
    [[5.0], [4.0, 3.0]]
    """
    found: list[list[float]] = [[] for _ in range(10)]
    for at, value in losses:
        found[min(9, int(10 * at - 1e-9))].append(value)
    return found


def pairs(
    tokenizer: PreTrainedTokenizerBase,
    cutter: Cutter,
    sentence: str,
    wanted: Wanted,
    room: int,
) -> Iterator[Pair]:
    """A sentence as the teacher and as the student read it; several where it is cropped."""
    for crop in crops(cutter, sentence, wanted.requests[sentence], room, Counter()):
        pair = Pair([tokenizer.cls_token_id], [tokenizer.cls_token_id], [0], [(0, 0)], [])
        for at, pieces in enumerate(crop.pieces):
            request = crop.wanted.get(at)
            if request is not None and (request.word, request.off) not in wanted.as_new:
                request = None  # a part of the tokens is wanted, and this word has others, too
            first, start = len(pair.ids), len(pair.student)
            pair.ids.extend(piece.id for piece in pieces)
            if request is None:
                pair.student.extend(piece.id for piece in pieces)
                pair.positions.extend(range(first, len(pair.ids)))
                pair.same.extend((first + n, start + n) for n in range(len(pieces)))
            else:
                new = wanted.as_new[request.word, request.off]
                pair.student.extend(new)
                last = len(pair.ids) - 1
                pair.positions.extend(min(first + n, last) for n in range(len(new)))
                pair.words.append((first, last + 1, start, len(pair.student)))
        pair.same.append((len(pair.ids), len(pair.student)))
        pair.positions.append(len(pair.ids))
        pair.ids.append(tokenizer.sep_token_id)
        pair.student.append(tokenizer.sep_token_id)
        if pair.words:
            yield pair


def _shuffled(
    tokenizer: PreTrainedTokenizerBase,
    wanted: Wanted,
    window: int,
    batch_tokens: int,
    settings: TokenDistillation,
    seed: int,
) -> Iterator[tuple[list[Pair], float]]:
    """Batches of like length in random order, each with its share of the sentences."""
    cutter, generator = Cutter(tokenizer), torch.Generator().manual_seed(seed)
    sentences = sorted(wanted.requests)
    for _ in range(settings.passes):
        order = iter(torch.randperm(len(sentences), generator=generator).tolist())
        while some := list(islice(order, SORTED_TOGETHER)):
            inputs = [
                pair
                for i in some
                for pair in pairs(tokenizer, cutter, sentences[i], wanted, window - 2)
            ]
            cut = list(batches(inputs, batch_tokens))
            for n in torch.randperm(len(cut), generator=generator).tolist():
                yield cut[n], len(cut[n]) * len(some) / len(inputs)


def _loss(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: list[Pair],
    table: torch.Tensor,
    free: torch.Tensor,
    own: float,
) -> torch.Tensor:
    """How far the student's states are from the teacher's, over the variance of the teacher's."""
    device, encoder = table.device, model.base_model
    ids, attention = padded([pair.ids for pair in batch], tokenizer.pad_token_id)
    with torch.no_grad():
        teacher = encoder(
            input_ids=ids.to(device), attention_mask=attention.to(device)
        ).last_hidden_state.float()
    student, attention = padded([pair.student for pair in batch], tokenizer.pad_token_id)
    positions, _ = padded([pair.positions for pair in batch], 0)
    student = student.to(device)
    fresh = student < 0
    inputs = torch.nn.functional.embedding(student.clamp(min=0), table).float()
    # Rows that the batch does not hold get no gradient, not even one of zeros: momentum would move
    # them.
    new = torch.nn.functional.embedding(-1 - student[fresh], free, sparse=True)
    inputs = inputs.index_put((fresh,), new)
    states = encoder(
        inputs_embeds=inputs, attention_mask=attention.to(device), position_ids=positions.to(device)
    ).last_hidden_state.float()

    at = torch.tensor(
        [(row, t, s) for row, pair in enumerate(batch) for t, s in pair.same], device=device
    )
    others = (states[at[:, 0], at[:, 2]] - teacher[at[:, 0], at[:, 1]]).square().mean()
    words = torch.stack([
        states[row, s0:s1].mean(0) - teacher[row, t0:t1].mean(0)
        for row, pair in enumerate(batch)
        for t0, t1, s0, s1 in pair.words
    ]).square().mean()
    known = teacher[at[:, 0], at[:, 1]]
    found: torch.Tensor = (others + own * words) / (known - known.mean(0)).square().mean()
    return found


@contextmanager
def frozen(model: PreTrainedModel) -> Iterator[None]:
    """Let no weight of the model learn, or gather gradients."""
    before = [(weight, weight.requires_grad) for weight in model.parameters()]
    for weight, _ in before:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight, learns in before:
            weight.requires_grad_(learns)
