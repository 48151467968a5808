"""Rows of fine-tunings beside one another: the difference of each model to a first one.

A row that takes part has ``counts``, the entities (found, spurious, missed) of each test sentence
as ``stats.entity_counts`` gives them, packed. The ledger keeps them, so that intervals and tests
can be computed again without a training, and rows of several machines compared.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from bioptimus_lib.experiments.cells import Row

if TYPE_CHECKING:
    import numpy as np


def packed(counts: np.ndarray) -> str:
    """Counts (sentences, 3) as text: 16 bits each, deflated, in base 64.

    >>> import numpy as np
    >>> unpacked(packed(np.array([[2, 0, 0], [0, 1, 2]]))).tolist()
    [[2, 0, 0], [0, 1, 2]]
    """
    return base64.urlsafe_b64encode(zlib.compress(counts.astype("<u2").T.tobytes(), 9)).decode()


def unpacked(text: str) -> np.ndarray:
    """The counts (sentences, 3) of ``packed``."""
    import numpy as np

    numbers = np.frombuffer(zlib.decompress(base64.urlsafe_b64decode(text)), dtype="<u2")
    return numbers.reshape(3, -1).T.astype(int)


def counts_of(rows: list[Row]) -> dict[tuple[str, str], dict[str, list[Row]]]:
    """(set, variant) → model → its rows, of those that have counts."""
    groups: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in rows:
        if "counts" in row:
            models = groups.setdefault((row["dataset"], row["variant"]), {})
            models.setdefault(row["model"], []).append(row)
    return groups


def differences(
    rows: list[Row], *, first: str, group: Callable[[Row], int] | None = None
) -> list[Row]:
    """A row for each model beside the first, on each set.

    Args:
        rows: of fine-tunings.
        first: the model that all others are put beside.
        group: the pre-training that a row's fine-tuning shares with others; none shares one if
            this is left out.

    Of a difference in F1 a row tells the interval over sentences and seeds, p of the paired test
    over sentences, the same corrected for all comparisons (Holm), and p over whole trainings. Sets
    without the first model have no such row.
    """
    import numpy as np

    from bioptimus_lib import significance

    groups = counts_of(rows)
    counts = {
        json.dumps(key): {
            model: np.array([unpacked(row["counts"]) for row in models[model]])
            for model in (first, *(name for name in models if name != first))
        }
        for key, models in groups.items()
        if first in models
    }
    of = group and {
        json.dumps(key): {model: [group(row) for row in some] for model, some in models.items()}
        for key, models in groups.items()
    }
    more: list[Row] = []
    for found in significance.compare(counts, groups=of or None):
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
    return more
