"""Contextualised weight distillation: embeddings for new tokens, read off the old model in context.

The steps (Pavlova & Makhlouf, 2023, figure 1; what they do not publish is our choice):

1. Each new token stands for some characters of some words; sentences with these words are given.
2. The old model encodes the sentences in its own pieces; the hidden states of the pieces that
   overlap the token's characters are averaged (f), then averaged over the sentences (g).
3. A strategy turns that into a row of the embedding table; ``STRATEGIES`` lists them.
4. The rows of shared tokens are copied bit for bit, the new ones put in, the output layer stays
   tied to the input, its bias is re-indexed.

Tokens that the old model knows, cut as if it did not, show how well step 3 works.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bioptimus_lib.calibration import token_recovery
from bioptimus_lib.cutting import Cutter
from bioptimus_lib.models import input_table
from bioptimus_lib.occurrences import BATCH_TOKENS, States, read_states
from bioptimus_lib.strategies import (
    FEWEST_TO_CHOOSE,
    HELD_OUT,
    STRATEGIES,
    Evidence,
    Known,
    Strategy,
    choose_layers,
    layer_choices,
)
from bioptimus_lib.token_distillation import distil_rows
from bioptimus_lib.wanted import Wanted, known_tokens, new_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.vocab import VocabularyPlan

__all__ = ["STRATEGIES", "Distilled", "distill"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Distilled:
    """A model with the new vocabulary.

    Attributes:
        model: the masked language model, on the device where the old one is.
        tokenizer: its tokenizer.
        report: what was done, ready for JSON: ``strategy``, ``layers`` read, ``new`` and
            ``shared`` tokens, ``with_contexts``, ``fallbacks`` to ``subtoken_mean``, ``sentences``
            encoded, ``contexts`` read, ``cropped``, ``too_long``, ``absent``, ``tokens``,
            ``seconds``, ``known`` tokens, ``recovery`` of known words and ``recovery_pieces`` of
            known continuations (None without known tokens; of the start, where rows are trained),
            ``choices`` of layers with their MRR, ``training`` of the rows.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    report: dict[str, Any]


