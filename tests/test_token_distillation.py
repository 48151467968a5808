"""Token distillation: it learns what it is asked to, changes nothing else, and repeats itself."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib.cutting import Cutter  # noqa: E402
from bioptimus_lib.distill import distill  # noqa: E402
from bioptimus_lib.early_exit import only_layers, recorded  # noqa: E402
from bioptimus_lib.token_distillation import (  # noqa: E402
    TokenDistillation,
    _loss,
    distil_rows,
    pairs,
)
from bioptimus_lib.vocab import SPECIAL_PIECES, bert_tokenizer, plan_vocabulary  # noqa: E402
from bioptimus_lib.wanted import known_tokens, new_tokens  # noqa: E402

LETTERS = [*"abcdefghijklmnopqrstuvwxyz.", *("##" + c for c in "abcdefghijklmnopqrstuvwxyz")]
OLD = [*SPECIAL_PIECES, *LETTERS, "the", "of", "neph", "gastr", "##itis", "##ec", "##tomy",
       "kidney"]
NEW = [*SPECIAL_PIECES, *LETTERS, "the", "of", "nephritis", "gastr", "##ectomy"]
CONTEXTS = {
    "nephritis": ["The nephritis of the kidney.", "of nephritis the"],
    "gastrectomy": ["gastrectomy of the kidney", "The gastrectomy."],
}


@pytest.fixture(scope="module")
def house(one_thread):
    """(model, old tokenizer, plan, wanted), random from a fixed seed."""
    from transformers import BertConfig, BertForMaskedLM

    old, new = (bert_tokenizer(pieces, max_length=32) for pieces in (OLD, NEW))
    torch.manual_seed(1)
    model = BertForMaskedLM(BertConfig(
        vocab_size=len(old), hidden_size=32, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=32,
    ))  # fmt: skip
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(20)
    plan = plan_vocabulary(old, new, {"nephritis": 9, "gastrectomy": 5, "the": 3})
    wanted = new_tokens(plan, Cutter(plan.new_tokenizer()), Cutter(old), CONTEXTS)
    yield model.eval(), old, plan, wanted


def test_teacher_and_student_read_one_sentence(house):
    _, old, plan, wanted = house
    (pair,) = pairs(old, Cutter(old), "The gastrectomy.", wanted, 30)
    ids = old.convert_tokens_to_ids
    slot = wanted.ids.index(plan.new_pieces.index("##ectomy"))
    assert pair.ids == ids(["[CLS]", "the", "gastr", "##ec", "##tomy", ".", "[SEP]"])
    assert pair.student == [*ids(["[CLS]", "the", "gastr"]), -1 - slot, *ids([".", "[SEP]"])]
    assert pair.positions == [0, 1, 2, 3, 5, 6]  # the rest stays where it was
    assert pair.same == [(0, 0), (1, 1), (5, 4), (6, 5)]
    assert pair.words == [(2, 5, 2, 4)]


def test_training_lowers_the_loss_and_touches_only_rows_with_contexts(house):
    model, old, _, wanted = house
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = torch.zeros(len(wanted.ids), 32)
    settings = TokenDistillation(passes=60, learning_rate=0.1)
    made, trained, report = distil_rows(model, old, wanted, rows, settings=settings)
    assert report["losses"][-1] < 0.5 * report["losses"][0]
    assert trained.sum() == len(CONTEXTS)
    assert made[trained].abs().sum(1).min() > 0 and torch.equal(made[~trained], rows[~trained])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(weight.requires_grad for weight in model.parameters())
    assert len(model.bert.encoder.layer) == 3


def test_a_row_that_is_right_already_stays(house):
    """A known token whose pieces are the token itself: teacher and student are the same."""
    model, old, _, wanted = house
    kept = known_tokens(old, Cutter(old), {"kidney": ["the kidney of"]}, limit=5)
    kept.requests = {
        sentence: [request._replace(off=None) for request in some]
        for sentence, some in kept.requests.items()
    }
    kept.as_new = {(word, None): tokens for (word, _), tokens in kept.as_new.items()}
    rows = model.get_input_embeddings().weight.detach()[kept.ids]
    made, _, report = distil_rows(model, old, kept, rows)
    assert max(report["losses"]) < 1e-9
    assert torch.allclose(made, rows, atol=1e-3)


def test_same_seed_same_bits_and_another_seed_another_order(house):
    model, old, _, wanted = house
    rows = torch.zeros(len(wanted.ids), 32)
    first, again, other = (
        distil_rows(model, old, wanted, rows, seed=seed, batch_tokens=16)[0] for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_part_of_the_wanted_is_what_it_was(house):
    _, old, plan, wanted = house
    slot = wanted.ids.index(plan.new_pieces.index("##ectomy"))
    part = wanted.only([slot])
    assert part.ids == [wanted.ids[slot]] and part.pieces == [wanted.pieces[slot]]
    assert set(part.requests) == set(CONTEXTS["gastrectomy"])
    assert part.as_new == {("gastrectomy", None): (*old.convert_tokens_to_ids(["gastr"]), -1)}


def test_fallbacks_are_the_tokens_that_were_not_trained(house):
    model, old, plan, _ = house
    done = distill(model, old, plan, {"nephritis": CONTEXTS["nephritis"]},
                   strategy="token_distillation", precision="fp32")  # fmt: skip
    assert done.report["fallbacks"] == len(plan.new) - 1
    assert done.report["with_contexts"] == 1
    with pytest.raises(ValueError, match="scan for plan.keywords"):
        distill(model, old, plan, {}, strategy="token_distillation")


@pytest.mark.parametrize(
    "settings", [{"passes": 0}, {"learning_rate": 0.0}, {"own": -1.0}, {"layer": 4}]
)
def test_impossible_settings_are_refused(house, settings):
    model, old, _, wanted = house
    with pytest.raises(ValueError, match=next(iter(settings))):
        distil_rows(model, old, wanted, torch.zeros(len(wanted.ids), 32),
                    settings=TokenDistillation(**settings))  # fmt: skip


def test_a_shortened_pass_leaves_hidden_states_as_they_are(house):
    """Transformers marks layers for recording at the first use: a short one must not be that."""
    import copy

    model, *_ = house
    fresh, used = copy.deepcopy(model), copy.deepcopy(model)
    ids = torch.arange(5, 12)[None]
    with torch.no_grad():
        with only_layers(used, 1), recorded(used) as short:
            used.base_model(input_ids=ids)
        want, found = (m(input_ids=ids, output_hidden_states=True).hidden_states
                       for m in (fresh, used))  # fmt: skip
    assert len(short) == 2 and len(found) == len(want) == 4
    for a, b in zip(want, found, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(short[1], want[1])


def test_rows_that_a_batch_does_not_hold_get_no_gradient(house):
    """Not even one of zeros: with it the momentum of earlier batches would move them."""
    model, old, plan, wanted = house
    slot = wanted.ids.index(plan.new_pieces.index("##ectomy"))
    assert slot != 0
    batch = list(pairs(old, Cutter(old), "The gastrectomy.", wanted, 30))
    table = model.get_input_embeddings().weight.detach()
    free = torch.zeros(len(wanted.ids), 32, requires_grad=True)
    _loss(model, old, batch, table, free, 1.0).backward()
    assert free.grad.coalesce().indices().tolist() == [[slot]]


def test_a_word_of_which_a_part_is_wanted_is_left_as_it_is(house):
    """Two new tokens in a word, one of them wanted: the student cannot read the word anew."""
    model, old, _, _ = house
    new = bert_tokenizer([*SPECIAL_PIECES, *LETTERS, "cardi", "##ectomy"], max_length=32)
    plan = plan_vocabulary(old, new, {"cardiectomy": 9, "gastrectomy": 5})
    contexts = {"cardiectomy": ["the cardiectomy"], "gastrectomy": ["the gastrectomy"]}
    wanted = new_tokens(plan, Cutter(plan.new_tokenizer()), Cutter(old), contexts)
    slot = wanted.ids.index(plan.new_pieces.index("##ectomy"))
    part = wanted.only([slot])
    assert set(part.requests) == {"the cardiectomy", "the gastrectomy"}
    assert not list(pairs(old, Cutter(old), "the cardiectomy", part, 30))
    _, trained, report = distil_rows(model, old, part, torch.zeros(1, 32),
                                     settings=TokenDistillation(passes=2))  # fmt: skip
    assert trained.all() and report["batches"] == 2


def test_a_model_comes_home_whatever_happens(house, monkeypatch):
    from bioptimus_lib import models

    model, old, _, wanted = house
    went = []
    monkeypatch.setattr(models, "moved", lambda _, device: went.append(str(device)))
    settings = TokenDistillation(passes=9, learning_rate=1e30)
    with pytest.raises(FloatingPointError):
        distil_rows(model, old, wanted, torch.zeros(len(wanted.ids), 32), settings=settings)
    assert went == ["cpu", "cpu"]
