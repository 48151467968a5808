"""The terms of distillation against plain loops, and what is true of them whatever the numbers."""

from __future__ import annotations

import math
import warnings

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from bioptimus_lib.distil_loss import View, values  # noqa: E402
from bioptimus_lib.distil_terms import (  # noqa: E402
    attention_kl,
    attention_mse,
    hidden_cosine,
    hidden_mse,
    masked_lm,
    soft_cross_entropy,
    soft_targets,
)
from bioptimus_lib.objectives import KINDS, OBJECTIVES, Objective, Term  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = {"seed": st.integers(0, 10**6), "scale": st.floats(0.1, 5)}
few = settings(max_examples=20)


def draw(seed, *shape, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def softmax(row: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


# -- the same in loops: slow, and plain to see -----------------------------------------------------


def slow_soft_targets(student, teacher, temperature):
    value = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        q, p = softmax(ours, temperature), softmax(theirs, temperature)
        value += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return temperature**2 * value / len(student)


def slow_soft_cross_entropy(student, teacher, temperature):
    value = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        q, p = softmax(ours, temperature), softmax(theirs, temperature)
        value -= sum(a * math.log(b) for a, b in zip(p, q, strict=True))
    return value / len(student)


def slow_masked_lm(student, target):
    rows = zip(student.tolist(), target.tolist(), strict=True)
    return sum(-math.log(softmax(row)[piece]) for row, piece in rows) / len(target)


def vectors(states):
    return [vector for row in states.tolist() for vector in row]


def slow_cosine(student, teacher):
    found = []
    for a, b in zip(vectors(student), vectors(teacher), strict=True):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        found.append(1 - dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)))
    return sum(found) / len(found)


def slow_mse(student, teacher):
    pairs = list(zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True))
    return sum((a - b) ** 2 for a, b in pairs) / len(pairs)


def slow_attention_kl(student, teacher):
    rows = list(zip(student.flatten(0, 2).tolist(), teacher.flatten(0, 2).tolist(), strict=True))
    value = 0.0
    for ours, theirs in rows:
        value += sum(p * math.log(p / q) for p, q in zip(theirs, ours, strict=True) if p > 0)
    return value / len(rows)


def close(fast, slow) -> bool:
    return fast.item() == pytest.approx(slow, rel=1e-6, abs=1e-12)


@few
@given(temperature=st.floats(0.5, 8), **SIZES)
def test_logits(seed, scale, temperature):
    student, teacher = draw(seed, 4, 7, scale=scale), draw(seed + 1, 4, 7, scale=scale)
    target = torch.randint(7, (4,), generator=torch.Generator().manual_seed(seed))
    slow = slow_soft_targets(student, teacher, temperature)
    assert close(soft_targets(student, teacher, temperature=temperature), slow)
    plain = soft_targets(student, teacher, temperature=temperature, squared=False)
    assert close(plain, slow / temperature**2)
    slow = slow_soft_cross_entropy(student, teacher, temperature)
    assert close(soft_cross_entropy(student, teacher, temperature=temperature), slow)
    assert close(masked_lm(student, target), slow_masked_lm(student, target))


@few
@given(**SIZES)
def test_states_and_maps(seed, scale):
    student, teacher = draw(seed, 2, 3, 5, scale=scale), draw(seed + 1, 2, 3, 5, scale=scale)
    assert close(hidden_cosine(student, teacher), slow_cosine(student, teacher))
    assert close(hidden_mse(student, teacher), slow_mse(student, teacher))
    ours, theirs = (draw(seed + n, 2, 2, 4, 4, scale=scale).softmax(-1) for n in (2, 3))
    assert close(attention_kl(ours, theirs), slow_attention_kl(ours, theirs))
    assert close(attention_mse(ours, theirs), slow_mse(ours, theirs))


# -- what is true of them --------------------------------------------------------------------------


def test_the_trap_of_the_attention_term_divides_by_the_keys():
    ours, theirs = (draw(seed, 2, 3, 16, 16).softmax(-1) for seed in (0, 1))
    row, element = attention_kl(ours, theirs), attention_kl(ours, theirs, per="element")
    assert close(element * 16, row.item())
    # It is what torch's own loss does by default, which is how one falls into it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = torch.nn.functional.kl_div(ours.log(), theirs, reduction="mean")
    assert close(element, stock.item())


def test_attention_that_is_nothing_somewhere_is_no_trouble():
    theirs = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]])
    assert attention_kl(theirs, theirs).item() == pytest.approx(0, abs=1e-7)
    assert attention_kl(theirs.flip(-1), theirs).isfinite()


