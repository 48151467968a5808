"""Vocabularies: training, the plan of a change, and the words that stand for pieces."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("transformers")

from bioptimus_lib.cutting import Cutter  # noqa: E402
from bioptimus_lib.errors import DataError  # noqa: E402
from bioptimus_lib.vocab import (  # noqa: E402
    SPECIAL_PIECES,
    VocabularyPlan,
    bert_tokenizer,
    calibration_words,
    count_in_texts,
    fertility,
    pieces_of,
    plan_vocabulary,
    train_wordpiece,
)

STEMS = ["gastr", "nephr", "append", "hepat", "cardi", "neur", "derm", "oste", "arthr", "bronch"]
ENDS = ["itis", "ectomy", "ology", "opathy", "algia", "oma", "osis"]
COUNTS = {stem + end: 3 + (7 * i + 3 * j) % 20 for i, stem in enumerate(STEMS)
          for j, end in enumerate(ENDS)} | {"the": 90, "of": 80, ".": 70, "α": 4, "rare": 1}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def toy(pieces=(), *, lowercase=True, special=SPECIAL_PIECES):
    """A tokenizer that can write every lower-cased word, with some more pieces."""
    letters = [*LETTERS, ".", *("##" + letter for letter in LETTERS)]
    return bert_tokenizer([*special, *letters, *pieces], lowercase=lowercase, max_length=64)


# -- training -------------------------------------------------------------------------------------


def test_texts_and_their_counts_train_the_same_vocabulary():
    texts = ["Gastritis, GASTRITIS and nephritis.", "A gastrectomy; nephrectomy, ñandú!"] * 5
    counts = count_in_texts(texts)
    assert counts["gastritis"] == 10 and counts["nandu"] == 5 and counts[","] == 10
    size = 60
    assert pieces_of(train_wordpiece(texts, size=size)) == pieces_of(
        train_wordpiece(counts, size=size)
    )


def test_training_is_the_same_in_other_processes_and_in_any_order():
    here = pieces_of(train_wordpiece(COUNTS, size=110))
    backwards = dict(reversed(list(COUNTS.items())))
    assert pieces_of(train_wordpiece(backwards, size=110)) == here
    program = (
        "import json, sys; from bioptimus_lib.vocab import *; counts = json.loads(sys.argv[1]);"
        "print(json.dumps(pieces_of(train_wordpiece(counts, size=110))))"
    )
    for hash_seed in "12":
        answer = subprocess.run(
            [sys.executable, "-c", program, json.dumps(COUNTS)], capture_output=True, text=True,
            check=True, env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert tuple(json.loads(answer.stdout)) == here


def test_the_new_vocabulary_has_the_size_and_special_ids_of_the_old():
    unused = [f"[unused{i}]" for i in range(20)]
    old = bert_tokenizer(
        ["[PAD]", *unused, "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS,
         *("##" + letter for letter in LETTERS), "the", "of", *"0123456789.αβγδ"],
        max_length=96,
    )
    new = train_wordpiece(COUNTS, like=old)
    assert len(new) == len(old) and new.model_max_length == 96
    for piece in SPECIAL_PIECES:
        assert new.convert_tokens_to_ids(piece) == old.convert_tokens_to_ids(piece)
    assert new.mask_token_id == 24 and new("the")["input_ids"][0] == 22
    assert not any(piece.startswith("[unused") for piece in pieces_of(new))
    assert set(plan_vocabulary(old, new, COUNTS).shared.items()) >= {(0, 0), (21, 21), (24, 24)}


def test_no_place_in_the_vocabulary_is_wasted():
    new = train_wordpiece(COUNTS, size=90)
    used = {piece for word in COUNTS for piece in new.tokenize(word)}
    idle = [p for p in pieces_of(new) if p not in used and len(p.removeprefix("##")) > 1]
    assert idle == list(SPECIAL_PIECES)
    # What is left out changes no word; with more room than there is use, it comes back.
    assert len(train_wordpiece(COUNTS, size=180)) == 180


def test_frequent_words_become_pieces_and_foreign_letters_are_left_out():
    new = train_wordpiece(COUNTS, size=100)
    assert new.tokenize("the gastritis") == ["the", *new.tokenize("gastritis")]
    few = train_wordpiece({**COUNTS, "日本": 2}, size=100, alphabet=21)
    assert "日" not in pieces_of(few) and few.tokenize("日 the") == ["[UNK]", "the"]


def test_training_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="use more text or a smaller vocabulary"):
        train_wordpiece(COUNTS, size=5000)
    with pytest.raises(ValueError, match="larger vocabulary or a smaller alphabet"):
        train_wordpiece(COUNTS, size=20)
    with pytest.raises(ValueError, match="give the size"):
        train_wordpiece(COUNTS)
    with pytest.raises(ValueError, match="holds no words"):
        train_wordpiece({}, size=100)
    with pytest.raises(ValueError, match="holds no words"):
        train_wordpiece(["", "  "], size=100)
    with pytest.raises(ValueError, match="cased"):
        train_wordpiece(COUNTS, like=toy(lowercase=False))
    with pytest.raises(ValueError, match="occur twice"):
        bert_tokenizer([*SPECIAL_PIECES, "a", "a"])
    with pytest.raises(ValueError, match="lacks the special"):
        bert_tokenizer(["[PAD]", "a"])


def test_a_corpus_too_small_gives_a_smaller_vocabulary_and_says_so(caplog):
    most = len(train_wordpiece(COUNTS, size=250))
    assert "not the 250 asked for" in caplog.text and 125 < most < 250
    caplog.clear()
    assert len(train_wordpiece(COUNTS, size=most)) == most and not caplog.text
    smaller = train_wordpiece(COUNTS, size=most + 1, like=toy())
    assert len(smaller) == most and plan_vocabulary(toy(), smaller, COUNTS).new
    assert {smaller.convert_tokens_to_ids(p) for p in SPECIAL_PIECES} == set(range(5))
    # Half of the size is the least that is taken.
    assert len(train_wordpiece(COUNTS, size=2 * most)) == most
    with pytest.raises(ValueError, match=f"gives {most} pieces, not the {2 * most + 1:,} asked"):
        train_wordpiece(COUNTS, size=2 * most + 1)


def test_a_corpus_too_small_for_the_place_of_the_mask_is_refused():
    unused = [f"[unused{i}]" for i in range(198)]
    far = bert_tokenizer([*SPECIAL_PIECES[:4], *unused, "[MASK]", *LETTERS])
    with pytest.raises(ValueError, match="use more text"):
        train_wordpiece(COUNTS, like=far, size=220)


def other_kinds():
    """Tokenizers that no WordPiece vocabulary can replace."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    yield PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(unk_token="[UNK]")))
    yield PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.Unigram([("a", 0.0)], 0)))


