"""Exercises of chapter 05: which word a piece belongs to, a budget, what leaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bioptimus_lib.checks import Exercise, Mistake

# -- 05-1: words ----------------------------------------------------------------------------------

SPECIAL = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")


def _word_cases() -> list[tuple[Any, ...]]:
    return [
        (["[CLS]", "the", "bro", "##nch", "##us", ",", "il", "-", "2", "[SEP]"],),
        (["[CLS]", "##ect", "##omy", "was", "safe", "[SEP]", "[PAD]", "[PAD]"],),
        (["[CLS]", "app", "##end", "[SEP]", "##ix", "[UNK]", "##s", "drug", "[SEP]"],),
    ]


def words_of(pieces: Sequence[str]) -> list[int | None]:
    """The solution of 05-1: number of the word of each piece, None for special pieces."""
    words: list[int | None] = []
    number, open_word = -1, False
    for piece in pieces:
        if piece in SPECIAL:
            words.append(None)
            open_word = False
            continue
        if not (piece.startswith("##") and open_word):
            number += 1
        words.append(number)
        open_word = True
    return words


def _words(*, special: bool = True, behind: bool = True, first: int = 0, join: bool = True) -> Any:
    """The solution with a fault: specials are words, ## joins across them, count, no joining."""

    def answer(pieces: Sequence[str]) -> list[int | None]:
        words: list[int | None] = []
        number, open_word = first - 1, False
        for piece in pieces:
            if special and piece in SPECIAL:
                words.append(None)
                open_word = open_word and not behind
                continue
            if not (join and piece.startswith("##") and open_word):
                number += 1
            words.append(number)
            open_word = True
        return words

    return answer


WORDS = Exercise(
    name="words_of",
    cases=_word_cases,
    solution=words_of,
    mistakes=(
        Mistake(
            _words(join=False),
            "every piece has a number of its own. A piece with `##` goes on with the word before "
            "it and has its number.",
        ),
        Mistake(
            _words(special=False),
            "special pieces are numbered, too. They are no words and can never be chosen: give "
            "`None` for them, and do not count them.",
        ),
        Mistake(
            _words(behind=False),
            "a `##` piece behind a special piece was joined to the word in front of it. There a "
            "block was cut or another text begins: it is the first piece of a word that we see.",
        ),
        Mistake(
            _words(first=1),
            "the words are counted from 1. The first one has number 0.",
        ),
        Mistake(
            lambda pieces: [0 if word is None else word for word in words_of(pieces)],
            "special pieces got number 0, and that is the first word: it would be masked together "
            "with them. Give `None`.",
        ),
        Mistake(
            lambda pieces: [word for word in words_of(pieces) if word is not None],
            "special pieces are left out, so the numbers no longer stand at the places of their "
            "pieces. Give `None` for them.",
        ),
    ),
    gives="a list with the number of the word at each piece, from 0, and None at special pieces",
    praise="The library does the same with one cumulative sum, for a whole batch at once.",
)

# -- 05-2: a budget -------------------------------------------------------------------------------


def _budget_cases() -> list[tuple[Any, ...]]:
    return [
        ([1, 4, 1, 2, 1, 1], 0.3, 0.0),
        ([1, 4, 1, 2, 1, 1], 0.3, 0.55),
        ([4, 1, 1, 2, 1, 1], 0.3, 0.05),
        ([4, 1, 1, 2, 1, 1], 0.3, 0.95),
        ([3, 1, 5, 1, 2, 2, 1, 1], 0.15, 0.39),
        ([5, 5], 0.15, 0.3),
        ([3], 0.15, 0.9),
    ]


def take(sizes: Sequence[int], rate: float, turn: float) -> list[bool]:
    """The solution of 05-2: which words begin in the window; if none does, the next one."""
    total = sum(sizes)
    begins, at = [], 0
    for size in sizes:
        begins.append((at + turn * total) % total)
        at += size
    taken = [begin < rate * total for begin in begins]
    return taken if any(taken) else [begin == min(begins) for begin in begins]


def _take(
    *, window: str = "pieces", turned: bool = True, least: bool = True, ends: bool = False
) -> Any:
    """The solution with a fault in the window, the turning, the least, or what must lie in it."""

    def answer(sizes: Sequence[int], rate: float, turn: float) -> list[bool]:
        total, at, begins, taken = sum(sizes), 0, [], []
        budget = rate * (total if window == "pieces" else len(sizes))
        for size in sizes:
            begin = (at + turn * total) % total if turned else at
            begins.append(begin)
            taken.append(begin + (size if ends else 0) < budget)
            at += size
        if least and not any(taken):
            return [begin == min(begins) for begin in begins]
        return taken

    return answer


