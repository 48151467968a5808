"""Which pieces a masked language model has to guess: unit, rate and corruption.

The three settings are the axes of the BIOptimus curriculum (Pavlova & Makhlouf, 2023). One
vectorised function draws the masks of a whole batch on the device where the batch is; all its
randomness comes from the generator that it is given, so a step can be repeated exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

UNITS = ("token", "word", "span")
IGNORED = -100  # the label that torch's cross entropy skips
LONGEST_SPAN = 5  # words; with 1 the shortest, all equally likely, the mean is 3 (SpanBERT: 3.8)


@dataclass(frozen=True)
class Masking:
    """What to mask.

    Args:
        unit: ``token`` (pieces one by one), ``word`` (all pieces of a word together; a word is a
            piece and the ``##`` pieces behind it) or ``span`` (runs of one to five whole words).
        rate: share of the ordinary pieces of each sequence that is to be guessed, in (0, 1).
        corruption: with it, a chosen piece becomes ``[MASK]`` in 80 %, another piece in 10 % and
            stays as it is in 10 % of the cases, decided piece by piece as in BERT (Devlin et al.,
            2019, section 3.1); without it, always ``[MASK]``.
    """

    unit: str = "token"
    rate: float = 0.15
    corruption: bool = True

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"masking unit {self.unit!r} is unknown: choose one of {UNITS}")
        if not 0.0 < self.rate < 1.0:
            raise ValueError(f"masking rate {self.rate} is outside (0, 1)")

    def __str__(self) -> str:
        shown = "80/10/10" if self.corruption else "all [MASK]"
        return f"{self.unit}, {100 * self.rate:g}%, {shown}"


@dataclass(frozen=True)
class PieceTable:
    """What masking must know of a vocabulary of V pieces, as two lookup tables.

    Attributes:
        continues: bool (V,), true where a piece goes on with a word (``##ectomy``).
        ordinary: int64 (O,), ids of all pieces but the special ones, for random replacement.
        special: bool (V,), true for ``[CLS]``, ``[SEP]``, ``[PAD]``, ``[MASK]``, ``[UNK]``, …
        mask_id: id of ``[MASK]``.
    """

    continues: torch.Tensor
    ordinary: torch.Tensor
    special: torch.Tensor
    mask_id: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> PieceTable:
        """Read the tables off a WordPiece tokenizer.

        Raises:
            ValueError: the tokenizer has no ``[MASK]`` piece, or does not cut words as BERT does,
                so that where words begin is not known.
        """
        import torch

        from bioptimus_lib.wordpiece import require_wordpiece

        require_wordpiece(tokenizer)
        if tokenizer.mask_token_id is None:
            raise ValueError("the tokenizer has no [MASK] piece, so nothing can be masked")
        size = len(tokenizer)
        pieces = tokenizer.convert_ids_to_tokens(list(range(size)))
        special = torch.zeros(size, dtype=torch.bool)
        special[list(tokenizer.all_special_ids)] = True
        return cls(
            continues=torch.tensor([piece.startswith("##") for piece in pieces]),
            ordinary=torch.nonzero(~special).flatten(),
            special=special,
            mask_id=tokenizer.mask_token_id,
        )

    def to(self, device: torch.device | str) -> PieceTable:
        """The same tables on another device."""
        return PieceTable(
            self.continues.to(device),
            self.ordinary.to(device),
            self.special.to(device),
            self.mask_id,
        )


def choose(
    input_ids: torch.Tensor, masking: Masking, pieces: PieceTable, *, generator: torch.Generator
) -> torch.Tensor:
    """Draw the positions to guess: bool (B, T) for ``input_ids`` int64 (B, T).

    Special pieces and padding are never chosen. The units of a row are laid in random order around
    a circle, each as long as it has pieces; a window as long as the budget, ``rate`` × ordinary
    pieces of the row, begins at a random place, and the units that *begin* in the window are
    chosen. So every unit has the same chance, long or short, and it is ``rate``; the pieces chosen
    differ from the budget by less than one unit, up or down. A window in which no unit begins
    takes the next one: a row with any ordinary piece has something to guess, and only where the
    budget can be shorter than a unit is the expected share above ``rate``.

    Raises:
        ValueError: ``input_ids`` is not a batch of rows.
    """
    import torch

    if input_ids.ndim != 2 or not input_ids.shape[1]:
        raise ValueError(f"ids of shape {tuple(input_ids.shape)}: give (B, T) with T of 1 or more")
    rows, length = input_ids.shape

    def uniform() -> torch.Tensor:
        """A number in [0, 1) for each row."""
        drawn = torch.rand(
            rows, 1, generator=generator, device=generator.device, dtype=torch.float64
        )
        return drawn.to(input_ids.device)

    candidate = ordinary(input_ids, pieces)
    total = candidate.sum(1, keepdim=True)  # (B, 1)
    budget = masking.rate * total
    if masking.unit == "token":
        # Units of one piece: the window holds the budget rounded down or up, by chance.
        number = (budget + uniform()).long().clamp_(min=1)
        most = min(length, int(masking.rate * length) + 1)
        order = _shuffled(candidate, generator)[:, :most]
        taken = torch.arange(most, device=input_ids.device) < number
        return torch.zeros_like(candidate).scatter_(1, order, taken) & candidate
    unit = words_of(input_ids, pieces)
    if masking.unit == "span":
        unit = _spans(unit, candidate, generator)
    size = torch.zeros_like(input_ids).scatter_add_(1, unit, candidate.long())  # pieces per unit
    order = _shuffled(size > 0, generator)
    size = size.gather(1, order)
    begins = (size.cumsum(1) - size + total * uniform()) % total.clamp(min=1)
    begins.masked_fill_(size == 0, float("inf"))
    taken = (begins < budget) | (begins == begins.amin(1, keepdim=True))
    return torch.zeros_like(candidate).scatter_(1, order, taken).gather(1, unit) & candidate


def _shuffled(there: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The columns of each row in random order, those that are ``there`` first: int64 (B, U).

    The lower bits of each key are its column: no two are equal, so that every device sorts them
    alike, and only values are sorted. NumPy does that twenty times as fast as PyTorch on a CPU.
    """
    import numpy as np
    import torch

    rows, columns = there.shape
    bits = columns.bit_length()
    key = torch.randint(
        1 << (62 - bits), (rows, columns), generator=generator, device=generator.device
    ).to(there.device)
    key = (key << bits).add_(torch.arange(columns, device=there.device))
    key |= (~there).long() << 62
    if key.device.type == "cpu":
        key = torch.from_numpy(np.sort(key.numpy(), axis=1))
    else:
        key = key.sort(1).values
    return key & ((1 << bits) - 1)


def ordinary(input_ids: torch.Tensor, pieces: PieceTable) -> torch.Tensor:
    """Where the ordinary pieces are, those that may be guessed: bool (B, T)."""
    return ~_look_up(pieces.special, input_ids)


def _look_up(table: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """``table[ids]``, some times as fast on a CPU."""
    return table.index_select(0, ids.reshape(-1)).view(ids.shape)


def words_of(input_ids: torch.Tensor, pieces: PieceTable) -> torch.Tensor:
    """Number of the word within its row, counted from 0: int64 (B, T); at special pieces, any.

    A continuation begins a word only behind a special piece, where a block was cut.
    """
    candidate = ordinary(input_ids, pieces)
    start = candidate & ~(_look_up(pieces.continues, input_ids) & _inside(candidate))
    return (start.cumsum(1) - 1).clamp_(min=0)


def _inside(candidate: torch.Tensor) -> torch.Tensor:
    """Where the position before is an ordinary piece, too: bool (B, T)."""
    import torch

    inside = torch.zeros_like(candidate)
    inside[:, 1:] = candidate[:, :-1]
    return inside


def _spans(
    word: torch.Tensor, candidate: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Number of the span within its row: int64 (B, T); runs of words that end at special pieces."""
    import torch

    words = torch.randint(
        1, LONGEST_SPAN + 1, word.shape, generator=generator, device=generator.device
    ).to(word.device)
    length = word.shape[1]
    begins = torch.nn.functional.pad(torch.zeros_like(candidate), (0, 1))  # by number of the word
    begins.scatter_(1, words.cumsum(1).clamp_(max=length), torch.ones_like(candidate))
    new = torch.ones_like(candidate)
    new[:, 1:] = word[:, 1:] != word[:, :-1]
    start = candidate & (new & begins.gather(1, word) | ~_inside(candidate))
    return (start.cumsum(1) - 1).clamp_(min=0)


def mask(
    input_ids: torch.Tensor, masking: Masking, pieces: PieceTable, *, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask a batch.

    Args:
        input_ids: int64 (B, T), padded or not; left unchanged.
        masking: what to mask.
        pieces: tables of the vocabulary, on the device of ``input_ids``.
        generator: source of all randomness.

    Returns:
        ``(inputs, labels)``, both int64 (B, T): what the model sees, and the true pieces at the
        chosen positions with −100 elsewhere.
    """
    import torch

    chosen = choose(input_ids, masking, pieces, generator=generator)
    at = chosen.view(-1).nonzero().squeeze(1)  # (M,), places in the batch laid out as one row
    true = input_ids.reshape(-1).index_select(0, at)
    labels = torch.full_like(input_ids, IGNORED, memory_format=torch.contiguous_format)
    labels.view(-1).scatter_(0, at, true)
    seen = torch.full_like(true, pieces.mask_id)
    if masking.corruption:
        # One draw decides all: a tenth of the numbers are pieces, the next tenth says "keep".
        many = len(pieces.ordinary)
        draw = torch.randint(
            10 * many, true.shape, generator=generator, device=generator.device
        ).to(true.device)
        other = pieces.ordinary.index_select(0, draw.clamp(max=many - 1))
        seen = torch.where(draw < many, other, torch.where(draw < 2 * many, true, seen))
    inputs = input_ids.clone(memory_format=torch.contiguous_format)
    inputs.view(-1).scatter_(0, at, seen)
    return inputs, labels


def generator_for(seed: int, *counters: int, device: str = "cpu") -> torch.Generator:
    """A generator that depends on nothing but a seed and counters, such as (seed, step).

    The numbers are hashed, so neighbouring steps have unrelated streams.
    """
    import hashlib

    import torch

    digest = hashlib.blake2b(repr((seed, *counters)).encode(), digest_size=8).digest()
    generator = torch.Generator(device=device)
    generator.manual_seed(int.from_bytes(digest, "little") >> 1)
    return generator
