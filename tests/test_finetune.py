"""Stable fine-tuning: what is frozen stays, rates fall as they should, new layers are new ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from bioptimus_lib.bias_correction import UncorrectedAdamW, step_sizes, stretch  # noqa: E402
from bioptimus_lib.conll import Sentence  # noqa: E402
from bioptimus_lib.finetune import (  # noqa: E402
    REMEDIES,
    Recipe,
    combine,
    encoder_layers,
    freeze_lower,
    layer_decay,
    levels,
    reinit_top,
)
from bioptimus_lib.ner import classifier_on, decay_groups, fine_tune  # noqa: E402
from bioptimus_lib.tagger import NerSettings, adamw  # noqa: E402

TAGS = ["O", "B-Drug", "I-Drug"]
LAYERS = 3
SETTINGS = NerSettings(epochs=2, batch_tokens=64, learning_rate=1e-2, precision="fp32", seed=5)


@pytest.fixture(scope="module")
def house(tiny, one_thread):
    """(model of three layers, tokenizer, splits)."""
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = tiny[1]
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=LAYERS, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, initializer_range=0.05,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForMaskedLM(config).eval()
        with torch.no_grad():  # as after training: no layer norm or bias is as at the start
            for parameter in model.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
    drugs, others = ("aspirin", "salbutamol"), ("pain", "fever", "patients", "placebo")
    rng = np.random.default_rng(0)
    sentences = []
    for _ in range(40):
        words = rng.choice([*drugs, *others], size=4)
        tags = tuple("B-Drug" if word in drugs else "O" for word in words)
        sentences.append(Sentence(tuple(map(str, words)), tags))
    splits = {"train": sentences[:20], "devel": sentences[20:30], "test": sentences[30:]}
    return model, tokenizer, splits


@pytest.fixture
def tagger(house):
    model, tokenizer, _ = house
    return classifier_on((model, tokenizer), TAGS, seed=SETTINGS.seed)[0]


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def trained(house, recipe: Recipe, **changes):
    """The model after training by a recipe, and the model that it began with."""
    model, tokenizer, splits = house
    began = {}

    def groups(network, chosen):
        made = recipe.groups(network, chosen)
        began.update(weights(network))
        return made

    chosen = recipe.settings(NerSettings(**vars(SETTINGS) | changes))
    done = fine_tune(
        (model, tokenizer), splits, settings=chosen,
        groups=groups, optimizer=recipe.optimizer, device="cpu",
    )  # fmt: skip
    return done, began


# --- levels ------------------------------------------------------------------------------------


def test_every_parameter_has_a_level(tagger):
    found = levels(tagger)
    assert found.keys() == dict(tagger.named_parameters()).keys()
    assert {n.split(".")[1] for n, level in found.items() if level == 0} == {"embeddings"}
    for number in range(LAYERS):
        own = {n for n, level in found.items() if level == number + 1}
        assert own and all(f".layer.{number}." in name for name in own)
    above = [name for name, level in found.items() if level == LAYERS + 1]
    assert above == ["classifier.weight", "classifier.bias"]


def small(kind: str):
    """A token classifier of another family, three layers."""
    import transformers as t

    sizes = {
        "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
        "intermediate_size": 32, "vocab_size": 40, "max_position_embeddings": 16,
    }  # fmt: skip
    configs = {
        "roberta": lambda: t.RobertaConfig(**sizes),
        "electra": lambda: t.ElectraConfig(**sizes, embedding_size=8),
        "distilbert": lambda: t.DistilBertConfig(
            dim=16, n_layers=3, n_heads=2, hidden_dim=32, vocab_size=40
        ),
        "modernbert": lambda: t.ModernBertConfig(
            **sizes, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2
        ),
        "albert": lambda: t.AlbertConfig(**sizes, embedding_size=8),
    }
    return t.AutoModelForTokenClassification.from_config(configs[kind]())


@pytest.mark.parametrize("kind", ["roberta", "electra", "distilbert", "modernbert"])
def test_other_families_have_levels_too(kind):
    model = small(kind)
    found = levels(model)
    assert set(found.values()) == {0, 1, 2, 3, 4}
    of_layers = [n for n, level in found.items() if 1 <= level <= 3]
    assert of_layers and all(any(f".{i}." in n for i in range(3)) for n in of_layers)
    assert all("embed" in n for n, level in found.items() if level == 0)
    embedding = model.get_input_embeddings().weight
    assert [level for n, level in found.items() if model.get_parameter(n) is embedding] == [0]
    before = weights(model)
    reinit_top(model, 1, seed=1)
    changed = {found[n] for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {3}


def test_a_model_whose_layers_share_their_weights_is_refused():
    with pytest.raises(ValueError, match="AlbertForTokenClassification has no list of 3"):
        levels(small("albert"))
    for recipe in (Recipe(freeze=1), Recipe(reinit=1), Recipe(decay=0.9)):
        with pytest.raises(ValueError, match="no list of 3"):
            recipe.groups(small("albert"), SETTINGS)
    model = small("albert")
    plain = sum(len(group["params"]) for group in Recipe().groups(model, SETTINGS))
    assert plain == len(list(model.parameters()))


# --- freezing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(LAYERS + 1))
def test_frozen_parameters_stay_bit_by_bit_and_get_no_gradient(house, k):
    done, began = trained(house, Recipe(freeze=k))
    network = done.tagger.model
    for name, level in levels(network).items():
        parameter = network.get_parameter(name)
        frozen = bool(k) and level <= k
        assert parameter.requires_grad is not frozen
        assert torch.equal(parameter, began[name]) is frozen, name
        assert parameter.grad is None  # of a frozen one always, of others after each step
    network.train()
    ids = torch.tensor([[2, 5, 6, 3]])
    network(input_ids=ids).logits.sum().backward()
    for name, level in levels(network).items():
        assert (network.get_parameter(name).grad is None) is (bool(k) and level <= k)


def test_embeddings_may_learn_below_frozen_layers(tagger):
    frozen = freeze_lower(tagger, 2, embeddings=False)
    assert {levels(tagger)[name] for name in frozen} == {1, 2}
    assert tagger.get_input_embeddings().weight.requires_grad


# --- rates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [1.0, 0.95, 0.5])
@pytest.mark.parametrize("head", [None, 7e-3])
@pytest.mark.parametrize("k", [0, 2])
def test_each_parameter_is_in_one_group_with_its_exact_rate(tagger, decay, head, k):
    chosen = NerSettings(**vars(SETTINGS) | {"head_learning_rate": head, "weight_decay": 0.1})
    freeze_lower(tagger, k)
    groups = layer_decay(tagger, chosen, decay)
    seen = [id(p) for group in groups for p in group["params"]]
    assert len(seen) == len(set(seen))
    name_of = {id(p): name for name, p in tagger.named_parameters()}
    frozen = {name for name, level in levels(tagger).items() if k and level <= k}
    assert {name_of[i] for i in seen} == set(name_of.values()) - frozen
    for group in groups:
        for p in group["params"]:
            depth = LAYERS + 1 - levels(tagger)[name_of[id(p)]]
            base = (head or chosen.learning_rate) if depth == 0 else chosen.learning_rate
            assert group["lr"] == base * decay**depth
            assert group["weight_decay"] == (0.1 if p.ndim > 1 else 0.0)


def test_the_schedule_keeps_the_ratios(tagger):
    optimizer = adamw(layer_decay(tagger, SETTINGS, 0.5))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    before = [group["lr"] for group in optimizer.param_groups]
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [rate / 2 for rate in before]


# --- new layers --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(LAYERS + 1))
def test_top_layers_are_new_and_the_others_as_they_were(tagger, n):
    before = weights(tagger)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    changed = reinit_top(tagger, n, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    expected = [name for name, level in levels(tagger).items() if LAYERS - n < level <= LAYERS]
    assert changed == expected and bool(changed) is bool(n)
    for name, parameter in tagger.named_parameters():
        assert torch.equal(parameter, before[name]) is (name not in changed), name


def test_new_weights_are_as_a_new_model_has_them(tagger):
    """Norms are 1 and 0, biases 0, matrices normal with the spread of the configuration."""
    spread = tagger.config.initializer_range
    for name in reinit_top(tagger, LAYERS, seed=1):
        value = tagger.get_parameter(name)
        if value.ndim == 1:
            assert torch.equal(value, torch.full_like(value, "LayerNorm.weight" in name)), name
        else:
            n = value.numel()
            assert abs(value.mean()) < 4 * spread / n**0.5
            assert value.std().item() == pytest.approx(spread, rel=4 / (2 * n) ** 0.5)
            # of a normal distribution 68.3 % lie within one spread
            share = (value.abs() < spread).double().mean().item()
            assert share == pytest.approx(0.683, abs=4 * (0.683 * 0.317 / n) ** 0.5)


def test_the_same_seed_gives_the_same_weights_for_any_number_of_layers(house):
    model, tokenizer, _ = house

    def top(n: int, seed: int) -> dict[str, torch.Tensor]:
        network, _ = classifier_on((model, tokenizer), TAGS, seed=0)
        reinit_top(network, n, seed=seed)
        return dict(encoder_layers(network)[-1].named_parameters())

    one, again, more, other = top(1, 1), top(1, 1), top(2, 1), top(1, 2)
    for name, value in one.items():
        assert torch.equal(value, again[name]) and torch.equal(value, more[name])
        assert value.ndim == 1 or not torch.equal(value, other[name])


def test_a_model_in_another_state_is_begun_anew_in_the_same_way(tmp_path, house, tagger):
    """Also when it was loaded from a folder: Transformers marks such weights as done."""
    from bioptimus_lib.tagger import load_tagger

    tagger.save_pretrained(tmp_path / "model")
    house[1].save_pretrained(tmp_path / "model")
    loaded = load_tagger(tmp_path / "model").model
    reinit_top(loaded, 2, seed=4)
    reinit_top(tagger, 2, seed=4)
    for name, value in tagger.named_parameters():
        assert torch.equal(value, loaded.get_parameter(name))


# --- recipes -----------------------------------------------------------------------------------


def test_a_recipe_without_changes_is_plain_fine_tuning_bit_for_bit(house):
    model, tokenizer, splits = house
    plain = fine_tune((model, tokenizer), splits, settings=SETTINGS, device="cpu")
    same, _ = trained(house, Recipe(freeze=0, decay=1.0, reinit=0, longer=1))
    assert [row["loss"] for row in same.devel] == [row["loss"] for row in plain.devel]
    assert same.predictions == plain.predictions
    for name, value in plain.tagger.model.named_parameters():
        assert torch.equal(value, same.tagger.model.get_parameter(name)), name


@pytest.mark.parametrize("name", [name for name in REMEDIES if name != "plain"])
def test_every_remedy_changes_the_training_and_is_repeatable(house, name):
    plain, _ = trained(house, Recipe())
    first, _ = trained(house, REMEDIES[name])
    second, _ = trained(house, REMEDIES[name])
    a, b, c = (dict(run.tagger.model.named_parameters()) for run in (first, second, plain))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert any(not torch.equal(a[n], c[n]) for n in a)
    assert len(first.devel) == max(1, round(SETTINGS.epochs * REMEDIES[name].longer))


def test_a_combination_does_all_that_its_parts_do(house):
    recipe = combine([REMEDIES["freeze-1"], REMEDIES["decay-0.9"], REMEDIES["reinit-1"],
                      REMEDIES["longer-2"]])  # fmt: skip
    assert recipe == Recipe(freeze=1, decay=0.9, reinit=1, longer=2)
    done, began = trained(house, recipe)
    assert len(done.devel) == 2 * SETTINGS.epochs
    network = done.tagger.model
    for name, level in levels(network).items():
        assert torch.equal(network.get_parameter(name), began[name]) is (level <= 1)
    fresh, _ = classifier_on(house[:2], TAGS, seed=SETTINGS.seed)
    anew = {
        level for name, level in levels(fresh).items()
        if not torch.equal(fresh.get_parameter(name), began[name])
    }  # fmt: skip
    assert anew == {LAYERS}


WRONG = {
    "too many frozen": (Recipe(freeze=4), "freeze is 4, the model has 3 layers: give 0 to 3"),
    "too many new": (Recipe(reinit=4), "reinit is 4, the model has 3 layers"),
    "frozen and new": (Recipe(freeze=2, reinit=2), "2 and reinit 2 overlap: there are 3 layers"),
}


@pytest.mark.parametrize("recipe, message", WRONG.values(), ids=WRONG)
def test_layers_that_are_not_there_are_refused_and_nothing_is_changed(tagger, recipe, message):
    before = weights(tagger)
    with pytest.raises(ValueError, match=message):
        recipe.groups(tagger, SETTINGS)
    assert all(torch.equal(p, before[n]) for n, p in tagger.named_parameters())
    assert all(p.requires_grad for p in tagger.parameters())


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.01, float("nan")])
def test_a_decay_outside_0_to_1_is_refused(tagger, decay):
    with pytest.raises(ValueError, match="decay is .*above 0 and at most 1"):
        layer_decay(tagger, SETTINGS, decay)
    with pytest.raises(ValueError, match="decay is"):
        Recipe(decay=decay)


@pytest.mark.parametrize("wrong", [{"freeze": -1}, {"reinit": -2}, {"longer": 0}, {"longer": -1}])
def test_recipes_are_checked_when_made(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)
    with pytest.raises(ValueError, match="-1"):
        freeze_lower(small("roberta"), -1)
    with pytest.raises(ValueError, match="two recipes change decay"):
        combine([Recipe(decay=0.9), Recipe(decay=0.8)])


def test_recipes_in_words():
    assert str(Recipe()) == "plain" and str(REMEDIES["freeze-2"]) == "freeze 2"
    assert str(Recipe(decay=0.9, longer=4)) == "decay 0.9, 4 × epochs"
    assert all(len(recipe.changes()) == (name != "plain") for name, recipe in REMEDIES.items())
    assert Recipe(longer=0.1).settings(SETTINGS).epochs == 1


# --- Adam without bias correction --------------------------------------------------------------


def by_hand(start, gradients, *, rate, betas, eps, weight_decay, corrected):
    """AdamW in plain Python, one weight."""
    weight, m, v = start, 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        mean, square = (m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)) if corrected else (m, v)
        weight = weight * (1 - rate * weight_decay) - rate * mean / (square**0.5 + eps)
    return weight


@settings(max_examples=60)
@given(
    gradients=st.lists(st.floats(-3, 3).filter(lambda g: abs(g) > 1e-3), min_size=1, max_size=12),
    betas=st.tuples(st.floats(0.1, 0.95), st.floats(0.5, 0.999)),
    fused=st.booleans(),
)
def test_without_correction_it_is_adam_with_plain_averages(gradients, betas, fused):
    for kind, corrected in ((UncorrectedAdamW, False), (torch.optim.AdamW, True)):
        weight = torch.nn.Parameter(torch.tensor([0.7]))
        optimizer = kind([weight], lr=0.01, betas=betas, weight_decay=0.1, fused=fused)
        for g in gradients:
            weight.grad = torch.tensor([g])
            optimizer.step()
        expected = by_hand(0.7, gradients, rate=0.01, betas=betas, eps=1e-8, weight_decay=0.1,
                           corrected=corrected)  # fmt: skip
        assert weight.item() == pytest.approx(expected, rel=2e-4, abs=2e-5)


def test_the_stretch_is_the_ratio_of_the_steps():
    for betas in ((0.9, 0.999), (0.5, 0.9)):
        moved = []
        for kind in (UncorrectedAdamW, torch.optim.AdamW):
            weight = torch.nn.Parameter(torch.zeros(3))
            optimizer = kind([weight], lr=0.1, betas=betas, weight_decay=0.0)
            with step_sizes(optimizer) as sizes:
                for g in (1.0, -0.4, 2.0, 0.5, 0.1):
                    weight.grad = torch.tensor([g, 2 * g, -g])
                    optimizer.step()
            moved.append(sizes)
        for t, (long, right) in enumerate(zip(*moved, strict=True), start=1):
            assert long / right == pytest.approx(stretch(t, betas=betas), rel=1e-4)
    assert moved[1][0] == pytest.approx(0.1)  # the first corrected step is as long as the rate
    optimizer.step()
    assert len(moved[0]) == 5  # after the block nothing is measured


def test_the_stretch_falls_to_one_and_is_largest_near_step_13():
    values = [stretch(t) for t in range(1, 20_001)]
    assert values[0] == pytest.approx(0.1 / 0.001**0.5)
    assert 1 + int(np.argmax(values)) == 12 and max(values) == pytest.approx(6.57, abs=0.01)
    assert values[-1] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="step 0"):
        stretch(0)
    with pytest.raises(ValueError, match="betas"):
        stretch(1, betas=(0.9, 1.0))


def test_groups_keep_their_own_rates_without_correction(tagger):
    groups = layer_decay(tagger, SETTINGS, 0.5)
    optimizer = Recipe(corrected=False).optimizer(groups)
    assert isinstance(optimizer, UncorrectedAdamW)
    assert [g["lr"] for g in optimizer.param_groups] == [g["lr"] for g in groups]
    assert not isinstance(Recipe().optimizer(decay_groups(tagger, SETTINGS)), UncorrectedAdamW)
