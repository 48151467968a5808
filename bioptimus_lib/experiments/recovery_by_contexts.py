"""Token recovery by the number of sentences that a word is read in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.recovery import (
    Examples,
    joined,
    ledger_row,
    old_model,
    read_examples,
    recover,
)
from bioptimus_lib.experiments.text import MOST_CONTEXTS, known_word_contexts

ABOUT = "token recovery by the number of contexts"
METRICS = ["mrr", "top1", "top10", "cos", "error"]
STRATEGIES = ("subtoken_mean", "contextual", "contextual_matched", "calibrated")
NUMBERS = (1, 2, 5, 10, 20, 50)


def cells(setting: Setting) -> list[str]:
    """A cell per split."""
    return [f"split-{n}" for n in range(setting.seeds)]


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The rows of a cell: the same words with more and more of their sentences."""
    split = int(cell.rsplit("-", 1)[1])
    for number, examples in growing(setting):
        for row in recover(
            examples, strategies=setting.strategies or STRATEGIES, splits=[split]
        ):
            variant = "1 context" if number == 1 else f"{number} contexts"
            yield ledger_row(row, variant=variant, dataset=setting.text_name)


def growing(setting: Setting) -> Iterator[tuple[int, Examples]]:
    """Number of sentences, and examples read in so many; no sentence is read twice.

    Only words that have the largest number take part, so all numbers are compared on the same.
    """
    model, tokenizer = old_model(setting)
    fit, test = (
        {word: found for word, found in some.items() if len(found) == MOST_CONTEXTS}
        for some in known_word_contexts(setting, tokenizer)
    )
    examples, before = None, 0
    for number in NUMBERS:
        more = read_examples(
            model, tokenizer, fit, test, words=setting.words, skip=before,
            contexts=number - before, device=setting.device, keep=setting.out / "states-of-many",
            progress=setting.progress,
        )  # fmt: skip
        examples, before = more if examples is None else joined(examples, more), number
        yield number, examples