@pytest.mark.parametrize("kind, tokenizer", [*zip(("BPE", "Unigram"), other_kinds(), strict=True)])
def test_a_tokenizer_of_another_kind_is_refused_by_name(kind, tokenizer):
    for use in (
        lambda: train_wordpiece(COUNTS, like=tokenizer),
        lambda: plan_vocabulary(tokenizer, toy(), COUNTS),
        lambda: plan_vocabulary(toy(), tokenizer, COUNTS),
        lambda: Cutter(tokenizer),
    ):
        with pytest.raises(ValueError, match=f"WordPiece .* not one of kind {kind}"):
            use()


def test_an_old_tokenizer_without_a_special_piece_is_refused():
    from transformers import BertTokenizer

    pieces = [piece for piece in pieces_of(toy()) if piece != "[MASK]"]
    lacking = BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, mask_token=None)
    with pytest.raises(ValueError, match=r"lacks the special pieces \['\[MASK\]'\]"):
        train_wordpiece(COUNTS, like=lacking)


def test_a_saved_tokenizer_loads_with_plain_transformers(tmp_path):
    from transformers import AutoTokenizer

    new = train_wordpiece(COUNTS, size=100, max_length=48)
    new.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert pieces_of(again) == pieces_of(new) and again.model_max_length == 48
    assert again("Gástritis of")["input_ids"] == new("gastritis of")["input_ids"]


def test_fertility_weighs_words_by_their_counts():
    tokenizer = toy(["the"])
    assert fertility(tokenizer, ["the", "cat"]) == 2.0
    assert fertility(tokenizer, {"the": 3, "cat": 1}) == 1.5
    with pytest.raises(ValueError, match="at least one word"):
        fertility(tokenizer, [])


@settings(max_examples=60)
@given(st.text(max_size=40))
def test_own_cutting_is_the_tokenizers(text):
    tokenizer = toy(["the", "##the", "##he", "cat"])
    cutter = Cutter(tokenizer)
    for special in SPECIAL_PIECES:
        text = text.replace(special, "")
    pieces = [piece.id for word in cutter.words(text) for piece in cutter.cut(word)]
    assert pieces == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_cutting_without_a_piece():
    tokenizer = toy(["cathode", "cat", "##hode", "##ho", "##de"])
    cutter, name = Cutter(tokenizer), tokenizer.convert_tokens_to_ids
    assert cutter.cut("cathode") == ((name("cathode"), 0, 7),)
    assert cutter.cut("cathode", off=name("cathode")) == (
        (name("cat"), 0, 3), (name("##hode"), 3, 7)
    )
    assert [piece.id for piece in cutter.cut("cathode", off=name("##ho"))] == [name("cathode")]
    assert [p.id for p in cutter.cut_piece("##hodea")] == name(["##hode", "##a"])
    assert [p.id for p in cutter.cut_piece("hode")] == name(["h", "##o", "##de"])


