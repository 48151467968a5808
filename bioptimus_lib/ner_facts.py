"""What a NER set is made of: how long its entities are, what they are called, what a test can ask.

Mentions are compared by their tokens in small letters. All of it is counted, no corpus text comes
out: the numbers go into the ledger, the text stays where its licence wants it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bioptimus_lib.conll import Entity, Sentence, entities
from bioptimus_lib.words import function_words

#: How well a mention of the test is known from training → what that means.
FAMILIAR: dict[str, str] = {
    "seen": "an entity of its type in training has the same text",
    "partly": "not seen, but a telling token of it stands in an entity of training",
    "never": "no telling token of it stands in an entity of training",
}
#: What stands where the text of an entity occurs again → what that means.
READINGS: dict[str, str] = {
    "same": "the same entity: these tokens, and the type that this text has most often",
    "other type": "an entity of these tokens with another type",
    "inside": "a part of a longer entity, or of several",
    "outside": "no entity touches it",
}
Text = tuple[str, ...]


class Mention(NamedTuple):
    """The text of an entity in small letters, and its type."""

    text: Text
    type: str


def mention(sentence: Sentence, entity: Entity) -> Mention:
    """What an entity of a sentence is called.

    >>> mention(Sentence(("Lung", "cancer"), ("B-X", "I-X")), Entity("X", 0, 2)).text
    ('lung', 'cancer')
    """
    return Mention(_small(sentence.tokens[entity.start : entity.stop]), entity.type)


def named(sentences: Iterable[Sentence]) -> list[Mention]:
    """All mentions, in the order of the text."""
    return [mention(s, entity) for s in sentences for entity in entities(s.tags)]


def lengths(sentences: Iterable[Sentence]) -> Counter[int]:
    """How many entities have so many tokens: tokens → entities."""
    return Counter(e.stop - e.start for s in sentences for e in entities(s.tags))


# --- what is known from training ---------------------------------------------------------------


def familiarity(test: Iterable[Mention], training: Iterable[Mention]) -> list[str]:
    """For each mention of the test ``seen``, ``partly`` or ``never``, as ``FAMILIAR`` has it.

    >>> known = [Mention(("lung", "cancer"), "Disease")]
    >>> familiarity([Mention(("lung",), "Disease"), Mention(("gout",), "Disease")], known)
    ['partly', 'never']
    """
    known = set(training)
    tokens = {token for text, _ in known for token in telling(text)}
    return [
        "seen" if one in known else "partly" if telling(one.text) & tokens else "never"
        for one in test
    ]


def telling(text: Text) -> set[str]:
    """The tokens that say something: with a letter, longer than one character, no function word.

    >>> sorted(telling(("cancer", "of", "the", "il", "-", "2", "a")))
    ['cancer', 'il']
    """
    return {
        token
        for token in text
        if len(token) > 1 and any(map(str.isalpha, token)) and token not in function_words()
    }


# --- ambiguity ---------------------------------------------------------------------------------


def ambiguity(sentences: Sequence[Sentence]) -> dict[str, float]:
    """How often the text of an entity is something else elsewhere in the same sentences.

    Returns:
        ``texts``: different texts of entities; ``occurrences`` of these texts, entity or not;
        the share of the occurrences that has each of the ``READINGS``; ``texts_types`` and
        ``texts_outside``: shares of the texts that have several types, that also stand outside.
    """
    kinds: dict[Text, Counter[str]] = defaultdict(Counter)
    for text, kind in named(sentences):
        kinds[text][kind] += 1
    usual = {text: found.most_common(1)[0][0] for text, found in kinds.items()}
    readings: Counter[str] = Counter()
    outside: set[Text] = set()
    for text, reading in _readings(sentences, usual):
        readings[reading] += 1
        if reading == "outside":
            outside.add(text)
    total, texts = sum(readings.values()), len(usual)
    return {
        "texts": texts,
        "occurrences": total,
        **{name: readings[name] / max(total, 1) for name in READINGS},
        "texts_types": sum(len(found) > 1 for found in kinds.values()) / max(texts, 1),
        "texts_outside": len(outside) / max(texts, 1),
    }


def _readings(
    sentences: Iterable[Sentence], usual: Mapping[Text, str]
) -> Iterator[tuple[Text, str]]:
    """(text, its reading) wherever one of the texts occurs."""
    sizes: dict[str, set[int]] = defaultdict(set)  # first token → lengths of texts with it
    for text in usual:
        sizes[text[0]].add(len(text))
    for sentence in sentences:
        tokens = _small(sentence.tokens)
        found = entities(sentence.tags)
        exact = {(e.start, e.stop): e.type for e in found}
        inside = [False] * len(tokens)
        for entity in found:
            inside[entity.start : entity.stop] = [True] * (entity.stop - entity.start)
        for start, first in enumerate(tokens):
            for size in sorted(sizes.get(first, ())):
                text = tokens[start : start + size]
                if text not in usual:
                    continue
                if kind := exact.get((start, start + size)):
                    yield text, "same" if kind == usual[text] else "other type"
                else:
                    touched = any(inside[start : start + size])
                    yield text, "inside" if touched else "outside"


# --- one set beside another --------------------------------------------------------------------


def overlap(of: Iterable[Sentence], by: Iterable[Sentence]) -> dict[str, float]:
    """How much of one set another one holds, too.

    Returns:
        ``mentions``: share of its mentions whose text is that of an entity there, whatever the
        types are called; ``texts``: the same for its different texts; ``sentences``: share of its
        sentences that stand there with the same tokens.
    """
    of, by = list(of), list(by)
    there = {text for text, _ in named(by)}
    mine = [text for text, _ in named(of)]
    tokens = {_small(sentence.tokens) for sentence in by}
    return {
        "mentions": _share([text in there for text in mine]),
        "texts": _share([text in there for text in set(mine)]),
        "sentences": _share([_small(sentence.tokens) in tokens for sentence in of]),
    }


def _share(found: Sequence[bool]) -> float:
    return sum(found) / max(len(found), 1)


def _small(tokens: Iterable[str]) -> Text:
    return tuple(token.lower() for token in tokens)
