"""Batches: all is read once, none is larger than it should be, packed rows are exact."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib.batching import (
    BATCHINGS,
    batching_for,
    buckets,
    by_length,
    by_number,
    evenly,
    filled,
    packed,
    padded,
    places,
    pools,
)

LENGTHS = st.lists(st.integers(1, 40), max_size=80)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def real_looking(count: int = 4000) -> np.ndarray:
    """Lengths as skewed as those of sentences."""
    return np.clip(rng().lognormal(3.4, 0.5, count), 3, 200).astype(int)


# --- which sentences make a batch --------------------------------------------------------------


@given(LENGTHS, st.integers(1, 100), st.integers(0, 3))
@settings(max_examples=60)
def test_every_way_holds_everything_once(lengths, budget, seed):
    for name, way in BATCHINGS.items():
        found = way.draw(lengths, budget=budget, generator=rng(seed))
        assert sorted(int(i) for batch in found for i in batch) == list(range(len(lengths))), name
        assert all(len(batch) for batch in found), name
        again = way.draw(lengths, budget=budget, generator=rng(seed))
        assert [b.tolist() for b in found] == [b.tolist() for b in again], name
    found = by_length(lengths, budget=budget)
    assert sorted(int(i) for batch in found for i in batch) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 100))
@settings(max_examples=60)
def test_budgets_are_kept(lengths, budget):
    lengths = np.array(lengths, int)
    for some in (by_length(lengths, budget=budget),
                 pools(lengths, budget=budget, generator=rng(), pool=3)):  # fmt: skip
        for batch in some:
            assert len(batch) == 1 or len(batch) * max(lengths[batch]) <= budget
    found = evenly(lengths, budget=budget, generator=rng())
    if len(lengths) and max(lengths) <= budget:
        mean = lengths.sum() / -(-lengths.sum() // budget)
        assert all(abs(lengths[b].sum() - mean) <= max(lengths) for b in found)
        assert len(found) == -(-lengths.sum() // budget) or mean < max(lengths)


@pytest.mark.parametrize("name", BATCHINGS)
def test_no_sentence_gives_no_batch_and_no_budget_is_refused(name):
    assert BATCHINGS[name].draw([], budget=5, generator=rng()) == []
    with pytest.raises(ValueError, match="a budget of 0"):
        BATCHINGS[name].draw([3], budget=0, generator=rng())


def test_ways_make_equally_many_steps_and_weigh_tokens_as_they_say():
    lengths = real_looking()
    pieces = {
        name: np.array([lengths[b].sum() for b in way.draw(lengths, budget=1024, generator=rng())])
        for name, way in BATCHINGS.items()
    }
    steps = {name: len(some) for name, some in pieces.items()}
    assert max(steps.values()) < 1.2 * min(steps.values())
    assert steps["padded"] == steps["packed"] == pytest.approx(steps["random"], rel=0.02)
    spread = {name: some.std() / some.mean() for name, some in pieces.items()}
    assert spread["packed"] < 0.03 < 0.06 < spread["random"] < 0.3 < spread["buckets"]
    assert pieces["packed"].min() > 900, "nothing is left over for a small batch at the end"


def test_random_batches_mix_lengths_and_buckets_do_not():
    lengths = real_looking()

    def unlike(way) -> float:
        """How far the mean lengths of batches differ, beside those of the whole."""
        found = way(lengths, budget=1024, generator=rng(1))
        return float(np.std([lengths[b].mean() for b in found]) / lengths.std())

    assert unlike(evenly) < 0.35 and unlike(by_number) < 0.35 < 0.9 < unlike(buckets)
    assert 0.5 < unlike(pools)


def test_the_order_of_batches_tells_nothing_of_their_lengths():
    lengths = real_looking()
    for name, way in BATCHINGS.items():
        means = [lengths[b].mean() for b in way.draw(lengths, budget=1024, generator=rng(2))]
        half = len(means) // 2
        assert np.mean(means[:half]) == pytest.approx(np.mean(means[half:]), rel=0.25), name


# --- how a batch lies in rows ------------------------------------------------------------------


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60))
@settings(max_examples=200)
def test_layouts_give_each_piece_a_place_of_its_own(lengths):
    for lay in (padded, packed):
        layout = lay(lengths)
        at, inside = places(lengths, layout)
        assert len(set(at.tolist())) == sum(lengths) and max(at) < np.prod(layout.shape)
        assert inside.tolist() == [i for n in lengths for i in range(n)]
        rows = at // layout.shape[1]
        assert rows.tolist() == [r for r, n in zip(layout.row, lengths, strict=True)
                                 for _ in range(n)]  # fmt: skip
    # A row may be longer than the longest sentence, and not much: attention costs by its square.
    rows, width = packed(lengths).shape
    assert max(lengths) <= width < 3 * max(lengths)
    assert padded(lengths).shape == (len(lengths), max(lengths))


def test_packed_rows_hold_little_padding():
    lengths, computed = real_looking(), {padded: 0, packed: 0}
    for batch in evenly(lengths, budget=1024, generator=rng()):
        for lay in computed:
            computed[lay] += np.prod(lay(lengths[batch]).shape)
    assert computed[packed] < 1.08 * lengths.sum() < 1.7 * lengths.sum() < computed[padded]


def test_filled_by_hand():
    rows = [np.array([1, 2, 3]), np.array([4]), np.array([5, 6])]
    assert filled(rows, padded([3, 1, 2]), 0).tolist() == [[1, 2, 3], [4, 0, 0], [5, 6, 0]]
    assert filled(rows, packed([3, 1, 2]), 0).tolist() == [[1, 2, 3], [5, 6, 4]]
    assert not padded([3, 1]).packed and not packed([3]).packed and packed([3, 3, 1]).packed


# --- models ------------------------------------------------------------------------------------


def classifier(kind: str, tokenizer):
    """A tiny random token classifier of an architecture."""
    import torch
    import transformers

    sizes = {
        "Bert": {}, "Electra": {"embedding_size": 16},
        "Roberta": {"type_vocab_size": 1, "pad_token_id": tokenizer.pad_token_id},
        "MobileBert": {"embedding_size": 32, "intra_bottleneck_size": 32},
    }[kind]  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, initializer_range=0.3, num_labels=3,
        **sizes,
    )  # fmt: skip
    torch.manual_seed(0)
    return getattr(transformers, f"{kind}ForTokenClassification")(config).eval()


def sentences(tokenizer, count: int = 12) -> list[np.ndarray]:
    draw = rng(3)
    return [
        np.array([tokenizer.cls_token_id, *draw.integers(5, len(tokenizer), draw.integers(1, 30)),
                  tokenizer.sep_token_id])
        for _ in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["Bert", "Electra"])
def test_packed_sentences_get_the_answers_of_single_ones(tiny, kind, attention):
    import torch

    from bioptimus_lib.batching import model_inputs, reads_packed

    tokenizer = tiny[1]
    model = classifier(kind, tokenizer)
    model.set_attn_implementation(attention)
    some = sentences(tokenizer)
    lengths = [len(one) for one in some]
    layout = packed(lengths)
    assert layout.shape[0] < len(some) / 1.5
    with torch.inference_mode():
        rows = model(**model_inputs(some, layout, model, tokenizer)).logits.flatten(0, 1)
        together = rows[torch.from_numpy(places(lengths, layout)[0])]
        alone = torch.cat([model(input_ids=torch.from_numpy(one)[None]).logits[0] for one in some])
        # The same without positions of their own, or without the mask, is something else.
        given = model_inputs(some, layout, model, tokenizer)
        for left_out in ("position_ids", "attention_mask"):
            less = {name: value for name, value in given.items() if name != left_out}
            other = model(**less).logits.flatten(0, 1)[torch.from_numpy(places(lengths, layout)[0])]
            assert (other - alone).abs().max() > 1e-2, left_out
    assert (together - alone).abs().max() < 1e-5 < 1e-2 < alone.std()
    assert reads_packed(model, tokenizer)


def test_a_gradient_is_the_same_however_a_batch_lies(tiny):
    import torch

    from bioptimus_lib.ner import batch_loss
    from bioptimus_lib.tagger import NerSettings, Tagger

    tokenizer = tiny[1]
    model = classifier("Bert", tokenizer)  # in evaluation: dropout would draw for each layout anew
    model.set_attn_implementation("eager")
    tagger = Tagger(model, tokenizer, ("O", "B-X", "I-X"), NerSettings(precision="fp32"))
    some = sentences(tokenizer)
    labels = [np.where(rng(4).random(len(one)) < 0.5, one % 3, -100) for one in some]
    found = []
    for lay in (padded, packed):
        loss = batch_loss(tagger, some, labels, lay([len(one) for one in some]))
        found.append((loss, *torch.autograd.grad(loss, list(model.parameters()))))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    # and the loss is the mean over labelled tokens, one sentence at a time
    pairs = [(s, t) for s, t in zip(some, labels, strict=True) if (t >= 0).any()]
    each = [batch_loss(tagger, [s], [t], padded([len(s)])) for s, t in pairs]
    tokens = torch.tensor([float((t >= 0).sum()) for _, t in pairs])
    expected = (torch.stack(each) * tokens).sum() / tokens.sum()
    torch.testing.assert_close(found[0][0], expected, rtol=1e-5, atol=1e-6)


def test_a_training_is_the_same_however_its_batches_lie(tiny):
    from test_ner import toy

    from bioptimus_lib.ner import fine_tune
    from bioptimus_lib.tagger import NerSettings

    splits = {split: toy(60, seed) for seed, split in enumerate(("train", "devel", "test"))}
    in_rows, alone, others = (
        fine_tune(tiny, splits, settings=NerSettings(
            epochs=2, batch_tokens=96, dropout=0.0, precision="fp32", batching=name
        ), device="cpu")
        for name in ("packed", "padded", "random")
    )  # fmt: skip
    for one, other, third in zip(in_rows.devel, alone.devel, others.devel, strict=True):
        assert one["steps"] == other["steps"] > 5
        assert abs(one["loss"] - other["loss"]) < 1e-5 < 1e-4 < abs(one["loss"] - third["loss"])
    for name, weight in in_rows.tagger.model.named_parameters():
        if not name.endswith("key.bias"):  # has no gradient but for rounding, which Adam blows up
            off = (weight - alone.tagger.model.get_parameter(name)).abs().max()
            assert off < 1e-4, name


@pytest.mark.parametrize("kind", ["Roberta", "MobileBert"])
def test_models_that_cannot_read_packed_rows_get_padded_ones(tiny, kind, caplog):
    tokenizer = tiny[1]
    model = classifier(kind, tokenizer).train()
    before = copy.deepcopy(model.state_dict())
    with caplog.at_level("INFO"):
        assert batching_for("packed", model, tokenizer) is BATCHINGS["padded"]
    assert "cannot read packed rows" in caplog.text
    assert model.training and all((before[k] == v).all() for k, v in model.state_dict().items())
    assert batching_for("pools", model, tokenizer) is BATCHINGS["pools"]


def test_a_model_that_takes_no_positions_gets_padded_rows(tiny, monkeypatch):
    tokenizer = tiny[1]
    model = classifier("Bert", tokenizer)
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda input_ids, attention_mask: forward(input_ids, attention_mask)
    )
    assert batching_for("packed", model, tokenizer) is BATCHINGS["padded"]


def test_unknown_ways_are_refused(tiny):
    with pytest.raises(ValueError, match="batching 'magic' is unknown: choose one of packed"):
        batching_for("magic", *tiny)