TAKE = Exercise(
    name="take",
    cases=_budget_cases,
    solution=take,
    mistakes=(
        Mistake(
            _take(least=False),
            "where no word begins in the window, nothing is chosen. Then take the word that "
            "begins next, the one with the smallest place.",
        ),
        Mistake(
            _take(turned=False),
            "`turn` is not used. Without it a word is cut off only at the end of the window, and "
            "long words are chosen a little too often: turn the circle by `turn * total` first.",
        ),
        Mistake(
            lambda sizes, rate, turn: take(sizes, rate, -turn % 1),
            "the circle is turned the other way. Add `turn * total` to where a word begins; the "
            "window stays where it is.",
        ),
        Mistake(
            _take(window="words"),
            "the window is `rate` times the number of *words*. The budget counts pieces: a word of "
            "four uses up four.",
        ),
        Mistake(
            _take(ends=True),
            "only words that lie in the window as a whole are chosen. Then it is never filled, and "
            "the share stays below `rate`, most of all for long words. A word that *begins* in it "
            "counts.",
        ),
        Mistake(
            lambda sizes, rate, turn: [i for i, x in enumerate(take(sizes, rate, turn)) if x],
            "these are the places of the words that are chosen. Give True or False for each word.",
        ),
        Mistake(
            lambda sizes, rate, turn: [not taken for taken in take(sizes, rate, turn)],
            "it is the wrong way round: True is for words that are to be guessed.",
        ),
    ),
    gives="True or False for each word: whether it begins in the window, at least one True",
    praise="Every word has the same chance, long or short, and the pieces are less than one word "
    "off the budget.",
)  # fmt: skip

# -- 05-3: what leaks -----------------------------------------------------------------------------


def _leak_cases() -> list[tuple[Any, ...]]:
    return [(unit, rate, corruption, pieces) for unit in ("token", "word")
            for rate in (0.15, 0.4) for corruption in (True, False)
            for pieces in (1, 2, 4)]  # fmt: skip


def leak(unit: str, rate: float, corruption: bool, pieces: int) -> float:
    """The solution of 05-3: the chance that another piece of the word stands as it is."""
    gone = rate if unit == "token" else 1.0
    if corruption:
        gone *= 0.9
    return 1 - gone ** (pieces - 1)


LEAK = Exercise(
    name="leak",
    cases=_leak_cases,
    solution=leak,
    mistakes=(
        Mistake(
            lambda unit, rate, corruption, pieces: leak(unit, rate, False, pieces),
            "corruption makes no difference in it. A chosen piece is left as it is in one case of "
            "ten; then it stands there for the others to see.",
        ),
        Mistake(
            lambda unit, rate, corruption, pieces: 1 - (
                (rate if unit == "token" else 1.0) * (0.9 if corruption else 1.0)
            ) ** pieces,
            "the guess itself is counted as one of the pieces that may stand. Only the *other* "
            "pieces of its word can betray it.",
        ),
        Mistake(
            lambda unit, rate, corruption, pieces: 1 - leak(unit, rate, corruption, pieces),
            "this is the chance that *no* other piece stands.",
        ),
        Mistake(
            lambda unit, rate, corruption, pieces: (
                1 - (rate if unit == "token" else 1.0) * (0.9 if corruption else 1.0)
            ) ** (pieces - 1) if pieces > 1 else 0.0,
            "this is the chance that *all* others stand. One is enough to leak.",
        ),
        Mistake(
            lambda unit, rate, corruption, pieces: leak("token", rate, corruption, pieces),
            "whole words are treated like tokens. If a piece of a word is chosen, all of its "
            "pieces are.",
        ),
        Mistake(
            lambda unit, rate, corruption, pieces: 1 - (
                (rate if unit == "token" else 1.0) * (0.8 if corruption else 1.0)
            ) ** (pieces - 1),
            "a piece counts as standing unless it is a `[MASK]`. One in ten is replaced by a "
            "random piece: it stands there, but it is not the true one and betrays nothing.",
        ),
    ),
    gives="the chance that at least one other piece of the word stands in the input as it is",
    praise="Only whole words without corruption leak nothing: the last phase of the curriculum.",
)  # fmt: skip

EXERCISES = {"05-1": WORDS, "05-2": TAKE, "05-3": LEAK}