def test_the_factor_keeps_the_gradient_about_as_large_at_every_temperature():
    teacher = draw(1, 64, 50)
    sizes = {}
    for temperature in (1, 4, 16):
        for squared in (True, False):
            student = draw(0, 64, 50).requires_grad_()
            soft_targets(student, teacher, temperature=temperature, squared=squared).backward()
            sizes[temperature, squared] = student.grad.norm().item()
    assert 0.2 < sizes[16, True] / sizes[1, True] < 5
    assert sizes[16, False] / sizes[1, False] < 0.02


def test_soft_cross_entropy_and_kl_pull_alike():
    teacher, grads = draw(1, 5, 9), []
    for term in (soft_cross_entropy, soft_targets):
        student = draw(0, 5, 9).requires_grad_()
        term(student, teacher).backward()
        grads.append(student.grad)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("term", [soft_targets, hidden_cosine, hidden_mse])
def test_nothing_is_left_to_learn_from_oneself(term):
    same = draw(0, 2, 3, 5)
    assert term(same, same.clone()).item() == pytest.approx(0, abs=1e-12)


def test_only_directions_count_for_the_cosine():
    student, teacher = draw(0, 2, 3, 5), draw(1, 2, 3, 5)
    assert close(hidden_cosine(7 * student, teacher), hidden_cosine(student, teacher).item())
    assert hidden_cosine(-teacher, teacher).item() == pytest.approx(2)


def test_halves_are_widened_and_an_empty_batch_costs_nothing():
    student, teacher = (draw(seed, 3, 5).to(torch.bfloat16) for seed in (0, 1))
    assert soft_targets(student, teacher).dtype == torch.float32
    none = torch.zeros(0, 5)
    assert masked_lm(none, torch.zeros(0, dtype=torch.int64)) == soft_targets(none, none) == 0


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda x: soft_targets(x, x, temperature=0), "temperature is 0"),
        (lambda x: attention_kl(x, x, per="head"), "per 'head'"),
        (lambda x: attention_kl(x[None, None], x[None].expand(2, -1, -1)[None]), "heads"),
        (lambda x: attention_mse(x[None, None], x[None].expand(2, -1, -1)[None]), "heads"),
    ],
)
def test_impossible_questions_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call(torch.eye(3))


def test_a_term_without_what_it_needs_is_refused():
    target = torch.zeros(1, dtype=torch.int64)
    seen = View(torch.zeros(1, 3), [torch.zeros(1, 1, 2)] * 3, [])
    with pytest.raises(ValueError, match="compares with a teacher, and there is none"):
        values(OBJECTIVES["DistilBERT"], seen, None, target)
    projected = Objective((Term("hidden_mse", projection="shared"),))
    with pytest.raises(ValueError, match="hidden_mse needs projections"):
        values(projected, seen, seen, target, layer_map=(0, 1))


# -- objectives as data ----------------------------------------------------------------------------


def test_every_kind_of_term_is_a_function():
    from bioptimus_lib import distil_terms

    assert all(callable(getattr(distil_terms, kind)) for kind in KINDS)


def test_objectives_read_what_their_terms_read():
    reads = {
        name: [what for what in ("logits", "states", "maps") if objective.reads(what)]
        for name, objective in OBJECTIVES.items()
    }
    assert reads == {
        "masked language model": ["logits"],
        "DistilBERT": ["logits", "states"],
        "CompactBioBERT": ["logits", "states", "maps"],
        "TinyBERT": ["logits", "states", "maps"],
    }
    assert [o.teaches for o in OBJECTIVES.values()] == [False, True, True, True]
    assert [o.maps_layers for o in OBJECTIVES.values()] == [False, False, True, True]


def test_a_term_is_changed_and_the_rest_is_not():
    objective = OBJECTIVES["CompactBioBERT"]
    changed = objective.change("attention_kl", per="element")
    assert "attention_kl (mapped, per element)" in str(changed)
    assert [t for t in changed.terms if t.kind != "attention_kl"] == [
        t for t in objective.terms if t.kind != "attention_kl"
    ]
    with pytest.raises(ValueError, match="has no attention_mse"):
        objective.change("attention_mse", weight=2)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"kind": "magic"}, "kind 'magic'"),
        ({"kind": "masked_lm", "weight": 0}, "weight is 0"),
        ({"kind": "soft_targets", "temperature": -1}, "temperature is -1"),
        ({"kind": "hidden_mse", "layers": "first"}, "layers 'first'"),
        ({"kind": "attention_mse", "projection": "shared"}, "nothing to project"),
        ({"kind": "attention_mse", "layers": "embeddings and mapped"}, "embeddings"),
    ],
)
def test_impossible_terms_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        Term(**wrong)


@pytest.mark.parametrize("terms", [(), (Term("masked_lm"), Term("masked_lm", 2))])
def test_an_objective_has_each_kind_once(terms):
    with pytest.raises(ValueError, match="each kind of term once"):
        Objective(terms)
