"""Exercises of chapter 03: cutting a word, pieces per word, which rows are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bioptimus_lib.checks import Exercise, Mistake

# -- 03-1: cutting a word -------------------------------------------------------------------------

VOCABULARY = frozenset(
    "gastr gastro g ##a ##ectomy ##ec ##tomy ##itis ##it ##is ##i ##s ##tritis ##oscopy nephr the "
    "he ##he ##t t".split()
)


def _words() -> list[tuple[Any, ...]]:
    found = ("gastrectomy", "gastritis", "the", "nephritis", "gastroscopy", "gasoline", "thet", "x")
    return [(word, VOCABULARY) for word in found]


def cut(word: str, vocabulary: frozenset[str]) -> list[str]:
    """The solution of 03-1."""
    pieces: list[str] = []
    start = 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(piece)
        start = end
    return pieces


def _bare(word: str, vocabulary: frozenset[str]) -> list[str]:
    """Looks all pieces up without the two hashes, and gives them so."""
    plain = frozenset(piece.removeprefix("##") for piece in vocabulary)
    pieces, start = [], 0
    while start < len(word):
        end = next((e for e in range(len(word), start, -1) if word[start:e] in plain), 0)
        if not end:
            return ["[UNK]"]
        pieces.append(word[start:end])
        start = end
    return pieces


def _shortest(word: str, vocabulary: frozenset[str]) -> list[str]:
    pieces: list[str] = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = range(start + 1, len(word) + 1)
        end = next((e for e in ends if prefix + word[start:e] in vocabulary), 0)
        if not end:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def _rest_unknown(word: str, vocabulary: frozenset[str]) -> list[str]:
    pieces: list[str] = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((e for e in ends if prefix + word[start:e] in vocabulary), 0)
        if not end:
            return [*pieces, "[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def _cut_off(word: str, vocabulary: frozenset[str]) -> list[str]:
    found = _rest_unknown(word, vocabulary)
    return [piece for piece in found if piece != "[UNK]"]


def _letters(word: str, vocabulary: frozenset[str]) -> list[str]:
    return [letter if i == 0 else f"##{letter}" for i, letter in enumerate(word)]


CUT = Exercise(
    name="cut",
    cases=_words,
    solution=cut,
    mistakes=(
        Mistake(
            _bare,
            "the two hashes are missing. A piece inside a word is another entry of the vocabulary "
            "than the same letters at its beginning: look up `##` + letters once `start` is not 0.",
        ),
        Mistake(
            _shortest,
            "the shortest piece that fits is taken. WordPiece takes the longest: begin with the "
            "whole rest of the word and make it shorter until it is found.",
        ),
        Mistake(
            _rest_unknown,
            "the pieces before the place where nothing fits are kept. BERT gives up the whole "
            "word: it becomes a single [UNK].",
        ),
        Mistake(
            _cut_off,
            "where nothing fits, the rest of the word is dropped in silence. The whole word must "
            "become a single [UNK].",
        ),
        Mistake(
            _letters,
            "these are single letters. They are the last resort: look for longer pieces first.",
        ),
        Mistake(
            lambda word, vocabulary: "".join(cut(word, vocabulary)),
            "the right pieces, glued together. Give a list with an entry for each piece.",
        ),
    ),
    gives="the list of pieces, longest match first, or ['[UNK]']",
    praise="A dozen lines, and the whole of BERT's cutting; the rest is which pieces there are.",
)

# -- 03-2: pieces per word ------------------------------------------------------------------------


def _counts() -> list[tuple[Any, ...]]:
    one = {"the": 90, "gastritis": 6, "gastrectomy": 4}
    two = {"the": 1, "gastritis": 2, "gastrectomy": 3}
    return [(one, {"the": 1, "gastritis": 2, "gastrectomy": 3}), (two, two)]


def fertility(counts: Mapping[str, int], pieces: Mapping[str, int]) -> float:
    """The solution of 03-2."""
    return sum(counts[word] * pieces[word] for word in counts) / sum(counts.values())


FERTILITY = Exercise(
    name="fertility",
    cases=_counts,
    solution=fertility,
    mistakes=(
        Mistake(
            lambda counts, pieces: sum(pieces[w] for w in counts) / len(counts),
            "each different word counts once here. In a text the frequent words come again and "
            "again: weigh each word by its count.",
        ),
        Mistake(
            lambda counts, pieces: sum(counts[w] * pieces[w] for w in counts) / len(counts),
            "the pieces of all running words are divided by the number of different words. Divide "
            "by the running words: the sum of the counts.",
        ),
        Mistake(
            lambda counts, pieces: sum(counts[w] * pieces[w] for w in counts),
            "that is the number of pieces of the whole text. Divide it by the number of words.",
        ),
        Mistake(
            lambda counts, pieces: 1 / fertility(counts, pieces),
            "upside down: these are words per piece.",
        ),
        Mistake(
            lambda counts, pieces: sum(pieces[w] for w in counts) / sum(counts.values()),
            "below the line the words are weighed by their counts, above it they are not.",
        ),
        Mistake(
            lambda counts, pieces: sum(counts[w] for w in counts if pieces[w] == 1)
            / sum(counts.values()),
            "that is the coverage: the share of running words that are one piece.",
        ),
    ),
    gives="pieces of all running words over the number of running words",
    praise="Weighed by counts it says how long a text becomes; that is what a model pays for.",
)

# -- 03-3: which rows are kept --------------------------------------------------------------------


def _pieces() -> list[tuple[Any, ...]]:
    old = ["[PAD]", "[UNK]", "the", "of", "##it", "gas"]
    return [
        (old, ["[PAD]", "[UNK]", "of", "gastritis", "the", "it"]),
        (old, ["[PAD]", "[UNK]", "##it", "##of", "gas"]),
        (old, old[:3]),
    ]


def old_rows(old: Sequence[str], new: Sequence[str]) -> list[int]:
    """The solution of 03-3."""
    place = {piece: number for number, piece in enumerate(old)}
    return [place.get(piece, -1) for piece in new]


def _by_bare_letters(old: Sequence[str], new: Sequence[str]) -> list[int]:
    place = {piece.removeprefix("##"): number for number, piece in enumerate(old)}
    return [place.get(piece.removeprefix("##"), -1) for piece in new]


OLD_ROWS = Exercise(
    name="old_rows",
    cases=_pieces,
    solution=old_rows,
    mistakes=(
        Mistake(
            lambda old, new: [i if piece in old else -1 for i, piece in enumerate(new)],
            "these are the numbers of the rows in the new table. A piece has moved: give the place "
            "that it has in `old`.",
        ),
        Mistake(
            lambda old, new: [i if i < len(old) and old[i] == p else -1 for i, p in enumerate(new)],
            "only pieces that stand at the same place in both lists are found. The order has "
            "changed: look each piece up wherever it is.",
        ),
        Mistake(
            lambda old, new: [row for row in old_rows(old, new) if row >= 0],
            "the new pieces are left out, so the list no longer says which row is meant. Put -1 "
            "for a piece without an old row.",
        ),
        Mistake(
            _by_bare_letters,
            "`it` and `##it` are taken for the same piece. They are two rows with two meanings: "
            "compare them with their hashes.",
        ),
        Mistake(
            lambda old, new: old_rows(new, old),
            "the other way round: there must be an entry for each piece of `new`.",
        ),
        Mistake(
            lambda old, new: [piece in old for piece in new],
            "this says whether there is an old row. Say which one, or -1.",
        ),
    ),
    gives="for each new piece the number of its old row, or -1",
    praise="This list is half of the plan: rows with a number are copied bit for bit, chapter 04 "
    "makes the others.",
)

EXERCISES = {"03-1": CUT, "03-2": FERTILITY, "03-3": OLD_ROWS}
