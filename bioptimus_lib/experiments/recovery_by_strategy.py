"""Token recovery by strategy, and, for calibrated ones, by the words that they are fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.recovery import examples_of, ledger_row, old_model, recover
from bioptimus_lib.strategies import STRATEGIES

ABOUT = "are known words found again? every strategy, on real sentences"
METRICS = ["mrr", "top1", "top10", "cos", "error"]
FIRST_MEASUREMENT = 1680  # words that the first measurement of the method was fitted on


def cells(setting: Setting) -> list[str]:
    """A cell per split; strategies that train rows come last, since they take longest."""
    names = _strategies(setting)
    trains = [name for name in names if STRATEGIES[name].training]
    quick = [f"split-{n}" for n in range(setting.seeds)] if len(trains) < len(names) else []
    return quick + [f"{name}-{n}" for n in range(setting.seeds) for name in trains]


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The rows of a cell."""
    name, split = cell.rsplit("-", 1)
    examples, variant = examples_of(setting), f"{setting.model}, {setting.contexts} contexts"
    settings = {"examples": examples, "splits": [int(split)]}
    if name != "split":
        model, tokenizer = old_model(setting)
        found = recover(**settings, strategies=[name], model=model, tokenizer=tokenizer)
        yield ledger_row(found[0], variant=variant, dataset=setting.text_name)
        return
    quick = [some for some in _strategies(setting) if not STRATEGIES[some].training]
    for row in recover(**settings, strategies=quick):
        yield ledger_row(row, variant=variant, dataset=setting.text_name)
    few = [some for some in quick if STRATEGIES[some].calibrates]
    for words in (FIRST_MEASUREMENT, 2 * FIRST_MEASUREMENT):
        for row in recover(**settings, strategies=few, fit_words=words):
            if row["fit_words"] == words:
                about = f"{variant}, fitted on {words:,}"
                yield ledger_row(row, variant=about, dataset=setting.text_name)


def _strategies(setting: Setting) -> list[str]:
    return list(setting.strategies) or list(STRATEGIES)
