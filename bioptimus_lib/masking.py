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
MEAN_SPAN_WORDS = 3  # SpanBERT (Joshi et al., 2020) masks spans of 3.8 words on average


@dataclass(frozen=True)
class Masking:
    """What to mask.

    Args:
        unit: ``token`` (pieces one by one), ``word`` (all pieces of a word together) or ``span``
            (runs of whole words, three on average).
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
        return f"{self.unit}, {self.rate:.0%}, {'80/10/10' if self.corruption else 'all [MASK]'}"


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
            ValueError: the tokenizer has no ``[MASK]`` piece.
        """
        import torch

        if tokenizer.mask_token_id is None:
            raise ValueError("the tokenizer has no [MASK] piece, so nothing can be masked")
        size = len(tokenizer)
        pieces = tokenizer.convert_ids_to_tokens(range(size))
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

    Special pieces and padding are never chosen. Units are taken in random order until the budget
    of ``rate`` × ordinary pieces of the row is met; the unit that crosses the budget is taken with
    the probability that makes the expected number of pieces equal to the budget. So a row is
    never more than one unit over, and a row with any ordinary piece has at least one unit.
    """
    import torch

    device, (rows, length) = input_ids.device, input_ids.shape

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, device=generator.device).to(device)

    candidate = ~pieces.special[input_ids]
    start = candidate.clone()
    if masking.unit != "token":
        # A continuation starts a unit of its own only after a special piece (a block's cut).
        after_candidate = torch.nn.functional.pad(candidate[:, :-1], (1, 0), value=False)
        start &= ~(pieces.continues[input_ids] & after_candidate)
        if masking.unit == "span":
            start &= (uniform(rows, length) < 1 / MEAN_SPAN_WORDS) | ~after_candidate
    unit = (start.cumsum(1) - 1).clamp(min=0)  # (B, T), number of the unit within its row
    size = torch.zeros_like(input_ids).scatter_add_(1, unit, candidate.long())  # pieces per unit
    order = uniform(rows, length).gather(1, unit).masked_fill(~candidate, 2.0)
    # Rank of each position when the row is sorted by its unit's random key. The sort is stable,
    # so the pieces of a unit stay together and the rank of its first is what came before it.
    ranking = order.argsort(dim=1, stable=True)
    rank = torch.empty_like(ranking).scatter_(
        1, ranking, torch.arange(length, device=device).expand(rows, -1)
    )
    before = torch.full_like(rank, length).scatter_reduce_(
        1, unit, rank.masked_fill(~candidate, length), "amin"
    )
    budget = masking.rate * candidate.sum(1, keepdim=True)
    fits = uniform(rows, 1) < (budget - before) / size.clamp(min=1)
    return candidate & (fits | (before == 0)).gather(1, unit)


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
    labels = input_ids.masked_fill(~chosen, IGNORED)
    inputs = input_ids.masked_fill(chosen, pieces.mask_id)
    if masking.corruption:
        shape, device = input_ids.shape, input_ids.device
        draw = torch.rand(shape, generator=generator, device=generator.device).to(device)
        other = torch.randint(
            len(pieces.ordinary), shape, generator=generator, device=generator.device
        ).to(device)
        inputs = torch.where(chosen & (draw < 0.1), pieces.ordinary[other], inputs)
        inputs = torch.where(chosen & (draw >= 0.9), input_ids, inputs)
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
