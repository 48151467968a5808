"""Exercises of chapter 00: pieces per word, a first embedding by hand, a gain and its noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake

# -- 00-1: pieces per word -----------------------------------------------------------------------


class _Tokenizer:
    """Cuts by a table; the same two calls as a tokenizer of Hugging Face."""

    cuts = {
        "asthma": ["asthma"],
        "salbutamol": ["sal", "##but", "##amol"],
        "bronchoconstriction": ["bro", "##nch", "##oco", "##nst", "##ric", "##tion"],
        "of": ["of"],
    }

    def tokenize(self, text: str) -> list[str]:
        return [piece for word in text.split() for piece in self.cuts.get(word, ["[UNK]"])]

    def __call__(
        self, text: Any, add_special_tokens: bool = True, **_: Any
    ) -> dict[str, list[Any]]:
        if not isinstance(text, str):
            return {"input_ids": [self(one, add_special_tokens)["input_ids"] for one in text]}
        pieces = self.tokenize(text)
        if add_special_tokens:
            pieces = ["[CLS]", *pieces, "[SEP]"]
        return {"input_ids": [hash(piece) for piece in pieces]}

    def encode(self, text: str, **settings: Any) -> list[int]:
        return self(text, **settings)["input_ids"]

    def __repr__(self) -> str:
        return "a tokenizer"


def _word_cases() -> list[tuple[Any, ...]]:
    return [
        (_Tokenizer(), ["bronchoconstriction", "salbutamol", "of"]),
        (_Tokenizer(), ["asthma"]),
        (_Tokenizer(), ["salbutamol", "salbutamol", "asthma", "of"]),
    ]


def pieces_per_word(tokenizer: Any, words: Sequence[str]) -> float:
    """The solution of 00-1."""
    return sum(len(tokenizer.tokenize(word)) for word in words) / len(words)


def _counts(tokenizer: Any, words: Sequence[str]) -> list[int]:
    return [len(tokenizer.tokenize(word)) for word in words]


PIECES_PER_WORD = Exercise(
    name="pieces_per_word",
    cases=_word_cases,
    solution=pieces_per_word,
    mistakes=(
        Mistake(
            lambda t, words: sum(len(t(word)["input_ids"]) for word in words) / len(words),
            "every word has two pieces too many. Calling the tokenizer adds [CLS] and [SEP]; use "
            "`tokenizer.tokenize(word)`, or `add_special_tokens=False`.",
        ),
        Mistake(
            lambda t, words: sum(_counts(t, words)),
            "this is the number of all pieces. Divide it by the number of words.",
        ),
        Mistake(
            lambda t, words: len(words) / sum(_counts(t, words)),
            "this is words per piece, at most 1. Turn the fraction round.",
        ),
        Mistake(
            lambda t, words: sum(len(word) for word in words) / len(words),
            "these are letters per word. Cut each word with `tokenizer.tokenize(word)` first, "
            "then count the pieces.",
        ),
        Mistake(
            lambda t, words: len({p for word in words for p in t.tokenize(word)}) / len(words),
            "a piece that comes twice was counted once: a set forgets repetitions. Count all.",
        ),
        Mistake(
            lambda t, words: float(np.median(_counts(t, words))),
            "this is the median. A long word must count in full: take the mean.",
        ),
        Mistake(
            lambda t, words: _counts(t, words),
            "these are the pieces of each word. One number is asked for: their mean.",
        ),
    ),
    gives="the mean number of pieces per word",
    praise="The field calls this number fertility; 1.0 means that every word is one piece.",
)

# -- 00-2: a first embedding by hand -------------------------------------------------------------


def _state_cases() -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(0)
    states = [rng.normal(size=(length, 4)).round(2) for length in (9, 7, 12)]
    return [
        (states, [(1, 4), (2, 6), (5, 8)]),
        (states[:1], [(3, 5)]),
    ]


def first_embedding(states: Sequence[Any], spans: Sequence[tuple[int, int]]) -> Any:
    """The solution of 00-2: f = mean over the pieces, g = mean over the contexts."""
    f = [state[start:stop].mean(0) for state, (start, stop) in zip(states, spans, strict=True)]
    return sum(f) / len(f)


def _each(states: Any, spans: Any, work: Any) -> list[Any]:
    return [work(np.asarray(_numbers(s)), a, b) for s, (a, b) in zip(states, spans, strict=True)]


def _numbers(state: Any) -> Any:
    return state.detach().numpy() if hasattr(state, "detach") else state


FIRST_EMBEDDING = Exercise(
    name="first_embedding",
    cases=_state_cases,
    solution=first_embedding,
    mistakes=(
        Mistake(
            lambda states, spans: np.mean(_each(states, spans, lambda s, a, b: s.mean(0)), 0),
            "this is the mean over the whole sentence. Only the pieces of the word count: "
            "`state[start:stop]`.",
        ),
        Mistake(
            lambda states, spans: np.mean(
                _each(states, spans, lambda s, a, b: s[a : b + 1].mean(0)), 0
            ),
            "one position too many: `stop` is the first position after the word, as in any Python "
            "slice, so `state[start:stop]` is all of it.",
        ),
        Mistake(
            lambda states, spans: np.mean(_each(states, spans, lambda s, a, b: s[a]), 0),
            "this takes the first piece only. f is the mean over all pieces of the word.",
        ),
        Mistake(
            lambda states, spans: np.mean(_each(states, spans, lambda s, a, b: s[a:b].sum(0)), 0),
            "the pieces are added up, so a word of six pieces gets a vector six times as long. "
            "f is their mean.",
        ),
        Mistake(
            lambda states, spans: np.sum(_each(states, spans, lambda s, a, b: s[a:b].mean(0)), 0),
            "the contexts are added up, so a frequent word gets a long vector. g is their mean.",
        ),
        Mistake(
            lambda states, spans: np.concatenate(
                _each(states, spans, lambda s, a, b: s[a:b])
            ).mean(0),
            "all pieces of all contexts are in one mean, so a context in which the word has more "
            "pieces counts more. Take f within each context first, then g over the contexts.",
        ),
        Mistake(
            lambda states, spans: np.stack(_each(states, spans, lambda s, a, b: s[a:b].mean(0))),
            "this is f for each context, one row each. g is still to come: the mean of the rows.",
        ),
        Mistake(
            lambda states, spans: np.mean(
                _each(states, spans, lambda s, a, b: s[a:b].mean()), 0
            ),
            "this is one number. Take the mean over the positions only (axis 0), so that a vector "
            "is left.",
        ),
    ),
    gives="one vector: the mean over the contexts of the mean over the pieces",
    praise="This is the whole of contextual distillation; chapter 04 makes it better and faster.",
)

# -- 00-3: a gain and its noise ------------------------------------------------------------------


def _score_cases() -> list[tuple[Any, ...]]:
    return [
        ([60.0, 63.0, 61.5], [61.0, 64.5, 61.0]),
        ([70.2, 70.8, 69.1, 71.0], [72.0, 72.4, 71.3, 72.5]),
    ]


def gain(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """The solution of 00-3: mean and standard error of the paired differences."""
    difference = np.asarray(after) - np.asarray(before)
    return float(difference.mean()), float(difference.std(ddof=1) / len(difference) ** 0.5)


def _paired(work: Any) -> Any:
    return lambda before, after: work(np.asarray(after) - np.asarray(before))


GAIN = Exercise(
    name="gain",
    cases=_score_cases,
    solution=gain,
    mistakes=(
        Mistake(
            _paired(lambda d: (-d.mean(), d.std(ddof=1) / len(d) ** 0.5)),
            "the sign is the wrong way round: a gain is after minus before.",
        ),
        Mistake(
            _paired(lambda d: (d.mean(), d.std() / len(d) ** 0.5)),
            "the noise is too small: `numpy.std` divides by n. With few seeds divide by n − 1: "
            "`std(ddof=1)`.",
        ),
        Mistake(
            _paired(lambda d: (d.mean(), d.std(ddof=1))),
            "the second number is the standard deviation of one difference. The noise of their "
            "mean is smaller: divide by the square root of n.",
        ),
        Mistake(
            _paired(lambda d: (d.mean(), d.std())),
            "the second number is the standard deviation of one difference, and with n instead of "
            "n − 1. Use `std(ddof=1)` and divide by the square root of n.",
        ),
        Mistake(
            lambda before, after: (
                np.mean(after) - np.mean(before),
                (np.var(before, ddof=1) / len(before) + np.var(after, ddof=1) / len(after)) ** 0.5,
            ),
            "the two models are treated as unrelated, but they share their seeds. Subtract seed "
            "by seed first, then take mean and noise of the differences.",
        ),
        Mistake(
            lambda before, after: (max(after) - max(before), 0.0),
            "the best seeds are compared. The best of more tries is better by chance alone.",
        ),
        Mistake(
            _paired(lambda d: d.mean()),
            "this is the gain. The second number is missing: how uncertain is it?",
        ),
    ),
    gives="two numbers, the mean of the differences and its standard error",
    praise="With many seeds a gain below about two standard errors cannot be told from chance; "
    "with three seeds it takes 4.3 of them, with five 2.8.",
)

EXERCISES = {"00-1": PIECES_PER_WORD, "00-2": FIRST_EMBEDDING, "00-3": GAIN}
