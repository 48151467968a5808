"""The masking lesson: leaks, guesses one by one, and what the stock collator does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bioptimus_lib.guesses import (
    FATES,
    difficulty,
    expected_leak,
    guesses,
    leakage,
    seen,
    sibling_gain,
)
from bioptimus_lib.masking import Masking, PieceTable
from bioptimus_lib.masking_steps import (
    RULES,
    coin,
    rate_by_length,
    shares_of_rows,
    stock_collator,
    stock_epochs,
    stock_rows,
    stock_words,
    word_sizes,
)
from bioptimus_lib.pretrain import evaluate_mlm
from bioptimus_lib.vocab import SPECIAL_PIECES, bert_tokenizer
from tests.conftest import random_bert

CLS, SEP, PAD, MASK = 2, 3, 0, 4
WORDS = [f"w{n}" for n in range(60)]
PHASES = [
    Masking("token", 0.15, True), Masking("word", 0.15, True), Masking("word", 0.2, False),
    Masking("token", 0.4, False), Masking("span", 0.2, True),
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    names = [*SPECIAL_PIECES, *WORDS, *(f"##p{n}" for n in range(60)), ",", "brca", "##1"]
    return bert_tokenizer(names, max_length=64)


@pytest.fixture(scope="module")
def blocks(tokenizer):
    """Full rows of words of one to five pieces."""
    draw = np.random.default_rng(0)
    first, inside = tokenizer.convert_tokens_to_ids(["w0", "##p0"])
    rows = np.where(draw.random((600, 64)) < 0.5, first, inside) + draw.integers(60, size=(600, 64))
    rows[:, 0], rows[:, 1], rows[:, -1] = CLS, first, SEP
    return rows.astype("uint16")


def test_what_each_guess_can_see(tokenizer):
    names = ["[CLS]", "w1", "w2", "##p1", "##p2", "w3", "##p3", "w4", "##p4", "[SEP]"]
    after = ["[CLS]", "[MASK]", "[MASK]", "##p9", "##p2", "w3", "[MASK]", "w4", "##p7", "[SEP]"]
    chosen = [0, 1, 1, 1, 0, 1, 1, 0, 0, 0]
    ids, inputs = (torch.tensor([tokenizer.convert_tokens_to_ids(n)]) for n in (names, after))
    labels = ids.masked_fill(~torch.tensor([chosen]).bool(), -100)
    found = seen(ids, inputs, labels, PieceTable.of(tokenizer))
    assert [FATES[f] for f in found.fate] == [
        "hidden", "hidden", "replaced", "left as it is", "hidden"
    ]  # fmt: skip
    assert found.size.tolist() == [1, 3, 3, 2, 2]
    assert found.first.tolist() == [True, True, False, True, False]
    # ##p2 stands for its two siblings; w3 stands for ##p3, but nothing stands for w3.
    assert found.leak.tolist() == [False, True, True, False, True]


@pytest.mark.parametrize("masking", PHASES, ids=str)
def test_leaks_are_those_that_the_rules_promise(masking, blocks, tokenizer):
    pieces, counts = PieceTable.of(tokenizer), {}
    for seed in range(4):
        for size, (share, number) in leakage(blocks, masking, pieces, seed=seed).items():
            leaks, guessed = counts.get(size, (0, 0))
            counts[size] = leaks + share * number, guessed + number
    for size in (2, 3, 4):
        leaks, guessed = counts[size]
        expected = expected_leak(masking, size)
        # Guesses of one word go together, and a random piece may be the true one.
        error = 4 * (size * expected * (1 - expected) / guessed) ** 0.5 + 0.003
        assert abs(leaks / guessed - expected) <= error
    assert set(counts) == {0, 2, 3, 4, 5, 6}
    assert counts[0][1] == sum(counts[n][1] for n in range(2, 7))


def test_whole_words_without_corruption_leak_nothing(blocks, tokenizer):
    shares = leakage(blocks, Masking("word", 0.2, False), PieceTable.of(tokenizer))
    assert {share for share, _ in shares.values()} == {0.0}
    assert expected_leak(Masking("word", 0.2, False), 5) == 0


@pytest.mark.parametrize("masking", PHASES, ids=str)
def test_guesses_have_the_mean_that_evaluation_gives(masking, blocks, tokenizer):
    model = random_bert(tokenizer)
    found = guesses(model, tokenizer, blocks[:150], masking)
    whole = evaluate_mlm(model, tokenizer, blocks[:150], masking=masking)
    score = found.score()
    assert score["guesses"] == whole["masked"]
    assert score["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert score["accuracy"] == pytest.approx(whole["accuracy"])
    parts = [found.score(found.fate == fate) for fate in range(3) if (found.fate == fate).any()]
    again = sum(part["loss"] * part["guesses"] for part in parts) / score["guesses"]
    assert again == pytest.approx(score["loss"]) and len(parts) == (3 if masking.corruption else 1)


def test_difficulty_is_one_set_of_guesses_per_setting_and_seed(blocks, tokenizer):
    model = random_bert(tokenizer).train()
    found = difficulty(model, tokenizer, blocks[:20], {"a": PHASES[0], "b": PHASES[2]},
                       seeds=iter((1, 2)))  # fmt: skip
    assert model.training
    assert [len(some) for some in found.values()] == [2, 2]
    assert found["a"][0].score() != found["a"][1].score()
    alone = guesses(model, tokenizer, blocks[:20], PHASES[2], seed=2)
    assert torch.equal(alone.loss, found["b"][1].loss)


class Speller(torch.nn.Module):
    """A model that knows a word's piece n from piece n − 1 of the word, and nothing else."""

    device = torch.device("cpu")

    def __init__(self, tokenizer):
        super().__init__()
        self.size = len(tokenizer)
        self.base_model = Inner(self.size)

    def forward(self, input_ids, return_dict=True):
        from types import SimpleNamespace

        return SimpleNamespace(logits=self.base_model(input_ids=input_ids).last_hidden_state)


