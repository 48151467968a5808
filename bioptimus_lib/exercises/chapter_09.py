"""Exercises of chapter 09: how far to trust a visible piece, a loss taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake
from bioptimus_lib.masking import IGNORED

# -- 09-1: how far to trust what one sees ----------------------------------------------------------


def trust(p: float, pieces: int, kept: float, random: float) -> float:
    """The solution of 09-1: chance that a visible piece that is asked about is the true one."""
    true = p * (kept + random / pieces)  # it is the true one, left alone or drawn by chance
    return true / (kept * p + random / pieces)


TRUST = Exercise(
    name="trust",
    cases=lambda: [
        (0.2, 100, 0.1, 0.1), (0.001, 100, 0.1, 0.1), (0.01, 50, 0.15, 0.05), (0.3, 20, 0.0, 0.2),
        (0.3, 20, 0.2, 0.0), (0.0001, 8192, 0.1, 0.1),
    ],
    solution=trust,
    mistakes=(
        Mistake(
            lambda p, pieces, kept, random: kept / (kept + random),
            "this is the chance before one looks at the piece. A piece that fits its sentence is "
            "more often a true one than a random one: use `p` and Bayes' rule.",
        ),
        Mistake(
            lambda p, pieces, kept, random: p,
            "this is what the sentence says of the gap. The piece that stands there says something "
            "as well, if some pieces are left as they are.",
        ),
        Mistake(
            lambda p, pieces, kept, random: kept * p / (kept * p + random),
            "a random piece is one of `pieces`, so this very piece is drawn with chance "
            "`random / pieces`, not `random`.",
        ),
        Mistake(
            lambda p, pieces, kept, random: kept * p / (kept * p + random / pieces),
            "nearly. A piece that is drawn at random can be the true one by chance: that adds "
            "`p * random / pieces` above the line. It counts where `kept` is small.",
        ),
        Mistake(
            lambda p, pieces, kept, random: kept * p / (kept * p + random * (1 - p)),
            "a random piece is taken to be drawn from the pieces that do not fit, with chance "
            "1 − p. It is drawn from all `pieces` alike, whatever the sentence says.",
        ),
        Mistake(
            lambda p, pieces, kept, random: (random / pieces * (1 - p))
            / (kept * p + random / pieces),
            "this is the chance that the piece is a *wrong* one. Asked for is the other.",
        ),
        Mistake(
            lambda p, pieces, kept, random: p * (kept + random / pieces),
            "this is the chance that the piece is seen *and* true. Divide by the chance that it "
            "is seen at all.",
        ),
    ),
    gives="the chance that the true piece is the one that is seen, a single number",
    praise="So with 80/10/10 to copy is nearly always right, and to doubt is right where a piece "
    "is less likely than one in the vocabulary.",
)  # fmt: skip

# -- 09-2: a loss taken apart ----------------------------------------------------------------------


def _kind_cases() -> list[tuple[Any, ...]]:
    draw = np.random.default_rng(7)
    cases = []
    for rows in (3, 5):
        ids = draw.integers(5, 40, size=(rows, 30))
        asked = draw.random(ids.shape) < 0.5
        fate = draw.random(ids.shape)
        other = 5 + (ids - 5 + draw.integers(1, 34, size=ids.shape)) % 35  # never the true one
        inputs = np.where(asked & (fate < 0.6), 4, np.where(asked & (fate < 0.8), other, ids))
        cases.append(
            (inputs, np.where(asked, ids, IGNORED), draw.uniform(0.0, 9.0, size=ids.shape), 4)
        )
    return cases


def by_kind(
    inputs: np.ndarray, labels: np.ndarray, losses: np.ndarray, mask_id: int
) -> tuple[float, float, float]:
    """The solution of 09-2: mean loss at [MASK], at another piece, at an unchanged one."""
    asked = labels != IGNORED
    hidden = asked & (inputs == mask_id)
    unchanged = asked & (inputs == labels)
    other = asked & ~hidden & ~unchanged
    masked, replaced, kept = (float(losses[some].mean()) for some in (hidden, other, unchanged))
    return masked, replaced, kept


def _masks(inputs: np.ndarray, labels: np.ndarray, mask_id: int) -> tuple[np.ndarray, ...]:
    asked = labels != IGNORED
    hidden, same = asked & (inputs == mask_id), asked & (inputs == labels)
    return hidden, asked & ~hidden & ~same, same


BY_KIND = Exercise(
    name="by_kind",
    cases=_kind_cases,
    solution=by_kind,
    mistakes=(
        Mistake(
            lambda inputs, labels, losses, mask_id: (
                losses[inputs == mask_id].mean(),
                losses[(inputs != mask_id) & (inputs != labels)].mean(),
                losses[inputs == labels].mean(),
            ),
            "the second mean holds places that nobody asks about: there the label is −100, which "
            "differs from every piece. Take places with `labels != -100` only.",
        ),
        Mistake(
            lambda inputs, labels, losses, mask_id: (
                losses[inputs == mask_id].mean(),
                losses[_masks(inputs, labels, mask_id)[1]].mean(),
                losses[(inputs == labels) | (labels == IGNORED)].mean(),
            ),
            "the third mean holds places that nobody asks about. Unchanged means: asked about, and "
            "left as it was.",
        ),
        Mistake(
            lambda inputs, labels, losses, mask_id: (
                losses[inputs == mask_id].mean(),
                losses[_masks(inputs, labels, mask_id)[1]].mean(),
                losses[(labels != IGNORED) & (inputs != mask_id)].mean(),
            ),
            "the third mean holds the random pieces, too. Unchanged means that input and label "
            "are the same.",
        ),
        Mistake(
            lambda inputs, labels, losses, mask_id: (
                losses[inputs == mask_id].mean(),
                losses[(labels != IGNORED) & (inputs != labels)].mean(),
                losses[inputs == labels].mean(),
            ),
            "the second mean holds the hidden pieces, too: [MASK] differs from the label as well.",
        ),
        Mistake(
            lambda inputs, labels, losses, mask_id: tuple(
                losses[some].sum() for some in _masks(inputs, labels, mask_id)
            ),
            "these are sums. Give means, so that kinds of different size can be compared.",
        ),
        Mistake(
            lambda inputs, labels, losses, mask_id: tuple(
                losses[some].sum() / (labels != IGNORED).sum()
                for some in _masks(inputs, labels, mask_id)
            ),
            "each sum is divided by the number of *all* guesses. That gives the parts of the loss; "
            "asked for is the mean of each kind.",
        ),
        Mistake(
            lambda inputs, labels, losses, mask_id: tuple(
                np.mean([row[m].mean() for row, m in zip(losses, some, strict=True)])
                for some in _masks(inputs, labels, mask_id)
            ),
            "this is a mean over rows of means within rows. A row with two such guesses then "
            "counts as much as one with ten; take all guesses of a kind together.",
        ),
        Mistake(
            lambda inputs, labels, losses, mask_id: tuple(
                float(losses[_masks(inputs, labels, mask_id)[n]].mean()) for n in (0, 2, 1)
            ),
            "the second and the third have changed places: first [MASK], then another piece, then "
            "unchanged.",
        ),
    ),
    gives="(mean loss at [MASK], at another piece, at an unchanged piece), three numbers",
    praise="One loss, three tasks: to fill a gap, to mend an error, to copy.",
)  # fmt: skip

EXERCISES = {"09-1": TRUST, "09-2": BY_KIND}
