"""Token recovery: are words that the model knows found again, when they are distilled as if new?

Words are split at random: with some, strategies that calibrate are fitted, and layers are chosen;
with the others all are tested. What is fitted has read one text, what is tested another. Words that
only the first text has are to fit on, too.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from bioptimus_lib.calibration import token_recovery
from bioptimus_lib.cutting import Cutter
from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.inputs import model_folder
from bioptimus_lib.experiments.text import known_word_contexts
from bioptimus_lib.models import input_table
from bioptimus_lib.occurrences import States, read_states
from bioptimus_lib.strategies import (
    HELD_OUT,
    STRATEGIES,
    Evidence,
    Known,
    choose_layers,
    layer_choices,
)
from bioptimus_lib.token_distillation import distil_rows
from bioptimus_lib.wanted import Wanted, known_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BANDS = ("the most frequent third", "the middle third", "the rarest third")
TRAINED_WORDS = 300  # test words of strategies that train rows: each needs its own gradients


@dataclass(frozen=True)
class Examples:
    """Known words as they are read in two texts.

    Attributes:
        fit_ids, fit: int64 (N,), ids of words and what was read of them in the text to fit on.
        test_ids, test: int64 (M,), some of them, and what was read in the text to test on.
        wanted: what was wanted of the second.
        contexts: sentences that were read of a word, if it has so many.
        table: float32 (V, H), the true rows.
    """

    fit_ids: torch.Tensor
    fit: Evidence
    test_ids: torch.Tensor
    test: Evidence
    wanted: Wanted
    contexts: int
    table: torch.Tensor


def read_examples(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    fit_contexts: Mapping[str, Sequence[str]],
    test_contexts: Mapping[str, Sequence[str]],
    *,
    words: int = 5000,
    contexts: int = 10,
    skip: int = 0,
    layers: Sequence[int] | None = None,
    device: str | None = None,
    precision: str = "auto",
    seed: int = 0,
    keep: Path | None = None,
    progress: bool = False,
) -> Examples:
    """Read known words in both texts.

    Args:
        fit_contexts, test_contexts: word → sentences; words that the tokenizer has whole and that
            have more than ``skip`` sentences in the text to fit on are used.
        words: at most so many of them, drawn with ``seed``; those that the other text has first.
        contexts: at most so many sentences of each, after the first ``skip``.
        layers: to read; all by default.
        keep: folder where what was read is kept for the next call with the same arguments; one
            folder for each model and text.
    """
    cutter = Cutter(tokenizer)
    usable = [
        word
        for word in sorted(fit_contexts)
        if len(cutter.cut(word)) == 1 and len(fit_contexts[word]) > skip
    ]
    random.Random(seed).shuffle(usable)
    usable.sort(key=lambda word: len(test_contexts.get(word, ())) <= skip)
    chosen = usable[:words]
    if layers is None:
        layers = range(model.config.num_hidden_layers + 1)
    table = input_table(model).detach().float().cpu()
    read: list[tuple[Wanted, Evidence]] = []
    for name, found in (("fit", fit_contexts), ("test", test_contexts)):
        some = {word: found.get(word, [])[skip : skip + contexts] for word in chosen}
        wanted = known_tokens(tokenizer, cutter, some, limit=len(chosen))
        part = f"{len(chosen)}-{skip}-{skip + contexts}-{seed}-{'.'.join(map(str, layers))}"
        file = keep and keep / f"{name}-{part}.safetensors"
        states = _kept(file)
        if states is None:
            states = read_states(
                model, tokenizer, wanted.requests, slots=len(wanted.ids), layers=layers,
                device=device, precision=precision, progress=f"{name} text" if progress else None,
            )  # fmt: skip
            _keep(states, file)
        read.append((wanted, Evidence.of(wanted, states, table)))
    (fit_wanted, fit), (wanted, test) = read
    fit_ids, test_ids = (torch.tensor(some.ids) for some in (fit_wanted, wanted))
    return Examples(fit_ids, fit, test_ids, test, wanted, skip + contexts, table)


def examples_of(setting: Setting, *, skip: int = 0, contexts: int | None = None) -> Examples:
    """The examples of an experiment's setting; what was read is kept in its folder."""
    model, tokenizer = old_model(setting)
    fit, test = known_word_contexts(setting, tokenizer)
    return read_examples(
        model, tokenizer, fit, test, words=setting.words, skip=skip,
        contexts=contexts or setting.contexts, device=setting.device,
        keep=setting.out / "states", progress=setting.progress,
    )  # fmt: skip


