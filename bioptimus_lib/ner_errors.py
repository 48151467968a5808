"""What kind of mistake a tagger makes: every entity that is not right is of one of seven kinds.

F1 counts a wrong border twice, as something spurious and as something missed, and does not say
which. Here the entities of a sentence that share a token are looked at together, so each mistake
is named once and can be shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bioptimus_lib.conll import Entity, check_lengths, entities

RIGHT = "right"
#: Kind of a mistake → what it means, in the order in which tables show them.
KINDS: dict[str, str] = {
    "boundary": "one for one, the type is right, an end is not",
    "type": "one for one, both ends are right, the type is not",
    "boundary+type": "one for one, an end and the type are wrong",
    "split": "one entity was found as several",
    "merge": "several entities were found as one",
    "missed": "nothing was found where there is an entity",
    "spurious": "something was found where there is none",
}


class Mistake(NamedTuple):
    """One mistake: its kind, and the gold and the predicted entities that it is made of."""

    kind: str
    gold: tuple[Entity, ...]
    predicted: tuple[Entity, ...]


def errors(gold_tags: Sequence[str], predicted_tags: Sequence[str]) -> list[Mistake]:
    """The mistakes in one sentence, in the order of the text.

    Entities that are right, type and both ends, are set aside. Of the others, those that share a
    token are linked. Where both ends of a link have another link, the link that shares the fewest
    tokens is cut (the leftmost of equals), again and again until every group has one entity at
    least on one side; two entities whose common border is shifted are so two mistakes and not a
    tangle. Each group is one mistake, and each entity is in exactly one group.

    Raises:
        ValueError: another number of tags in one than in the other.

    >>> [mistake] = errors(["B-Drug", "I-Drug", "O"], ["B-Drug", "O", "O"])
    >>> mistake.kind, mistake.predicted
    ('boundary', (Entity(type='Drug', start=0, stop=1),))
    """
    check_lengths([gold_tags], [predicted_tags])
    true, made = entities(gold_tags), entities(predicted_tags)
    both = set(true) & set(made)
    true, made = ([e for e in side if e not in both] for side in (true, made))
    mistakes = [
        Mistake(_kind(gold, predicted), gold, predicted) for gold, predicted in _groups(true, made)
    ]
    return sorted(mistakes, key=lambda m: min(e.start for e in (*m.gold, *m.predicted)))


def count(
    gold: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]
) -> dict[str, int]:
    """Right entities and mistakes of each kind, over sentences; a split or a merge counts once.

    >>> found = count([["B-X", "O", "B-X"]], [["B-X", "B-X", "O"]])
    >>> found["right"], found["missed"], found["spurious"], found["split"]
    (1, 1, 1, 0)
    """
    gold, predicted = list(gold), list(predicted)
    check_lengths(gold, predicted)
    found = dict.fromkeys((RIGHT, *KINDS), 0)
    for true, made in zip(gold, predicted, strict=True):
        found[RIGHT] += len(set(entities(true)) & set(entities(made)))
        for mistake in errors(true, made):
            found[mistake.kind] += 1
    return found


def _groups(
    true: Sequence[Entity], made: Sequence[Entity]
) -> Iterator[tuple[tuple[Entity, ...], tuple[Entity, ...]]]:
    """Groups of linked entities, (gold, predicted), with one entity at most on one of the sides."""
    links = _links(true, made)
    found = Counter(gold for gold, _ in links)
    of = Counter(predicted for _, predicted in links)
    # Numbers of links only fall: one that is no inner link at its turn will never be one.
    for gold, predicted in sorted(links, key=lambda link: (links[link], link)):
        if found[gold] > 1 and of[predicted] > 1:
            del links[gold, predicted]
            found[gold] -= 1
            of[predicted] -= 1
    mine, theirs = defaultdict(list), defaultdict(list)
    for gold, predicted in links:
        mine[gold].append(predicted)
        theirs[predicted].append(gold)
    for gold, entity in enumerate(true):
        if len(mine[gold]) != 1 or len(theirs[mine[gold][0]]) == 1:
            yield (entity,), tuple(made[m] for m in mine[gold])
    for predicted, entity in enumerate(made):
        if len(theirs[predicted]) != 1:
            yield tuple(true[t] for t in theirs[predicted]), (entity,)


def _links(true: Sequence[Entity], made: Sequence[Entity]) -> dict[tuple[int, int], int]:
    """(gold, predicted) → tokens that both hold; each side in the order of the text."""
    links: dict[tuple[int, int], int] = {}
    t = m = 0
    while t < len(true) and m < len(made):
        one, other = true[t], made[m]
        if (shared := min(one.stop, other.stop) - max(one.start, other.start)) > 0:
            links[t, m] = shared
        if one.stop <= other.stop:
            t += 1
        else:
            m += 1
    return links


def _kind(gold: Sequence[Entity], predicted: Sequence[Entity]) -> str:
    if not predicted:
        return "missed"
    if not gold:
        return "spurious"
    if len(predicted) > 1:
        return "split"
    if len(gold) > 1:
        return "merge"
    (true,), (made,) = gold, predicted
    if true[1:] == made[1:]:
        return "type"
    return "boundary" if true.type == made.type else "boundary+type"
