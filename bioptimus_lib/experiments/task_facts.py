"""The real tasks beyond entities in numbers: sizes, answers, lengths, what words alone reach.

A cell is a task. Nothing is drawn at random and no text comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.experiments.inputs import model_folder

ABOUT = "sizes, answers, lengths of the real tasks, and what constants and words alone reach"
METRICS = ["train", "test", "constant", "words", "pieces", "truncated", "test_in_train"]
WINDOW = 512  # pieces that BERT and its relatives read at once


def cells(_: Setting) -> list[str]:
    """A cell for each published task."""
    from bioptimus_lib.task_table import TASKS

    return [name for name, row in TASKS.items() if row.source]


def folder(setting: Setting, name: str) -> Path:
    """The folder of a task's files."""
    from bioptimus_lib import sources

    return sources.fetch(name, progress=setting.progress)


def data(setting: Setting) -> list[Path]:
    """The files that the numbers come from."""
    return sorted(
        path for name in cells(setting) for path in folder(setting, name).iterdir()
        if path.is_file()
    )  # fmt: skip


def run(setting: Setting, cell: str) -> Iterator[dict[str, Any]]:
    """The row of a task, its mentions shown in the usual way; pieces are those of the model."""
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
