"""The parts of the distillation laid open agree with the library, and with plain loops."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import distill_steps as steps  # noqa: E402
from bioptimus_lib.calibration import token_recovery  # noqa: E402
from bioptimus_lib.crops import Request, Span  # noqa: E402
from bioptimus_lib.cutting import Cutter  # noqa: E402
from bioptimus_lib.distill import STRATEGIES, distill  # noqa: E402
from bioptimus_lib.masking import Masking  # noqa: E402
from bioptimus_lib.occurrences import read_states  # noqa: E402
from bioptimus_lib.pocket import lexicon  # noqa: E402
from bioptimus_lib.strategies import Known  # noqa: E402
from bioptimus_lib.vocab import plan_vocabulary, train_wordpiece  # noqa: E402
from bioptimus_lib.wanted import known_tokens, new_tokens  # noqa: E402

TEXT = [
    "salbutamol relieves asthma in most patients .",
    "asthma and fever were treated with salbutamol .",
    "fever fell in patients with asthma after salbutamol .",
    "aspirin relieves fever and pain in patients .",
]
WORDS = ("salbutamol", "asthma", "fever", "patients", "aspirin", "relieves")


@pytest.fixture(scope="module")
def house(tiny):
    """(model, old tokenizer, plan, contexts) with a vocabulary of these sentences."""
    model, old = tiny
    new = train_wordpiece(TEXT * 4, size=90, like=old)
    counts = {word: sum(line.split().count(word) for line in TEXT) * 9
              for line in TEXT for word in line.split()}  # fmt: skip
    plan = plan_vocabulary(old, new, counts)
    contexts = {w: [line for line in TEXT if w in line.split()] for w in counts}
    return model, old, plan, contexts


@pytest.fixture(scope="module")
def known(house):
    model, old, _, contexts = house
    asked = known_tokens(old, Cutter(old), contexts, limit=50)
    found = steps.evidence_of(model, old, asked, layers=[1, 2], precision="fp32")
    return Known(found, torch.tensor(asked.ids))[found.count > 0]


def rows(*values):
    return torch.tensor(values, dtype=torch.float32)


# -- reading -------------------------------------------------------------------------------------


def test_each_context_is_read_as_the_library_reads_one_at_a_time(house):
    model, old, *_ = house
    contexts = {"salbutamol": TEXT[:3], "fever": TEXT[1:]}
    single = steps.each_context(model, old, contexts, layer=1, precision="fp32")
    assert single.shape == (2, 3, 32)
    for n, (word, lines) in enumerate(contexts.items()):
        for c, line in enumerate(lines):
            request = {line: [Request(word, (Span(0, 0, len(word)),))]}
            alone = read_states(model, old, request, slots=1, layers=[1]).mean[0, 0]
            assert torch.allclose(single[n, c], alone, atol=1e-5)


def test_known_words_are_read_in_pieces(house):
    model, old, *_ = house
    contexts = {"aspirin": [TEXT[3]]}
    assert old.tokenize("aspirin") == ["aspirin"]
    apart, whole = (
        steps.each_context(model, old, contexts, layer=2, known=k, precision="fp32")
        for k in (True, False)
    )
    assert not torch.allclose(apart, whole, atol=1e-3)


@pytest.mark.parametrize(
    "contexts, message",
    [
        ({"fever": TEXT[1:3], "asthma": TEXT[:1]}, "the same number"),
        ({"fever": [TEXT[0]]}, "'fever' does not hold it"),
        ({"fever": [TEXT[1], TEXT[1]]}, "given twice"),
    ],
)
def test_contexts_that_cannot_be_told_apart_are_refused(house, contexts, message):
    model, old, *_ = house
    with pytest.raises(ValueError, match=message):
        steps.each_context(model, old, contexts, layer=1)


def test_noise_finds_the_variances_that_were_put_in():
    draw = torch.Generator().manual_seed(0)
    own = torch.randn(400, 1, 30, generator=draw) * 2
    between, within = steps.noise(own + torch.randn(400, 8, 30, generator=draw) * 3)
    assert between == pytest.approx(4, rel=0.05) and within == pytest.approx(9, rel=0.05)


# -- measures ------------------------------------------------------------------------------------


def test_recoveries_are_of_words_that_were_not_fitted_on(known, house):
    table = house[0].get_input_embeddings().weight.detach()
    at = known.at([1])
    found = steps.recoveries(STRATEGIES["contextual"], at, table, splits=3)
    assert len(found) == 3 and all(0 < one["mrr"] <= 1 for one in found)
    order = torch.randperm(len(at.ids), generator=torch.Generator().manual_seed(0))
    test = at[order[: round(0.3 * len(order))]]
    test = test[~test.evidence.inside]
    assert found[0] == token_recovery(test.evidence.states[:, 0], test.ids, table)


def test_what_all_share_does_not_matter_once_it_is_taken_off(known, house):
    table = house[0].get_input_embeddings().weight.detach()
    at = known.at([1])
    moved = Known(
        type(at.evidence)(at.evidence.pieces, at.evidence.states + 50, at.evidence.count,
                          at.evidence.inside, at.evidence.layers), at.ids,
    )  # fmt: skip
    recipe = STRATEGIES["contextual"]
    first, second = (steps.recoveries(recipe, k, table, centred=True)[0] for k in (at, moved))
    assert first["mrr"] == pytest.approx(second["mrr"], abs=1e-3)
    assert steps.recoveries(recipe, moved, table)[0]["cos"] != pytest.approx(first["cos"], abs=0.01)


def test_alike_is_the_mean_over_all_pairs():
    some = torch.randn(7, 5, generator=torch.Generator().manual_seed(1)) + 0.5
    pairs = [
        torch.nn.functional.cosine_similarity(some[i], some[j], dim=0).item()
        for i in range(7) for j in range(7) if i != j
    ]  # fmt: skip
    assert steps.alike(some) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_principal_plane_keeps_distances_of_points_that_lie_in_one():
    flat = torch.randn(9, 2, generator=torch.Generator().manual_seed(2)) * rows(5, 1)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(3)))[0]
    points, share = steps.principal(flat @ turn[:2] + 7)
    assert share == pytest.approx(1)
    assert torch.allclose(torch.cdist(points.float(), points.float()), torch.cdist(flat, flat),
                          atol=1e-4)  # fmt: skip
    assert (points.gather(0, points.abs().argmax(0, keepdim=True)) > 0).all()


def test_purity_of_random_rows_is_near_chance_and_of_classes_is_one():
    kinds = ["drug"] * 300 + ["gene"] * 100
    noise = torch.randn(400, 20, generator=torch.Generator().manual_seed(4))
    chance = steps.chance_purity(kinds)
    assert chance == pytest.approx(0.75**2 + 0.25**2, abs=0.002)
    assert steps.purity(noise, kinds) == pytest.approx(chance, abs=0.03)
    noise[:300, 0] += 100
    assert steps.purity(noise, kinds) == 1


def test_classes_are_of_one_lexicon_only():
    found = steps.semantic_classes(["asthma", "brca1", "house"], ("disease", "gene"))
    assert found == {"asthma": "disease", "brca1": "gene"}
    shared = set(lexicon("disease")) & set(lexicon("symptom"))
    both = next(iter(sorted(shared)), "none")
    assert both not in steps.semantic_classes([both], ("disease", "symptom"))


# -- rows in the model ---------------------------------------------------------------------------


def test_rows_made_apart_are_the_rows_of_the_library(house):
    model, old, plan, contexts = house
    wanted = new_tokens(plan, Cutter(plan.new_tokenizer()), Cutter(old), contexts)
    fresh = steps.evidence_of(model, old, wanted, layers=[1], precision="fp32")
    found = fresh.count > 0
    made = fresh.pieces.clone()
    made[found] = fresh.states[found, 0]
    start = distill(model, old, plan, contexts, strategy="subtoken_mean")
    steps.put_rows(start.model, plan, made)
    whole = distill(
        model, old, plan, contexts, strategy="contextual", layer=1, precision="fp32"
    ).model
    ours = start.model.get_input_embeddings().weight
    assert torch.allclose(ours, whole.get_input_embeddings().weight, atol=1e-5)
    assert start.model.get_output_embeddings().weight is ours


def test_shift_gives_new_tokens_their_share(house):
    model, old, plan, contexts = house
    start = distill(model, old, plan, contexts, strategy="random")
    new = plan.new_tokenizer()
    blocks = np.array([new(" ".join(TEXT))["input_ids"][:40]] * 6)
    masking = Masking("word", 0.3, corruption=False)
    asked = (start.model, new, blocks, plan, masking)
    bias, ids = start.model.get_output_embeddings().bias, torch.tensor(plan.new)
    for wrong in (8.0, -8.0):
        with torch.no_grad():
            bias[ids] += wrong
        given, due = steps.chance_of_new(*asked)
        assert abs(given - due) > 0.1
        shift = steps.shift_of_new(*asked)
        assert (shift > 0) == (wrong < 0)
        with torch.no_grad():
            bias[ids] += shift
        assert steps.chance_of_new(*asked)[0] == pytest.approx(due, abs=0.01)


def test_rows_that_the_gradient_made_imitate_better(house):
    from bioptimus_lib.token_distillation import TokenDistillation, distil_rows

    model, old, _, contexts = house
    few = known_tokens(old, Cutter(old), {w: contexts[w] for w in WORDS}, limit=9)
    table = model.get_input_embeddings().weight.detach()
    start = torch.zeros(len(few.ids), table.shape[1])
    before = steps.imitation_error(model, old, few, start)
    settings = TokenDistillation(passes=30, learning_rate=0.3)
    trained = distil_rows(model, old, few, start, settings=settings)[0]
    assert steps.imitation_error(model, old, few, trained) < before
    assert torch.equal(start, torch.zeros_like(start))
