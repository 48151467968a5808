"""Rows of fine-tunings beside one another: the difference of each model to a first one.

A row that takes part has ``counts``, the entities (found, spurious, missed) of each test sentence
as ``stats.entity_counts`` gives them.
"""

from __future__ import annotations

import json

from bioptimus_lib.experiments.cells import Row


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
    over sentences, the same corrected for all comparisons (Holm), and p over whole trainings. Sets
    without the first model have no such row.
    """
    import numpy as np

    from bioptimus_lib import significance

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
        more.append({
            "model": f"{found.model} − {found.first}", "dataset": dataset, "seed": None,
            "variant": f"{variant}, difference",
            "metrics": {
                "difference": found.difference.value, "low": found.difference.low,
                "high": found.difference.high, "p": found.p, "p_holm": found.p_holm,
                "p_runs": found.p_runs, "comparisons": found.together,
                "seeds": min(map(len, pair)),
            },
        })  # fmt: skip
    return without_counts(rows) + more
