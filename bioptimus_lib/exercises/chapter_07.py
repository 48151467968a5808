"""Exercises of chapter 07: what a switch of the unit costs, whole words that are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake

# -- 07-1: what a switch of the unit costs ---------------------------------------------------------


def _rise_cases() -> list[tuple[Any, ...]]:
    return [
        (np.array([1, 1, 2]), 4.0),
        (np.array([1, 3, 1, 2, 1]), 2.5),
        (np.array([1, 1, 1]), 3.0),
        (np.array([2, 5]), 1.5),
    ]


def rise(pieces: np.ndarray, price: float) -> float:
    """The solution of 07-1: the price times the share of pieces that have siblings."""
    return float(price * pieces[pieces > 1].sum() / pieces.sum())


RISE = Exercise(
    name="rise",
    cases=_rise_cases,
    solution=rise,
    mistakes=(
        Mistake(
            lambda pieces, price: float(price * (pieces > 1).mean()),
            "this takes the share of *words* of several pieces. The loss is a mean over pieces, "
            "and such words have more of them.",
        ),
        Mistake(
            lambda pieces, price: float(price * (pieces.mean() - 1)),
            "these are the pieces beyond the first, for each *word*. The loss is a mean over "
            "pieces, and the first piece of a word has lost its siblings, too.",
        ),
        Mistake(
            lambda pieces, price: float(price * (pieces - 1).sum() / pieces.sum()),
            "the first piece of each word is left out. It is guessed without its siblings, too, "
            "and pays like the others.",
        ),
        Mistake(
            lambda pieces, price: float(price),
            "this is the price for a piece that has siblings. Words of one piece pay nothing, and "
            "they count in the mean.",
        ),
        Mistake(
            lambda pieces, price: float(price * pieces[pieces > 1].sum()),
            "this is the price of all pieces together. The loss is a mean: divide by the number of "
            "all pieces.",
        ),
        Mistake(
            lambda pieces, price: float(price * (pieces == 1).sum() / pieces.sum()),
            "this is the share of pieces that stand alone. Those pay nothing; the others do.",
        ),
    ),
    gives="price × pieces of words of several pieces / all pieces",
    praise="Share times price: where few words have siblings, no price makes whole words hard.",
)

# -- 07-2: words that are right --------------------------------------------------------------------


def _word_cases() -> list[tuple[Any, ...]]:
    return [
        (np.array([True, False, True, True, True]), np.array([0, 0, 1, 2, 2])),
        (np.array([False, True, True, False, True, True, True]), np.array([4, 4, 7, 9, 9, 9, 2])),
        (np.array([True, True]), np.array([3, 3])),
        (np.array([False]), np.array([1])),
        (np.array([True, False, True, True]), np.array([5, 6, 5, 8])),
    ]


def words_right(right: np.ndarray, word: np.ndarray) -> float:
    """The solution of 07-2: share of the words of which all pieces are right."""
    numbers = np.unique(word)
    return float(np.mean([right[word == number].all() for number in numbers]))


def _each(right: np.ndarray, word: np.ndarray, what: Any) -> list[float]:
    return [float(what(right[word == number])) for number in np.unique(word)]


WORDS_RIGHT = Exercise(
    name="words_right",
    cases=_word_cases,
    solution=words_right,
    mistakes=(
        Mistake(
            lambda right, word: float(right.mean()),
            "this is the share of *pieces* that are right. A word counts once, and only if all its "
            "pieces are right.",
        ),
        Mistake(
            lambda right, word: float(np.mean(_each(right, word, np.any))),
            "a word counts here as soon as *one* of its pieces is right. All have to be.",
        ),
        Mistake(
            lambda right, word: float(np.mean(_each(right, word, np.mean))),
            "half a word counts here as half. A word is right or not: all its pieces, or nothing.",
        ),
        Mistake(
            lambda right, word: float(np.mean(_each(right, word, lambda some: some[0]))),
            "only the first piece of each word is looked at. `bro` is right, and `##nchitis` is "
            "still to come.",
        ),
        Mistake(
            lambda right, word: float(np.sum(_each(right, word, np.all)) / len(right)),
            "the words are divided by the number of *pieces*. Divide by the number of words.",
        ),
        Mistake(
            lambda right, word: float(np.sum(_each(right, word, np.all)) / (word.max() + 1)),
            "you divided by the largest number. Only the words that were hidden count; their "
            "numbers need not be without gaps.",
        ),
        Mistake(
            lambda right, word: float(np.sum(_each(right, word, np.all))),
            "this is how many words are right. Divide by how many there are.",
        ),
    ),
    gives="words of which all pieces are right, over all words",
    praise="With one piece per word this is the usual accuracy; with more it is harsher.",
)

EXERCISES = {"07-1": RISE, "07-2": WORDS_RIGHT}
