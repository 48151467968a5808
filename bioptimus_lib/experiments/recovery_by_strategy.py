"""Token recovery by strategy, and, for calibrated ones, by the words that they are fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.recovery import (
    Examples,
    examples_of,
    ledger_row,
    old_model,
    recover,
)
from bioptimus_lib.strategies import HELD_OUT, STRATEGIES

ABOUT = "are known words found again? every strategy, on real sentences"
METRICS = ["mrr", "top1", "top10", "cos", "error"]
#: Fitted on fewer words: how much they matter. The first is that of the method's first measurement.
FEWER_WORDS = {"calibrated": (1680, 3360), "calibrated_contrastive": (1680, 3360)}


def cells(setting: Setting) -> list[str]:
    """A cell per strategy and split; strategies that train rows come last: they take longest."""
    names = list(setting.strategies) or list(STRATEGIES)
    quick = [name for name in names if not STRATEGIES[name].training]
    fewer = [f"{name}@{n}" for name in quick for n in FEWER_WORDS.get(name, ())]
    slow = [name for name in names if STRATEGIES[name].training]
    return [
        f"{name}-{split}"
        for some in (quick, fewer, slow)
        for split in range(setting.seeds)
        for name in some
    ]


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The row of a cell; none if it is to be fitted on fewer words, and there are not more."""
    name, split = cell.rsplit("-", 1)
    name, _, words = name.partition("@")
    model, tokenizer = old_model(setting) if STRATEGIES[name].training else (None, None)
    examples = _examples(setting)
    fit_words = int(words) if words else None
    about = f"{setting.model_name}, {setting.contexts} contexts"
    if words:
        about += f", fitted on {fit_words:,}"
    # Words that have all contexts, and all words: most of a vocabulary's words are rare.
    leasts = {about: None} if words or model else {about: None, f"{about} or fewer": 1}
    for variant, least in leasts.items():
        (found,) = recover(
            examples, strategies=[name], splits=[int(split)], fit_words=fit_words, least=least,
            model=model, tokenizer=tokenizer,
        )  # fmt: skip
        if fit_words is None or found["fit_words"] == fit_words < _most(examples):
            yield ledger_row(found, variant=variant, dataset=setting.text_name)
        if len(leasts) > 1 and least is None:
            for band, some in found["bands"].items():
                yield ledger_row(some, variant=f"{about}, {band}", dataset=setting.text_name)


def _most(examples: Examples) -> int:
    """Words to fit on, if there is no limit."""
    return len(examples.fit_ids) - round(HELD_OUT * len(examples.test_ids))


@lru_cache(1)
def _examples(setting: Setting) -> Examples:
    return examples_of(setting)