# -- the plan -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan():
    old, new = toy(["the", "gas"]), toy(["the", "gastritis", "nephr", "##ectomy"])
    counts = {"the": 9, "gastritis": 5, "nephrectomy": 3, "appendectomy": 7, "gas": 2, "ectomy": 4}
    return plan_vocabulary(old, new, counts, words_per_piece=2)


def test_the_plan_says_what_stays_and_what_is_new(plan):
    old_size = len(plan.old_pieces)
    assert old_size == len(toy(["the", "gas"]))
    assert [plan.new_pieces[i] for i in plan.new] == ["gastritis", "nephr", "##ectomy"]
    assert set(plan.shared) | set(plan.new) == set(range(len(plan.new_pieces)))
    for new_id, old_id in plan.shared.items():
        assert plan.new_pieces[new_id] == plan.old_pieces[old_id]
    assert [plan.old_pieces[i] for i in plan.dropped] == ["gas"]
    assert len(plan.dropped) + len(plan.shared) == old_size


def test_pieces_reduce_to_the_words_that_hold_them(plan):
    assert plan.words == {
        "gastritis": (("gastritis", 5),),
        "nephr": (("nephrectomy", 3),),
        "##ectomy": (("appendectomy", 7), ("nephrectomy", 3)),
    }
    assert plan.keywords() == ["appendectomy", "gastritis", "nephrectomy"]
    frequency = dict(zip(plan.new_pieces, plan.frequency, strict=True))
    assert (frequency["the"], frequency["##ectomy"], frequency["##n"]) == (9, 10, 7)


def test_words_per_piece_keeps_the_most_frequent():
    old, new = toy(), toy(["##itis", "unheard"])
    counts = {stem + "itis": i for i, stem in enumerate(STEMS)}
    plan = plan_vocabulary(old, new, counts, words_per_piece=3)
    assert [word for word, _ in plan.words["##itis"]] == [
        "bronchitis", "arthritis", "osteitis"
    ]
    assert plan.words["unheard"] == ()
    assert "without a word  1" in plan.summary()


def test_every_listed_word_really_gives_the_piece():
    old, new = toy(["the"]), train_wordpiece(COUNTS, size=120)
    plan = plan_vocabulary(old, new, COUNTS)
    assert sum(map(len, plan.words.values())) > 20
    for piece, words in plan.words.items():
        for word, count in words:
            assert piece in new.tokenize(word) and COUNTS[word] == count


def test_a_plan_survives_the_disk_and_knows_its_model(plan, tmp_path):
    path = tmp_path / "plan.json"
    plan.save(path)
    again = VocabularyPlan.load(path)
    assert again == plan and again.new == plan.new
    assert pieces_of(again.new_tokenizer()) == plan.new_pieces
    again.check(toy(["the", "gas"]))
    for other in (toy(["the"]), toy(["gas", "the"]), toy(["the", "gas"], lowercase=False)):
        with pytest.raises(ValueError, match="another model"):
            again.check(other)
    content = json.loads(path.read_text())
    for broken in (
        "not json", "[]", json.dumps(content | {"format": 0}),
        json.dumps({k: v for k, v in content.items() if k != "words"}),
        json.dumps(content | {"old_pieces": [*content["old_pieces"], "more"]}),
    ):
        path.write_text(broken)
        with pytest.raises(DataError, match="no vocabulary plan"):
            VocabularyPlan.load(path)


def test_moved_or_missing_special_pieces_and_other_casing_are_refused(plan):
    moved = toy(special=("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"))
    with pytest.raises(ValueError, match=r"\[PAD\] has id 0 .* like=the old"):
        plan_vocabulary(toy(), moved, COUNTS)
    with pytest.raises(ValueError, match="new tokenizer is cased"):
        plan_vocabulary(toy(), toy(lowercase=False), COUNTS)
    with pytest.raises(ValueError, match="lacks the special piece"):
        dataclasses.replace(plan, new_pieces=("a",) * len(plan.new_pieces))
    with pytest.raises(ValueError, match="at least 1"):
        plan_vocabulary(toy(), toy(), COUNTS, words_per_piece=0)


def test_calibration_words_are_known_whole_and_spread_over_frequency():
    words = [a + b + "ax" for a in LETTERS[:10] for b in LETTERS[:10]]
    old = toy([*words, "the"])
    counts = {word: 5 + i for i, word in enumerate(words)} | {"the": 999, "unknown": 50, "aaax": 4}
    chosen = calibration_words(old, counts, n=20)
    assert len(chosen) == 20 and set(chosen) <= set(words) - {"aaax"}
    ranks = sorted(counts[word] for word in chosen)
    assert all(3 <= b - a <= 7 for a, b in zip(ranks, ranks[1:], strict=False))
    assert len(calibration_words(old, counts, n=1000)) == 99
    assert calibration_words(old, counts, n=20) == chosen