class Inner(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, input_ids):
        from types import SimpleNamespace

        before = torch.nn.functional.pad(input_ids[:, :-1], (1, 0))
        logits = torch.nn.functional.one_hot((before + 1).clamp(max=self.size - 1), self.size)
        return SimpleNamespace(last_hidden_state=9.0 * logits)


def test_the_gain_by_siblings_is_what_they_tell(tokenizer):
    first = tokenizer.convert_tokens_to_ids("##p0")
    # Words of three pieces that follow one another in the vocabulary, but for the first piece.
    one = tokenizer.convert_tokens_to_ids("w0")
    rows = np.array([[CLS, *[p for n in range(20) for p in (one + n, first + n, first + n + 1)],
                      SEP]] * 200)  # fmt: skip
    found = sibling_gain(Speller(tokenizer), tokenizer, rows, rate=0.2)
    assert found["hidden"]["guesses"] == found["visible"]["guesses"] > 500
    assert found["hidden"]["accuracy"] == 0  # behind a [MASK] it is at a loss
    # Two in three are continuations, half of these follow the piece that gives them away.
    assert found["visible"]["accuracy"] == pytest.approx(1 / 3, abs=0.06)
    assert found["gain"]["accuracy"] == pytest.approx(found["visible"]["accuracy"])
    assert found["gain"]["first"] == 0 and found["gain"]["others"] == pytest.approx(0.5, abs=0.06)
    assert 0 < found["gain"]["error"] < 0.03


def test_without_words_of_several_pieces_there_is_no_gain(tokenizer):
    rows = np.array([[CLS, *range(10, 40), SEP]])
    with pytest.raises(ValueError, match="no word of several pieces"):
        sibling_gain(random_bert(tokenizer), tokenizer, rows)


# -- the stock collator: if one of these fails, chapter 05 says what is no longer so ---------------


def test_the_collator_hides_every_chosen_word(tokenizer):
    collator, said = stock_collator(tokenizer, whole_words=True, rate=0.5, seed=0)
    assert len(said) == 1 and "mask_replace_prob" in said[0]
    texts = [" ".join(WORDS[: 20 + n]) for n in range(20)]
    batch = collator(stock_rows(tokenizer, texts))
    chosen = batch["labels"] != -100
    assert chosen.any() and (batch["input_ids"][chosen] == tokenizer.mask_token_id).all()
    assert stock_collator(tokenizer)[1] == []


def test_the_collators_word_is_what_touches(tokenizer):
    found = stock_words(tokenizer, "w1 brca1, w2p3 w4")
    assert found == [["w1"], ["brca", "##1", ","], ["w2", "##p3"], ["w4"]]


def test_the_collator_repeats_itself_with_workers(tokenizer):
    texts = [" ".join(WORDS[n : n + 20]) for n in range(16)]
    one, two = stock_epochs(tokenizer, texts, workers=2)
    assert torch.equal(one, two)
    one, two = stock_epochs(tokenizer, texts, workers=0)
    assert not torch.equal(one, two)


def test_a_coin_leaves_rows_without_a_question_and_a_budget_does_not(tokenizer):
    ids = torch.full((2000, 14), 5)
    ids[:, 0], ids[:, 11], ids[:, 12:] = CLS, SEP, PAD
    pieces = PieceTable.of(tokenizer)
    assert not coin(ids, 0.9, pieces)[:, [0, 11, 12, 13]].any()
    by_coin, by_budget = shares_of_rows(ids, Masking("token", 0.15), pieces).values()
    nothing = np.mean([share == 0 for share in by_coin])
    assert nothing == pytest.approx(0.85**10, abs=0.04)
    assert {round(share, 3) for share in by_budget} == {0.1, 0.2}
    assert np.mean(by_coin) == pytest.approx(0.15, abs=0.01)


def test_only_the_window_gives_long_words_their_share():
    draw = np.random.default_rng(0)
    rows = [draw.choice([1, 2, 4], p=[0.6, 0.2, 0.2], size=40).tolist() for _ in range(20)]
    found = {name: rate_by_length(rows, rule, rate=0.2, draws=200) for name, rule in RULES.items()}
    away = {name: {k: (p - 0.2) / e for k, (p, e) in some.items()} for name, some in found.items()}
    assert away["until full"][0] > 10, "always over"
    assert abs(away["last by chance"][0]) < 3
    assert away["last by chance"][1] > 3 > -3 > away["last by chance"][4]
    assert max(map(abs, away["window"].values())) < 3


def test_sizes_of_words_are_those_of_the_rows(blocks, tokenizer):
    rows = word_sizes(torch.tensor(blocks[:60].astype("int64")), PieceTable.of(tokenizer))
    assert all(sum(row) == 62 and min(row) == 1 for row in rows)
