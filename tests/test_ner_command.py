"""``bioptimus ner`` from the outside: results, resume, own files, and what bad input gets."""

from __future__ import annotations

import json

import pytest
from test_ner import PIECES, toy

from bioptimus_lib import ledger
from bioptimus_lib.cli import main
from bioptimus_lib.conll import write_conll


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two tiny models and a toy set."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    from bioptimus_lib.models import save_model
    from bioptimus_lib.vocab import bert_tokenizer

    folder = tmp_path_factory.mktemp("ner")
    for number, (split, size) in enumerate({"train": 60, "devel": 20, "test": 20}.items()):
        write_conll(folder / "set" / f"{split}.tsv", toy(size, number))
    tokenizer = bert_tokenizer(PIECES)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, initializer_range=0.1,
    )  # fmt: skip
    for name in ("old", "new"):
        with torch.random.fork_rng():
            torch.manual_seed(len(name))
            save_model(BertForMaskedLM(config), tokenizer, folder / name)
    return folder


def command(place, *words):
    few = ["--epochs", "2", "--batch-tokens", "128", "--learning-rate", "0.01", "--quiet"]
    return main(["ner", *map(str, words), *few, "--out", str(place / "out"), "--device", "cpu"])


def test_two_models_are_compared_and_nothing_is_done_twice(place, capsys, monkeypatch):
    from bioptimus_lib import ner

    monkeypatch.setattr(ledger, "results_dir", lambda: place / "results")
    words = ["--model", place / "old", place / "new", "--dataset", place / "set", "--seeds", 2]
    assert command(place, *words, "--json", "--ledger", "test", "--profile", "pocket") == 0
    first = capsys.readouterr()
    table = json.loads(first.out)["results"]
    assert [(row["model"], row["seeds"], len(row["f1_by_seed"])) for row in table] == [
        ("old", 2, 2), ("new", 2, 2),
    ]  # fmt: skip
    assert table[1]["minus_first"] == pytest.approx(table[1]["f1"] - table[0]["f1"])
    assert 0 < table[1]["p"] <= 1 and "p" not in table[0]
    rows = ledger.read("ner", folder=place / "results")
    assert [row["metrics"]["f1"] for row in rows] == [f for r in table for f in r["f1_by_seed"]]
    assert {row["dataset"] for row in rows} == {"set"} and str(place) not in json.dumps(rows)

    def fail(*_, **__):
        raise AssertionError("it was done already")

    monkeypatch.setattr(ner, "fine_tune", fail)
    assert command(place, *words) == 0
    text = capsys.readouterr().out.splitlines()
    assert len(text) == 3 and f"{table[0]['f1']:.2f}" in text[1] and "p = " in text[2]
    assert command(place, *words, "--sentences", 30) == 2
    assert "other settings" in capsys.readouterr().err


def test_own_files(place, capsys):
    files = [f"--{s}={place / 'set' / s}.tsv" for s in ("train", "devel", "test")]
    assert command(place / "own", "--model", place / "old", *files, "--seeds", 1) == 0
    assert "set" in capsys.readouterr().out
    assert (place / "own" / "out" / "set" / "old" / "seed-0" / "predictions.tsv").is_file()
    assert not (place / "own" / "out" / "set" / "old" / "seed-0" / "model").exists()


BAD = {
    "no set": (["--model", "old"], "give --dataset"),
    "unknown model": (["--model", "nix", "--dataset", "set"], "'nix'"),
    "no folder": (["--model", "./nix", "--dataset", "set"], "no folder ./nix"),
    "no model in it": (["--model", "set", "--dataset", "set"], "no config.json"),
    "unknown set": (["--model", "old", "--dataset", "nix"], "'nix'"),
    "a split lacks": (["--model", "old", "--dataset", "old"], "no train.tsv"),
    "own files lack": (["--model", "old", "--train", "set/train.tsv"], "together"),
    "own file is not there": (
        ["--model", "old", "--train", "a", "--devel", "b", "--test", "c"], "no file a",
    ),
    "no seed": (["--model", "old", "--dataset", "set", "--seeds", "0"], "--seeds 0"),
    "the same name twice": (["--model", "old", "./old", "--dataset", "set"], "same name"),
    "unknown profile": (["--model", "old", "--dataset", "set", "--profile", "x"], "'x'"),
    "broken line": (["--model", "old", "--dataset", "broken"], "train.tsv:2: "),
}  # fmt: skip


@pytest.mark.parametrize("words, message", BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_nothing_is_written(place, words, message, capsys, monkeypatch):
    monkeypatch.chdir(place)
    (place / "broken").mkdir(exist_ok=True)
    for split in ("train", "devel", "test"):
        (place / "broken" / f"{split}.tsv").write_text("a\tO\nb\tI-X\n")
    assert command(place / "bad", *words) == 2
    said = capsys.readouterr().err
    assert message in said and said.startswith("bioptimus: error: ") and said.count("\n") == 1
    assert not (place / "bad").exists()
