"""Exercises of chapter 04: token recovery, a ridge regression, the letters of a piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake

# -- 04-1: token recovery -------------------------------------------------------------------------


def _recovery_cases() -> list[tuple[Any, ...]]:
    draw = np.random.default_rng(4)
    table = draw.normal(size=(12, 5)) * draw.uniform(0.2, 3.0, size=(12, 1))
    ids = np.array([3, 0, 7, 11])
    noise = draw.normal(size=(4, 5))
    return [(table[ids] + scale * noise, ids, table) for scale in (0.2, 1.0, 2.5)]


def _unit(rows: np.ndarray) -> np.ndarray:
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return unit


def _ranks(scores: np.ndarray, ids: np.ndarray) -> np.ndarray:
    own = scores[np.arange(len(ids)), ids]
    ranks: np.ndarray = (scores > own[:, None]).sum(1) + 1
    return ranks


def recovery(vectors: np.ndarray, ids: np.ndarray, table: np.ndarray) -> float:
    """The solution of 04-1: mean reciprocal rank of the true rows by cosine."""
    cosine = _unit(vectors) @ _unit(table).T
    return float((1 / _ranks(cosine, ids)).mean())


RECOVERY = Exercise(
    name="recovery",
    cases=_recovery_cases,
    solution=recovery,
    mistakes=(
        Mistake(
            lambda vectors, ids, table: float((1 / _ranks(vectors @ table.T, ids)).mean()),
            "nothing is divided by its length. By the plain product long rows win whatever "
            "their direction; divide each row by its norm first.",
        ),
        Mistake(
            lambda vectors, ids, table: float(
                (1 / (_ranks(_unit(vectors) @ _unit(table).T, ids) + 1)).mean()
            ),
            "every rank is one too high. The true row itself is not above itself: count those "
            "with a *larger* cosine, and add one.",
        ),
        Mistake(
            lambda vectors, ids, table: float(_ranks(_unit(vectors) @ _unit(table).T, ids).mean()),
            "this is the mean rank. A single word that is lost somewhere in the table would "
            "decide it; take the reciprocal of each rank, then the mean.",
        ),
        Mistake(
            lambda vectors, ids, table: float(
                1 / _ranks(_unit(vectors) @ _unit(table).T, ids).mean()
            ),
            "one over the mean rank is not the mean of one over the rank. First the reciprocal, "
            "word by word, then the mean.",
        ),
        Mistake(
            lambda vectors, ids, table: float(
                (1 / _ranks(-_unit(vectors) @ _unit(table).T, ids)).mean()
            ),
            "the ranks are counted from the wrong end: rank 1 is the row with the *largest* "
            "cosine.",
        ),
        Mistake(
            lambda vectors, ids, table: float(
                (_ranks(_unit(vectors) @ _unit(table).T, ids) == 1).mean()
            ),
            "this is the share that is found at once, top-1. Asked for is the mean reciprocal "
            "rank, which also tells rank 2 from rank 200.",
        ),
        Mistake(
            lambda vectors, ids, table: float(
                (1 / _ranks(_unit(vectors) @ _unit(table[ids]).T, np.arange(len(ids)))).mean()
            ),
            "only the true rows of these few words compete. All rows of the table do: take the "
            "cosine to each of them.",
        ),
        Mistake(
            lambda vectors, ids, table: 1 / _ranks(_unit(vectors) @ _unit(table).T, ids),
            "these are the reciprocal ranks, one for each word. Give their mean.",
        ),
    ),
    gives="the mean over words of 1 / (rank of the true row by cosine), a single number",
    praise="It needs neither training nor a task: only words whose embedding is known.",
)

# -- 04-2: ridge regression -----------------------------------------------------------------------


def _ridge_cases() -> list[tuple[Any, ...]]:
    draw = np.random.default_rng(9)
    states = draw.normal(size=(20, 4)) * [1.0, 2.0, 0.5, 3.0] + [5.0, -2.0, 0.0, 1.0]
    rows = states @ draw.normal(size=(4, 3)) + draw.normal(size=(20, 3)) + [1.0, -4.0, 2.0]
    new = draw.normal(size=(3, 4)) + [5.0, -2.0, 0.0, 1.0]
    return [(states, rows, new, strength) for strength in (0.5, 10.0, 300.0)]


def _solve(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)


def calibrate(
    states: np.ndarray, rows: np.ndarray, new: np.ndarray, strength: float
) -> np.ndarray:
    """The solution of 04-2: centre both sides, solve, put the mean row back."""
    x, y = states - states.mean(0), rows - rows.mean(0)
    weights = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ y)
    found: np.ndarray = (new - states.mean(0)) @ weights + rows.mean(0)
    return found


def _no_centre(
    states: np.ndarray, rows: np.ndarray, new: np.ndarray, strength: float
) -> np.ndarray:
    found: np.ndarray = new @ _solve(states, rows, strength)
    return found


def _penalised_bias(
    states: np.ndarray, rows: np.ndarray, new: np.ndarray, strength: float
) -> np.ndarray:
    one = np.ones((len(states), 1))
    weights = _solve(np.hstack([states, one]), rows, strength)
    found: np.ndarray = np.hstack([new, np.ones((len(new), 1))]) @ weights
    return found


def _with(penalty: Any = None, *, centre: Any = None, back: bool = True) -> Any:
    """The solution with another penalty, another centre of the new states, or no mean put back."""

    def answer(
        states: np.ndarray, rows: np.ndarray, new: np.ndarray, strength: float
    ) -> np.ndarray:
        x, y = states - states.mean(0), rows - rows.mean(0)
        weights = _solve(x, y, penalty(strength, len(x)) if penalty else strength)
        middle = centre(states, new) if centre else states.mean(0)
        found: np.ndarray = (new - middle) @ weights + (rows.mean(0) if back else 0)
        return found

    return answer


CALIBRATE = Exercise(
    name="calibrate",
    cases=_ridge_cases,
    solution=calibrate,
    mistakes=(
        Mistake(
            _with(back=False),
            "the mean of the rows was taken off and never put back: all rows are shifted by it.",
        ),
        Mistake(
            _no_centre,
            "nothing is centred. The mean state is long, and without centring most of the work of "
            "the weights is to turn it into the mean row. Take both means off first.",
        ),
        Mistake(
            _with(centre=lambda states, new: 0 * states.mean(0)),
            "the new states are not centred, the known ones were. Take the mean of the *known* "
            "states off the new ones, too.",
        ),
        Mistake(
            _with(centre=lambda states, new: new.mean(0)),
            "the new states are centred by their own mean. Then every group of new words gets the "
            "same mean row, whatever the words are. Use the mean of the known states.",
        ),
        Mistake(
            _with(lambda strength, n: 0.0),
            "this is least squares without any penalty. Add `strength` to the diagonal of XᵀX.",
        ),
        Mistake(
            _with(lambda strength, n: strength * n),
            "the penalty is multiplied by the number of words. That is another convention; here "
            "`strength` itself is added to the diagonal.",
        ),
        Mistake(
            _with(lambda strength, n: strength**2),
            "the penalty is squared. `strength` itself is added to the diagonal of XᵀX.",
        ),
        Mistake(
            _penalised_bias,
            "the intercept is penalised like a weight, so all rows are drawn towards zero, not "
            "towards their mean. Centre both sides instead of adding a column of ones.",
        ),
        Mistake(
            lambda states, rows, new, strength: calibrate(states, rows, states, strength),
            "these are rows for the known words. Asked for are rows for `new`.",
        ),
    ),
    gives="a row for each new state: the mean row, plus the centred state times the weights",
    praise="This is the whole calibration; the library also standardises, and chooses the "
    "strength by leaving each word out once.",
)

# -- 04-3: which old pieces does a new piece cover? ------------------------------------------------


def _covering_cases() -> list[tuple[Any, ...]]:
    app = ["app", "##end", "##ect", "##omy"]  # app end ect omy
    return [
        (app, 6, 12),  # ectomy
        (app, 0, 6),  # append
        (app, 7, 10),  # a part of two pieces
        (["gastr", "##ect", "##omy"], 5, 11),
        (["x", "##y", "##z"], 1, 2),
        (["bro", "##nch", "##itis"], 0, 10),
        (["il", "##2"], 0, 2),
    ]


def covering(pieces: Sequence[str], start: int, end: int) -> list[int]:
    """The solution of 04-3: places of the pieces that hold any of the letters start to end - 1."""
    places, at = [], 0
    for place, piece in enumerate(pieces):
        after = at + len(piece.removeprefix("##"))
        if at < end and after > start:
            places.append(place)
        at = after
    return places


def _spans(pieces: Sequence[str], *, marks: bool = False) -> list[tuple[int, int]]:
    """Where each piece begins and ends; with ``marks``, ``##`` is taken for letters."""
    spans, at = [], 0
    for piece in pieces:
        after = at + len(piece if marks else piece.removeprefix("##"))
        spans.append((at, after))
        at = after
    return spans


