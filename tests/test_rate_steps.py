"""The masking rate laid open: nested masks, neighbours in view, signal and noise of a gradient."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import chapter, looks, rate_steps  # noqa: E402
from bioptimus_lib.masking import IGNORED, Masking, PieceTable  # noqa: E402
from bioptimus_lib.packing import pack  # noqa: E402
from bioptimus_lib.pretrain import evaluate_mlm, masked_logits  # noqa: E402
from tests.conftest import TINY_TEXT  # noqa: E402


@pytest.fixture(scope="module")
def blocks(tiny) -> np.ndarray:
    return pack(TINY_TEXT * 30, tiny[1], length=32)


def rows(text: str) -> np.ndarray:
    return np.array([[c == "x" for c in text]])


VIEWS = {
    "alone": (".x.", (1.0, 0.0, 1.0)),
    "pair": (".xx.", (0.0, 0.0, 2.0)),
    "three": (".xxx.", (0.0, 1 / 3, 3.0)),
    "two apart": (".x.x.", (1.0, 0.0, 1.0)),
    "at the edges, which have one neighbour only": ("x.x.x", (1.0, 0.0, 1.0)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_what_stands_around_the_guesses(name):
    text, (both, neither, run) = VIEWS[name]
    found = rate_steps.in_view(rows(text), np.ones((1, len(text)), bool))
    assert found == pytest.approx({"both": both, "neither": neither, "run": run})


def test_special_pieces_are_no_neighbours():
    chosen, ordinary = rows(".x.x."), np.array([[False, True, True, True, True]])
    assert rate_steps.in_view(chosen, ordinary)["both"] == 1.0
    with pytest.raises(ValueError, match="no chosen piece"):
        rate_steps.in_view(rows(".x..."), ordinary)


def test_single_pieces_have_neighbours_as_the_formula_says():
    chosen = np.random.default_rng(0).random((400, 128)) < 0.3
    found = rate_steps.in_view(chosen, np.ones_like(chosen))
    assert found["both"] == pytest.approx(0.49, abs=0.02)
    assert found["neither"] == pytest.approx(0.09, abs=0.01)
    assert found["run"] == pytest.approx(1 / 0.7, abs=0.03)


@pytest.mark.parametrize("unit", ["token", "word"])
def test_a_higher_rate_hides_what_a_lower_one_hides(tiny, blocks, unit):
    pieces = PieceTable.of(tiny[1])
    chosen = [
        torch.cat([labels != IGNORED for _, labels in
                   rate_steps.drawn(blocks, Masking(unit, rate, False), pieces)])
        for rate in (0.15, 0.2, 0.4)
    ]  # fmt: skip
    for low, high in zip(chosen, chosen[1:], strict=False):
        assert (high | ~low).all() and high.sum() > low.sum()


def test_same_guesses_are_those_of_the_lowest_rate_in_order(tiny, blocks):
    found = {
        rate: looks.guesses(*tiny, blocks, Masking("word", rate, False)) for rate in (0.2, 0.4)
    }
    paired = rate_steps.same_guesses(found)
    assert np.array_equal(paired[0.2], found[0.2].loss)
    place = {(b, p): x for b, p, x in
             zip(found[0.4].block, found[0.4].place, found[0.4].loss, strict=True)}  # fmt: skip
    naive = [place[b, p] for b, p in zip(found[0.2].block, found[0.2].place, strict=True)]
    assert paired[0.4].tolist() == naive
    loss = evaluate_mlm(*tiny, blocks, masking=Masking("word", 0.2, False))["loss"]
    assert paired[0.2].mean() == pytest.approx(loss, rel=1e-5)


def test_no_guess_in_common_is_said(tiny, blocks):
    one = looks.guesses(*tiny, blocks[:2], Masking("word", 0.2, False))
    other = looks.Guesses(one.block + 9, *(getattr(one, n) for n in
                                           ("place", "answer", "shown", "best", "loss")))
    with pytest.raises(ValueError, match="share no guess"):
        rate_steps.same_guesses({0.2: one, 0.4: other})


def test_signal_is_what_pairs_of_gradients_say(tiny, blocks):
    model, tokenizer = tiny
    masking, pieces = Masking("word", 0.3, True), PieceTable.of(tokenizer)
    found = rate_steps.gradient_signal(
        *tiny, blocks[:12], masking, batch=4, seed=3, precision="fp32"
    )
    near = rate_steps.gradient_signal(*tiny, blocks[:12], masking, batch=4, seed=3)
    gradients, guesses = [], 0
    for inputs, labels in rate_steps.drawn(blocks[:12], masking, pieces, seed=3, batch=4):
        model.zero_grad()
        logits, target = masked_logits(model, inputs, labels)
        torch.nn.functional.cross_entropy(logits, target).backward()
        parts = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        gradients.append(torch.cat(parts).double())
        guesses += len(target)
    model.zero_grad(set_to_none=True)
    pairs = [float(a @ b) for n, a in enumerate(gradients) for b in gradients[n + 1 :]]
    square = np.mean([float(g @ g) for g in gradients])
    assert found["signal"] == pytest.approx(np.mean(pairs) / square, rel=1e-4)
    assert found["norm"] == pytest.approx(square**0.5, rel=1e-4)
    assert [near[k] for k in ("signal", "norm")] == [pytest.approx(found[k], rel=0.05)
                                                     for k in ("signal", "norm")]  # fmt: skip
    assert found["guesses"] == guesses / 3 and found["batches"] == 3
    assert all(p.grad is None for p in model.parameters())  # looking leaves nothing behind


def test_equal_batches_are_all_signal(tiny, blocks, monkeypatch):
    once = list(rate_steps.drawn(blocks[:4], Masking("word", 0.3, False), PieceTable.of(tiny[1])))
    monkeypatch.setattr(rate_steps, "drawn", lambda *_, **__: once * 3)
    found = rate_steps.gradient_signal(*tiny, blocks[:12], Masking(), batch=4)
    assert found["signal"] == pytest.approx(1.0)


def test_signal_needs_two_batches(tiny, blocks):
    with pytest.raises(ValueError, match="two batches"):
        rate_steps.gradient_signal(*tiny, blocks[:7], Masking(), batch=4)


def test_the_new_modules_are_leaves():
    assert {"rate_steps", "visible_steps", "plots_rates"} <= set(chapter.LEAVES)
