"""Check cells: they tell a learner "not yet", what is wrong, or "right", and never a traceback.

An exercise is data: a solution, cases to try an answer on, and the usual mistakes, each a function
of its own. An answer that is wrong is compared with the mistakes; the first one that gives the same
results names what went wrong. The exercises of a chapter stand in ``bioptimus_lib.exercises``.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from numbers import Number
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

NOT_YET, WRONG, RIGHT = "Not yet", "Not right", "Right"
TOLERANCE = 1e-6
LINE = 62  # characters: what the frame of an exercise shows


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give.

    Attributes:
        answer: a function that makes the mistake.
        says: what to tell whoever made it: what happened, and where to look.
    """

    answer: Callable[..., Any]
    says: str


@dataclass(frozen=True)
class Exercise:
    """A function that the learner writes.

    Attributes:
        name: of the function.
        cases: makes the arguments to try it with, one tuple per case; called at each check.
        solution: the right function.
        mistakes: the usual wrong ones, the more telling ones first.
        gives: what the function must return, in words.
        praise: what to say when it is right: what this was good for.
    """

    name: str
    cases: Callable[[], Sequence[tuple[Any, ...]]]
    solution: Callable[..., Any]
    mistakes: tuple[Mistake, ...]
    gives: str
    praise: str

    def verdict(self, answer: Any) -> str:
        """The message for an answer; it never raises."""
        if answer is None or answer is ...:
            return f"{NOT_YET}: write `{self.name}` first, then run this cell again."
        if not callable(answer):
            return (
                f"{WRONG}: `{self.name}` is {_short(answer)}, not a function. Pass the function "
                f"itself, without calling it."
            )
        found = []
        for case in self.cases():
            try:
                result = _plain(answer(*case))
            except NotImplementedError:
                return f"{NOT_YET}: `{self.name}` still raises NotImplementedError."
            except Exception as error:  # noqa: BLE001  whatever the learner's code does
                return (
                    f"{WRONG}: `{self.name}` stopped with {type(error).__name__}: {error}. "
                    f"It was called with {_arguments(case)}."
                )
            if result is None or result is ...:
                return f"{NOT_YET}: `{self.name}` gives nothing so far; wanted: {self.gives}."
            found.append(result)
        right = [_plain(self.solution(*case)) for case in self.cases()]
        if all(map(same, found, right)):
            return f"{RIGHT}. {self.praise}"
        for mistake in self.mistakes:
            if all(map(same, found, _results(mistake.answer, self.cases()))):
                return f"{WRONG}: {mistake.says}"
        number = next(i for i, pair in enumerate(zip(found, right, strict=True)) if not same(*pair))
        gave, expected = _apart(found[number], right[number])
        return (
            f"{WRONG}: for {_arguments(self.cases()[number])} it gives {gave}, but {expected} was "
            f"expected: {self.gives}."
        )


def check(number: str, answer: Any) -> None:
    """Print what there is to say about an answer, in lines that fit into a narrow page.

    Args:
        number: chapter and exercise, such as ``"00-1"``.
        answer: the function that the learner wrote.
    """
    found = find(number)
    said = found.verdict(answer) if found else f"There is no exercise {number!r} in this course."
    print(textwrap.fill(said, LINE, break_long_words=False, break_on_hyphens=False))


def find(number: str) -> Exercise | None:
    """The exercise with that number, such as ``"00-1"``; None if there is none."""
    if not re.fullmatch(r"\d\d-\d+", str(number)):
        return None
    try:
        module: Any = import_module(f"bioptimus_lib.exercises.chapter_{number[:2]}")
    except ModuleNotFoundError:
        return None
    exercises: dict[str, Exercise] = module.EXERCISES
    return exercises.get(number)


def same(one: Any, other: Any) -> bool:
    """Equal, numbers and arrays up to rounding, sequences item by item.

    >>> from fractions import Fraction
    >>> same((1.0, "a"), [1.0 + 1e-9, "a"]), same([1.0], [[1.0]]), same(Fraction(1, 4), 0.25)
    (True, False, True)
    """
    import numpy as np

    one, other = _plain(one), _plain(other)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    try:
        one, other = (_numbers(np.asarray(value)) for value in (one, other))
        if one.shape != other.shape:
            return False
        if one.dtype.kind in "biuf" and other.dtype.kind in "biuf":
            return bool(np.allclose(one, other, atol=TOLERANCE, equal_nan=True))
        return bool((one == other).all())
    except (TypeError, ValueError):
        return False


def _numbers(array: np.ndarray) -> np.ndarray:
    """Exact numbers (``Fraction``, ``Decimal``) as floats; all else as it is."""
    if array.dtype.kind == "O" and all(isinstance(x, Number) for x in array.flat):
        return array.astype(float)
    return array


def _plain(value: Any) -> Any:
    """Tensors as arrays; all else as it is."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _results(function: Callable[..., Any], cases: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What a mistake gives; a case on which it fails gives something that equals nothing."""
    results = []
    for case in cases:
        try:
            results.append(_plain(function(*case)))
        except Exception:  # noqa: BLE001  a mistake need not work everywhere
            results.append(object())
    return results


def _apart(one: Any, other: Any) -> tuple[str, str]:
    """Two values in short lines, with as many digits as it takes to see that they differ."""
    pairs = [(_short(one, digits), _short(other, digits)) for digits in (4, 6, 9)]
    return next(((a, b) for a, b in pairs if a != b), pairs[-1])


def _short(value: Any, digits: int = 4, most: int = 80) -> str:
    """A value in one short line."""
    import numpy as np

    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}g}"
    if isinstance(value, tuple):
        return "(" + ", ".join(_short(item, digits) for item in value) + ")"
    if isinstance(value, np.ndarray):
        value = np.round(value, digits) if value.dtype.kind == "f" else value
        if value.ndim and value.size > 8:
            return f"an array of shape {value.shape}"
        return str(value.tolist())
    text = " ".join(repr(value).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _arguments(case: Sequence[Any]) -> str:
    """The arguments of a call in words."""
    return ", ".join(_short(argument) for argument in case)
