"""Scores that follow from the sums of rows, a row for each example: F1 and correlation.

A resample of the examples is then a weighted sum of rows, whatever the score, which is what the
bootstrap and the paired test of ``stats`` live on. Accuracy is the F1 of all labels together, where
each example has one label and gets one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bioptimus_lib.arrays import Floats


def f1(counts: np.ndarray) -> np.ndarray:
    """F1 in percent from (…, 3) sums of (found, spurious, missed); 0 where there is no entity.

    >>> float(f1(np.array([8, 2, 2])))
    80.0
    """
    found, spurious, missed = np.moveaxis(np.asarray(counts, float), -1, 0)
    below = 2 * found + spurious + missed
    share: np.ndarray = np.divide(200 * found, below, out=np.zeros_like(below), where=below > 0)
    return share


def moments(predicted: Floats, gold: Floats) -> np.ndarray:
    """Rows (1, x, y, x², y², xy) of predicted numbers x and gold numbers y: float (examples, 6).

    >>> moments([2.0], [3.0]).tolist()
    [[1.0, 2.0, 3.0, 4.0, 9.0, 6.0]]
    """
    x, y = np.asarray(predicted, float), np.asarray(gold, float)
    if x.ndim != 1 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(
            f"{x.shape} predicted and {y.shape} gold numbers: as many of each, all finite"
        )
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def pearson(sums: np.ndarray) -> np.ndarray:
    """Pearson's r in percent from (…, 6) sums of ``moments``; 0 where a side does not vary.

    >>> round(float(pearson(moments([1, 2, 3], [2, 4, 6]).sum(axis=0))), 6)
    100.0
    """
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, float), -1, 0)
    spread = [n * square - one * one for one, square in ((x, xx), (y, yy))]
    # What is left of a difference of equal numbers is rounding, no spread.
    varies = (spread[0] > 1e-12 * n * xx) & (spread[1] > 1e-12 * n * yy)
    below = np.sqrt(np.where(varies, spread[0] * spread[1], 1.0))
    return np.where(varies, np.clip(100 * (n * xy - x * y) / below, -100, 100), 0.0)


@dataclass(frozen=True)
class Measure:
    """A score that follows from the sums of rows, a row for each example.

    width: numbers in a row.
    value: sums (…, width) → scores (…), in percent.
    gold: rows (…, width) → what in them depends on the gold answers alone.
    signed: whether a row may hold negative numbers.
    """

    width: int
    value: Callable[[np.ndarray], np.ndarray]
    gold: Callable[[np.ndarray], np.ndarray]
    signed: bool = False


F1 = Measure(3, f1, lambda rows: rows[..., 0] + rows[..., 2])
PEARSON = Measure(6, pearson, lambda rows: rows[..., 2], signed=True)
