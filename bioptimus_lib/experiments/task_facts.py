"""The real tasks beyond entities in numbers: sizes, answers, lengths, what words alone reach, and
for a similarity what the model reaches as it is, each text read apart.

A cell is a task. No text comes out, and nothing is trained but a regression on states.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.inputs import model_folder, weights

if TYPE_CHECKING:
    from bioptimus_lib.task_data import Data
    from bioptimus_lib.task_table import Task

ABOUT = "sizes, answers, lengths of the real tasks, and what goes without fine-tuning"
METRICS = ["train", "test", "constant", "words", "pieces", "truncated", "test_in_train"]
WINDOW = 512  # pieces that BERT and its relatives read at once
COSINE, REGRESSION = "read apart, cosine", "read apart, regression"


def cells(_: Setting) -> list[str]:
    """A cell for each published task."""
    from bioptimus_lib.task_table import TASKS

    return [name for name, row in TASKS.items() if row.source]


def folder(setting: Setting, name: str) -> Path:
    """The folder of a task's files."""
    from bioptimus_lib import sources

    return sources.fetch(name, progress=setting.progress)


def data(setting: Setting) -> list[Path]:
    """The files that the numbers come from, and the weights that texts are read apart by."""
    return sorted(
        path for name in cells(setting) for path in folder(setting, name).iterdir()
        if path.is_file()
    ) + weights(setting)  # fmt: skip


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The row of a task, its mentions shown in the usual way; pieces are those of the model. A
    score of pairs has two more rows, of ``APART``."""
    from transformers import AutoTokenizer

    from bioptimus_lib.task_facts import facts
    from bioptimus_lib.task_table import TASKS

    row = TASKS[cell]
    tokenizer = AutoTokenizer.from_pretrained(model_folder(setting))
    some = row.load(folder(setting, cell)).shown(row.view())
    found = facts(row, some, tokenizer, window=WINDOW)
    yield {
        "model": f"pieces of {setting.model_name}", "dataset": cell, "seed": None,
        "metrics": {name: round(value, 5) for name, value in found.items()},
    }  # fmt: skip
    if row.answer == "score":
        yield from apart(setting, row, some)


def apart(setting: Setting, row: Task, some: Data) -> Iterator[dict[str, Any]]:
    """What the model reaches without fine-tuning: the texts of a pair are read one by one, and
    their states compared. The interval is over the test pairs."""
    from bioptimus_lib import read_apart, stats
    from bioptimus_lib.models import load_masked_lm
    from bioptimus_lib.tasks import rows

    model, tokenizer = load_masked_lm(model_folder(setting))
    answers = {
        COSINE: read_apart.sentence_cosine(model, tokenizer, some.test),
        REGRESSION: read_apart.read_apart(model, tokenizer, some),
    }
    for name, made in answers.items():
        found = stats.bootstrap(rows(row, some.test, made), measure=row.judge.measure)
        yield {
            "model": setting.model_name, "dataset": row.name, "seed": None, "variant": name,
            "metric": row.metric,
            "metrics": {"score": round(found.value, 5), "low": round(found.low, 5),
                        "high": round(found.high, 5), "tested": len(some.test)},
        }  # fmt: skip
