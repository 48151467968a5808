"""Exercises of chapter 12: F1 of resamples, a paired test by hand, corrected p-values."""

from __future__ import annotations

from typing import Any

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake
from bioptimus_lib.stats import f1

# -- 12-1: F1 of resampled sentences ---------------------------------------------------------------


def resampled(counts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The solution of 12-1: F1 in percent of each resample."""
    found, spurious, missed = counts[rows].sum(axis=1).T
    scores: np.ndarray = 200 * found / (2 * found + spurious + missed)
    return scores


def _resample_cases() -> list[tuple[Any, ...]]:
    draw = np.random.default_rng(12)
    cases = []
    for sentences, resamples in ((6, 4), (25, 3)):
        counts = draw.integers(0, 4, size=(sentences, 3))
        counts[:, 0] += 1  # so that no sentence has a score of nothing
        cases.append((counts, draw.integers(sentences, size=(resamples, sentences))))
    return cases


def _each(counts: np.ndarray) -> np.ndarray:
    found, spurious, missed = np.moveaxis(np.asarray(counts, float), -1, 0)
    scores: np.ndarray = 200 * found / (2 * found + spurious + missed)
    return scores


def _ratios(counts: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found, spurious, missed = counts[rows].sum(axis=1).T
    return 100 * found / (found + spurious), 100 * found / (found + missed)


RESAMPLED = Exercise(
    name="resampled",
    cases=_resample_cases,
    solution=resampled,
    mistakes=(
        Mistake(
            lambda counts, rows: _each(counts)[rows].mean(axis=1),
            "this is the mean of the F1 of single sentences. F1 counts entities: add up the counts "
            "of a resample first, then make one F1 of the three sums.",
        ),
        Mistake(
            lambda counts, rows: resampled(counts, rows) / 100,
            "these are shares of one. The course gives F1 in percent.",
        ),
        Mistake(
            lambda counts, rows: np.array([_each(counts[np.unique(r)].sum(axis=0)) for r in rows]),
            "a sentence that was drawn twice counts once here. Drawing with replacement means that "
            "it counts as often as it was drawn.",
        ),
        Mistake(
            lambda counts, rows: 100 * counts[rows].sum(axis=1)[:, 0]
            / counts[rows].sum(axis=(1, 2)),
            "this is found / (found + spurious + missed), which is stricter than F1: there the "
            "found ones count twice, above and below the line.",
        ),
        Mistake(
            lambda counts, rows: sum(_ratios(counts, rows)) / 2,
            "this is the plain mean of precision and recall. F1 is their harmonic mean, which is "
            "2 · found / (2 · found + spurious + missed).",
        ),
        Mistake(
            lambda counts, rows: _ratios(counts, rows)[1],
            "this is recall. What was found and is not there costs nothing in it.",
        ),
        Mistake(
            lambda counts, rows: np.full(len(rows), _each(counts.sum(axis=0))),
            "all resamples have the F1 of the whole set: take the sentences that `rows` names.",
        ),
    ),
    gives="F1 in percent of each resample, as many numbers as `rows` has rows",
    praise="A thousand test sets from one, for the price of a few sums.",
)  # fmt: skip

# -- 12-2: a paired test ---------------------------------------------------------------------------


def p_value(a: np.ndarray, b: np.ndarray, swaps: np.ndarray) -> float:
    """The solution of 12-2: two-sided p of approximate randomisation."""
    found = abs(f1(a.sum(axis=0)) - f1(b.sum(axis=0)))
    as_large = 0
    for swap in swaps:
        left = np.where(swap[:, None], b, a).sum(axis=0)
        right = np.where(swap[:, None], a, b).sum(axis=0)
        as_large += bool(abs(f1(left) - f1(right)) >= found)
    return (as_large + 1) / (len(swaps) + 1)


def _p_cases() -> list[tuple[Any, ...]]:
    draw = np.random.default_rng(2)
    cases = []
    for sentences, swaps, skills in ((12, 60, (0.9, 0.5)), (30, 80, (0.6, 0.75)),
                                     (9, 40, (0.8, 0.8))):  # fmt: skip
        gold = draw.integers(1, 4, sentences)
        pair = []
        for skill in skills:
            found = draw.binomial(gold, skill)
            pair.append(np.stack([found, draw.binomial(2, 0.3, sentences), gold - found], axis=1))
        cases.append((*pair, draw.random((swaps, sentences)) < 0.5))
    return cases


def _swapped(a: np.ndarray, b: np.ndarray, swap: np.ndarray) -> np.ndarray:
    """The counts of a, with those of b in the sentences that are swapped."""
    return np.where(swap[:, None], b, a)


def _gaps(a: np.ndarray, b: np.ndarray, swaps: np.ndarray) -> np.ndarray:
    """F1 of a minus b after each swap."""
    return np.array([
        f1(_swapped(a, b, s).sum(axis=0)) - f1(_swapped(b, a, s).sum(axis=0))
        for s in swaps
    ])  # fmt: skip


def _found(a: np.ndarray, b: np.ndarray) -> float:
    return float(f1(a.sum(axis=0)) - f1(b.sum(axis=0)))


def _share(hits: np.ndarray) -> float:
    return float((hits.sum() + 1) / (len(hits) + 1))


P_VALUE = Exercise(
    name="p_value",
    cases=_p_cases,
    solution=p_value,
    mistakes=(
        Mistake(
            lambda a, b, swaps: float((abs(_gaps(a, b, swaps)) >= abs(_found(a, b))).mean()),
            "nearly. The draw that really happened is one of the draws as well: add one above the "
            "line and one below, and p can never be 0.",
        ),
        Mistake(
            lambda a, b, swaps: _share(_gaps(a, b, swaps) >= _found(a, b)),
            "this counts differences in one direction only. Two-sided: compare sizes, without "
            "signs.",
        ),
        Mistake(
            lambda a, b, swaps: _share(abs(_gaps(a, b, swaps)) > abs(_found(a, b))),
            "draws that are just as large are left out. They speak for chance as well: use >=.",
        ),
        Mistake(
            lambda a, b, swaps: 1 - p_value(a, b, swaps),
            "this is the share of draws that are *smaller*. p is the share that is as large.",
        ),
        Mistake(
            lambda a, b, swaps: _share(np.array([
                abs(f1(_swapped(a, b, s).sum(axis=0)) - f1(b.sum(axis=0)))
                >= abs(_found(a, b)) for s in swaps
            ])),
            "the answers of b went over to a, and a's did not come back. A swap changes both.",
        ),
        Mistake(
            lambda a, b, swaps: _share(np.array([
                abs(_each(_swapped(a, b, s) + 1e-12).mean()
                    - _each(_swapped(b, a, s) + 1e-12).mean())
                >= abs(_each(a + 1e-12).mean() - _each(b + 1e-12).mean()) for s in swaps
            ])),
            "these are means of the F1 of single sentences. Add the counts up first, as for any "
            "F1.",
        ),
        Mistake(
            lambda a, b, swaps: _share(abs(_gaps(a, b, swaps)) >= 0),
            "every draw is counted. Compare with the difference that was found, not with 0.",
        ),
    ),
    gives="p, a single number above 0 and at most 1",
    praise="No formula for the spread of F1 was needed, and no bell curve.",
)  # fmt: skip

# -- 12-3: many comparisons ------------------------------------------------------------------------


def corrected(p: list[float]) -> list[float]:
    """The solution of 12-3: Holm's p-values, in the order of p."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    out, most = [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (len(p) - rank) * p[place]))
        out[place] = most
    return out


def _holm(p: list[float], *, step: bool = True, cap: bool = True) -> list[float]:
    """Holm's values without one of their parts."""
    out, most = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        value = (len(p) - rank) * p[place]
        value = min(1.0, value) if cap else value
        most = max(most, value) if step else value
        out[place] = most
    return out


CORRECTED = Exercise(
    name="corrected",
    cases=lambda: [
        ([0.01, 0.04, 0.03],), ([0.5, 0.001, 0.02, 0.02, 0.9],), ([0.2],), ([0.03, 0.029, 0.6],),
        ([0.6, 0.8, 0.7],),
    ],
    solution=corrected,
    mistakes=(
        Mistake(
            lambda p: [min(1.0, len(p) * value) for value in p],
            "this is Bonferroni's correction: every p times the number of tests. It is safe, and "
            "stricter than it need be. Holm multiplies the smallest by m, the next by m − 1, …",
        ),
        Mistake(
            lambda p: _holm(p, step=False),
            "a larger p may come out smaller than one before it. Never go down: each corrected "
            "value is at least the one before.",
        ),
        Mistake(
            lambda p: _holm(p, cap=False),
            "some values are above 1. A probability ends there.",
        ),
        Mistake(
            lambda p: sorted(corrected(p)),
            "the values are right, and in the order of their size. Give them in the order of `p`.",
        ),
        Mistake(
            lambda p: [min(1.0, (1 + sum(q < value for q in p)) * value) for value in p],
            "the smallest p was multiplied by 1 and the largest by m: it is the other way round.",
        ),
        Mistake(
            lambda p: [1 - (1 - value) ** len(p) for value in p],
            "this is right for tests that have nothing to do with each other. Ours share their "
            "sentences; Holm's rule needs no such thing.",
        ),
        Mistake(lambda p: list(p), "nothing was changed."),
    ),
    gives="the corrected values, as many as there are in `p`, in its order",
    praise="Ask twenty questions, and pay for twenty.",
)

EXERCISES = {"12-1": RESAMPLED, "12-2": P_VALUE, "12-3": CORRECTED}
