"""Several models at a time: each beside the first, and what so many questions cost.

Two tests, for two questions. ``stats.paired_test`` swaps answers sentence by sentence: could these
very taggers have swapped them without anyone noticing? ``runs_test`` swaps whole trainings: could
the names of the models have been dealt out by chance? The first can be sure of a difference between
two seeds of one model; only the second is about models.

References:
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics, 1979; Dror et al., Replicability analysis for NLP, TACL 2017 (many sets at once).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bioptimus_lib.arrays import Floats
from bioptimus_lib.stats import (
    F1,
    Interval,
    Measure,
    bootstrap_difference,
    group_means,
    paired_test,
)

MOST_DEALS = 20_000  # ways to deal the names out; where there are more, so many are drawn


@dataclass(frozen=True)
class Comparison:
    """A model beside the first model of its set.

    difference: F1 of the model minus that of the first, with an interval over sentences and seeds.
    p: of the paired test over sentences.
    p_holm: the same, corrected for all comparisons that were made together.
    p_runs: of the test over whole trainings; it cannot be small with few seeds.
    together: how many comparisons the correction is for.
    """

    dataset: str
    model: str
    first: str
    difference: Interval
    p: float
    p_holm: float
    p_runs: float
    together: int


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for having looked as often, by Holm's step-down method, in their order.

    Calling those at most α a difference is wrong, about even one of them, with probability α at
    most, however the tests depend on each other.

    Raises:
        ValueError: a value is not from 0 to 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    if bad := [value for value in p if not 0 <= value <= 1]:
        raise ValueError(f"p is {bad[0]}, it must be from 0 to 1")
    out, most = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        most = max(most, min(1.0, (len(p) - rank) * p[place]))
        out[place] = most
    return out


def runs_test(a: Floats, b: Floats, *, seed: int = 0) -> float:
    """Two-sided p-value of a difference in mean F1 if the runs had been named by chance.

    All ways to deal the names out are tried (or ``MOST_DEALS`` are drawn), so p is at least two
    over their number with as many runs on each side (0.1 with three, 0.008 with five), else one.

    Args:
        a, b: F1 of each run.

    Raises:
        ValueError: no run on one side.

    >>> runs_test([80.0, 81.0, 82.0], [70.0, 71.0, 72.0])
    0.1
    """
    if not len(a) or not len(b):
        raise ValueError(f"{len(a)} runs in a, {len(b)} in b: give one or more of each")
    both = np.array([*a, *b], float)
    found = abs(np.mean(a) - np.mean(b))
    if math.comb(len(both), len(a)) <= MOST_DEALS:
        deals = np.array(list(combinations(range(len(both)), len(a))))
    else:
        generator = np.random.default_rng(seed)
        deals = np.argsort(generator.random((MOST_DEALS, len(both))), axis=1)[:, : len(a)]
        deals[0] = np.arange(len(a))  # the real one counts, too
    sums = both[deals].sum(axis=1)
    gaps = np.abs(sums / len(a) - (both.sum() - sums) / len(b))
    return float((gaps >= found - 1e-9).mean())


def compare(
    sets: Mapping[str, Mapping[str, np.ndarray]],
    *,
    seed: int = 0,
    measures: Mapping[str, Measure] | None = None,
    groups: Mapping[str, Mapping[str, Sequence[int]]] | None = None,
) -> list[Comparison]:
    """Each model of each set beside the first of that set, corrected for all of them together.

    Args:
        sets: name of the set → model → counts (seeds, sentences, 3) of ``stats.entity_counts``;
            with unequal numbers of seeds the paired test compares the first ones that both have.
        measures: name of the set → what its rows measure; F1 where a set has none.
        groups: name of the set → model → of which group each seed is, such as a pre-training that
            several fine-tunings share: intervals and the test over runs are about groups then.

    Raises:
        ValueError: other test sentences in two models of a set.
    """
    found = []
    for dataset, models in sets.items():
        first, *others = models
        measure = (measures or {}).get(dataset, F1)
        for model in others:
            pair, both = (models[model], models[first]), min(len(models[model]), len(models[first]))
            of = [(groups or {}).get(dataset, {}).get(name, range(len(rows)))
                  for name, rows in zip((model, first), pair, strict=True)]  # fmt: skip
            scores = [measure.value(rows.sum(axis=1)) for rows in pair]
            found.append((
                dataset, model, first,
                bootstrap_difference(*pair, groups=(of[0], of[1]), measure=measure, seed=seed),
                paired_test(*(rows[:both] for rows in pair), measure=measure, seed=seed).p,
                runs_test(*map(group_means, scores, of), seed=seed),
            ))  # fmt: skip
    corrected = holm([p for *_, p, _ in found])
    return [
        Comparison(dataset, model, first, difference, p, adjusted, p_runs, len(found))
        for (dataset, model, first, difference, p, p_runs), adjusted in zip(
            found, corrected, strict=True
        )
    ]
