"""Products by oneDNN: the same numbers, and nothing of it stays behind."""

from __future__ import annotations

import copy
import os

import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import onednn  # noqa: E402

SENTENCES = ["aspirin relieves pain .", "placebo had no effect on fever in all patients ."]


@pytest.fixture
def used(tiny):
    """A copy of the tiny model, and a function that gives its states."""
    model = copy.deepcopy(tiny[0]).eval()
    batch = tiny[1](SENTENCES, padding=True, return_tensors="pt")

    def states():
        with torch.inference_mode():
            return model.base_model(**batch).last_hidden_state

    return model, states


def calls(monkeypatch):
    """Count what oneDNN is asked for."""
    found, linear = [], onednn.product()
    if linear is None:
        pytest.skip("this PyTorch comes without oneDNN")
    monkeypatch.setattr(onednn, "product", lambda: lambda *a: found.append(a) or linear(*a))
    return found


def test_the_same_states_and_then_as_before(used, monkeypatch):
    model, states = used
    asked, expected = calls(monkeypatch), states()
    with onednn.by_onednn(model):
        found = states()
    assert len(asked) == 12, "six products in each of two layers"
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(states(), expected) and len(asked) == 12
    assert not any("forward" in vars(module) for module in model.modules())


def test_the_layers_are_as_before_when_the_work_fails(used):
    model, states = used
    expected = states()
    with pytest.raises(RuntimeError, match="full"), onednn.by_onednn(model):
        raise RuntimeError("full")
    assert torch.equal(states(), expected)
    assert not any("forward" in vars(module) for module in model.modules())


def test_other_numbers_stay_with_torch(used, monkeypatch):
    model, states = used
    asked = calls(monkeypatch)
    model.double()
    expected = states()
    with onednn.by_onednn(model):
        assert torch.equal(states(), expected)
    assert not asked


def test_without_onednn_everything_is_as_usual(used, monkeypatch):
    model, states = used
    expected = states()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert onednn.product() is None
    with onednn.by_onednn(model):
        assert torch.equal(states(), expected)


def test_what_is_remembered_is_what_the_user_says_or_64(monkeypatch):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, "7")
    onednn.remember_less()
    assert os.environ[name] == "7"
    monkeypatch.delenv(name)
    onednn.remember_less()
    assert os.environ[name] == "64"


@pytest.mark.parametrize("precision, products", [("fp32", True), ("bf16", False)])
def test_a_tagger_in_32_bits_computes_by_it(tiny, monkeypatch, precision, products):
    from bioptimus_lib.conll import Sentence
    from bioptimus_lib.tagger import NerSettings, Tagger, classifier_on

    labels = ("O", "B-Drug", "I-Drug")
    model, tokenizer = classifier_on(tiny, labels, seed=0)
    tagger = Tagger(model, tokenizer, labels, NerSettings(precision=precision))
    words = [tuple(text.split()) for text in SENTENCES]
    encoding = tagger.encode([Sentence(some, ("O",) * len(some)) for some in words])
    monkeypatch.setattr(onednn, "product", lambda: None)
    expected = tagger.scores(encoding)
    monkeypatch.undo()
    asked = calls(monkeypatch)
    for rows, others in zip(tagger.scores(encoding), expected, strict=True):
        torch.testing.assert_close(rows, others, rtol=1e-4, atol=1e-5)
    assert bool(asked) == products
