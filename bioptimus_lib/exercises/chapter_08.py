"""Exercises of chapter 08: what a rate gives and takes, a gain and its two causes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake

# -- 08-1: what a rate gives and takes -------------------------------------------------------------


def budget(pieces: float, rate: float, corruption: bool) -> tuple[float, float, float]:
    """The solution of 08-1: guesses, true pieces in view, wrong pieces in view."""
    guesses = rate * pieces
    if not corruption:
        return guesses, pieces - guesses, 0.0
    return guesses, pieces - guesses + 0.1 * guesses, 0.1 * guesses


def _counted(
    asked: float = 1.0, true: float = 0.1, wrong: float = 0.1
) -> Callable[[float, float, bool], tuple[float, float, float]]:
    """A budget with other shares of the guesses under corruption."""

    def answer(pieces: float, rate: float, corruption: bool) -> tuple[float, float, float]:
        guesses = rate * pieces
        if not corruption:
            return guesses, pieces - guesses, 0.0
        return asked * guesses, pieces - guesses + true * guesses, wrong * guesses

    return answer


BUDGET = Exercise(
    name="budget",
    cases=lambda: [(126, 0.15, True), (126, 0.15, False), (500, 0.2, True), (60, 0.4, False),
                   (126, 0.4, True)],
    solution=budget,
    mistakes=(
        Mistake(
            lambda pieces, rate, corruption: budget(pieces, rate, True),
            "`corruption` is not looked at. Without it every guess is a [MASK]: nothing wrong is "
            "in view, and no guess is unchanged.",
        ),
        Mistake(
            lambda pieces, rate, corruption: budget(pieces, rate, False),
            "`corruption` is not looked at. With it one guess in ten stays as it is, so it is in "
            "view, and one in ten becomes another piece.",
        ),
        Mistake(
            _counted(asked=0.8),
            "only those guesses are counted that are hidden behind [MASK]. The replaced and the "
            "unchanged pieces are guessed, too, and are part of the loss.",
        ),
        Mistake(
            _counted(true=0.0),
            "one guess in ten stays as it is. It is a guess, and all the same a true piece in "
            "view for the guesses around it.",
        ),
        Mistake(
            _counted(wrong=0.0),
            "the random pieces are missing. The model sees them and cannot know that they are "
            "wrong.",
        ),
        Mistake(
            _counted(true=0.2, wrong=0.0),
            "a random piece is counted as a true one. It is in view, and it is wrong.",
        ),
        Mistake(
            _counted(wrong=0.2),
            "the unchanged pieces are counted as wrong ones, too. Of the 20 % that are not "
            "hidden, half are replaced.",
        ),
        Mistake(
            lambda pieces, rate, corruption: tuple(
                share / pieces for share in budget(pieces, rate, corruption)
            ),
            "these are shares of the pieces. Give numbers of pieces.",
        ),
        Mistake(
            lambda pieces, rate, corruption: tuple(
                round(n) for n in budget(pieces, rate, corruption)
            ),
            "the numbers are rounded. These are means over many texts, so they need not be whole.",
        ),
    ),
    gives="(guesses, true pieces in view, wrong pieces in view), three mean numbers of pieces",
    praise="From 15 to 20 % a third more guesses are made, and a twentieth of the context is lost.",
)  # fmt: skip

# -- 08-2: a gain has two causes -------------------------------------------------------------------


def causes(before: Any, control: Any, phase: Any) -> tuple[float, float, float]:
    """The solution of 08-2: due to training, due to the rate, standard error of the latter."""
    before, control, phase = (np.asarray(f1, float) for f1 in (before, control, phase))
    rate = phase - control
    error = rate.std(ddof=1) / len(rate) ** 0.5
    return float((control - before).mean()), float(rate.mean()), float(error)


def _cause_cases() -> list[tuple[Any, ...]]:
    return [
        (np.array([80.0, 81.5, 79.9]), np.array([81.0, 82.9, 80.1]), np.array([81.7, 82.6, 81.0])),
        ([60.0, 64.0, 61.0, 63.0], [62.5, 63.0, 63.5, 66.0], [61.0, 66.0, 64.0, 65.5]),
    ]  # lists, too: that is what the chapter gives


def _error(difference: np.ndarray, *, ddof: int = 1, of_mean: bool = True) -> float:
    return float(difference.std(ddof=ddof) / (len(difference) ** 0.5 if of_mean else 1.0))


def _of_arrays(answer: Any) -> Any:
    """A mistake that is made with arrays, whatever it is given."""
    return lambda *models: answer(*(np.asarray(f1, float) for f1 in models))


def _unpaired(before: np.ndarray, control: np.ndarray, phase: np.ndarray) -> float:
    return float(((phase.var(ddof=1) + control.var(ddof=1)) / len(phase)) ** 0.5)


CAUSES = Exercise(
    name="causes",
    cases=_cause_cases,
    solution=causes,
    mistakes=(
        Mistake(
            _of_arrays(lambda before, control, phase: (
                (control - before).mean(), (phase - before).mean(), _error(phase - before)
            )),
            "the gain over the version before is taken for the effect of the rate. That gain has "
            "both causes in it; compare the phase with the control.",
        ),
        Mistake(
            _of_arrays(lambda before, control, phase: (
                (phase - before).mean(), (phase - control).mean(), _error(phase - control)
            )),
            "the first number is the whole gain. Training alone is what the control has over the "
            "version before.",
        ),
        Mistake(
            _of_arrays(lambda before, control, phase: (
                (control - before).mean(), (control - phase).mean(), _error(phase - control)
            )),
            "the second number has the wrong sign: a rate that helps should give a positive one.",
        ),
        Mistake(
            _of_arrays(lambda before, control, phase: (
                (phase - control).mean(), (control - before).mean(), _error(phase - control)
            )),
            "the two effects have changed places: first the one of training, then that of the "
            "rate.",
        ),
        Mistake(
            _of_arrays(lambda before, control, phase: (
                (control - before).mean(), (phase - control).mean(),
                _error(phase - control, of_mean=False),
            )),
            "this is the spread of single differences. The mean of n of them is surer: divide by "
            "the root of n.",
        ),
        Mistake(
            _of_arrays(lambda before, control, phase: (
                (control - before).mean(), (phase - control).mean(),
                _error(phase - control, ddof=0),
            )),
            "NumPy divides by n unless told otherwise. The mean was estimated from the same "
            "numbers: `ddof=1`.",
        ),
        Mistake(
            _of_arrays(lambda before, control, phase: (
                (control - before).mean(), (phase - control).mean(),
                _unpaired(before, control, phase),
            )),
            "the seeds are treated as if they were not shared. Both models were fine-tuned with "
            "the same ones: take the differences first, then their spread.",
        ),
        Mistake(
            _of_arrays(lambda before, control, phase: (
                (control - before).mean(), (phase - control).mean(), _error(control - before)
            )),
            "this is the standard error of the first effect. Asked for is that of the second.",
        ),
    ),
    gives="(due to training, due to the rate, standard error of the latter), three numbers",
    praise="Without the control there would be one number where there are two causes.",
)  # fmt: skip

EXERCISES = {"08-1": BUDGET, "08-2": CAUSES}
