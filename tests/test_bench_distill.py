"""The benchmark of reading: equal answers, and numbers that mean what they say."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib.bench_distill import compare, estimate, place, ready, requests_of  # noqa: E402
from bioptimus_lib.models import load_masked_lm  # noqa: E402
from bioptimus_lib.sources import model_path  # noqa: E402

CONTEXTS = {
    "nephropathy": ["The nephropathy was mild.", "No Nephropathy, but nephropathy-like signs."],
    "fibrinogen": ["Fibrinogen rose with the nephropathy.", "fibrinogen"],
}


def test_both_ways_give_the_same_and_the_shares_are_of_one_run():
    model, tokenizer = load_masked_lm(model_path("pocket-bert"))
    for layer in (3, 1):  # the second read is shallower than the first
        found = compare(model.eval(), tokenizer, CONTEXTS, layer=layer, few=2, rounds=1)
        assert found["difference"] < 1e-4
        assert found["sentences"] == found["contexts"] == 4
        assert found["of_bare_least"] <= found["of_bare"] and found["of_plain"] > 0


def test_the_bare_pass_has_the_batches_that_are_read():
    _, tokenizer = load_masked_lm(model_path("pocket-bert"))
    (batch,) = ready(tokenizer, requests_of(CONTEXTS))
    assert len(batch[0]) == 4 and batch[0].shape == batch[1].shape
    assert int(batch[1].sum()) == sum(
        len(tokenizer(sentence)["input_ids"]) for some in CONTEXTS.values() for sentence in some
    )


@pytest.mark.parametrize(
    ("word", "sentence", "start"),
    [("il", "IL-2", 0), ("il", "a mild il", 7), ("il", "mild", -1), ("il", "il2 x_il", 6)],
)
def test_the_place_of_a_word(word, sentence, start):
    assert place(word, sentence) == start


def test_the_estimate_counts_every_context():
    assert estimate({"seconds": 1.0, "contexts": 30_522 * 20}) == pytest.approx(1 / 60)
