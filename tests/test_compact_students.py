"""Students: what they take from the teacher, and the model with one layer for all passes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from bioptimus_lib.early_exit import attended, recorded  # noqa: E402
from bioptimus_lib.finetune import encoder_layers  # noqa: E402
from bioptimus_lib.masked_loss import masked_logits  # noqa: E402
from bioptimus_lib.models import load_masked_lm, save_model  # noqa: E402
from bioptimus_lib.recipes import RECIPES  # noqa: E402
from bioptimus_lib.students import (  # noqa: E402
    from_layers,
    parameters,
    random_student,
    student_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")
IDS = torch.arange(5, 25).reshape(2, 10)


@pytest.fixture(scope="module")
def teacher(one_thread):
    """A random BERT of four layers; nobody changes it."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(3)
    model = BertForMaskedLM(BertConfig(
        vocab_size=90, hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64,
    ))  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():  # also those that begin as nothing
            parameter.add_(0.1 * torch.randn_like(parameter))
    yield model.eval()


@settings(max_examples=8)
@given(layers=st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_encoder_and_head_are_the_teachers(teacher, layers):
    student = from_layers(teacher, layers)
    assert len(encoder_layers(student)) == student.config.num_hidden_layers == len(layers)
    for mine, number in zip(encoder_layers(student), layers, strict=True):
        theirs = encoder_layers(teacher)[number].state_dict()
        assert all(torch.equal(v, theirs[k]) for k, v in mine.state_dict().items())
    for part in ("bert.embeddings", "cls"):
        theirs = teacher.get_submodule(part).state_dict()
        found = student.get_submodule(part).state_dict()
        assert found.keys() == theirs.keys()
        assert all(torch.equal(v, theirs[k]) for k, v in found.items())
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight
    assert teacher.config.num_hidden_layers == 4, "the teacher is left alone"
    shared = {p.data_ptr() for p in student.parameters()} & {
        p.data_ptr() for p in teacher.parameters()
    }
    assert not shared, "training the student does not train the teacher"


def test_all_layers_make_the_teacher(teacher):
    torch.testing.assert_close(
        from_layers(teacher, range(4))(input_ids=IDS).logits, teacher(input_ids=IDS).logits
    )


def test_the_trap_of_the_random_head(teacher):
    student = from_layers(teacher, range(4), head=False)
    for name, value in teacher.state_dict().items():
        same = torch.equal(student.state_dict()[name], value)
        assert same == (name.startswith("bert.") or name.endswith("decoder.weight")), name
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight
    again, other = (from_layers(teacher, range(4), head=False, seed=seed) for seed in (0, 1))
    names = "cls.predictions.transform.dense.weight"
    assert torch.equal(again.state_dict()[names], student.state_dict()[names])
    assert not torch.equal(other.state_dict()[names], student.state_dict()[names])


@pytest.mark.parametrize("layers", [(0, 4), (), (-1,)])
def test_layers_that_the_teacher_lacks_are_refused(teacher, layers):
    with pytest.raises(ValueError, match="start layers .*the teacher has layers 0 to 3"):
        from_layers(teacher, layers)


def test_a_random_student_takes_no_random_number_from_others(teacher):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    random_student(RECIPES["TinyBioBERT"], teacher.config)
    from_layers(teacher, (1,), head=False)
    assert torch.rand(1) == expected


def test_students_of_recipes(teacher):
    student = student_of(RECIPES["CompactBioBERT"], teacher)
    theirs = encoder_layers(teacher)[3].state_dict()
    mine = encoder_layers(student)[1].state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in mine.items()), "layers 1 and 3"
    with pytest.raises(ValueError, match="trains DistilBERT on"):
        student_of(RECIPES["BioDistilBERT"], teacher)
    with pytest.raises(ValueError, match="starts at random"):
        student_of(RECIPES["TinyBioBERT"], teacher, start_layers=(0,))
    with pytest.raises(ValueError, match="TinyBioBERT is distilled: give its teacher"):
        student_of(RECIPES["TinyBioBERT"], None)


def small(name, teacher):
    return random_student(RECIPES[name], teacher.config)


EACH = ["DistilBioBERT", "BioDistilBERT", "BioMobileBERT", "ClinicalMiniALBERT"]


@pytest.mark.parametrize("name", EACH)
def test_every_architecture_shows_states_and_maps(teacher, name):
    model = small(name, teacher)
    config = model.config
    model.set_attn_implementation("eager")
    labels = torch.full_like(IDS, -100)
    labels[0, 3] = labels[1, 7] = 9
    with torch.no_grad(), recorded(model) as states, attended(model) as maps:
        logits, _ = masked_logits(model, IDS, labels)
    with torch.no_grad():
        dense = model(input_ids=IDS).logits
        last = model.base_model(input_ids=IDS).last_hidden_state
    torch.testing.assert_close(logits, dense[labels >= 0])
    assert len(states) == config.num_hidden_layers + 1 and len(maps) == config.num_hidden_layers
    torch.testing.assert_close(states[-1], last)
    for found in maps:
        assert found.shape == (2, config.num_attention_heads, 10, 10)
        torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:3]))
    with torch.no_grad(), attended(model, {1}) as some:
        model(input_ids=IDS)
    assert [found is not None for found in some] == [
        n == 1 for n in range(config.num_hidden_layers)
    ]
    torch.testing.assert_close(some[1], maps[1])
    assert not any(m._forward_hooks for m in model.modules())


def test_maps_need_eager_attention(teacher):
    model = small("DistilBioBERT", teacher)
    model.set_attn_implementation("sdpa")
    with pytest.raises(ValueError, match="attends by sdpa.*set_attn_implementation"):
        with attended(model):
            pass


