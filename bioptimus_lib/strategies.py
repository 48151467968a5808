"""The strategies of distillation as a table: from what was read to a row of the embedding table.

Each is one function of the new tokens' evidence and of the known tokens with theirs, so each can
be tried on held-out known tokens exactly as it is used on new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bioptimus_lib.calibration import Linear, fit_ridge, sharpen, token_recovery
from bioptimus_lib.token_distillation import TokenDistillation

if TYPE_CHECKING:
    from bioptimus_lib.occurrences import States
    from bioptimus_lib.wanted import Wanted

FEWEST_OF_A_KIND = 200  # examples for a regression of their own
FEWEST_TO_CHOOSE = 20  # known tokens below which nothing is chosen or measured
HELD_OUT = 0.3  # share of the known tokens that tests; the rest fits
INITIAL_DEVIATION = 0.02  # BERT's own initialisation (Devlin et al., 2019)


@dataclass(frozen=True)
class Evidence:
    """What is known about N tokens before a row is made for them.

    Attributes:
        pieces: float (N, H), mean of the old rows of the pieces that they fall into.
        states: float (N, L, H), mean hidden states in context at L layers; L = 0 if not read.
        count: int (N,), contexts read.
        inside: bool (N,), whether the token continues a word.
        layers: the L layers.
    """

    pieces: torch.Tensor
    states: torch.Tensor
    count: torch.Tensor
    inside: torch.Tensor
    layers: tuple[int, ...] = ()

    @classmethod
    def of(cls, wanted: Wanted, states: States | None, table: torch.Tensor) -> Evidence:
        """Bring together what was wanted and what was read."""
        size, hidden = len(wanted.ids), table.shape[1]
        means = [
            torch.stack([table[list(ids)].mean(0) for ids in words]).mean(0)
            for words in wanted.pieces
        ]
        return cls(
            pieces=torch.stack(means) if means else torch.zeros(0, hidden),
            states=states.mean if states else torch.zeros(size, 0, hidden),
            count=states.count if states else torch.zeros(size, dtype=torch.int64),
            inside=torch.tensor(wanted.inside, dtype=torch.bool),
            layers=states.layers if states else (),
        )

    def __getitem__(self, rows: torch.Tensor) -> Evidence:
        """The evidence of some tokens."""
        return Evidence(
            self.pieces[rows], self.states[rows], self.count[rows], self.inside[rows], self.layers
        )

    def at(self, layers: Sequence[int]) -> Evidence:
        """The evidence of some layers."""
        if not self.layers:
            return self
        index = [self.layers.index(layer) for layer in layers]
        return Evidence(
            self.pieces, self.states[:, index], self.count, self.inside, tuple(layers)
        )

    def usable(self, recipe: Strategy) -> torch.Tensor:
        """bool (N,), the tokens that a strategy can treat."""
        return self.count > 0 if recipe.reads_contexts else torch.ones_like(self.inside)


@dataclass(frozen=True)
class Known:
    """Tokens with evidence whose true rows are known: their old ids, int64 (N,)."""

    evidence: Evidence
    ids: torch.Tensor

    def __getitem__(self, rows: torch.Tensor) -> Known:
        return Known(self.evidence[rows], self.ids[rows])

    def at(self, layers: Sequence[int]) -> Known:
        """The same tokens at some layers."""
        return Known(self.evidence.at(layers), self.ids)


#: (new evidence, known tokens, old table, generator) → float (N, H).
Rows = Callable[[Evidence, Known, torch.Tensor, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class Strategy:
    """How a row is made.

    Args:
        about: one line for people.
        rows: how.
        reads_contexts: whether the old model is run at all.
        calibrates: whether known tokens are needed.
        training: how the rows are trained afterwards, if they are.
        layers_by: makes the rows by which layers are chosen, where ``rows`` itself takes long.
    """

    about: str
    rows: Rows
    reads_contexts: bool = True
    calibrates: bool = False
    training: TokenDistillation | None = None
    layers_by: Rows | None = None


def _random(
    new: Evidence, known: Known, table: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    return torch.randn(new.pieces.shape, generator=generator) * INITIAL_DEVIATION


def _random_matched(
    new: Evidence, known: Known, table: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    drawn = torch.randn(new.pieces.shape, generator=generator)
    return drawn * table.std(0) + table.mean(0)


def _subtoken_mean(
    new: Evidence, known: Known, table: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    return new.pieces


def _contextual(
    new: Evidence, known: Known, table: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    return new.states.mean(1)


def _contextual_matched(
    new: Evidence, known: Known, table: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    # The moments of both sides come from the same known tokens; the new tokens' own without them.
    enough = len(known.ids) > 1
    states = (known.evidence if enough else new).states.mean(1)
    rows = table[known.ids] if enough else table
    unit = (new.states.mean(1) - states.mean(0)) / states.std(0).clamp(min=1e-6)
    return unit * rows.std(0) + rows.mean(0)


def _mapped(
    new: Evidence, known: Known, fit: Callable[[torch.Tensor, torch.Tensor], Linear]
) -> torch.Tensor:
    rows = torch.empty_like(new.pieces)
    for inside in (False, True):
        # Words and continuations live in different parts of the table: a regression for each,
        # unless there are too few examples of one kind.
        wanted, examples = new.inside == inside, known.evidence.inside == inside
        if not wanted.any():
            continue
        if examples.sum() < FEWEST_OF_A_KIND:
            examples = torch.ones_like(examples)
        # The mean row of the pieces as a further input lowers the error by less than a hundredth
        # and draws the result towards the pieces' own rows, which costs recovery: left out.
        some = known[examples]
        linear = fit(some.evidence.states.flatten(1), some.ids)
        rows[wanted] = linear(new[wanted].states.flatten(1)).to(rows)
    return rows


def _calibrated(
    new: Evidence, known: Known, table: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    return _mapped(new, known, lambda states, ids: fit_ridge(states, table[ids]))


def _calibrated_contrastive(
    new: Evidence, known: Known, table: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    return _mapped(new, known, lambda states, ids: sharpen(states, ids, table, generator)[0])


def _calibrated_spread(
    new: Evidence, known: Known, table: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    # A regression that explains little gives nearly the same row to all tokens, and a model cannot
    # tell them apart. The variance that it leaves is filled from the rows of the pieces.
    rows = _calibrated(new, known, table, generator)
    if len(rows) < 2:
        return rows
    truth = table[known.ids]
    wanted = (truth - truth.mean(0)).square().mean()
    left = (wanted - (rows - rows.mean(0)).square().mean()).clamp(min=0)
    spelling = new.pieces - new.pieces.mean(0)
    return rows + spelling * (left / spelling.square().mean().clamp(min=1e-12)).sqrt()


STRATEGIES: dict[str, Strategy] = {
    "random": Strategy(
        "drawn as BERT's own first weights were", _random, reads_contexts=False
    ),
    "random_matched": Strategy(
        "drawn with the mean and variance of the old rows", _random_matched, reads_contexts=False
    ),
    "subtoken_mean": Strategy(
        "mean of the old rows of its pieces", _subtoken_mean, reads_contexts=False
    ),
    "contextual": Strategy(
        "mean hidden state of its pieces in context (the paper's idea, raw)", _contextual
    ),
    "contextual_matched": Strategy(
        "the same, with the mean and variance of true rows", _contextual_matched
    ),
    "calibrated": Strategy(
        "hidden states mapped to rows by a regression on known tokens", _calibrated,
        calibrates=True,
    ),
    "calibrated_spread": Strategy(
        "the same, with the variance of true rows, filled from the rows of the pieces",
        _calibrated_spread, calibrates=True,
    ),
    "calibrated_contrastive": Strategy(
        "the regression, trained on to be nearer to the true row than to any other",
        _calibrated_contrastive, calibrates=True, layers_by=_calibrated,
    ),
    "token_distillation": Strategy(
        "mean of the pieces, then trained to do in a sentence what the pieces did",
        _subtoken_mean, reads_contexts=False, training=TokenDistillation(),
    ),
    "calibrated_distilled": Strategy(
        "calibrated, then trained in the same way", _calibrated, calibrates=True,
        training=TokenDistillation(passes=1),
    ),
}


def layer_choices(
    recipe: Strategy, layer: int | Sequence[int] | None, depth: int
) -> list[tuple[int, ...]]:
    """The sets of layers among which to choose; one when ``layer`` says it.

    Raises:
        ValueError: a layer that the model does not have.
    """
    if not recipe.reads_contexts:
        return [()]
    if layer is not None:
        layers = (layer,) if isinstance(layer, int) else tuple(layer)
        if not layers or not all(0 <= some <= depth for some in layers):
            raise ValueError(f"layer {layer}: the model has layers 0 to {depth}")
        return [layers]
    single: list[tuple[int, ...]] = [(some,) for some in range(1, depth + 1)]
    if not recipe.calibrates:
        return single
    # On MiniLM the inner layers together were a little better than each alone, and than all.
    inner = tuple(range(2, depth))
    return [*single, inner] if len(inner) > 1 else single


def choose_layers(
    recipe: Strategy,
    choices: Sequence[tuple[int, ...]],
    known: Known,
    table: torch.Tensor,
    *,
    seed: int = 0,
) -> tuple[tuple[int, ...], dict[tuple[int, ...], float]]:
    """The choice that recovers known tokens best, and the MRR of each (none if there is one only).

    A part of the known tokens is tested with what the rest gives, so whoever measures with other
    tokens measures what was not chosen on them.
    """
    if len(choices) < 2 or len(known.ids) < FEWEST_TO_CHOOSE:
        return choices[len(choices) // 2], {}
    order = torch.randperm(len(known.ids), generator=torch.Generator().manual_seed(seed))
    cut = round(HELD_OUT * len(order))
    test, fit = order[:cut], order[cut:]
    scores = {}
    for choice in choices:
        part, draw = known.at(choice), torch.Generator().manual_seed(seed)
        rows = (recipe.layers_by or recipe.rows)(part[test].evidence, part[fit], table, draw)
        words = ~part[test].evidence.inside  # continuations count only where there is nothing else
        some = words if words.any() else ~words
        scores[choice] = token_recovery(rows[some], known.ids[test][some], table)["mrr"]
    return max(choices, key=lambda choice: scores[choice]), scores
