"""``bioptimus vocab``, ``scan`` and ``distill`` as a user chains them."""

from __future__ import annotations

import json
import logging

import pytest

pytest.importorskip("torch")

from bioptimus_lib import ledger  # noqa: E402
from bioptimus_lib.cli import main  # noqa: E402


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "shard.txt"
    stems, ends = ("gastr", "nephr", "hepat", "arthr", "derm"), ("itis", "ectomy", "ology", "osis")
    words = [stem + end for stem in stems for end in ends]
    lines = [f"The {a} came before {b}, and the patients had pain ." for a in words for b in words]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_from_a_corpus_to_a_model_with_new_words(
    tiny, tiny_folder, corpus, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "1024")  # the command would set it
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "ledger")
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
                 "--ledger", "tiny", "--json"]) == 0
    (kept,) = ledger.read("distilled", folder=tmp_path / "ledger")
    assert kept["variant"] == "contextual" and kept["metrics"]["minutes"] >= 0
    assert "plan.json" in str(kept["data"]) and "contexts.json" in str(kept["data"])
    report = json.loads(capsys.readouterr().out)
    assert report["new"] > 0 and report["contexts"] > 0 and report["layers"] == [1]
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model, tokenizer = AutoModelForMaskedLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.config.vocab_size == len(tokenizer) == len(tiny[1])
    # A plan is for one model: the new model is refused as its own old one.
    assert main(["distill", "--model", str(out), *given[2:], "--out", str(tmp_path / "x")]) == 2
    assert "for another model" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_folder_of_somebody_is_not_replaced_by_a_model(tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("all of it")
    words = ["--model", "m", "--plan", "p", "--contexts", "c", "--strategy", "random"]
    assert main(["distill", *words, "--out", str(tmp_path / "thesis")]) == 2
    assert "is there and holds no model of ours" in capsys.readouterr().err
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "all of it"


def test_texts_of_one_name_are_refused(tmp_path, capsys):
    places = [tmp_path / side / "test" for side in "ab"]
    for place in places:
        place.mkdir(parents=True)
        (place / "a.txt").write_text("a text")
    assert main(["words", *map(str, places)]) == 2
    assert "two texts are called 'test'" in capsys.readouterr().err


def test_what_is_missing_is_one_line(tmp_path, capsys):
    out = str(tmp_path / "o")
    assert main(["vocab", "--old", str(tmp_path), "--corpus", "x", "--out", out]) == 2
    assert "no tokenizer" in capsys.readouterr().err
    assert main(["distill", "--model", "m", "--plan", "p", "--contexts", "c", "--out", "o",
                 "--strategy", "magic"]) == 2
    assert "choose one of" in capsys.readouterr().err


# -- vocab alone ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def texts(tmp_path_factory, corpus):
    """Another text, long enough for its length to count, and a small NER set."""
    folder = tmp_path_factory.mktemp("texts")
    general = "The weather was fine and the old house by the river stood in pain . " * 10
    (folder / "general.txt").write_text(general + "\n", encoding="utf-8")
    ner = folder / "ner"
    ner.mkdir()
    for split in ("train", "devel", "test"):
        (ner / f"{split}.tsv").write_text(
            "Severe\tO\ngastritis\tB-Disease\n\nno\tO\npain\tB-Disease\n\n", encoding="utf-8"
        )
    return folder


def vocab_command(tiny_folder, corpus, out, *more, quiet=True):
    given = ["--like", str(tiny_folder), "--corpus", str(corpus), "--out", str(out)]
    return main(["vocab", *given, "--workers", "0", *(["--quiet"] if quiet else []), *more])


def test_a_comparison_is_told_written_and_put_into_the_ledger(
    tiny_folder, corpus, texts, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    shards = tmp_path / "shards"
    shards.mkdir()
    for n in range(3):
        (shards / f"part-{n}.txt").write_text(corpus.read_text() * (n + 1), encoding="utf-8")
    out = tmp_path / "tokens"
    assert vocab_command(
        tiny_folder, shards, out, "--held-out", "*-2*", "--curve", "60", "80",
        "--compare", str(texts / "general.txt"), str(texts / "ner"), "--ledger", "small",
    ) == 0  # fmt: skip
    said = capsys.readouterr().out
    assert "shards, held out" in said and "kept rows" in said
    told = json.loads((out / "comparison.json").read_text())
    rows = {row["dataset"]: row for row in told if "curve" not in row}
    whole, kept = rows["shards"]["metrics"], rows["shards, held out"]["metrics"]
    assert whole["words"] == kept["words"]  # one and two times the text, against three times
    assert whole["new"] + whole["kept"] == whole["new_pieces"] == whole["old_pieces"] == 90
    assert whole["new_fertility"] < whole["old_fertility"]
    ner = rows["ner"]["metrics"]
    assert (ner["mentions"], ner["words"], ner["new_unknown"]) == (6, 6, 0)
    general = rows["general.txt"]["metrics"]
    assert general["texts"] == 1 and 0 < general["total"] and general["old_length"] > 100
    recorded = ledger.read("vocabulary", folder=tmp_path / "results")
    assert len(recorded) == 5 and all(row["model"] == "tiny" for row in recorded)
    shares = next(row["curve"] for row in recorded if "curve" in row)
    assert [size for size, _, _ in shares["shards, held out"]] == [60, 80]
    classes = recorded[0]["classes"]
    assert sum(n["new"] for n in classes.values()) == whole["new"]
    assert recorded[0]["data"] and not any("part-2" in name for name in recorded[0]["data"])


def test_a_folder_of_something_else_is_not_replaced(tiny_folder, corpus, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep me")
    assert vocab_command(tiny_folder, corpus, mine) == 2
    assert "holds no vocabulary of ours" in capsys.readouterr().err
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]
    out = tmp_path / "out"
    out.mkdir()  # an empty folder, and then one of our own, may be filled
    assert vocab_command(tiny_folder, corpus, out, "--size", "70") == 0
    assert vocab_command(tiny_folder, corpus, out, "--size", "80") == 0
    assert len(json.loads((out / "plan.json").read_text())["new_pieces"]) == 80


def test_a_run_that_fails_leaves_nothing(tiny_folder, corpus, tmp_path, monkeypatch, capsys):
    from bioptimus_lib.vocab import VocabularyPlan

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(VocabularyPlan, "save", full)
    assert vocab_command(tiny_folder, corpus, tmp_path / "out") == 2
    assert "No space left" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_corpus_too_small_is_a_warning_and_below_half_an_error(
    tiny_folder, corpus, tmp_path, capsys, caplog
):
    assert vocab_command(tiny_folder, corpus, tmp_path / "a", "--size", "5000") == 2
    assert "use more text or a smaller vocabulary" in capsys.readouterr().err
    with caplog.at_level(logging.WARNING):
        assert vocab_command(tiny_folder, corpus, tmp_path / "b", "--size", "170") == 0
    assert "not the 170 asked for" in caplog.text
    assert len(json.loads((tmp_path / "b" / "plan.json").read_text())["new_pieces"]) < 170


BAD = {
    "no corpus": (["--corpus", "no-such-folder"], "no-such-folder"),
    "empty corpus": (["--corpus", "{tmp}/empty.txt"], "holds no words"),
    "held out: none": (["--held-out", "*.xml"], "fits no file"),
    "held out: all": (["--held-out", "*"], "nothing is left to train on"),
    "no such text": (["--compare", "no-such-text"], "no-such-text"),
    "no tokenizer": (["--like", "{tmp}"], "no tokenizer"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, tiny_folder, corpus, tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n \n")
    more, message = BAD[case]
    more = [word.format(tmp=tmp_path) for word in more]
    assert vocab_command(tiny_folder, corpus, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_cased_or_another_kind_of_old_tokenizer_is_refused(corpus, tmp_path, capsys):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    from bioptimus_lib.vocab import SPECIAL_PIECES, bert_tokenizer

    bert_tokenizer([*SPECIAL_PIECES, "a"], lowercase=False).save_pretrained(tmp_path / "cased")
    other = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    other.save_pretrained(tmp_path / "bpe")
    assert vocab_command(tmp_path / "cased", corpus, tmp_path / "out", "--size", "70") == 2
    assert "cased" in capsys.readouterr().err
    assert vocab_command(tmp_path / "bpe", corpus, tmp_path / "out", "--size", "70") == 2
    assert "not one of kind BPE" in capsys.readouterr().err
