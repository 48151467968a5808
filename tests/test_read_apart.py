"""Pairs read apart: shared words, cosines, and a regression that finds what differs."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from conftest import save_old_and_new
from test_tasks import PIECES

from bioptimus_lib import read_apart
from bioptimus_lib.models import load_masked_lm
from bioptimus_lib.task_data import Data, Example

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("apart")
    save_old_and_new(PIECES, folder)
    return folder


def test_shared_words():
    same = Example("1", "Gout, again.", 4.0, second="gout again")
    assert read_apart.shared_words(same) == 1
    assert read_apart.shared_words(replace(same, second="pain")) == 0


def test_cosine_of_equal_texts_is_one_whatever_stands_beside_them(place):
    model, tokenizer = load_masked_lm(place / "old")
    some = [Example("1", "a b", 1.0, second="a b"), Example("2", "a a a b b a", 1.0, second="b")]
    both = read_apart.sentence_cosine(model, tokenizer, some)
    assert both[0] == pytest.approx(1, abs=1e-5) and -1 <= both[1] < 1
    assert both[1] == pytest.approx(read_apart.sentence_cosine(model, tokenizer, some[1:])[0],
                                    abs=1e-5)  # fmt: skip


def test_texts_read_apart_tell_what_differs(place):
    model, tokenizer = load_masked_lm(place / "old")
    draw = random.Random(0)

    def pairs(n: int) -> list[Example]:
        found = []
        for i in range(n):
            one = draw.choices("abcdefgh", k=5)
            two = list(one) if i % 2 else draw.choices("abcdefgh", k=5)
            texts = " ".join(one), " ".join(two)
            found.append(Example(str(i), texts[0], float(i % 2), second=texts[1]))
        return found

    data = Data(({"train": pairs(80), "devel": pairs(30), "test": pairs(40)},))
    made = read_apart.read_apart(model, tokenizer, data)
    assert len(made) == 40
    gold = [e.answer for e in data.test]
    high, low = ([m for m, g in zip(made, gold, strict=True) if g == side] for side in (1, 0))
    assert sum(high) / len(high) > sum(low) / len(low) + 0.2
    again = read_apart.mean_states(model, tokenizer, ["a b", "a b c d e f g h"])
    alone = read_apart.mean_states(model, tokenizer, ["a b"])
    assert abs(again[0] - alone[0]).max() < 1e-5  # padding does not count
