"""What the chapter on evaluation measures by itself: how much choosing on the test set flatters,
and how often equal models are told apart.

Everything works on counts (runs, sentences, 3) of entities found, spurious and missed, as
``stats.entity_counts`` gives them.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from bioptimus_lib.stats import f1, paired_test

if TYPE_CHECKING:
    import numpy as np


def flattery(
    counts: np.ndarray, *, draws: int = 500, seed: int = 0
) -> dict[int, tuple[float, float]]:
    """Choose the best of k runs on one half of the sentences, and look at it on the other half.

    Args:
        counts: of runs (K, S, 3) that are candidates.
        draws: random halves, with k of the runs chosen at random in each.

    Returns:
        k → mean F1 of the chosen run on the half that chose it, and on the other; k from 1 to K.

    Raises:
        ValueError: fewer than two sentences.
    """
    import numpy as np

    runs, sentences = counts.shape[:2]
    if sentences < 2:
        raise ValueError(f"{sentences} sentences cannot be halved")
    generator = np.random.default_rng(seed)
    found = {k: np.zeros(2) for k in range(1, runs + 1)}
    for _ in range(draws):
        order = generator.permutation(sentences)
        halves = [
            f1(counts[:, some].sum(axis=1))
            for some in (order[: sentences // 2], order[sentences // 2 :])
        ]
        candidates = generator.permutation(runs)
        for k, sums in found.items():
            best = max(candidates[:k], key=lambda run: halves[0][run])
            sums += halves[0][best], halves[1][best]
    return {k: (float(sums[0] / draws), float(sums[1] / draws)) for k, sums in found.items()}


def among_themselves(counts: np.ndarray, *, permutations: int = 2000) -> list[float]:
    """p of the paired test for every two runs (K, S, 3) of one model, seed against seed."""
    return [
        paired_test(counts[a], counts[b], permutations=permutations).p
        for a, b in combinations(range(len(counts)), 2)
    ]
