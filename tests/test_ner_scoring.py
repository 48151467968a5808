"""Ways of scoring: equal to the CoNLL reference scorer's rules, and each forgives what it says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ner import PIECES, random_tags, sentence

from bioptimus_lib.conll import entities, labels_of, repair
from bioptimus_lib.entity_score import score
from bioptimus_lib.ner_scoring import (
    BEST_PATH,
    DEFAULT,
    ENDS,
    FORGOTTEN,
    MISSED,
    STRICT,
    WAYS,
    by_way,
    ends_alone,
    fitting,
    inflation,
    on_pieces,
    piece_sizes,
)
from bioptimus_lib.ner_scoring import (
    PIECES as EACH_PIECE,
)

TAGS = labels_of(["Drug", "Gene"])


# --- the reference scorer ----------------------------------------------------------------------


def ends(before: str, tag: str) -> bool:
    """conlleval: a chunk ends between two tags."""
    return before != "O" and (tag[0] in "BO" or before[2:] != tag[2:])


def begins(before: str, tag: str) -> bool:
    """conlleval: a chunk begins at a tag; one that is not continued by anything may begin by I-."""
    return tag != "O" and (tag[0] == "B" or before == "O" or before[2:] != tag[2:])


def conlleval(gold: Sequence[Sequence[str]], made: Sequence[Sequence[str]]) -> tuple[int, int, int]:
    """(right, gold, predicted) chunks, read tag by tag as the reference scorer does.

    A pair of chunks is open while both began together with one type; it is right if both end
    together.
    """
    right = true = predicted = 0
    for one, other in zip(gold, made, strict=True):
        is_open, g, m = False, "O", "O"
        for next_g, next_m in [*zip(one, other, strict=True), ("O", "O")]:
            g_ends, m_ends = ends(g, next_g), ends(m, next_m)
            if is_open:
                right += g_ends and m_ends
                is_open = not g_ends and not m_ends
            g_begins, m_begins = begins(g, next_g), begins(m, next_m)
            if g_begins and m_begins and next_g[2:] == next_m[2:]:
                is_open = True
            true += g_begins
            predicted += m_begins
            g, m = next_g, next_m
    return right, true, predicted


def without_orphans(tags: Sequence[str]) -> list[str]:
    """Tags whose every I- that continues nothing is O, and all that continues it."""
    clean: list[str] = []
    for tag in tags:
        before = clean[-1] if clean else "O"
        clean.append("O" if tag[0] == "I" and before[2:] != tag[2:] else tag)
    return clean


def percent(right: int, true: int, predicted: int) -> dict[str, float]:
    return {
        "precision": 100 * right / max(predicted, 1), "recall": 100 * right / max(true, 1),
        "f1": 200 * right / max(true + predicted, 1), "gold": true, "predicted": predicted,
    }  # fmt: skip


def drawn(size: int, *, valid: bool) -> tuple[list[list[str]], list[list[str]]]:
    """Gold tags and predictions that are right for two tags of three."""
    rng = random.Random(size + valid)
    gold = [random_tags(rng, rng.randrange(1, 15), valid=True) for _ in range(size)]
    made = []
    for tags in gold:
        other = random_tags(rng, len(tags), valid=valid)
        if valid:  # a mixture of two valid sequences need not be one: all or nothing
            made.append(tags if rng.random() < 0.5 else other)
        else:
            made.append([t if rng.random() < 0.67 else o for t, o in zip(tags, other, strict=True)])
    return gold, made


def shares(found: dict) -> dict[str, float]:
    return {key: found[key] for key in ("precision", "recall", "f1", "gold", "predicted")}


@pytest.mark.parametrize("valid", [True, False])
def test_scores_are_those_of_the_reference_scorer(valid):
    from seqeval.metrics.sequence_labeling import get_entities

    gold, made = drawn(12_000, valid=valid)
    orphans = sum(without_orphans(tags) != list(tags) for tags in made)
    assert orphans > 3000 if not valid else not orphans
    # Sentence by sentence, so that no two faults can make up for one another.
    for one, other in zip(gold, made, strict=True):
        strict = set(entities(one)), set(entities(other))
        assert conlleval([one], [without_orphans(other)]) == (
            len(strict[0] & strict[1]), *map(len, strict)
        )  # fmt: skip
        kind = set(entities(one)), set(entities(repair(other)))
        assert conlleval([one], [other]) == (len(kind[0] & kind[1]), *map(len, kind))
        assert [(e.type, e.start, e.stop - 1) for e in entities(repair(other))] == get_entities(
            list(other)
        )
    clean = [without_orphans(tags) for tags in made]
    assert shares(score(gold, made)) == pytest.approx(percent(*conlleval(gold, clean)))
    forgiving = score(gold, [repair(tags) for tags in made])
    assert shares(forgiving) == pytest.approx(percent(*conlleval(gold, made)))


def test_the_default_of_seqeval_is_the_reference_scorer_orphans_and_all():
    from seqeval.metrics import f1_score, precision_score

    gold, made = drawn(3000, valid=False)
    expected = percent(*conlleval(gold, made))
    assert 100 * f1_score(gold, made) == pytest.approx(expected["f1"])
    assert 100 * precision_score(gold, made) == pytest.approx(expected["precision"])
    found = by_way(gold, made, [[1] * len(tags) for tags in gold], windows=[])
    assert found[DEFAULT]["f1"] == pytest.approx(expected["f1"])


FORGIVEN = {  # gold, predicted, right and predicted chunks by strict IOB2 and by conlleval
    "the whole entity by I-": ("B-X I-X", "I-X I-X", (0, 0), (1, 1)),
    "after another type": ("B-Y B-X", "B-Y I-X", (1, 1), (2, 2)),
    "the type changes inside": ("B-X I-X I-X", "B-X I-Y I-X", (0, 1), (0, 3)),
    "an orphan in the wrong place costs, too": ("O O B-X", "I-X O B-X", (1, 1), (1, 2)),
    "valid tags are the same to both": ("B-X I-X O", "B-X O B-Y", (0, 2), (0, 2)),
}


@pytest.mark.parametrize("gold, made, strict, forgiving", FORGIVEN.values(), ids=FORGIVEN)
def test_where_strict_and_the_reference_scorer_differ(gold, made, strict, forgiving):
    gold, made = gold.split(), made.split()
    true, guessed = set(entities(gold)), set(entities(made))
    assert (len(true & guessed), len(guessed)) == strict
    right, _, predicted = conlleval([gold], [made])
    assert (right, predicted) == forgiving


# --- the other ways ----------------------------------------------------------------------------

BY_HAND = {  # gold, predicted, sizes, way, right, gold and predicted entities
    "an entity of three pieces is three": ("B-X O", "B-X O", [3, 1], EACH_PIECE, (3, 3, 3)),
    "half an entity is partly right": ("B-X I-X", "B-X O", [3, 2], EACH_PIECE, (2, 3, 3)),
    "two ends are enough": ("B-X I-X B-Y", "B-Y I-Y B-Y", [1, 1, 1], ENDS, (2, 2, 2)),
    "ends alone is still strict": ("B-X I-X", "I-X I-X", [1, 1], ENDS, (0, 1, 0)),
    "what is cut off is forgotten": (
        "B-X O B-X O", "B-X O O O", [1, 1, 1, 1], FORGOTTEN.format(4), (1, 1, 1),
    ),
    "or missed": ("B-X O B-X O", "B-X O O O", [1, 1, 1, 1], MISSED.format(4), (1, 2, 1)),
    "an entity across the cut gets shorter": (
        "O B-X I-X", "O B-X I-X", [1, 1, 1], FORGOTTEN.format(4), (1, 1, 1),
    ),
    "and is missed by whoever remembers it": (
        "O B-X I-X", "O B-X I-X", [1, 1, 1], MISSED.format(4), (0, 1, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("gold, made, sizes, way, counts", BY_HAND.values(), ids=BY_HAND)
def test_ways_by_hand(gold, made, sizes, way, counts):
    found = by_way([gold.split()], [made.split()], [sizes], windows=[4])[way]
    assert shares(found) == pytest.approx(percent(*counts))


def test_every_way_is_explained_and_measured():
    found = by_way([["B-X"]], [["B-X"]], [[1]], windows=[8])
    known = {way.format(8) for way in WAYS}
    assert found.keys() == known - {BEST_PATH}
    assert inflation(found) == pytest.approx(dict.fromkeys(found, 0.0))


@given(data=st.data())
@settings(max_examples=150)
def test_forgiving_ways_never_lose_a_right_entity(data):
    tags = st.lists(st.sampled_from(TAGS), min_size=1, max_size=12)
    gold, made = [repair(data.draw(tags))], [data.draw(tags)]
    made[0] = (made[0] + ["O"] * 12)[: len(gold[0])]
    size = st.lists(st.integers(1, 4), min_size=len(gold[0]), max_size=len(gold[0]))
    found = by_way(gold, made, [data.draw(size)], windows=[5, 99])
    right = {w: one["recall"] * one["gold"] for w, one in found.items()}
    assert right[ENDS] >= right[STRICT] - 1e-6 and right[EACH_PIECE] >= right[STRICT] - 1e-6
    assert found[FORGOTTEN.format(99)] == found[MISSED.format(99)] == found[STRICT]
    assert found[FORGOTTEN.format(5)]["gold"] <= found[STRICT]["gold"]
    assert found[MISSED.format(5)]["gold"] == found[STRICT]["gold"]


def test_pieces_and_cuts():
    from bioptimus_lib.vocab import bert_tokenizer

    sizes = piece_sizes([sentence("abc/O a-b/O \x07/O")], bert_tokenizer(PIECES))
    assert sizes == [[3, 3, 1]]
    assert on_pieces(["B-X", "O", "I-X"], sizes[0]) == ["B-X"] * 3 + ["O"] * 3 + ["I-X"]
    assert [fitting(sizes[0], w) for w in (3, 5, 6, 8, 9, 99)] == [1, 1, 2, 2, 3, 3]
    assert ends_alone([]) == []
    with pytest.raises(ValueError, match="no room"):
        fitting([1], 2)
    with pytest.raises(ValueError, match="sentence 0: 1 tags in gold, 2"):
        by_way([["O"]], [["O"]], [[1, 1]])


# --- the experiment ----------------------------------------------------------------------------


def test_the_experiment_scores_one_prediction_in_all_ways(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from test_ner import toy

    from bioptimus_lib import ner, sources
    from bioptimus_lib.conll import write_conll
    from bioptimus_lib.experiments import scoring
    from bioptimus_lib.experiments.cells import Setting, run_cells

    for number, (split, size) in enumerate({"train": 40, "devel": 10, "test": 20}.items()):
        write_conll(tmp_path / "set" / f"{split}.tsv", toy(size, number))
    monkeypatch.setattr(sources, "fetch", lambda name, **_: tmp_path / "set")
    recipe = ner.recipe_for
    monkeypatch.setattr(ner, "recipe_for", lambda model, **k: replace(recipe(model, **k), epochs=1))
    setting = Setting(tmp_path / "out", model="pocket-bert", seeds=1, progress=False)
    rows, missing = run_cells("scoring", scoring, setting)
    assert not missing and {row["dataset"] for row in rows} == set(scoring.SETS)
    one = [row for row in rows if row["dataset"] == "BC2GM"]
    mistakes = one.pop()
    assert mistakes["variant"] == scoring.MISTAKES
    by_variant = {row["variant"]: row["metrics"] for row in one}
    strict, best = by_variant[STRICT], by_variant[BEST_PATH]
    assert strict["above_strict"] == 0 and 0 < strict["tags_right"] <= 100
    assert best["above_strict"] == pytest.approx(best["f1"] - strict["f1"], abs=2e-4)
    gold = mistakes["metrics"]["right"] / max(best["recall"] / 100, 1e-9)
    assert gold == pytest.approx(best["gold"], rel=1e-3) or not mistakes["metrics"]["right"]
    assert len(scoring.data(setting)) == 3 * len(scoring.SETS) + 1


def test_what_chapter_11_says_of_the_mistakes_is_what_the_ledger_holds():
    from statistics import fmean

    from bioptimus_lib import ledger
    from bioptimus_lib.ner_errors import KINDS

    sets: dict[str, list[dict[str, float]]] = {}
    for row in ledger.read("scoring"):
        if "missed" in row["metrics"]:
            sets.setdefault(row["dataset"], []).append(row["metrics"])
    assert len(sets) == 2
    for rows in sets.values():
        mean = {kind: fmean(row[kind.replace("+", "_and_")] for row in rows) for kind in KINDS}
        assert max(mean, key=mean.__getitem__) == "spurious"
