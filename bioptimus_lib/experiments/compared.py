"""Rows of fine-tunings beside one another: the difference of each model to a first one.

A row that takes part has ``counts``, the entities (found, spurious, missed) of each test sentence
as ``stats.entity_counts`` gives them.
"""

from __future__ import annotations

import json
import math

from bioptimus_lib.experiments.cells import Row

POWER = 2.8  # standard errors that are found at 5 % in 80 % of the cases (1.96 + 0.84)


def counts_of(rows: list[Row]) -> dict[tuple[str, str], dict[str, list[Row]]]:
    """(set, variant) → model → its rows, of those that have counts."""
    groups: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in rows:
        if "counts" in row:
            models = groups.setdefault((row["dataset"], row["variant"]), {})
            models.setdefault(row["model"], []).append(row)
    return groups


def without_counts(rows: list[Row]) -> list[Row]:
    """The rows as the ledger keeps them."""
    return [{k: v for k, v in row.items() if k != "counts"} for row in rows]


def differences(rows: list[Row], *, first: str) -> list[Row]:
    """The rows without their counts, and one for each model beside the first, on each set.

    Of a difference in F1 a row tells the interval over sentences and seeds, p of the paired test
    over sentences, the same corrected for all comparisons (Holm), p over whole trainings, and
    ``detectable``: what difference these seeds would have shown at 5 % in four of five cases, by
    the spread over the seeds. Sets without the first model have no such row.
    """
    import numpy as np

    from bioptimus_lib import significance, stats

    groups = counts_of(rows)
    counts = {
        json.dumps(key): {
            model: np.array([row["counts"] for row in models[model]])
            for model in (first, *(name for name in models if name != first))
        }
        for key, models in groups.items()
        if first in models
    }
    more: list[Row] = []
    for found in significance.compare(counts):
        dataset, variant = json.loads(found.dataset)
        pair = [counts[found.dataset][name] for name in (found.model, found.first)]
        seeds = min(map(len, pair))
        scores = [stats.f1(side[:seeds].sum(axis=1)) for side in pair]
        spread = math.sqrt(sum(side.var(ddof=1) for side in scores) / seeds) if seeds > 1 else None
        more.append({
            "model": f"{found.model} − {found.first}", "dataset": dataset, "seed": None,
            "variant": f"{variant}, difference",
            "metrics": {
                "difference": found.difference.value, "low": found.difference.low,
                "high": found.difference.high, "p": found.p, "p_holm": found.p_holm,
                "p_runs": found.p_runs, "comparisons": found.together, "seeds": seeds,
                **({} if spread is None else {"detectable": POWER * spread}),
            },
        })  # fmt: skip
    return without_counts(rows) + more
