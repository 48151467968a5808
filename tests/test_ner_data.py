"""NER data as it comes: documents, odd files and tokens, label sets, and that nothing drops out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from test_ner import BAD, COUNTS, PIECES, sentence, write

from bioptimus_lib.conll import (
    Sentence,
    count,
    entities,
    labels_of,
    load_splits,
    read_conll,
    read_predictions,
    repair,
    types_of,
    write_conll,
)
from bioptimus_lib.entity_score import score
from bioptimus_lib.errors import DataError
from bioptimus_lib.windows import encode

# --- documents ---------------------------------------------------------------------------------

DOCUMENTS = {  # file → document of each sentence
    "none is marked": ("a\tO\n\nb\tO\n", [None, None]),
    "marked": ("-DOCSTART-\tO\n\na\tO\n\nb\tO\n\n-DOCSTART-\tO\n\nc\tO\n", [0, 0, 1]),
    "what stands before the first is unknown": ("a\tO\n-DOCSTART-\tO\nb\tO\n", [None, 0]),
    "an empty one has a number": ("-DOCSTART-\tO\n-DOCSTART-\tO\na\tO\n", [1]),
}


@pytest.mark.parametrize("text, documents", DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents(tmp_path, text, documents):
    assert [s.document for s in read_conll(write(tmp_path / "f.tsv", text))] == documents


def test_documents_are_written_and_read_again(tmp_path):
    sentences = [
        Sentence(("a",), ("O",), 0), Sentence(("b",), ("B-X",), 0), Sentence(("c",), ("O",), 1),
    ]  # fmt: skip
    write_conll(tmp_path / "f.tsv", sentences)
    again = read_conll(tmp_path / "f.tsv")
    assert again == sentences and [s.document for s in again] == [0, 0, 1]
    write_conll(tmp_path / "p.tsv", sentences, [["O"], ["O"], ["B-X"]])
    assert read_predictions(tmp_path / "p.tsv") == [("O",), ("O",), ("B-X",)]


def test_a_sentence_is_the_same_in_any_document():
    assert Sentence(("a",), ("O",), 3) == Sentence(("a",), ("O",)) == sentence("a/O")
    assert len({Sentence(("a",), ("O",), 3), Sentence(("a",), ("O",))}) == 1


# --- odd files ---------------------------------------------------------------------------------

ODD = {  # file, line, message
    "token is a blank": ("a\tO\n \tO\n", 2, "token<TAB>tag"),
    "token is several blanks": ("   \tB-X\n", 1, "token<TAB>tag"),
    "tag with a blank behind it": ("a\tO \n", 1, "not IOB2"),
    "only blank lines": ("\n  \n\t\n\n", None, "no sentence"),
    "an entity does not go on over a blank line": ("a\tB-X\n \nb\tI-X\n", 3, "continues no"),
    "missing column in the last line": ("a\tO\nb\tO\nc", 3, "token<TAB>tag"),
    "unknown tag": ("a\tO\nb\tX-Gene\n", 2, "not IOB2"),
}


def test_cases_are_not_tested_elsewhere():
    assert not ODD.keys() & BAD.keys()


@pytest.mark.parametrize("text, line, message", ODD.values(), ids=ODD)
def test_odd_files_are_named_with_their_line(tmp_path, text, line, message):
    path = write(tmp_path / "f.tsv", text)
    with pytest.raises(DataError, match=message) as caught:
        read_conll(path)
    assert (caught.value.path, caught.value.line) == (path, line)


def test_a_blank_sentence_is_no_sentence_and_loses_none(tmp_path):
    found = read_conll(write(tmp_path / "f.tsv", "a\tO\n\n   \n\t\n\nb\tO\n"))
    assert [s.tokens for s in found] == [("a",), ("b",)]


def test_a_token_of_ten_thousand_characters_is_a_token(tmp_path):
    long = "x" * 10_000
    (found,) = read_conll(write(tmp_path / "f.tsv", f"a\tO\n{long}\tB-X\n"))
    assert found.tokens == ("a", long) and len(entities(found.tags)) == 1


DROPPED = {"control character": "\x07", "lone combining mark": "\u0301", "no-break space": "\u00a0"}


@pytest.mark.parametrize("token", DROPPED.values(), ids=DROPPED)
def test_a_token_that_the_tokenizer_drops_is_read_labelled_and_counted(tmp_path, token):
    from bioptimus_lib.vocab import bert_tokenizer

    sentences = read_conll(write(tmp_path / "f.tsv", f"a\tO\n{token}\tB-X\nb\tI-X\nc\tO\n"))
    assert sentences[0].tokens == ("a", token, "b", "c")
    made = encode(sentences, bert_tokenizer(PIECES), window=16)
    assert (made.report["empty"], made.report["tokens"]) == (1, 4)
    index = {"O": 0, "B-X": 1, "I-X": 2}
    (labels,) = made.labels([sentences[0].tags], index)
    seen = dict(zip(made.windows[0].ids.tolist(), labels.tolist(), strict=True))
    assert [seen[PIECES.index(piece)] for piece in ("a", "[UNK]", "b", "c")] == [0, 1, 2, 0]


def test_a_token_that_looks_like_a_sign_of_the_model_is_a_token():
    from bioptimus_lib.vocab import bert_tokenizer

    tokenizer = bert_tokenizer(PIECES)
    made = encode([sentence("a/O [PAD]/B-X [SEP]/O b/O")], tokenizer, window=16)
    ids = made.windows[0].ids
    signs = tokenizer.pad_token_id, tokenizer.sep_token_id
    assert [int((ids == sign).sum()) for sign in signs] == [0, 1]


# --- label sets --------------------------------------------------------------------------------


def test_a_tag_without_a_label_is_refused_and_not_left_out():
    from bioptimus_lib.vocab import bert_tokenizer

    made = encode([sentence("a/O b/B-X"), sentence("c/B-Y")], bert_tokenizer(PIECES), window=16)
    index = {label: i for i, label in enumerate(labels_of(["X"]))}
    with pytest.raises(ValueError, match="sentence 1: tag 'B-Y' has no label, known are"):
        made.labels([["O", "B-X"], ["B-Y"]], index)
    with pytest.raises(ValueError, match="sentence 0: 1 tags for 2 tokens"):
        made.labels([["O"], ["O"]], index)


def test_a_type_that_only_one_split_has_is_scored_as_missed(tmp_path):
    for split, text in (("train", "a\tB-X\n"), ("devel", "a\tB-X\n"), ("test", "a\tB-X\nb\tB-Y\n")):
        write(tmp_path / f"{split}.tsv", text)
    splits = load_splits(tmp_path)
    assert [types_of(splits[split]) for split in splits] == [["X"], ["X"], ["X", "Y"]]
    found = score([splits["test"][0].tags], [("B-X", "O")])
    assert found["types"]["Y"] == {"precision": 0, "recall": 0, "f1": 0, "gold": 1}
    assert (found["gold"], found["recall"]) == (2, 50)


def test_repair_is_valid_and_leaves_valid_tags_alone():
    assert repair("I-X I-X O I-Y B-X I-Y".split()) == "B-X I-X O B-Y B-X B-Y".split()
    assert repair("B-X I-X O B-Y".split()) == "B-X I-X O B-Y".split()
    assert repair([]) == []


# --- the real sets -----------------------------------------------------------------------------

REAL = pytest.mark.skipif("BIOPTIMUS_MIRROR" not in os.environ, reason="needs the real sets")


def real(name: str) -> dict[str, list[Sentence]]:
    return load_splits(Path(os.environ["BIOPTIMUS_MIRROR"]) / "ner" / name)


@REAL
def test_jnlpba_has_its_documents_and_the_other_sets_tell_none():
    for name in COUNTS:
        documents = [
            len({sentence.document for sentence in split} - {None}) for split in real(name).values()
        ]
        assert documents == ([1800, 200, 404] if name == "JNLPBA" else [0, 0, 0])


@REAL
@pytest.mark.parametrize("name", COUNTS)
def test_every_gold_entity_of_a_real_test_set_is_scored(name):
    """A model that knows all answers gets them through windows of any size, and 100 % for them."""
    from transformers import AutoTokenizer

    from bioptimus_lib.sources import model_path
    from bioptimus_lib.tagger import best_path

    tokenizer = AutoTokenizer.from_pretrained(model_path("pocket-bert"), local_files_only=True)
    test = real(name)["test"]
    labels = labels_of(types_of(test))
    index = {label: i for i, label in enumerate(labels)}
    gold = [sentence.tags for sentence in test]
    for window in (512, 32):
        made = encode(test, tokenizer, window=window)
        assert window == 512 or made.report["windows"] > len(test)
        answers = [
            np.eye(len(labels))[np.maximum(row, 0)] for row in made.labels(gold, index)
        ]
        tags = [best_path(row, labels) for row in made.merge(answers)]
        assert tags == gold
        found = score(gold, tags)
        assert found["f1"] == 100
        assert found["gold"] == found["predicted"] == COUNTS[name][1][2]
        assert found["gold"] == count({"test": test})["test"]["entities"]
        assert sum(one["gold"] for one in found["types"].values()) == found["gold"]