def old_model(setting: Setting) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of a setting, where it works."""
    from bioptimus_lib.models import load_masked_lm, place

    model, tokenizer = load_masked_lm(model_folder(setting))
    return place(model, setting.device), tokenizer


def _keep(states: States, file: Path | None) -> None:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        layers = torch.tensor(states.layers)
        part = file.with_suffix(".part")
        save_file({"mean": states.mean, "count": states.count, "layers": layers}, part)
        part.replace(file)


def _kept(file: Path | None) -> States | None:
    if file is None or not file.exists():
        return None
    found = load_file(file)
    layers = tuple(found["layers"].tolist())
    return States(mean=found["mean"], count=found["count"], layers=layers, tally=Counter())


def joined(one: Examples, other: Examples) -> Examples:
    """The same words with the contexts of both."""

    def means(a: Evidence, b: Evidence) -> Evidence:
        count = a.count + b.count
        share = (a.count / count.clamp(min=1))[:, None, None]
        return replace(a, states=share * a.states + (1 - share) * b.states, count=count)

    if not (
        torch.equal(one.fit_ids, other.fit_ids) and torch.equal(one.test_ids, other.test_ids)
    ):
        raise ValueError("the examples are of different words: read the same with both")
    return replace(
        other, fit=means(one.fit, other.fit), test=means(one.test, other.test)
    )


def recover(
    examples: Examples,
    *,
    strategies: Sequence[str],
    splits: Sequence[int] = range(5),
    layer: int | Sequence[int] | None = None,
    fit_words: int | None = None,
    least: int | None = None,
    model: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> list[dict[str, Any]]:
    """Token recovery by strategy and split.

    Args:
        examples: from ``read_examples``.
        strategies: names in ``STRATEGIES``.
        splits: seeds of random splits of the words to test: 30 % are tested, the others fitted on.
        layer: to read; by default chosen among the words to fit.
        fit_words: use no more of them.
        least: test words have so many sentences; by default as many as were to be read.
        model, tokenizer: for strategies that train rows, which test ``TRAINED_WORDS`` words.

    Returns:
        For each strategy and split: ``strategy``, ``split``, ``layers``, ``fit_words``, and what
        ``token_recovery`` gives, also ``centred``: by cosine after the table's mean row is taken
        away. ``bands`` has the same for the thirds of the test words by their number: BERT's
        vocabulary begins with the most frequent words.

    Raises:
        ValueError: a strategy trains rows, and no model is given.
    """
    ids, table = examples.test_ids, examples.table
    depth = max(examples.test.layers)
    usable = torch.nonzero(examples.test.count >= (least or examples.contexts)).flatten()
    rows = []
    for split in splits:
        draw = torch.Generator().manual_seed(split)
        test = usable[torch.randperm(len(usable), generator=draw)][: round(HELD_OUT * len(usable))]
        others = ~torch.isin(examples.fit_ids, ids[test]) & (examples.fit.count > 0)
        fit = torch.nonzero(others).flatten()
        fit = fit[torch.randperm(len(fit), generator=draw)][:fit_words]
        known = Known(examples.fit[fit], examples.fit_ids[fit])
        for name in strategies:
            recipe, at = STRATEGIES[name], test
            choices = layer_choices(recipe, layer, depth)
            chosen, _ = choose_layers(recipe, choices, known, table, seed=split)
            if recipe.training:
                at = test[:TRAINED_WORDS]
            made = recipe.rows(
                examples.test[at].at(chosen), known.at(chosen), table,
                torch.Generator().manual_seed(split),
            ).float()  # fmt: skip
            if recipe.training:
                if model is None or tokenizer is None:
                    raise ValueError(f"strategy {name!r} trains rows: give model and tokenizer")
                made, _, _ = distil_rows(
                    model, tokenizer, examples.wanted.only(at.tolist()), made,
                    settings=recipe.training, precision="auto", seed=split,
                )  # fmt: skip
            about = {
                "strategy": name, "split": split, "layers": list(chosen),
                "fit_words": len(fit) if recipe.calibrates else 0,
            }  # fmt: skip
            rows.append({
                **about,
                **measured(made, ids[at], table),
                "bands": {
                    band: about | measured(made[some], ids[at][some], table)
                    for band, some in zip(BANDS, ids[at].argsort().chunk(len(BANDS)), strict=False)
                },
            })
    return rows


def measured(made: torch.Tensor, ids: torch.Tensor, table: torch.Tensor) -> dict[str, Any]:
    """What ``token_recovery`` gives, and as ``centred`` what it gives with the table's mean row
    taken off both the rows made and the table."""
    mean = table.mean(0)
    off = token_recovery(made - mean, ids, table - mean)
    return {
        **token_recovery(made, ids, table),
        "centred": {name: off[name] for name in ("cos", "top1", "top10", "mrr")},
    }


def ledger_row(found: Mapping[str, Any], *, variant: str, dataset: str) -> dict[str, Any]:
    """A result of ``recover`` as a row, still without its origin."""
    metrics = {k: found[k] for k in ("mrr", "top1", "top10", "cos", "error", "tokens")}
    metrics |= {f"{name}_centred": value for name, value in found["centred"].items()}
    return {
        "model": found["strategy"], "dataset": dataset, "seed": found["split"], "variant": variant,
        "metrics": metrics, "layers": found["layers"], "fit_words": found["fit_words"],
    }  # fmt: skip
