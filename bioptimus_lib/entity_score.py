"""The entity-level score: an entity is found only if its type and both its ends are right.

Strict IOB2, by ``seqeval``: an ``I-`` that continues nothing is no entity. Numbers are percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bioptimus_lib.conll import Sentence, check_lengths, entities


def score(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Entity-level precision, recall and F1 in percent, by ``seqeval`` in strict IOB2 mode.

    An entity counts as found only if its type, its first and its last token are right. Numbers
    are micro-averages over all entities; ``types`` has the same per type.

    Args:
        gold, predicted: one sequence of tags per sentence, of equal lengths.

    Returns:
        ``precision``, ``recall``, ``f1``, ``gold`` and ``predicted`` (numbers of entities),
        ``types``.

    Raises:
        ValueError: another number of sentences, or of tags in a sentence.

    Reference:
        Tjong Kim Sang and De Meulder (CoNLL 2003), section 3; Nakayama (seqeval, 2018).
    """
    import warnings

    from seqeval.metrics.v1 import precision_recall_fscore_support
    from seqeval.scheme import IOB2

    check_lengths(gold, predicted)
    if not gold:
        raise ValueError("nothing to score: no sentence")
    gold, predicted = [list(tags) for tags in gold], [list(tags) for tags in predicted]
    kinds = sorted({e.type for tags in (*gold, *predicted) for e in entities(tags)})
    if not kinds:  # seqeval divides by nothing here
        empty = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "gold": 0, "predicted": 0}
        return {**empty, "types": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on types without a prediction: their score is 0
        arguments = {"scheme": IOB2, "zero_division": 0}
        micro = precision_recall_fscore_support(gold, predicted, average="micro", **arguments)
        each = precision_recall_fscore_support(gold, predicted, average=None, **arguments)
    made = [entity for tags in predicted for entity in entities(tags)]
    percent = [100 * float(value) for value in micro[:3]]
    return {
        "precision": percent[0],
        "recall": percent[1],
        "f1": percent[2],
        "gold": sum(len(entities(tags)) for tags in gold),
        "predicted": len(made),
        "types": {
            kind: {
                "precision": 100 * float(p),
                "recall": 100 * float(r),
                "f1": 100 * float(f),
                "gold": int(n),
            }
            for kind, p, r, f, n in zip(kinds, *each, strict=True)
        },
    }


def mentions(sentences: Iterable[Sentence]) -> set[tuple[str, str]]:
    """The (type, lower-cased text) of every entity in sentences."""
    return {
        (entity.type, " ".join(sentence.tokens[entity.start : entity.stop]).lower())
        for sentence in sentences
        for entity in entities(sentence.tags)
    }


def recall_unseen(
    sentences: Sequence[Sentence],
    predicted: Sequence[Sequence[str]],
    *,
    training: Iterable[Sentence],
) -> dict[str, float | int]:
    """Recall in percent on mentions that training never named: what a model cannot know by heart.

    A mention is unseen if no entity of its type has its lower-cased text in training.

    Returns:
        ``recall`` and ``mentions`` of the unseen, ``share`` of them among all, in percent, and
        ``recall_seen`` of the others; a recall over no mention is 0.
    """
    check_lengths([sentence.tags for sentence in sentences], predicted)
    known = mentions(training)
    found, total = [0, 0], [0, 0]  # of mentions seen, unseen
    for sentence, tags in zip(sentences, predicted, strict=True):
        made = set(entities(tags))
        for entity in entities(sentence.tags):
            text = " ".join(sentence.tokens[entity.start : entity.stop]).lower()
            unseen = (entity.type, text) not in known
            total[unseen] += 1
            found[unseen] += entity in made
    return {
        "recall": 100 * found[1] / max(total[1], 1),
        "mentions": total[1],
        "share": 100 * total[1] / max(sum(total), 1),
        "recall_seen": 100 * found[0] / max(total[0], 1),
    }