# -- one layer for all passes ----------------------------------------------------------------------


@pytest.fixture
def mini(teacher):
    return small("ClinicalMiniALBERT", teacher)


def test_all_passes_share_one_layer_with_adapters_before_both_of_its_parts(mini):
    from bioptimus_lib.mini_albert import MiniAlbertForMaskedLM

    def adapted(part, x):
        bent = torch.nn.functional.gelu(part.down(x))
        return torch.nn.functional.layer_norm(
            x + part.up(bent), x.shape[-1:], part.LayerNorm.weight, part.LayerNorm.bias, 1e-12
        )

    assert isinstance(mini, MiniAlbertForMaskedLM)
    encoder, config = mini.base_model.encoder, mini.config
    states, layer = mini.base_model.embeddings(IDS), encoder.shared
    for one in encoder.layer:
        states = layer.attention(adapted(one.before_attention, states), None)[0]
        states = adapted(one.before_feed_forward, states)
        states = layer.output(layer.intermediate(states), states)
    torch.testing.assert_close(mini.base_model(IDS).last_hidden_state, states)
    sizes = (config.vocab_size, config.embedding_size)
    assert mini.get_input_embeddings().weight.shape == sizes
    deeper = type(config)(**{**config.to_dict(), "num_hidden_layers": config.num_hidden_layers + 1})
    extra = parameters(MiniAlbertForMaskedLM(deeper)) - parameters(mini)
    assert extra == parameters(encoder.layer[0]), "one more pass costs two adapters"


def test_its_passes_are_told_apart_by_their_adapters(mini):
    before = mini(input_ids=IDS).logits
    with torch.no_grad():
        adapter = mini.base_model.encoder.layer[1].before_feed_forward
        adapter.up.bias.add_(torch.linspace(-1, 1, 32))
    assert not torch.allclose(mini(input_ids=IDS).logits, before)


def test_padding_is_not_seen(mini):
    for kind in ("eager", "sdpa"):
        mini.set_attn_implementation(kind)
        longer = torch.nn.functional.pad(IDS, (0, 4), value=8)
        seen = torch.nn.functional.pad(torch.ones_like(IDS), (0, 4))
        with torch.no_grad():
            expected = mini(input_ids=IDS).logits
            found = mini(input_ids=longer, attention_mask=seen).logits[:, :10]
            without = mini(input_ids=longer).logits[:, :10]
        torch.testing.assert_close(found, expected)
        assert not torch.allclose(without, expected, atol=1e-4)


def test_it_is_saved_and_loaded_like_any_other(mini, tiny, tmp_path):
    with torch.no_grad():
        for parameter in mini.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    save_model(mini, tiny[1], tmp_path / "mini")
    assert sorted(p.suffix for p in (tmp_path / "mini").glob("model*")) == [".safetensors"]
    loaded, _ = load_masked_lm(tmp_path / "mini", needs_head=True)
    state = loaded.state_dict()
    assert state.keys() == mini.state_dict().keys()
    assert all(torch.equal(v, state[k]) for k, v in mini.state_dict().items())
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    torch.testing.assert_close(loaded(input_ids=IDS).logits, mini.eval()(input_ids=IDS).logits)


def test_what_is_done_layer_by_layer_is_refused(mini):
    with pytest.raises(ValueError, match="weights of their own"):
        encoder_layers(mini)


def test_its_loss_is_the_cross_entropy(mini):
    labels = torch.full_like(IDS, -100)
    labels[1, 2] = 30
    found = mini(input_ids=IDS, labels=labels)
    expected = torch.nn.functional.cross_entropy(found.logits[1, 2][None], torch.tensor([30]))
    torch.testing.assert_close(found.loss, expected)
    found.loss.backward()
    without = [name for name, p in mini.named_parameters() if p.grad is None]
    assert not without


def test_it_tags_and_reads_packed_rows(mini, tiny, tmp_path):
    from bioptimus_lib.batching import reads_packed
    from bioptimus_lib.tagger import classifier_on, load_tagger

    tagger, tokenizer = classifier_on((mini, tiny[1]), ["O", "B-X", "I-X"], seed=0)
    encoder = tagger.base_model.state_dict()
    assert all(torch.equal(v, encoder[k]) for k, v in mini.base_model.state_dict().items())
    for kind in ("eager", "sdpa"):
        tagger.set_attn_implementation(kind)
        assert reads_packed(tagger, tokenizer)
    save_model(tagger, tokenizer, tmp_path / "tagger")
    loaded = load_tagger(tmp_path / "tagger").model
    expected = tagger.eval()(input_ids=IDS, labels=torch.ones_like(IDS))
    torch.testing.assert_close(loaded(input_ids=IDS).logits, expected.logits)
    flat = expected.logits.flatten(0, 1).log_softmax(-1)
    torch.testing.assert_close(expected.loss, -flat[:, 1].mean())


@pytest.mark.parametrize("labels", [1, 3])
def test_it_classifies_sentences_by_their_first_piece(mini, labels):
    from transformers import AutoModelForSequenceClassification

    config = type(mini.config)(**{**mini.config.to_dict(), "num_labels": labels})
    model = AutoModelForSequenceClassification.from_config(config).eval()
    truth = torch.tensor([0, 0]) if labels > 1 else torch.tensor([0.5, 2.0])
    found = model(input_ids=IDS, labels=truth)
    state = model.base_model(IDS).last_hidden_state[:, 0]
    torch.testing.assert_close(found.logits, model.classifier(state))
    expected = (
        -found.logits.log_softmax(-1)[:, 0].mean() if labels > 1
        else (found.logits[:, 0] - truth).square().mean()
    )  # fmt: skip
    torch.testing.assert_close(found.loss, expected)
