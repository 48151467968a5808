"""The recipe of pocket BERT: resumable, honest about its score; and the model that ships."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bioptimus_lib import pocket, pocket_bert
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import data_dir
from bioptimus_lib.models import load_masked_lm
from bioptimus_lib.warm_start import company, start_well


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("general")
    for part in range(2):
        abstracts = pocket.abstracts(60, seed=3, start=60 * part)
        text = "\n\n".join(" ".join(a.sentences) for a in abstracts)
        (folder / f"part-{part}.txt").write_text(f"HEADING\n\n{text}\n")
    return folder


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(pocket_bert, "VOCABULARY", 600)
    monkeypatch.setattr(pocket_bert, "WINDOW", 32)
    shape = dict(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    monkeypatch.setattr(pocket_bert, "SHAPE", shape)


def test_paragraphs_join_lines_and_leave_headings_out(corpus):
    found = list(pocket_bert.paragraphs(corpus / "part-0.txt"))
    assert len(found) == 60
    assert all(len(text) >= pocket_bert.SHORTEST_PARAGRAPH for text in found)


def test_make_train_continue_and_card(corpus, small, tmp_path):
    words = dict(work=tmp_path / "work", out=tmp_path / "out", batch=8, device="cpu")
    first = pocket_bert.make(corpus, steps=10, progress=False, **words)
    row = pocket_bert.make(corpus, steps=20, progress=False, **words)
    assert (first["steps"], row["steps"]) == (10, 20)
    assert row["metrics"]["loss"] < np.log(600)
    assert row["held_out"] == ["part-1.txt"] and row["corpus"] == ["part-0.txt"]
    model, tokenizer = load_masked_lm(tmp_path / "out")
    assert len(tokenizer) == 600 and model.config.num_hidden_layers == 1
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"{row['metrics']['loss']:.3f}" in card and f"{row['metrics']['accuracy']:.1%}" in card
    assert json.loads((tmp_path / "out" / "training.json").read_text()) == row


@pytest.mark.parametrize("rates, steps", [
    ([1, 5, 10, 10, 6, 2], []),  # up, on, down
    ([1, 5, 10, 10, 2, 10, 4, 1], [250]),  # and up again
    ([1, 5, 10, 10, 10, 2, 10, 3, 10, 1], [300, 400]),
    ([], []),
])  # fmt: skip
def test_restarts(tmp_path, rates, steps):
    rows = [{"step": 50 * n, "learning_rate": rate} for n, rate in enumerate(rates, 1)]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in [{"loss": 7.0}, *rows]))
    assert pocket_bert.restarts(log) == steps


def test_bad_corpus(tmp_path):
    with pytest.raises(FileNotFoundError, match="give --corpus"):
        pocket_bert.corpus_files(tmp_path / "no")
    (tmp_path / "one.txt").write_text("text")
    with pytest.raises(DataError, match="two files"):
        pocket_bert.corpus_files(tmp_path)


def test_company_counts_near_pieces_more():
    blocks = np.array([[2, 5, 6, 7, 8, 9, 3]])
    counts = company(blocks, 10)
    assert (counts == counts.T).all()
    assert counts[5, 6] == 1.0 and counts[5, 7] == 0.75 and counts[5, 9] == 0.25
    assert counts[2].sum() == 0, "special pieces at the ends are not company"


def test_a_good_start_is_better_than_a_random_one_and_repeatable(tiny):
    from transformers import BertForMaskedLM

    from bioptimus_lib.pretrain import evaluate_mlm, pack
    from tests.conftest import TINY_TEXT

    blocks = pack(TINY_TEXT * 30, tiny[1], length=32)
    models = []
    for _ in range(2):
        torch.manual_seed(1)
        models.append(BertForMaskedLM(tiny[0].config))
        start_well(models[-1], blocks)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)
    torch.manual_seed(1)
    random = BertForMaskedLM(tiny[0].config)
    assert (
        evaluate_mlm(models[0], tiny[1], blocks)["loss"]
        < evaluate_mlm(random, tiny[1], blocks)["loss"] - 0.3
    )


# -- the model that ships ------------------------------------------------------------------------


def test_the_shipped_model_is_small_and_says_how_good_it_is():
    folder = data_dir() / "pocket-bert"
    weights = folder / "model.safetensors"
    assert weights.stat().st_size <= 12e6
    row = json.loads((folder / "training.json").read_text())
    assert row["metrics"]["accuracy"] >= 0.25
    assert (folder / "README.md").read_text() == pocket_bert.card(row)
    model, tokenizer = load_masked_lm(folder)
    assert len(tokenizer) == pocket_bert.VOCABULARY
    assert sum(p.numel() for p in model.parameters()) == row["parameters"]


def test_the_shipped_model_knows_english_and_no_medicine():
    model, tokenizer = load_masked_lm(data_dir() / "pocket-bert")

    def guess(text: str, n: int) -> list[str]:
        ids = tokenizer(text, return_tensors="pt")
        place = (ids["input_ids"] == tokenizer.mask_token_id).nonzero()[0, 1]
        with torch.no_grad():
            best = model(**ids).logits[0, place].topk(n).indices
        return tokenizer.convert_ids_to_tokens(best)

    assert "the" in guess("he was born in the north of [MASK] united states .", 3)
    assert "of" in guess("london is the capital [MASK] england .", 3)
    assert len(tokenizer.tokenize("bronchoconstriction")) >= 4
