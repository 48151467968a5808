"""Kinds of mistakes: each by a case, the rule for tangles, and no entity is lost or doubled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib.conll import entities, labels_of
from bioptimus_lib.ner_errors import KINDS, count, errors
from bioptimus_lib.stats import entity_counts

CASES = {  # gold tags, predicted tags, kinds in the order of the text
    "nothing": ("O O", "O O", []),
    "right": ("B-X I-X", "B-X I-X", []),
    "too long": ("B-X O", "B-X I-X", ["boundary"]),
    "too late": ("B-X I-X I-X", "O B-X I-X", ["boundary"]),
    "another type": ("O B-X I-X", "O B-Y I-Y", ["type"]),
    "another type and end": ("B-X I-X", "B-Y O", ["boundary+type"]),
    "missed": ("B-X I-X O", "O O O", ["missed"]),
    "missed, beside a right one": ("B-X B-X", "B-X O", ["missed"]),
    "spurious": ("O O", "O B-X", ["spurious"]),
    "an orphan finds nothing": ("O B-X", "O I-X", ["missed"]),
    "split": ("B-X I-X I-X", "B-X O B-X", ["split"]),
    "split into two types": ("B-X I-X", "B-X B-Y", ["split"]),
    "merge": ("B-X B-X", "B-X I-X", ["merge"]),
    "merge over a gap": ("B-X O B-Y", "B-X I-X I-X", ["merge"]),
    "a common border is shifted": ("B-X I-X B-X I-X I-X", "B-X I-X I-X B-X I-X", ["boundary"] * 2),
    "the only inner link is cut": (
        "B-X B-X I-X I-X I-X", "B-X I-X I-X I-X B-X", ["boundary", "boundary"],
    ),
    "two and three": (
        "B-X B-X I-X I-X I-X I-X O", "B-X I-X I-X B-X I-X B-X I-X", ["boundary", "split"],
    ),
    "three and two, weak on the left": (
        "B-X B-X I-X I-X B-X", "B-X I-X B-X I-X I-X", ["boundary", "merge"],
    ),
    "three and two, weak on the right": (
        "B-X B-X I-X I-X B-X", "B-X I-X I-X B-X I-X", ["merge", "boundary"],
    ),
    "three and two, equal links": (
        "B-X B-X I-X B-X", "B-X I-X B-X I-X", ["boundary", "merge"],
    ),
    "three and three": (
        "B-X I-X B-X I-X B-X I-X", "B-X I-X I-X B-X I-X B-X", ["boundary"] * 3,
    ),
    "far apart": ("B-X O O B-X", "O B-X O O", ["missed", "spurious", "missed"]),
}  # fmt: skip
TAGS = st.lists(st.sampled_from(labels_of(["X", "Y"])), max_size=14)


@pytest.mark.parametrize("gold, predicted, kinds", CASES.values(), ids=CASES)
def test_kinds(gold, predicted, kinds):
    found = errors(gold.split(), predicted.split())
    assert [mistake.kind for mistake in found] == kinds
    sums = count([gold.split()], [predicted.split()])
    assert {kind: sums[kind] for kind in set(kinds)} == {k: kinds.count(k) for k in set(kinds)}
    assert set(kinds) <= KINDS.keys() and sum(sums.values()) == sums["right"] + len(kinds)


@given(data=st.data(), gold=TAGS)
@settings(max_examples=500)
def test_each_entity_is_right_or_in_exactly_one_mistake(data, gold):
    tag = st.sampled_from(labels_of(["X", "Y"]))
    made = data.draw(st.lists(tag, min_size=len(gold), max_size=len(gold)))
    found = errors(gold, made)
    right = set(entities(gold)) & set(entities(made))
    assert sorted([*right, *(e for m in found for e in m.gold)]) == sorted(entities(gold))
    assert sorted([*right, *(e for m in found for e in m.predicted)]) == sorted(entities(made))
    for mistake in found:
        sizes = len(mistake.gold), len(mistake.predicted)
        assert 1 in sizes or 0 in sizes
        for one in mistake.gold:
            for other in mistake.predicted:
                assert max(one.start, other.start) < min(one.stop, other.stop)
        if 0 in sizes:  # nothing that is not right touches what is missed or spurious
            (alone,) = (*mistake.gold, *mistake.predicted)
            others = entities(made) if mistake.gold else entities(gold)
            assert not any(e.start < alone.stop and alone.start < e.stop for e in others)


@given(gold=TAGS)
@settings(max_examples=200)
def test_swapping_the_sides_swaps_the_kinds(gold):
    made = ["O", *gold[:-1]] if gold else []
    other = {"split": "merge", "merge": "split", "missed": "spurious", "spurious": "missed"}
    there = {(m.kind, len(m.gold), len(m.predicted)) for m in errors(gold, made)}
    back = {
        (other.get(m.kind, m.kind), len(m.predicted), len(m.gold)) for m in errors(made, gold)
    }
    assert there == back


def test_the_sums_are_those_of_the_score():
    gold = [case[0].split() for case in CASES.values()]
    made = [case[1].split() for case in CASES.values()]
    found, spurious, missed = entity_counts(gold, made).sum(axis=0)
    mistakes = [m for g, p in zip(gold, made, strict=True) for m in errors(g, p)]
    assert count(gold, made)["right"] == found
    assert sum(len(m.predicted) for m in mistakes) == spurious
    assert sum(len(m.gold) for m in mistakes) == missed


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match="sentence 0: 2 tags in gold, 1 predicted"):
        errors(["O", "O"], ["O"])
    with pytest.raises(ValueError, match="1 sentences in gold, 2"):
        count([["O"]], [["O"], ["O"]])


def test_a_long_sentence_is_quick():
    """Ten thousand tokens with a mistake in each second one: no step may be cubic."""
    gold, made = ["B-X", "I-X"] * 5000, ["B-X", "O"] * 5000
    assert count([gold], [made])["boundary"] == 5000
