"""Experiments at scale: a table of them, each a list of cells that are kept one by one.

An experiment is a module with ``ABOUT``, ``METRICS`` to show, ``cells(setting)``,
``run(setting, cell)``, which gives the ledger rows of a cell, and, where they are needed,
``finish(rows)``, if rows need one another; ``data(setting)``, the files that the rows come from, if
these are not the text and the model of the setting; ``notes(setting)``, lines on what is not in the
table; ``NAMES``, what ``--strategies`` chooses from, if not the strategies of distillation;
``rounds(setting, cells)``, if cells may be made side by side: rounds that need the one before, each
of groups that do not need one another.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: The questions of chapter 10, the most telling first.
QUESTIONS = ("approach", "curriculum", "masking", "init", "budget", "best")
#: Name → module, or module:object with the same names in it.
EXPERIMENTS: dict[str, str] = {
    "recovery": "bioptimus_lib.experiments.recovery_by_strategy",
    "layers": "bioptimus_lib.experiments.recovery_by_layer",
    "contexts": "bioptimus_lib.experiments.recovery_by_contexts",
    "start": "bioptimus_lib.experiments.start",
    "phases": "bioptimus_lib.experiments.phases",
    "masking-difficulty": "bioptimus_lib.experiments.masking_difficulty",
    "ner-batches": "bioptimus_lib.experiments.ner_batches",
    "ner-facts": "bioptimus_lib.experiments.ner_facts",
    "scoring": "bioptimus_lib.experiments.scoring",
    "stability": "bioptimus_lib.experiments.stability",
    "task-facts": "bioptimus_lib.experiments.task_facts",
    "ner-table": "bioptimus_lib.experiments.ner_table",
    "compact": "bioptimus_lib.experiments.compact",
    "clinical": "bioptimus_lib.experiments.clinical",
    "memorisation": "bioptimus_lib.experiments.memorisation",
    **{name: f"bioptimus_lib.experiments.questions:{name.upper()}" for name in QUESTIONS},
}


def experiment(name: str) -> Any:
    """The module of an experiment, or what stands for one.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment {name!r} is unknown: choose one of {', '.join(EXPERIMENTS)}")
    module, _, inside = EXPERIMENTS[name].partition(":")
    found = import_module(module)
    return getattr(found, inside) if inside else found
