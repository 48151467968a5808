"""A pass that stops early gives the states of a whole one."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib.crops import Request, Span  # noqa: E402
from bioptimus_lib.early_exit import layer_at, only_layers, padded, recorded  # noqa: E402
from bioptimus_lib.occurrences import read_states  # noqa: E402

SENTENCES = ["aspirin relieves pain .", "placebo had no effect on fever in all patients ."]


@pytest.fixture
def whole(tiny):
    """The tiny model, a batch with padding, and the states of all layers."""
    model, tokenizer = tiny
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.inference_mode(), only_layers(model, 2), recorded(model) as states:
        model.base_model(**batch)
    return model, batch, states


def test_a_layer_at_some_places_is_the_whole_layer_there(whole):
    model, batch, states = whole
    attention, rows = batch["attention_mask"], torch.arange(2)[:, None]
    for places in ([[1], [3]], [[2, 0, 1], [9, 0, 9]]):
        places = torch.tensor(places)
        for depth in (1, 2):
            layer = model.base_model.encoder.layer[depth - 1].eval()
            with torch.inference_mode():
                found = layer_at(layer, states[depth - 1], attention, places)
            torch.testing.assert_close(found, states[depth][rows, places])


@pytest.mark.parametrize("layers", [[0], [1], [2], [2, 0], [0, 1, 2]])
def test_every_choice_of_layers_reads_the_states_of_the_whole_model(whole, tiny, layers):
    _, batch, states = whole
    requests = {  # two words of one sentence, and a span that both share with a third slot
        SENTENCES[0]: [Request("pain", (Span(0, 0, 4),))],
        SENTENCES[1]: [Request("fever", (Span(1, 0, 5), Span(2, 0, 2))),
                       Request("placebo", (Span(0, 0, 7),))],
    }  # fmt: skip
    found = read_states(*tiny, requests, slots=3, layers=layers)
    words = {(row, word): [i for i, at in enumerate(batch.word_ids(row)) if at == word]
             for row, word in ((0, 2), (1, 5), (1, 0))}  # fmt: skip
    for n, layer in enumerate(layers):
        mean = {at: states[layer][at[0], places].mean(0) for at, places in words.items()}
        torch.testing.assert_close(found.mean[0, n], (mean[0, 2] + mean[1, 0]) / 2)
        torch.testing.assert_close(found.mean[1, n], mean[1, 5])
    assert found.count.tolist() == [2, 1, 1] and found.tally["tokens"] == batch.attention_mask.sum()


def test_dropout_of_a_model_in_training_is_off_and_on_again(tiny):
    model = copy.deepcopy(tiny[0]).train()
    requests = {SENTENCES[0]: [Request("pain", (Span(0, 0, 4),))]}
    first, again = (
        read_states(model, tiny[1], requests, slots=1, layers=[2]).mean for _ in range(2)
    )
    assert torch.equal(first, again)
    assert all(module.training for module in model.modules())


def test_rows_are_padded_to_the_longest():
    ids, attention = padded([[5, 6, 7], [8]], 0)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]] and attention.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert ids.dtype == attention.dtype == torch.int64
