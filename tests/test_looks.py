"""What a phase has done to a model: every number against a plain loop or a case made by hand."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import looks, word_guesses  # noqa: E402
from bioptimus_lib.conll import Sentence  # noqa: E402
from bioptimus_lib.looks import Gap, Tally  # noqa: E402
from bioptimus_lib.masked_loss import EVALUATION_SEED, evaluate_mlm  # noqa: E402
from bioptimus_lib.masking import Masking  # noqa: E402
from bioptimus_lib.ner import NerSettings  # noqa: E402
from bioptimus_lib.packing import pack  # noqa: E402
from tests.conftest import TINY_TEXT, always  # noqa: E402

TOKENS, WORDS = Masking(), Masking("word", 0.15, corruption=False)


@pytest.fixture(scope="module")
def blocks(tiny) -> np.ndarray:
    return pack(TINY_TEXT * 30, tiny[1], length=32)


# -- losses --------------------------------------------------------------------------------------


def test_losses_under_several_maskings_are_those_of_evaluate_mlm(tiny, blocks):
    found = looks.losses_under(*tiny, blocks, {"tokens": TOKENS, "words": WORDS}, draws=2)
    assert list(found) == ["tokens", "words"]
    for name, masking in (("tokens", TOKENS), ("words", WORDS)):
        scores = [
            evaluate_mlm(*tiny, blocks, masking=masking, seed=EVALUATION_SEED + n) for n in (0, 1)
        ]
        losses = [score["loss"] for score in scores]
        assert found[name]["loss"] == pytest.approx(sum(losses) / 2)
        assert found[name]["spread"] == pytest.approx(abs(losses[0] - losses[1]) / math.sqrt(2))
        assert found[name]["masked"] == sum(score["masked"] for score in scores)
        assert found[name]["accuracy"] == pytest.approx(sum(s["accuracy"] for s in scores) / 2)
    assert math.isnan(looks.losses_under(*tiny, blocks, {"one": TOKENS})["one"]["spread"])


@pytest.mark.parametrize("masking", [TOKENS, WORDS], ids=str)
def test_guesses_sum_up_to_evaluate_mlm(tiny, blocks, masking):
    model, tokenizer = tiny
    model.train()
    try:
        found = looks.guesses(model, tokenizer, blocks, masking, batch=7)
        assert model.training
    finally:
        model.eval()
    score = evaluate_mlm(model, tokenizer, blocks, masking=masking, batch=7)
    assert len(found.loss) == score["masked"]
    assert found.loss.mean() == pytest.approx(score["loss"], rel=1e-5)
    assert found.right.mean() == pytest.approx(score["accuracy"])
    assert (blocks[found.block, found.place] == found.answer).all()
    assert (np.diff(found.block) >= 0).all(), "in the order of the text"


def test_by_shown_tells_apart_what_stood_there(tiny, blocks):
    model, tokenizer = tiny
    found = looks.guesses(model, tokenizer, blocks, Masking("token", 0.4))
    table = looks.by_shown(found, tokenizer)
    assert sum(row["masked"] for row in table.values()) == len(found.loss)
    assert table["[MASK]"]["masked"] / len(found.loss) == pytest.approx(0.8, abs=0.05)
    kept = [i for i in range(len(found.loss)) if found.shown[i] == found.answer[i]]
    assert table["itself"]["masked"] == len(kept)
    assert table["itself"]["loss"] == pytest.approx(np.mean([found.loss[i] for i in kept]))
    assert list(looks.by_shown(looks.guesses(model, tokenizer, blocks), tokenizer)) == ["[MASK]"]


def test_frequency_loss_counts_pieces_and_leaves_special_ones_out(tiny, blocks):
    _, tokenizer = tiny
    special = set(tokenizer.all_special_ids)
    counts = dict.fromkeys(set(range(len(tokenizer))) - special, 1)
    for piece in blocks.ravel().tolist():
        if piece not in special:
            counts[piece] += 1
    answer = np.array(sorted(counts))
    found = looks.frequency_loss(answer, blocks, tokenizer)
    total = sum(counts.values())
    assert found.tolist() == pytest.approx([-math.log(counts[i] / total) for i in answer.tolist()])
    assert np.exp(-found).sum() == pytest.approx(1) and found.max() > found.min()


# -- whole words ---------------------------------------------------------------------------------


def test_spans_number_the_words_and_know_what_a_block_has_cut(tiny):
    _, tokenizer = tiny
    long = [p for p in tokenizer.get_vocab() if p.startswith("##")][:2]
    rows = [
        ["[CLS]", long[0], "pain", "[UNK]", "pain", long[0], long[1], "[SEP]"],
        ["[CLS]", "pain", "[SEP]", "pain", long[0], "pain", "pain", "[SEP]"],
        ["[CLS]", "pain", "pain", "pain", "pain", "pain", "[SEP]", "[SEP]"],
    ]
    blocks = np.array([tokenizer.convert_tokens_to_ids(row) for row in rows])
    found = looks.spans(blocks, tokenizer)
    assert found.number.tolist() == [
        [-1, 0, 1, -1, 2, 2, 2, -1], [-1, 3, -1, 4, 4, 5, 6, -1], [-1, 7, 8, 9, 10, 11, -1, -1],
    ]  # fmt: skip
    ends = "".join(piece[2:] for piece in long)
    assert found.text[:7] == [long[0][2:], "pain", f"pain{ends}", "pain", f"pain{long[0][2:]}",
                              "pain", "pain"]  # fmt: skip
    assert found.pieces.tolist() == [1, 1, 3, 1, 2, 1, 1, 1, 1, 1, 1, 1]
    assert np.flatnonzero(~found.whole).tolist() == [0, 2, 6]


def test_kinds_bands_and_entity_words():
    assert looks.band_names((10, 100, 1000)) == [
        "never", "1 to 10", "11 to 100", "101 to 1,000", "over 1,000",
    ]  # fmt: skip
    edges = {0: 0, 1: 1, 10: 1, 11: 2, 100: 2, 101: 3, 1000: 3, 1001: 4}
    assert {n: word_guesses._band(n, looks.EDGES) for n in edges} == edges
    assert {"the", "of", "was", "whether"} <= looks.function_words()
    assert not {"patient", "fever"} & looks.function_words() and "#" not in looks.function_words()
    sentences = [
        Sentence(("Deficiency", "of", "C-5", "was", "rare"), ("B-X", "I-X", "I-X", "O", "O")),
        Sentence(("rare", "rare", "deficiency"), ("B-X", "O", "O")),
    ]
    # of: a function word; 5 and -: no letters; rare: once inside, twice outside.
    assert looks.entity_words(sentences) == {"deficiency", "c"}
    assert looks.entity_words(sentences, share=0.3) == {"deficiency", "c", "rare"}
    cases = {"the": "function", "5": "no letters", ".": "no letters", "il": "entity", "x": "other"}
    assert {word: looks.kind_of(word, {"il", "the", "5"}) for word in cases} == cases


def test_accuracy_by_band_is_what_a_plain_loop_counts(tiny, blocks):
    model, tokenizer = tiny
    counts = {"aspirin": 5, "pain": 50, "the": 5000}
    table = looks.accuracy_by_band(model, tokenizer, blocks, counts, {"pain"}, rate=0.3, draws=2)
    laid, right, total = looks.spans(blocks, tokenizer), {}, {}
    for draw in range(2):
        found = looks.guesses(
            model, tokenizer, blocks, Masking("word", 0.3, False), seed=EVALUATION_SEED + draw
        )
        words = {}
        for i in range(len(found.loss)):
            words.setdefault(laid.number[found.block[i], found.place[i]], []).append(i)
        for word, own in words.items():
            if laid.whole[word]:
                key = laid.text[word]
                total[key] = total.get(key, 0) + 1
                right[key] = right.get(key, 0) + bool(found.right[own].all())
    assert table["entity"]["11 to 100"] == Tally(right["pain"], total["pain"])
    assert table["function"]["over 1,000"] == Tally(right["the"], total["the"])
    assert table["other"]["1 to 10"] == Tally(right["aspirin"], total["aspirin"])
    assert sum(t.total for row in table.values() for t in row.values()) == sum(total.values())
    assert set(table) == set(looks.KINDS) and list(table["other"]) == looks.band_names()
    by_pieces = looks.accuracy_by_pieces(model, tokenizer, blocks, rate=0.3, draws=2, most=2)
    several = {word for word in total if len(tokenizer.tokenize(word)) > 1}
    assert by_pieces == {
        "1 piece": Tally(
            sum(right[w] for w in total if w not in several),
            sum(n for w, n in total.items() if w not in several),
        ),
        "2 or more": Tally(sum(right[w] for w in several), sum(total[w] for w in several)),
    }
    kinds = looks.by_kind(table)
    assert sum(t.right for t in kinds.values()) == sum(
        right[w] for w in total
    ) and kinds["entity"] == table["entity"]["11 to 100"]


def test_repeats_are_looked_for_in_the_same_block_alone(tiny):
    model, tokenizer = tiny
    whole = [w for w in ("pain", "in", "fever", "and", "the") if len(tokenizer.tokenize(w)) == 1]
    one, other, third = whole[:3]
    rows = [[one, other, one, third, third], [one, other, third, third, third]]
    blocks = np.array([
        tokenizer.convert_tokens_to_ids(["[CLS]", *row, "[SEP]"]) for row in rows
    ])  # fmt: skip
    found = looks.accuracy_by_repeat(model, tokenizer, blocks, {one}, rate=0.9, draws=20)
    total = {"again in its block": 0, "only here": 0}
    for draw in range(20):  # the last word of a block does not count: it may have been cut
        asked = looks.guesses(
            model, tokenizer, blocks, Masking("word", 0.9, False), seed=EVALUATION_SEED + draw
        )
        for row, place in zip(asked.block, asked.place, strict=True):
            if place < 5:
                again = rows[row].count(rows[row][place - 1]) > 1
                total["again in its block" if again else "only here"] += 1
    for where, number in total.items():
        assert sum(found[kind][where].total for kind in looks.KINDS) == number > 0
    assert found["entity"]["only here"].total > 0 < found["entity"]["again in its block"].total


def test_a_word_is_right_only_if_all_its_pieces_are(tiny, blocks):
    model, tokenizer = tiny
    pieces = tokenizer.tokenize("salbutamol")
    assert len(pieces) > 1, "the case needs a word of several pieces"
    one = looks.accuracy_by_band(always(model, tokenizer, pieces[0]), tokenizer, blocks, {}, ())
    assert all(t.right == 0 for row in one.values() for t in row.values())
    whole = next(w for w in ("pain", "in", "fever") if len(tokenizer.tokenize(w)) == 1)
    some = looks.accuracy_by_band(
        always(model, tokenizer, whole), tokenizer, blocks, {whole: 7}, {whole}
    )
    hit = [t for row in some.values() for band, t in row.items() if band != "never"]
    assert sum(t.right for t in hit) == sum(t.total for t in hit) > 0
    assert all(row["never"].right == 0 for row in some.values())


def test_a_tally_knows_its_share_and_that_few_are_not_certain():
    assert Tally(3, 4).share == 0.75 and math.isnan(Tally(0, 0).share)
    assert Tally(3, 3).error > Tally(30, 30).error > 0 and math.isnan(Tally(0, 0).error)


def test_siblings_change_nothing_but_the_other_pieces_of_one_word(tiny, blocks, monkeypatch):
    model, tokenizer = tiny
    asked, inner = [], word_guesses.asked

    def spy(model, inputs, labels, *, first=0):
        asked.append((inputs.clone().numpy(), labels.clone().numpy()))
        return inner(model, inputs, labels, first=first)

    monkeypatch.setattr(word_guesses, "asked", spy)
    found = looks.siblings(model, tokenizer, blocks, draws=2, batch=16)
    for name in ("block", "place", "answer"):
        assert (getattr(found.hidden, name) == getattr(found.seen, name)).all()
    assert (found.hidden.shown == tokenizer.mask_token_id).all(), "the piece itself stays hidden"
    assert (found.seen.shown == tokenizer.mask_token_id).all()
    begins = [not p.startswith("##") for p in tokenizer.convert_ids_to_tokens(found.hidden.answer)]
    assert found.first.tolist() == begins and len(set(begins)) == 2
    at = 0
    for (hidden, labels), (seen, same) in zip(asked[::2], asked[1::2], strict=True):
        assert (labels == same).all() and ((labels >= 0).sum(1) <= 1).all()
        some = blocks[at : at + len(labels)]
        laid = looks.spans(some, tokenizer)
        at = (at + len(labels)) % len(blocks)
        for row in range(len(labels)):
            changed = np.flatnonzero(hidden[row] != seen[row])
            if not (labels[row] >= 0).any():
                assert not len(changed)
                continue
            place = int(labels[row].argmax())
            own = np.flatnonzero(laid.number[row] == laid.number[row, place])
            assert changed.tolist() == [p for p in own if p != place] != []
            assert (seen[row][changed] == some[row][changed]).all()


def test_siblings_need_a_word_of_several_pieces(tiny):
    whole = [w for w in ("pain", "in", "fever", "and", ".") if len(tiny[1].tokenize(w)) == 1]
    blocks = pack([" ".join(whole * 40)], tiny[1], length=32)
    with pytest.raises(ValueError, match="no word of several pieces"):
        looks.siblings(*tiny, blocks)


# -- rows ----------------------------------------------------------------------------------------


def test_drift_by_hand():
    before = torch.tensor([[3.0, 4.0], [1.0, 0.0], [2.0, 0.0]])
    after = torch.tensor([[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]])
    found = looks.drift(before, after, {"new": [1, 2], "kept": [0]})
    assert found["kept"].cosine.tolist() == pytest.approx([1.0])
    assert found["kept"].moved.tolist() == [0.0] and found["kept"].before.tolist() == [5.0]
    assert found["new"].cosine.tolist() == pytest.approx([0.0, -1.0])
    assert found["new"].after.tolist() == [2.0, 1.0]
    assert found["new"].moved.tolist() == pytest.approx([math.sqrt(5), 1.5])
    with pytest.raises(ValueError, match="'none' has no rows"):
        looks.drift(before, after, {"none": []})
    with pytest.raises(ValueError, match="not the same"):
        looks.drift(before, after[:2], {"new": [0]})


def test_embeddings_are_a_copy(tiny):
    table = looks.embeddings(tiny[0])
    table += 1
    assert not torch.equal(table, looks.embeddings(tiny[0]))


# -- gaps ----------------------------------------------------------------------------------------


def test_gaps_are_made_of_the_first_sentence_that_holds_the_word_once():
    sentences = ["Pain and pain.", "Painful fever.", "No PAIN (none).", "Pain again."]
    assert looks.gaps(sentences, ["fever", "pain", "cough"]) == [
        Gap("Painful [MASK].", "fever"), Gap("No [MASK] (none).", "pain"),
    ]  # fmt: skip
    shared = ["Pain and fever.", "Fever again."]
    assert [g.text for g in looks.gaps(shared, ["pain", "fever"])] == [
        "[MASK] and fever.", "[MASK] again.",
    ]  # fmt: skip
    assert looks.gaps(["x" * 90 + " pain"], ["pain"], longest=80) == []


def test_fill_mask_gives_what_the_model_gives_and_the_product_over_pieces(tiny):
    model, tokenizer = tiny
    gap = Gap("patients received [MASK] for pain .", "salbutamol")
    word = Gap("patients received [MASK] for pain .", "pain")
    several, one = looks.fill_mask({"a": tiny}, [gap, word], n=4)
    ids = tokenizer("salbutamol", add_special_tokens=False)["input_ids"]
    for found, text, k, own in (
        (several["a"], gap.text, len(ids), ids),
        (one["a"], word.text, 1, [tokenizer.convert_tokens_to_ids("pain")]),
    ):
        encoded = tokenizer(text.replace("[MASK]", "[MASK] " * k), return_tensors="pt")
        with torch.no_grad():
            chances = model(**encoded).logits[0].softmax(-1)
        places = np.flatnonzero(encoded["input_ids"][0] == tokenizer.mask_token_id)
        assert len(places) == k
        product = math.prod(chances[p, i].item() for p, i in zip(places, own, strict=True))
        assert found.answer == pytest.approx(product, rel=1e-4)
    assert len(several["a"].best) == 1 and len(several["a"].best[0][0].split()) == len(ids) > 1
    assert len(one["a"].best) == 4
    assert [p for _, p in one["a"].best] == sorted((p for _, p in one["a"].best), reverse=True)
    with pytest.raises(ValueError, match="2 \\[MASK\\]"):
        looks.fill_mask({"a": tiny}, [Gap("[MASK] [MASK]", "pain")])


# -- training and task ---------------------------------------------------------------------------


def test_curve_reads_a_log_as_columns(tmp_path):
    rows = [
        {"step": n, "tokens": 9 * n, "loss": 5.0 - n, "grad_norm": 0.5, "learning_rate": 1e-3,
         "tokens_per_second": 7} for n in (1, 2)
    ]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert looks.curve(tmp_path) == {
        "step": [1, 2], "tokens": [9, 18], "loss": [4.0, 3.0], "grad_norm": [0.5] * 2,
        "learning_rate": [1e-3] * 2,
    }  # fmt: skip
    with pytest.raises(FileNotFoundError):
        looks.curve(tmp_path / "none")


def test_probe_gives_every_model_the_same_seeds_and_sentences(monkeypatch):
    calls = []

    def fine_tune(model, splits, *, settings, device):
        calls.append((model, settings.seed, settings.epochs, len(splits["train"])))
        return SimpleNamespace(metrics={"f1": 10.0 * settings.seed})

    monkeypatch.setattr("bioptimus_lib.ner.fine_tune", fine_tune)
    splits = {"train": [1, 2, 3], "devel": [1], "test": [1]}
    settings = NerSettings(epochs=2, seed=5)
    found = looks.ner_probe({"a": "A", "b": "B"}, splits, settings=settings, seeds=2, sentences=2)
    assert found == {"a": [50.0, 60.0], "b": [50.0, 60.0]}
    assert calls == [("A", 5, 2, 2), ("A", 6, 2, 2), ("B", 5, 2, 2), ("B", 6, 2, 2)]
    looks.ner_probe({"a": "A"}, splits, settings=settings, seeds=1)
    assert calls[-1][-1] == 3, "0 sentences stands for all"
