"""Loading models: what is missing, pickled, broken or of another size is refused by name."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch

from bioptimus_lib.errors import DataError
from bioptimus_lib.models import load_masked_lm, place, save_model


@pytest.fixture
def copy_of(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


def test_round_trip(tiny, copy_of):
    model, tokenizer = load_masked_lm(copy_of)
    for (name, a), b in zip(model.named_parameters(), tiny[0].parameters(), strict=True):
        assert torch.equal(a, b), name
    assert tokenizer.get_vocab() == tiny[1].get_vocab()
    assert not list(copy_of.parent.glob(".*")), "nothing temporary is left"


def test_others_may_read_what_was_saved(tiny, tmp_path):
    (tmp_path / "usual").touch()
    usual = (tmp_path / "usual").stat().st_mode
    for file in save_model(*tiny, tmp_path / "model").iterdir():
        assert file.stat().st_mode == usual, file.name


def test_on_a_cpu_plain_attention_computes_the_same(tiny):
    model, tokenizer = copy.deepcopy(tiny[0]).eval(), tiny[1]
    batch = tokenizer(["aspirin relieves pain .", "aspirin"], padding=True, return_tensors="pt")
    fused = model(**batch).logits
    assert place(model, "cpu") is model
    assert model.config._attn_implementation == "eager"
    torch.testing.assert_close(model(**batch).logits, fused)


def test_plain_transformers_loads_what_was_saved(copy_of):
    from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

    model = AutoModelForMaskedLM.from_pretrained(copy_of)
    tokenizer = AutoTokenizer.from_pretrained(copy_of)
    guess = pipeline("fill-mask", model=model, tokenizer=tokenizer)
    assert len(guess("aspirin relieves [MASK] .")) == 5


def test_no_folder_or_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no config.json"):
        load_masked_lm(tmp_path / "nothing")


def test_pickles_are_not_loaded(copy_of):
    (copy_of / "model.safetensors").rename(copy_of / "pytorch_model.bin")
    with pytest.raises(DataError, match="pickles are not loaded"):
        load_masked_lm(copy_of)


def without(folder, part):
    """Take the weights with a name that begins so out of a model's file."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith(part)}
    assert 0 < len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def test_an_encoder_without_a_head_gets_one_and_says_so_once(copy_of, caplog, capfd):
    without(copy_of, "cls.")
    for _ in range(2):
        load_masked_lm(copy_of)
    assert [record.getMessage() for record in caplog.records] == [
        f"{copy_of} comes without its MLM head: a random one is in its place"
    ]
    assert "REPORT" not in "".join(capfd.readouterr())


def test_an_encoder_that_lacks_a_part_is_refused(copy_of):
    without(copy_of, "bert.encoder.layer.1.")
    with pytest.raises(DataError, match=r"lacks weights of its encoder, bert\.encoder\.layer\.1"):
        load_masked_lm(copy_of)


def test_tokenizer_of_another_size(copy_of):
    config = json.loads((copy_of / "config.json").read_text())
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy_of)
    tokenizer.add_tokens(["brca1"])
    tokenizer.save_pretrained(copy_of)
    with pytest.raises(DataError, match=f"model {config['vocab_size']}"):
        load_masked_lm(copy_of)


def test_nan_is_refused(tiny, tmp_path):
    import copy

    model = copy.deepcopy(tiny[0])
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight[0, 0] = float("nan")
    save_model(model, tiny[1], tmp_path / "broken")
    with pytest.raises(DataError, match="layer.0.output.dense.weight holds NaN"):
        load_masked_lm(tmp_path / "broken")


def test_a_failed_save_leaves_the_old_model(tiny, copy_of, monkeypatch):
    monkeypatch.setattr(type(tiny[1]), "save_pretrained", _fail)
    before = (copy_of / "model.safetensors").read_bytes()
    with pytest.raises(OSError, match="no space"):
        save_model(*tiny, copy_of)
    assert (copy_of / "model.safetensors").read_bytes() == before
    assert not list(copy_of.parent.glob(".*"))


def _fail(*_args, **_kwargs):
    raise OSError("no space left on device")
