"""``bioptimus vocab``, ``scan`` and ``distill`` as a user chains them."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from bioptimus_lib.cli import main  # noqa: E402


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "shard.txt"
    stems, ends = ("gastr", "nephr", "hepat", "arthr", "derm"), ("itis", "ectomy", "ology", "osis")
    words = [stem + end for stem in stems for end in ends]
    lines = [f"The {a} came before {b}, and the patients had pain ." for a in words for b in words]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_from_a_corpus_to_a_model_with_new_words(tiny, tiny_folder, corpus, tmp_path, capsys):
    tokens, contexts, out = tmp_path / "tokens", tmp_path / "contexts.json", tmp_path / "model"
    assert main(["vocab", "--old", str(tiny_folder), "--corpus", str(corpus), "--out", str(tokens),
                 "--workers", "0", "--quiet"]) == 0
    assert "words to scan" in capsys.readouterr().out
    assert main(["scan", "--corpus", str(corpus), "--keywords", str(tokens / "keywords.txt"),
                 "--contexts", "3", "--workers", "0", "--out", str(contexts), "--quiet"]) == 0
    capsys.readouterr()
    given = ["--model", str(tiny_folder), "--plan", str(tokens / "plan.json"), "--contexts",
             str(contexts), "--quiet"]
    assert main(["distill", *given, "--out", str(out), "--strategy", "contextual", "--layer", "1",
                 "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["new"] > 0 and report["contexts"] > 0 and report["layers"] == [1]
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model, tokenizer = AutoModelForMaskedLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.config.vocab_size == len(tokenizer) == len(tiny[1])
    # A plan is for one model: the new model is refused as its own old one.
    assert main(["distill", "--model", str(out), *given[2:], "--out", str(tmp_path / "x")]) == 2
    assert "for another model" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_what_is_missing_is_one_line(tmp_path, capsys):
    out = str(tmp_path / "o")
    assert main(["vocab", "--old", str(tmp_path), "--corpus", "x", "--out", out]) == 2
    assert "no tokenizer" in capsys.readouterr().err
    assert main(["distill", "--model", "m", "--plan", "p", "--contexts", "c", "--out", "o",
                 "--strategy", "magic"]) == 2
    assert "choose one of" in capsys.readouterr().err
