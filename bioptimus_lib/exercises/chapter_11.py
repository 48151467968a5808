"""Exercises of chapter 11: which entities tags spell, which piece carries the label, F1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bioptimus_lib.checks import Exercise, Mistake
from bioptimus_lib.conll import repair

Span = tuple[str, int, int]
IGNORED = -100

# -- 11-1: entities of a tag sequence --------------------------------------------------------------


def _tag_cases() -> list[tuple[Any, ...]]:
    return [
        (["O", "B-Drug", "I-Drug", "O", "B-Gene"],),
        (["B-Drug", "B-Drug", "I-Drug", "O"],),
        (["O", "I-Gene", "I-Gene", "O", "B-Gene"],),
        (["B-Drug", "I-Gene", "I-Drug", "O"],),
        (["B-Gene", "O", "B-Disease", "I-Disease", "I-Disease"],),
        (["O", "O"],),
    ]


def entities_of(tags: Sequence[str]) -> list[Span]:
    """The solution of 11-1: (type, start, stop) of each entity; an orphan I- is none."""
    found, start = [], None
    for place, tag in enumerate([*tags, "O"]):
        if start is not None and tag != "I-" + tags[start][2:]:
            found.append((tags[start][2:], start, place))
            start = None
        if tag.startswith("B-"):
            start = place
    return found


def _loose(tags: Sequence[str]) -> list[Span]:
    """An I- goes on with whatever is open, whatever its type."""
    found, start = [], None
    for place, tag in enumerate([*tags, "O"]):
        if start is not None and not tag.startswith("I-"):
            found.append((tags[start][2:], start, place))
            start = None
        if tag.startswith("B-"):
            start = place
    return found


def _touching(tags: Sequence[str]) -> list[Span]:
    """A B- behind an open entity of its type goes on with it."""
    plain = [
        f"I-{tag[2:]}" if tag[0] == "B" and place and tags[place - 1][2:] == tag[2:] else tag
        for place, tag in enumerate(tags)
    ]
    return entities_of(plain)


TAGS = Exercise(
    name="entities_of",
    cases=_tag_cases,
    solution=entities_of,
    mistakes=(
        Mistake(
            lambda tags: entities_of(repair(tags)),
            "an `I-` that continues nothing began an entity. Strict IOB2 says that only `B-` "
            "begins one; the forgiving rule is that of seqeval's default.",
        ),
        Mistake(
            _loose,
            "an `I-` went on with an entity of another type. It continues only what has its own "
            "type; otherwise the entity ends there, and the `I-` is an orphan.",
        ),
        Mistake(
            lambda tags: [(kind, start, stop - 1) for kind, start, stop in entities_of(tags)],
            "`stop` is the last token of the entity. Give the place behind it, as slices do: then "
            "`stop - start` is the length.",
        ),
        Mistake(
            lambda tags: [e for e in entities_of(tags) if e[2] < len(tags)],
            "an entity that reaches to the last token is lost. Nothing comes behind it to end it; "
            "look once more after the loop, or add an `O`.",
        ),
        Mistake(
            _touching,
            "two entities that touch became one. A `B-` always begins a new one: this is what it "
            "is there for.",
        ),
        Mistake(
            lambda tags: [(t[2:], n, n + 1) for n, t in enumerate(tags) if t[0] == "B"],
            "every entity has one token here. The `I-` behind a `B-` of its type belong to it.",
        ),
    ),
    gives="a list of (type, start, stop), stop one behind the last token",
    praise="This is all that the score ever sees of a sentence.",
)

# -- 11-2: labels of pieces ------------------------------------------------------------------------


def _align_cases() -> list[tuple[Any, ...]]:
    return [
        ([None, 0, 1, 1, 1, 2, None], [0, 1, 2]),
        ([None, 0, 0, 2, 3, None], [1, 2, 0, 3]),
        ([None, 1, 2, 2, None, None, None], [3, 0, 1]),
        ([None, 0, 1, None], [2, 0]),
    ]


def align(words: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    """The solution of 11-2: a label on the first piece of each token, −100 elsewhere."""
    found, before = [], None
    for word in words:
        found.append(IGNORED if word is None or word == before else labels[word])
        before = word
    return found


def _counted(words: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    """Tokens are counted as they come, so one that has no piece shifts all labels behind it."""
    found, before, number = [], None, -1
    for word in words:
        first = word is not None and word != before
        number += first
        found.append(labels[number] if first else IGNORED)
        before = word
    return found


def _last(words: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    behind = [*words[1:], None]
    return [
        labels[word] if word is not None and word != after else IGNORED
        for word, after in zip(words, behind, strict=True)
    ]


ALIGN = Exercise(
    name="align",
    cases=_align_cases,
    solution=align,
    mistakes=(
        Mistake(
            _counted,
            "the labels have shifted: a token that the tokenizer dropped has no piece, and you "
            "counted tokens as they came. Take the label at the token's own number.",
        ),
        Mistake(
            lambda words, labels: [IGNORED if w is None else labels[w] for w in words],
            "every piece carries the label of its token. Then a long token counts several times, "
            "and a `B-` on each piece begins an entity each time. Label the first piece alone.",
        ),
        Mistake(
            lambda words, labels: [
                0 if w is None else n for w, n in zip(words, align(words, labels), strict=True)
            ],
            "special pieces got the label 0, which is a tag. Nothing is asked there: give −100.",
        ),
        Mistake(
            lambda words, labels: [0 if n == IGNORED else n for n in align(words, labels)],
            "where nothing is asked stands 0, and that is the label of a tag (`O`). Give −100, "
            "which the loss leaves out.",
        ),
        Mistake(
            _last,
            "the label stands on the last piece of each token. That can be done, too, but the "
            "course, like most, labels the first.",
        ),
        Mistake(
            lambda words, labels: [n for n in align(words, labels) if n != IGNORED],
            "pieces without a label are left out. The model gives an answer for every piece, so "
            "there must be a label, or −100, for every piece.",
        ),
    ),
    gives="a list with a label for each piece: the token's on its first piece, −100 elsewhere",
    praise="A token without any piece is now missing, not wrong; the library shows it as [UNK].",
)

# -- 11-3: F1 --------------------------------------------------------------------------------------


def _f1_cases() -> list[tuple[Any, ...]]:
    a, b, c, d = ("Drug", 0, 1), ("Gene", 3, 5), ("Drug", 3, 5), ("Disease", 6, 7)
    return [
        ([{a, b}, {a, d}, {d}], [{a, c}, {a, d}, {a}]),
        ([{a}, {a, b, d}, set()], [set(), {a, b}, {a}]),
        ([{a}, {b}], [{b}, {a}]),
        ([{a, b}, {a}], [{a}, {a}]),
        ([set()], [set()]),
    ]


def f1(gold: Sequence[set[Span]], predicted: Sequence[set[Span]]) -> float:
    """The solution of 11-3: micro-averaged F1 in percent over sentences."""
    found = sum(len(g & p) for g, p in zip(gold, predicted, strict=True))
    total = sum(map(len, gold)) + sum(map(len, predicted))
    return 200 * found / total if total else 0.0


def _sums(gold: Sequence[set[Span]], predicted: Sequence[set[Span]]) -> tuple[int, int, int]:
    found = sum(len(g & p) for g, p in zip(gold, predicted, strict=True))
    return found, sum(map(len, gold)), sum(map(len, predicted))


F1 = Exercise(
    name="f1",
    cases=_f1_cases,
    solution=f1,
    mistakes=(
        Mistake(
            lambda gold, predicted: f1([set().union(*gold)], [set().union(*predicted)]),
            "all sentences were thrown into one set. Token 3 of one sentence is not token 3 of "
            "another: compare sentence by sentence, and add up the counts.",
        ),
        Mistake(
            lambda gold, predicted: sum(
                f1([g], [p]) for g, p in zip(gold, predicted, strict=True)
            ) / len(gold),
            "this is the mean of the F1 of each sentence. A sentence with one entity then counts "
            "as much as one with five, and one without any as zero. Add up first, divide once.",
        ),
        Mistake(
            lambda gold, predicted: f1(gold, predicted) / 100,
            "this is a share. Give percent, as the tables do.",
        ),
        Mistake(
            lambda gold, predicted: 100 * _sums(gold, predicted)[0]
            / max(_sums(gold, predicted)[2], 1),
            "this is precision: right ones among the predicted. F1 is the harmonic mean of it and "
            "of recall.",
        ),
        Mistake(
            lambda gold, predicted: 100 * _sums(gold, predicted)[0]
            / max(_sums(gold, predicted)[1], 1),
            "this is recall: right ones among the gold. F1 is the harmonic mean of it and of "
            "precision.",
        ),
        Mistake(
            lambda gold, predicted: 100 * _sums(gold, predicted)[0]
            / max(sum(_sums(gold, predicted)[1:]) - _sums(gold, predicted)[0], 1),
            "right ones are counted once below the line, and twice nowhere: this is the overlap of "
            "two sets (Jaccard). F1 has 2 · right above, and gold + predicted below.",
        ),
    ),
    gives="F1 in percent over all sentences, 0 if there is no entity at all",
    praise="Note what is missing in it: tokens outside entities never count, right or not.",
)  # fmt: skip

EXERCISES = {"11-1": TAGS, "11-2": ALIGN, "11-3": F1}
