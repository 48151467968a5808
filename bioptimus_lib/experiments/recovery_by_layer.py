"""Token recovery by the layer that is read, and by all layers together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.recovery import examples_of, ledger_row, recover

ABOUT = "token recovery by the layer that is read"
METRICS = ["mrr", "top1", "top10", "cos", "error"]
STRATEGIES = ("contextual", "contextual_matched", "calibrated")


def cells(setting: Setting) -> list[str]:
    """A cell per split."""
    return [f"split-{n}" for n in range(setting.seeds)]


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The rows of a cell."""
    examples, split = examples_of(setting), int(cell.rsplit("-", 1)[1])
    every = examples.test.layers
    choices = {f"layer {n}": (n,) for n in every} | {
        "all layers": every, f"layers 2 to {every[-1] - 1}": every[2:-1]
    }
    for variant, layers in choices.items():
        for row in recover(
            examples, strategies=setting.strategies or STRATEGIES, splits=[split], layer=layers
        ):
            yield ledger_row(row, variant=variant, dataset=setting.text_name)
