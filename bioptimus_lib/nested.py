"""Seeds within seeds: several fine-tunings of each of several pre-trainings, and what ± says.

Fine-tunings of one pre-training share its luck. Fifteen of them that come from three pre-trainings
are three draws of a method, not fifteen: so a spread is one of the *means* of pre-trainings, and
the spread among the fine-tunings of one is told apart from it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bioptimus_lib.curriculum import PHASES

Row = Mapping[str, Any]
PER_RUN = 1000  # the seed of a fine-tuning is this times that of its pre-training, plus its own
#: Experiments whose fine-tunings have such seeds.
NESTED = frozenset({"run", "phases", "ner-table"})
#: Models in the order of the story, and those that the experiment ``phases`` trains.
ORDER = ("old", "continued", "scratch", *(phase.version for phase in PHASES))
TRAINED = tuple(name for name in ORDER if name not in ("old", "scratch"))
#: How to read ``Nested`` in a table.
READ = (
    "Seeds: 3 × 5 would be five fine-tunings of each of three pre-trainings. A ± is the standard "
    "deviation over the means of the pre-trainings; what stands behind a stroke, that of the "
    "fine-tunings of one."
)


@dataclass(frozen=True)
class Nested:
    """Mean of the means of groups, and two spreads.

    Attributes:
        mean: of the means of the groups.
        sd: standard deviation of these means; NaN for one group.
        within: standard deviation in a group, pooled; NaN if every group has one value.
        sizes: number of values in each group.
    """

    mean: float
    sd: float
    within: float
    sizes: tuple[int, ...]

    @property
    def count(self) -> str:
        """Groups × values in each, such as "3 × 5"; groups alone where each has one value."""
        least, most = min(self.sizes), max(self.sizes)
        if most == 1:
            return str(len(self.sizes))
        return f"{len(self.sizes)} × {least if least == most else f'{least} to {most}'}"

    def text(self, form: str = ".2f", spread: str | None = None) -> str:
        """Mean ± sd / within, without what is not known; ``READ`` says how to read it."""
        spread = spread or form
        shown = f"{self.mean:{form}}"
        if not math.isnan(self.sd):
            shown += f" ± {self.sd:{spread}}"
        return shown if math.isnan(self.within) else f"{shown} / {self.within:{spread}}"

    def __str__(self) -> str:
        return self.text()


def summary(groups: Iterable[Sequence[float]]) -> Nested:
    """Mean and both spreads of groups of values, such as F1 of the fine-tunings of pre-trainings.

    Raises:
        ValueError: no group, or one without a value.

    >>> print(summary([[67.0, 69.0], [70.0, 72.0]]), summary([[1.0], [3.0]]), summary([[5.0]]))
    69.50 ± 2.12 / 1.41 2.00 ± 1.41 5.00
    """
    found = [list(some) for some in groups]
    if not found or not all(found):
        raise ValueError(f"expected groups with values, found {found!r}")
    means = [statistics.fmean(some) for some in found]
    freedom = sum(len(some) - 1 for some in found)
    squares = sum((x - m) ** 2 for some, m in zip(found, means, strict=True) for x in some)
    return Nested(
        statistics.fmean(means),
        statistics.stdev(means) if len(means) > 1 else math.nan,
        math.sqrt(squares / freedom) if freedom else math.nan,
        tuple(map(len, found)),
    )


def pre_training(row: Row) -> int | None:
    """The seed of the pre-training that a row of ``NESTED`` belongs to; None for other rows.

    >>> pre_training({"experiment": "phases", "seed": 2004, "metrics": {"f1": 69.1}})
    2
    """
    if row.get("experiment") not in NESTED or row["seed"] is None:
        return None
    seed = int(row["seed"])
    return seed // PER_RUN if "f1" in row["metrics"] else seed


def groups_of(rows: Iterable[Row], metric: str) -> list[list[float]]:
    """Values of a metric, those of one pre-training together; rows without one are alone."""
    groups: dict[Hashable, list[float]] = {}
    for number, row in enumerate(rows):
        if metric in row["metrics"]:
            of = pre_training(row)
            groups.setdefault(("row", number) if of is None else of, []).append(
                row["metrics"][metric]
            )
    return list(groups.values())


def summary_of(rows: Iterable[Row], metric: str) -> Nested:
    """``summary`` of a metric of some rows."""
    return summary(groups_of(rows, metric))


def place(model: str) -> int:
    """Where a model stands in ``ORDER``; all others come last."""
    return ORDER.index(model) if model in ORDER else len(ORDER)
