"""Exercises of chapter 10: what two arms differ in, what difference some seeds can show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake
from bioptimus_lib.stats import power_factor

# -- 10-1: in what do two arms differ? -------------------------------------------------------------

TOKEN, WORD, MORE, GAPS = "pieces 15%", "words 15%", "words 20%", "words 20% all [MASK]"
FOUR = (TOKEN, WORD, MORE, GAPS)


def _arm(start: str, course: Sequence[str], steps: int) -> dict[str, Any]:
    return {"start": start, "course": tuple(course), "steps": steps}


def _arm_cases() -> list[tuple[Any, ...]]:
    paper = _arm("distilled", FOUR, 300)
    return [
        (paper, _arm("distilled", FOUR[::-1], 300)),
        (_arm("distilled", (TOKEN,), 300), paper),
        (paper, _arm("distilled", (WORD,) * 4, 300)),
        (_arm("old", (TOKEN, TOKEN, WORD, WORD), 300), _arm("old", (TOKEN, WORD, WORD, WORD), 300)),
        (paper, _arm("random", FOUR, 300)),
        (paper, _arm("random", FOUR[::-1], 300)),
        (_arm("distilled", (TOKEN,), 1200), paper),
        (paper, _arm("old", FOUR, 900)),
        (paper, paper),
        (_arm("distilled", FOUR[:2], 300), _arm("distilled", FOUR[:2], 600)),
    ]


def differ(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """The solution of 10-1: names of the factors in which two arms differ, in this order."""
    return [
        name
        for name, same in (
            ("start", a["start"] == b["start"]),
            ("course", a["course"] == b["course"]),
            ("budget", len(a["course"]) * a["steps"] == len(b["course"]) * b["steps"]),
        )
        if not same
    ]


def _by(**same: Any) -> Any:
    """``differ`` with other ideas of what is the same."""
    rules = {
        "start": lambda a, b: a["start"] == b["start"],
        "course": lambda a, b: a["course"] == b["course"],
        "budget": lambda a, b: len(a["course"]) * a["steps"] == len(b["course"]) * b["steps"],
    } | same
    return lambda a, b: [name for name, rule in rules.items() if not rule(a, b)]


DIFFER = Exercise(
    name="differ",
    cases=_arm_cases,
    solution=differ,
    mistakes=(
        Mistake(
            _by(budget=lambda a, b: a["steps"] == b["steps"]),
            "`steps` are those of one part. One part of 300 steps and four parts of 300 steps are "
            "not the same budget: this is the very confound of the paper's table.",
        ),
        Mistake(
            _by(course=lambda a, b: set(a["course"]) == set(b["course"])),
            "a reversed course has the same parts in another order, and the order is what the "
            "curriculum is about: compare the parts in their places.",
        ),
        Mistake(
            _by(course=lambda a, b: sorted(a["course"]) == sorted(b["course"])),
            "a reversed course has the same parts in another order, and the order is what the "
            "curriculum is about: do not sort them.",
        ),
        Mistake(
            lambda a, b: [name for name in ("start", "course", "steps") if a[name] != b[name]],
            "nearly: the factor is the *budget*, all steps together, and it is called so.",
        ),
        Mistake(
            lambda a, b: differ(a, b)[:1],
            "it stops at the first factor. A comparison is clean if there is exactly one, so all "
            "of them must be known.",
        ),
        Mistake(
            lambda a, b: len(differ(a, b)) == 1,
            "this says whether the comparison is clean. Asked for are the names of the factors, "
            "as a list; that it is clean one sees from its length.",
        ),
        Mistake(
            lambda a, b: [n for n in ("start", "course", "budget") if n not in differ(a, b)],
            "these are the factors that the arms have in common. Asked for are the others.",
        ),
    ),
    gives='a list of those of "start", "course", "budget" in which the arms differ',
    praise="A comparison answers a question if this list has one entry. The paper's v0.1 and v0.4 "
    "give two.",
)

# -- 10-2: what could have been seen? --------------------------------------------------------------


def _seed_cases() -> list[tuple[Any, ...]]:
    draw = np.random.default_rng(10)
    arms = [
        ([70.1, 70.9, 69.2], [71.0, 71.3, 72.9]),
        *((draw.normal(66, 1.1, n).tolist(), draw.normal(68, 0.6, m).tolist())
          for n, m in ((5, 5), (3, 6), (8, 4))),
    ]  # fmt: skip
    return [(a, b, power_factor(len(a), len(b))) for a, b in arms]


def detectable(a: Sequence[float], b: Sequence[float], factor: float, *, ddof: int = 1) -> float:
    """The solution of 10-2: so many standard errors of the difference of two means."""
    return factor * math.sqrt(sum(np.var(some, ddof=ddof) / len(some) for some in (a, b)))


def _pooled(a: Sequence[float], b: Sequence[float]) -> float:
    """One standard deviation for both arms."""
    squares = sum(np.var(some, ddof=1) * (len(some) - 1) for some in (a, b))
    return math.sqrt(squares / (len(a) + len(b) - 2))


DETECTABLE = Exercise(
    name="detectable",
    cases=_seed_cases,
    solution=detectable,
    mistakes=(
        Mistake(
            lambda a, b, f: f * math.sqrt(np.var(a, ddof=1) + np.var(b, ddof=1)),
            "this is the spread of a difference between single runs. Means of n runs vary less: "
            "each variance is divided by its number of runs.",
        ),
        Mistake(
            lambda a, b, f: detectable(a, b, f, ddof=0),
            "the variances are too small: divided by n instead of n − 1. NumPy does so unless told "
            "`ddof=1`, and with three seeds it is a third of the variance.",
        ),
        Mistake(
            lambda a, b, f: f * sum(np.std(v, ddof=1) / math.sqrt(len(v)) for v in (a, b)),
            "standard errors are added. Chance in one mean may undo chance in the other: add the "
            "*variances* of the means, and take the root at the end.",
        ),
        *(
            Mistake(
                lambda a, b, f, fixed=fixed: detectable(a, b, fixed),
                f"{fixed:.1f} standard errors are for very many runs. With few the spread is "
                "itself guessed, and it takes more: use `factor`.",
            )
            for fixed in (2.8, 1.96 + 0.84162)
        ),
        Mistake(
            lambda a, b, f: detectable(a, b, 1.96),
            "1.96 standard errors are the threshold of a test with many runs. A true difference of "
            "just that size falls below it in every second experiment; use `factor`.",
        ),
        Mistake(
            lambda a, b, f: detectable(a, b, 1.0),
            "this is the standard error of the difference, which is right so far. Multiply it by "
            "`factor`.",
        ),
        Mistake(
            lambda a, b, f: f * math.sqrt(np.var([*a, *b], ddof=1) * (1 / len(a) + 1 / len(b))),
            "both arms were thrown together, so their difference counts as spread. Take the "
            "variance within each arm.",
        ),
        Mistake(
            lambda a, b, f: f * _pooled(a, b) * math.sqrt(1 / len(a) + 1 / len(b)),
            "the two variances are pooled, as if both arms scattered alike. Divide each arm's own "
            "variance by its own number of runs.",
        ),
        Mistake(
            lambda a, b, f: abs(np.mean(a) - np.mean(b)),
            "this is the difference that was found. Asked for is how large a *true* one must be "
            "to be found as a rule; it depends on the spread alone.",
        ),
    ),
    gives="a number of F1 points: `factor` standard errors of the difference of the means",
    praise="Do this before the experiment, with the spread of a pilot. Afterwards it tells what "
    "“no difference” can mean.",
)  # fmt: skip

EXERCISES = {"10-1": DIFFER, "10-2": DETECTABLE}
