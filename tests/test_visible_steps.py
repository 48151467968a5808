"""What a model does with words that it sees: every number against a plain loop or by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from bioptimus_lib import visible_steps  # noqa: E402
from bioptimus_lib.packing import pack  # noqa: E402
from tests.conftest import TINY_TEXT, always  # noqa: E402


@pytest.fixture(scope="module")
def blocks(tiny) -> np.ndarray:
    return pack(TINY_TEXT * 30, tiny[1], length=32)


@pytest.mark.parametrize("source", ["vocabulary", "text"])
def test_half_of_the_places_hold_a_wrong_piece(tiny, blocks, source):
    seen = visible_steps.ask_visible(*tiny, blocks, rate=0.4, source=source)
    ordinary = (blocks > 4).sum()
    assert len(seen.wrong) == pytest.approx(0.4 * ordinary, rel=0.1)
    assert 0.4 < seen.wrong.mean() <= 0.52  # a random piece is now and then the true one
    assert np.array_equal(seen.of_seen[~seen.wrong], seen.of_true[~seen.wrong])
    again = visible_steps.ask_visible(*tiny, blocks, rate=0.4, source=source)
    assert np.array_equal(seen.of_seen, again.of_seen)


def test_a_model_of_one_answer_is_neither_fooled_nor_able_to_mend(tiny, blocks):
    model, tokenizer = tiny
    seen = visible_steps.ask_visible(always(model, tokenizer, "pain"), tokenizer, blocks, rate=0.5)
    shares = seen.shares()
    count = (blocks == tokenizer.convert_tokens_to_ids("pain")).sum() / (blocks > 4).sum()
    assert shares["copied"] == pytest.approx(count, abs=0.03)
    assert shares["fooled"] < 0.05 and shares["mended"] < 0.1


def test_sources_of_wrong_pieces_are_two(tiny, blocks):
    with pytest.raises(ValueError, match="choose vocabulary or text"):
        visible_steps.ask_visible(*tiny, blocks, source="news")


SHARES = {
    "all copied": (["seen", "seen"], [False, True], [0.9, 0.1], (1.0, 1.0, 0.0, 1.0)),
    "all mended": (["seen", "true"], [False, True], [0.2, 0.8], (1.0, 0.0, 1.0, 0.0)),
    "no idea": (["other", "other"], [False, True], [0.5, 0.5], (0.0, 0.0, 0.0, 0.5)),
}


@pytest.mark.parametrize("name", SHARES)
def test_shares(name):
    names, wrong, of_seen, expected = SHARES[name]
    seen = visible_steps.Seen(
        np.array(wrong), np.array(of_seen), np.array(of_seen), np.array(names)
    )
    assert tuple(seen.shares().values()) == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_area_under_curve_is_the_share_of_pairs(cases):
    scores, positive = (np.array(column) for column in zip(*cases, strict=True))
    if positive.all() or not positive.any():
        with pytest.raises(ValueError, match="some of both"):
            visible_steps.area_under_curve(scores, positive)
        return
    pairs = [
        (a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]
    ]
    assert visible_steps.area_under_curve(scores, positive) == pytest.approx(np.mean(pairs))


# -- states --------------------------------------------------------------------------------------


def test_states_are_those_of_the_words_that_are_named(tiny, blocks):
    model, tokenizer = tiny
    states, labels = visible_steps.states_of_words(model, tokenizer, blocks, words=3, times=4)
    assert states.shape == (3, 12, 32) and torch.bincount(labels).tolist() == [4, 4, 4]
    table = model.get_input_embeddings().weight
    ids, counts = np.unique(blocks, return_counts=True)
    words = [i for i in ids[np.argsort(-counts, kind="stable")]
             if tokenizer.convert_ids_to_tokens(int(i))[0].isalpha()][:3]  # fmt: skip
    with torch.no_grad():  # a copy: Transformers leaves its hooks on a model
        whole = copy.deepcopy(model)(
            torch.from_numpy(blocks.astype("int64")), output_hidden_states=True
        )
    flat = [h.reshape(-1, 32) for h in whole.hidden_states]
    for word, piece in enumerate(words):
        own = flat[2][torch.from_numpy((blocks == piece).flatten())]
        for state in states[2][labels == word]:
            assert (own - state).abs().sum(1).min() < 1e-4
    assert table.grad is None


def test_words_that_are_too_rare_are_said(tiny, blocks):
    with pytest.raises(ValueError, match="0 pieces occur 10000 times"):
        visible_steps.states_of_words(*tiny, blocks, times=10_000)


def test_words_are_told_apart_when_their_states_are_apart():
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(5).repeat(10)
    centres = torch.randn(5, 16, generator=draw)
    noise = torch.randn(50, 16, generator=draw)
    assert visible_steps.told_apart(centres[labels] + 0.01 * noise + 7.0, labels) == 1.0
    assert visible_steps.told_apart(noise, labels) < 0.6
    mixed = labels[torch.randperm(50, generator=draw)]
    assert visible_steps.told_apart(centres[labels] + 0.01 * noise, mixed) < 0.6


@pytest.mark.parametrize("used", [1, 3, 8])
def test_dimensions_used(used):
    basis = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))[0]
    corners = torch.cat([basis[:used], -basis[:used]]) + 5.0
    assert visible_steps.dimensions_used(corners) == pytest.approx(used, rel=1e-4)


# -- word by word --------------------------------------------------------------------------------


def test_each_word_is_hidden_once(tiny):
    model, tokenizer = tiny
    sentences = ["aspirin relieves bronchoconstriction .", "fever"]
    found = visible_steps.word_by_word(model, tokenizer, sentences)
    for number, sentence in enumerate(sentences):
        encoded = tokenizer(sentence, return_tensors="pt")
        ids, words = encoded["input_ids"][0], encoded.word_ids()
        bits = 0.0
        for word in range(max(w for w in words if w is not None) + 1):
            own = torch.tensor([w == word for w in words])
            with torch.no_grad():
                logits = model(ids.masked_fill(own, tokenizer.mask_token_id)[None]).logits[0]
            chances = logits.log_softmax(-1)[own, ids[own]]
            bits -= chances.sum().item() / math.log(2)
        assert found["bits"][number] == pytest.approx(bits, rel=1e-4)
    assert found["bytes"].tolist() == [38.0, 5.0]
    value, low, high = visible_steps.per_byte(found)
    assert value == pytest.approx(found["bits"].sum() / 43) and low <= value <= high


def test_a_sentence_that_does_not_fit_is_refused(tiny):
    with pytest.raises(ValueError, match="sentence 1 has .* the model reads 64"):
        visible_steps.word_by_word(*tiny, ["fever .", "fever . " * 50])


def test_everyday_sentences_are_plain_and_short():
    sentences = visible_steps.everyday()
    assert len(sentences) == len(set(sentences)) == 40
    assert all(20 < len(s) < 100 and s.endswith(".") for s in sentences)
