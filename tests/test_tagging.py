"""Entities in running text: the characters are exact, whatever the text holds, and the answers are
those of the tagger on single sentences and of Transformers' pipeline."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from conftest import TINY_TEXT, learner
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from bioptimus_lib import markup  # noqa: E402
from bioptimus_lib.splitting import sentences, spans  # noqa: E402
from bioptimus_lib.tagging import (  # noqa: E402
    Line,
    Mark,
    Marked,
    TextTagger,
    load_text_tagger,
    read_lines,
    runs,
)

LABELS = ("O", "B-Drug", "I-Drug", "B-Disease", "I-Disease")
#: What breaks readers: blanks of all widths, controls, marks of direction, bytes of all numbers.
ODD = {
    "controls": "As\x00pirin\x07 relieved pain\x1b[31m in the patients.\x0b Fever went.",
    "right to left": "\u202easpirin\u202c and \u200ffever\u200e in patients . \u05d0\u05e1\u05e4",
    "html": "<b>aspirin</b> & <script>alert('fever')</script> &amp; pain < 5 > 3",
    "bytes": "Ménière's fever, β-blockers, 阿司匹林 and \U0001d6fc\U0001f48a with pain\u0301 .",
    "wide blanks": "aspirin\u2003and\u00a0fever\u3000pain.\u2028The patients\x85received\u2009it.",
    "special pieces": "[CLS] aspirin [SEP] fever [MASK] [PAD] [UNK]",
    "replaced": "aspirin \ufffd\ufffd fever \ufeff pain",
    "no sentence": "   \t ",
    "nothing to read": "\x00\x01\u200b",
    "one long word": "x" * 5000 + " aspirin",
}

FREQUENT = st.sampled_from(" .\t\r\n\x85[](aA1)\u3000")
TEXT = st.text(st.one_of(st.characters(codec="utf-8"), FREQUENT))


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """A random tagger in a folder: it finds entities nearly everywhere, and has a short window."""
    from bioptimus_lib.models import save_model
    from bioptimus_lib.ner import classifier_on

    tokenizer = tiny[1]
    model, tokenizer = classifier_on((learner(tokenizer), tokenizer), LABELS, seed=1)
    with torch.no_grad():
        model.classifier.weight.mul_(20)
        model.classifier.bias[0] += 1
    return save_model(model, tokenizer, tmp_path_factory.mktemp("tagger") / "model")


@pytest.fixture(scope="module")
def valid(folder):
    return load_text_tagger(folder)


@pytest.fixture(scope="module")
def each(folder):
    return load_text_tagger(folder, constrained=False)


TEXTS = [
    *(text[:1].upper() + text[1:] for text in TINY_TEXT),
    "Placebo, aspirin (two weeks), fever and pain!",
    "Patients received salbutamol-placebo; FEVER was reversed in all...",
    "pain",
]


# --- the same answers --------------------------------------------------------------------------


def test_entities_are_those_of_transformers_pipeline(each):
    from transformers import pipeline

    pipe = pipeline(
        "token-classification", model=each.tagger.model, tokenizer=each.tagger.tokenizer,
        aggregation_strategy="first",
    )  # fmt: skip
    found = each.tag(TEXTS)
    assert sum(map(len, found)) > 20, "the test has something to compare"
    for text, mine in zip(TEXTS, found, strict=True):
        theirs = pipe(text)
        assert [(m.type, m.start, m.stop) for m in mine] == [
            (one["entity_group"], one["start"], one["end"]) for one in theirs
        ], text
        scores = [one["score"] for one in theirs]
        assert [m.score for m in mine] == pytest.approx(scores, abs=1e-4)


def test_entities_are_those_of_the_tagger_on_tokens(valid):
    from bioptimus_lib.conll import Sentence, entities

    for text, mine in zip(TEXTS, valid.tag(TEXTS), strict=True):
        found = valid.cut([text]).words[0]
        last = max(found.word_ids)
        places = [found.word_to_chars(i) for i in range(last + 1)]
        tokens = tuple(text[start:stop] for start, stop in places)
        (tags,) = valid.tagger.predict([Sentence(tokens, ("O",) * len(tokens))])
        assert [(m.type, m.start, m.stop) for m in mine] == [
            (e.type, places[e.start][0], places[e.stop - 1][1]) for e in entities(tags)
        ]


def test_company_and_blocks_change_nothing(valid):
    lines = [Line(n, 0, text) for n, text in enumerate(TEXTS * 3)]
    alone = [list(valid.tag_lines([line])) for line in lines]
    for block in (1, 100, 10**6):
        together = list(valid.tag_lines(lines, block=block))
        assert [m.line for m in together] == lines
        for one, (other,) in zip(together, alone, strict=True):
            assert [m[:3] for m in one.marks] == [m[:3] for m in other.marks]


def test_a_long_sentence_is_read_in_windows_as_tokens_are(valid):
    from bioptimus_lib.conll import Sentence
    from bioptimus_lib.windows import encode

    words = " ".join(TINY_TEXT * 6).replace(" .", "").split()
    (text,) = [" ".join(words)]
    cut = valid.cut([text]).encoding
    tokens = encode([Sentence(tuple(words), ("O",) * len(words))], valid.tagger.tokenizer,
                    window=valid.tagger.window)  # fmt: skip
    assert len(cut.windows) == len(tokens.windows) > 2 and cut.tokens == tokens.tokens
    for mine, theirs in zip(cut.windows, tokens.windows, strict=True):
        assert mine.window == theirs.window
        np.testing.assert_array_equal(mine.ids, theirs.ids)
        np.testing.assert_array_equal(mine.heads, theirs.heads)


def test_an_orphan_begins_an_entity():
    assert runs(("I-A", "I-B", "B-B", "I-B", "O", "I-B")) == [
        ("A", 0, 1), ("B", 1, 2), ("B", 2, 4), ("B", 5, 6),
    ]  # fmt: skip


# --- characters --------------------------------------------------------------------------------


def sound(tagger, text):
    """Entities of a text, after a look at each."""
    found = [m for line in tagger.tag_lines(read_lines(io.StringIO(text, newline="\n")))
             for m in (Mark(x.type, x.start + line.line.start, x.stop + line.line.start, x.score)
                       for x in line.marks)]  # fmt: skip
    before = 0
    for mark in found:
        assert before <= mark.start < mark.stop <= len(text)
        shown = text[mark.start : mark.stop]
        assert shown == shown.strip() and "\n" not in shown and 0 < mark.score <= 1
        before = mark.stop
    return found


@pytest.mark.parametrize("name", ODD)
def test_odd_text_is_tagged_and_comes_out_as_it_was(name, each):
    text = ODD[name] + "\r\n" + ODD[name]
    found = sound(each, text)
    words = [text[m.start : m.stop] for m in found]
    assert words or name in ("no sentence", "nothing to read"), "something is found"
    lines = list(each.tag_lines(read_lines(io.StringIO(text, newline="\n"))))
    assert "".join(part for m in lines for part, _ in [*markup.parts(m), (m.line.end, 0)]) == text
    rows = [json.loads(row) for row in markup.json_lines(lines)]
    assert [row["text"][e["start"] : e["end"]] for row in rows for e in row["entities"]] == words
    assert len("".join(markup.json_lines(lines)).splitlines()) == 2
    for row, line in zip(markup.brat(lines), (w for w in words), strict=True):
        _, where, shown = row.rstrip("\n").split("\t")
        kind, start, stop = where.split(" ")
        assert text[int(start) : int(stop)] == line and len(shown) == len(line)
        assert kind in ("Drug", "Disease")


@given(TEXT)
@settings(max_examples=60)
def test_any_text_is_tagged(each, text):
    sound(each, text)


@given(TEXT)
@settings(max_examples=300)
def test_spans_are_where_the_sentences_stand(text):
    places = spans(text)
    assert len(places) == len(sentences(text))
    for (start, stop), sentence in zip(places, sentences(text), strict=True):
        assert text[start:stop].split() == sentence.split() and text[start:stop].strip()
    assert [b for _, b in places] == sorted(b for _, b in places)


def test_special_pieces_in_a_text_are_text(valid):
    tokenizer = valid.tagger.tokenizer
    ids = valid.cut(["[SEP] aspirin [MASK]"]).encoding.windows[0].ids
    assert list(ids).count(tokenizer.sep_token_id) == 1 and tokenizer.mask_token_id not in ids


# --- lines -------------------------------------------------------------------------------------


def test_lines_keep_their_ends_and_places():
    text = "one\r\n\n two\rthree\nlast"
    lines = list(read_lines(io.StringIO(text, newline="\n")))
    assert [line.text for line in lines] == ["one", "", " two\rthree", "last"]
    assert [line.end for line in lines] == ["\r\n", "\n", "\n", ""]
    assert [line.number for line in lines] == [1, 2, 3, 4]
    assert all(text[x.start :].startswith(x.text) for x in lines)
    assert list(read_lines(io.StringIO(""))) == []


@pytest.mark.parametrize("line", ["ab " * 50, "a" * 150, "a" * 20, "ab cd\r\n" + "x y " * 9])
def test_a_very_long_line_comes_in_parts(line):
    text = f"first\n{line}\nlast"
    lines = list(read_lines(io.StringIO(text, newline="\n"), longest=20))
    assert "".join(x.text + x.end for x in lines) == text
    assert all(len(x.text) <= 20 and text[x.start :].startswith(x.text) for x in lines)
    assert lines[-1].number == text.count("\n") + 1
    held = [x for x in lines if "ab " in x.text and not x.end]
    assert all(x.text.endswith(" ") for x in held), "cut at blanks"


def test_what_is_held_does_not_grow_with_the_text(valid):
    asked = []

    def endless():
        for number in range(10**9):
            asked.append(number)
            yield Line(number + 1, 0, "" if number % 2 else "aspirin relieves fever .")

    stream = valid.tag_lines(endless(), block=200)
    for number in range(300):
        assert next(stream).line.number == number + 1
        assert len(asked) - number < 40


# --- formats -----------------------------------------------------------------------------------

TWO = [
    Marked(Line(1, 0, "Give <aspirin> & rest", "\r\n"), [Mark("Drug", 5, 14, 0.75)]),
    Marked(Line(2, 23, "no\tfever\x00", ""), [Mark("Sign or\tsymptom", 0, 8, 0.5)]),
]


def test_each_format_exactly():
    assert "".join(markup.plain(TWO)) == (
        "Give [<aspirin>](Drug) & rest\r\n[no\tfever](Sign or\tsymptom)\x00"
    )
    first, second = map(json.loads, markup.json_lines(TWO))
    assert first["entities"] == [
        {"type": "Drug", "start": 5, "end": 14, "text": "<aspirin>", "score": 0.75}
    ]
    assert (second["line"], second["start"], second["text"]) == (2, 23, "no\tfever\x00")
    assert list(markup.brat(TWO)) == [
        "T1\tDrug 5 14\t<aspirin>\n", "T2\tSign_or_symptom 23 31\tno fever\n",
    ]  # fmt: skip
    page = "".join(markup.html(TWO, ["Drug"]))
    assert '<mark class="t0" data-type="Drug">&lt;aspirin&gt;</mark> &amp; rest</p>' in page
    assert "\x00" not in page and "\u2400" in page and page.count('<p dir="auto">') == 2
    assert page.endswith("</body></html>\n")


def test_nothing_in_gives_nothing_out():
    assert not [x for name in ("plain", "jsonl", "brat") for x in markup.FORMATS[name]([], [])]
    assert "".join(markup.html([])).count("<p") == 0


# --- what is no tagger -------------------------------------------------------------------------


def test_what_is_no_tagger_is_refused(tiny_folder, folder, tmp_path):
    import shutil

    with pytest.raises(ValueError, match="BertForMaskedLM, not a tagger"):
        load_text_tagger(tiny_folder)
    with pytest.raises(FileNotFoundError):
        load_text_tagger(tmp_path / "nowhere")
    other = shutil.copytree(folder, tmp_path / "labels")
    config = json.loads((other / "config.json").read_text())
    config["id2label"]["1"] = "LABEL_1"
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="not IOB2 .LABEL_1"):
        load_text_tagger(other)
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ValueError, match="can run code"):
        load_text_tagger(pickled)
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept / "model")
    assert isinstance(load_text_tagger(kept), TextTagger)