def distill(
    model: PreTrainedModel,
    old_tokenizer: PreTrainedTokenizerBase,
    plan: VocabularyPlan,
    contexts: Mapping[str, Sequence[str]],
    *,
    strategy: str = "calibrated_spread",
    layer: int | Sequence[int] | None = None,
    known: int = 5000,
    window: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    precision: str = "auto",
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> Distilled:
    """Give a model the plan's new vocabulary, with embeddings distilled from its old one.

    Args:
        model: a masked language model with the plan's old vocabulary; it is left unchanged.
        old_tokenizer: its tokenizer.
        plan: what changes.
        contexts: word → sentences that hold it, for ``plan.keywords()`` and, so that there is
            something to calibrate on and to measure with, for ``calibration_words(…)``.
        strategy: a name in ``STRATEGIES``; the default keeps names apart for a tagger.
        layer: the layer to read, 0 being the embedding layer's output, or several for
            those that calibrate; by default the choice that recovers known tokens best.
        known: at most so many known words, and half as many known continuations, are used.
        window: longest input in pieces; longer sentences are cropped around the word.
        batch_tokens: pieces per batch, padding included.
        precision: of the forward pass, ``fp32``, ``bf16``, ``fp16`` or ``auto``.
        seed: of every random choice; the same seed gives the same bits on the same CPU.
        device: where to run; by default where the model is.
        progress: show progress bars.

    Raises:
        ValueError: unknown strategy or layer; a plan for another model; NaN in the model; no
            contexts; too few known tokens for a strategy that calibrates.
        FloatingPointError: rows that are trained became infinite or NaN.
    """
    began = time.monotonic()
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy {strategy!r} is unknown: choose one of {list(STRATEGIES)}")
    recipe = STRATEGIES[strategy]
    plan.check(old_tokenizer)
    table = _table(model, plan)
    choices = layer_choices(recipe, layer, model.config.num_hidden_layers)
    tokenizer, cutter = plan.new_tokenizer(), Cutter(old_tokenizer)
    wanted = new_tokens(plan, Cutter(tokenizer), cutter, contexts)
    if (recipe.reads_contexts or recipe.training) and not wanted.requests and plan.new:
        raise ValueError("none of the plan's words has a context: scan for plan.keywords()")
    examples = known_tokens(old_tokenizer, cutter, contexts, limit=known, seed=seed)
    if recipe.calibrates and len(examples.ids) < FEWEST_TO_CHOOSE:
        raise ValueError(
            f"{len(examples.ids)} known tokens have contexts, {FEWEST_TO_CHOOSE} are needed to "
            "calibrate: scan for calibration_words(…) too, or choose another strategy"
        )

    def read(tokens: Wanted, layers: Sequence[int], label: str) -> tuple[Evidence, States | None]:
        states = None
        if recipe.reads_contexts:
            states = read_states(
                model,
                old_tokenizer,
                tokens.requests,
                slots=len(tokens.ids),
                layers=layers,
                window=window,
                batch_tokens=batch_tokens,
                device=device,
                precision=precision,
                progress=label if progress else None,
            )
        return Evidence.of(tokens, states, table), states

    report: dict[str, Any] = {"strategy": strategy, "new": len(plan.new),
                              "shared": len(plan.shared)}
    # 1. Known tokens: which layers, how good, and what the regression is fitted on.
    every = sorted({layer for choice in choices for layer in choice})
    evidence, _ = read(examples, every, "known tokens")
    all_known = Known(evidence, torch.tensor(examples.ids, dtype=torch.int64))
    all_known = all_known[evidence.usable(recipe)]
    chosen, measured = _measure(recipe, choices, all_known, table, seed=seed)
    report |= measured
    # 2. New tokens, at the chosen layers only.
    evidence, states = read(wanted, chosen, "new tokens")
    found = evidence.usable(recipe)
    rows = evidence.pieces.clone()  # the fallback
    if found.any():
        rows[found] = recipe.rows(
            evidence[found], all_known.at(chosen), table, _generator(seed)
        ).to(rows.dtype)
    if recipe.training and wanted.requests:
        rows, found, report["training"] = distil_rows(
            model,
            old_tokenizer,
            wanted,
            rows,
            settings=recipe.training,
            window=window,
            batch_tokens=batch_tokens,
            device=device,
            precision=precision,
            seed=seed,
            progress="training rows" if progress else None,
        )
    if not rows.isfinite().all():
        raise ValueError("the distilled embeddings hold NaN or infinite numbers")
    report |= {"layers": list(chosen) if recipe.reads_contexts else []}
    report |= {"with_contexts": int((found if recipe.training else evidence.count > 0).sum()),
               "fallbacks": int((~found).sum())}
    tally = states.tally if states else {}
    for name in ("sentences", "contexts", "cropped", "too_long", "absent", "tokens"):
        report[name] = tally.get(name, 0)
    # 3. The new model.
    result = _with_vocabulary(model, plan, rows, tokenizer)
    report["seconds"] = round(time.monotonic() - began, 2)
    log.info("distilled %d tokens, %d fallbacks", report["new"], report["fallbacks"])
    return Distilled(model=result, tokenizer=tokenizer, report=report)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _table(model: PreTrainedModel, plan: VocabularyPlan) -> torch.Tensor:
    """The old input embeddings, float32 (V, H) on the CPU, checked."""
    table = input_table(model).detach().float().cpu()
    if len(table) != len(plan.old_pieces):
        raise ValueError(
            f"the plan is for another model: {len(plan.old_pieces)} old pieces, {len(table)} rows"
        )
    if model.get_output_embeddings().weight is not model.get_input_embeddings().weight:
        raise ValueError("the model's output layer is not tied to its input embeddings")
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinite numbers")
    return table


def _measure(
    recipe: Strategy,
    choices: Sequence[tuple[int, ...]],
    known: Known,
    table: torch.Tensor,
    *,
    seed: int,
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Choose the layers and measure token recovery, each on known tokens not used for fitting."""
    count = len(known.ids)
    report: dict[str, Any] = {"known": count, "recovery": None, "recovery_pieces": None}
    if count < FEWEST_TO_CHOOSE:
        return choices[len(choices) // 2], report | {"choices": {}}
    order = torch.randperm(count, generator=_generator(seed))
    test, fit = order[: round(HELD_OUT * count)], order[round(HELD_OUT * count) :]
    chosen, scores = choose_layers(recipe, choices, known[fit], table, seed=seed)
    part = known.at(chosen)
    rows = recipe.rows(part[test].evidence, part[fit], table, _generator(seed))
    inside = known.evidence.inside[test]
    for name, some in (("recovery", ~inside), ("recovery_pieces", inside)):
        if some.any():
            report[name] = token_recovery(rows[some], known.ids[test][some], table)
    return chosen, report | {
        "choices": {"+".join(map(str, choice)): mrr for choice, mrr in scores.items()}
    }


def _with_vocabulary(
    model: PreTrainedModel,
    plan: VocabularyPlan,
    rows: torch.Tensor,
    tokenizer: PreTrainedTokenizerBase,
) -> PreTrainedModel:
    """A copy of the model with the plan's new vocabulary and ``rows`` for its new tokens."""
    result = copy.deepcopy(model)
    old_table = input_table(model).detach()
    old_bias = model.get_output_embeddings().bias
    result.resize_token_embeddings(len(plan.new_pieces), mean_resizing=False)
    ids, old_ids = (torch.tensor(list(some)) for some in (plan.shared, plan.shared.values()))
    new_ids = torch.tensor(plan.new, dtype=torch.int64)
    with torch.no_grad():
        table = input_table(result)
        table[ids] = old_table[old_ids]
        table[new_ids] = rows.to(table)
        if old_bias is not None:
            bias = result.get_output_embeddings().bias
            bias[ids] = old_bias[old_ids]
            bias[new_ids] = new_bias(plan, old_bias.detach().cpu())[new_ids].to(bias)
    result.tie_weights()
    if result.get_output_embeddings().weight is not result.get_input_embeddings().weight:
        raise AssertionError("the output layer came untied")
    result.config.pad_token_id = tokenizer.pad_token_id
    return result


def new_bias(plan: VocabularyPlan, old_bias: torch.Tensor) -> torch.Tensor:
    """What the output bias of a token should be by how often it occurs: float (V_new,).

    A straight line from log frequency to the biases of the shared tokens: the bias is, up to what
    the context says, the log of how often a token is the answer.
    """
    frequency = torch.tensor(plan.frequency, dtype=torch.float64)
    log_frequency = (frequency + 1).log()
    shared = torch.tensor([i for i in plan.shared if plan.frequency[i] > 0], dtype=torch.int64)
    if len(shared) < 2 or log_frequency[shared].std() == 0:
        return old_bias.double().mean().expand(len(frequency))
    x, y = log_frequency[shared], old_bias.double()[[plan.shared[int(i)] for i in shared]]
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return y.mean() + slope * (log_frequency - x.mean())