COVERING = Exercise(
    name="covering",
    cases=_covering_cases,
    solution=covering,
    mistakes=(
        Mistake(
            lambda pieces, start, end: [i for i, (a, b) in enumerate(_spans(pieces, marks=True))
                                        if a < end and b > start],
            "the `##` was counted as two letters. It only says that the piece continues a word; "
            "take it off before you count.",
        ),
        Mistake(
            lambda pieces, start, end: [i for i, (a, b) in enumerate(_spans(pieces))
                                        if start <= a and b <= end],
            "only pieces that lie wholly inside are taken. A piece that holds one of the letters "
            "counts, too: the two vocabularies need not cut at the same places.",
        ),
        Mistake(
            lambda pieces, start, end: [i for i, (a, b) in enumerate(_spans(pieces))
                                        if a <= end and b >= start],
            "pieces that only touch the range are taken. `end` is the first letter outside, so "
            "compare with < and >.",
        ),
        Mistake(
            lambda pieces, start, end: [i for i, (a, _) in enumerate(_spans(pieces))
                                        if start <= a < end],
            "a piece counts here if it *begins* in the range. One that begins before it and "
            "reaches into it holds some of the letters as well.",
        ),
        Mistake(
            lambda pieces, start, end: [pieces[i] for i in covering(pieces, start, end)],
            "these are the right pieces. Give their places, since hidden states are read by place.",
        ),
        Mistake(
            lambda pieces, start, end: [i + 1 for i in covering(pieces, start, end)],
            "the places are counted from 1, or [CLS] is counted. Here the first piece of the word "
            "has place 0.",
        ),
    ),
    gives="the places of the pieces that hold any of the letters start to end - 1, as a list",
    praise="So a new piece inside a word is read from the old pieces that hold its letters, "
    "wherever the old tokeniser happened to cut.",
)  # fmt: skip

EXERCISES = {"04-1": RECOVERY, "04-2": CALIBRATE, "04-3": COVERING}
