"""The scan: exact, the same for any number of workers and any cuts, and clear about bad input."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bioptimus_lib import byte_ranges, match_loop, matching
from bioptimus_lib.cli import main
from bioptimus_lib.contexts import Contexts
from bioptimus_lib.errors import DataError
from bioptimus_lib.excerpts import around
from bioptimus_lib.matching import Keywords, count_lines
from bioptimus_lib.pocket import write_corpus
from bioptimus_lib.scan import count_words, find_contexts, plan_scan, read_keywords, words
from bioptimus_lib.search import Job, search
from bioptimus_lib.words import split
from bioptimus_lib.workers import in_order

BERT_NORMALIZER, BERT_PRE_TOKENIZER = BertNormalizer(lowercase=True), BertPreTokenizer()
CUTS = (1, 7, 64, None)  # bytes in a piece: every line cut, most, some, none


def bert_words(text: str) -> list[str]:
    """The reference: the normaliser and pre-tokeniser of BERT themselves."""
    normal = BERT_NORMALIZER.normalize_str(text)
    return [word for word, _ in BERT_PRE_TOKENIZER.pre_tokenize_str(normal)]


def naive(keyword: str, raw: bytes) -> list[str]:
    """The lines that hold a keyword, found without any of our code."""
    wanted = bert_words(keyword)
    found = []
    for line in raw.split(b"\n"):
        text = line.decode("utf-8", "replace")
        there = bert_words(text)
        starts = range(len(there) - len(wanted) + 1)
        if any(there[i : i + len(wanted)] == wanted for i in starts):
            found.append(text.strip())
    return found


def scan_bytes(folder: Path, raw: bytes, keywords: list[str], **options) -> Contexts:
    path = folder / "text.txt"
    path.write_bytes(raw)
    options = {"contexts": 1000, "workers": 0, "max_words": 10_000} | options
    return find_contexts(keywords, path, **options)


CASES = {
    "one line": (b"Aspirin helps.\n", "aspirin", 1),
    "no line end at the end": (b"Pain fell.\nWe gave aspirin", "aspirin", 1),
    "Windows line ends": (b"aspirin\r\nzinc\r\naspirin\r\n", "aspirin", 2),
    "twice in a line is one line": (b"aspirin or aspirin\n", "aspirin", 1),
    "beside punctuation": (b"(aspirin), aspirin. [aspirin]\n/aspirin/\n", "aspirin", 2),
    "not inside a word": (b"aspirins preaspirin aspirin2\n", "aspirin", 0),
    "hyphen cuts": (b"aspirin-like\n", "aspirin", 1),
    "any case": (b"ASPIRIN\nAsPiRiN\n", "aspirin", 2),
    "keyword in capitals": (b"aspirin\n", "ASPIRIN", 1),
    "accents are stripped": ("Ménière\nmeniere\n".encode(), "Meniere", 2),
    "accent on the keyword": ("Ménière\nmeniere\n".encode(), "Ménière", 2),
    "combining accent": ("Me\u0301nie\u0300re\n".encode(), "meniere", 1),
    "Greek": ("TNF-α rose\nTNF-β fell\n".encode(), "α", 1),
    "soft hyphen vanishes": ("immuno\u00adglobulin\n".encode(), "immunoglobulin", 1),
    "control characters vanish": (b"asp\x0birin\nas\x00pirin\n", "aspirin", 2),
    "no-break space cuts": ("5\u00a0mg aspirin\u2009daily\n".encode(), "aspirin", 1),
    "Chinese characters stand alone": ("用阿司匹林 aspirin\n".encode(), "司", 1),
    "non-ASCII punctuation cuts": ("aspirin–zinc “aspirin”\n".encode(), "aspirin", 1),
    "non-ASCII symbol does not cut": ("≥aspirin\n".encode(), "aspirin", 0),
    "dash as a keyword": ("1 – 2\n1 - 2\n".encode(), "–", 1),
    "ASCII symbol as a keyword": (b"5 % of 3\n5%\nfive\n", "%", 2),
    "phrase": (b"IL-2 rose\nIL - 2\nIL 2\nil-2.\nIL-22\n", "IL-2", 3),
    "phrase with a blank": (b"E. coli grew\ncoli e.\nE.coli\n", "E. coli", 2),
    "phrase is not cut by a line end": (b"lung\ncancer\nlung cancer\n", "lung cancer", 1),
    "phrase that begins again": (b"a a b\n", "a b", 1),
    "regex characters": (b"c++ and a.c\nabc\n", "a.c", 1),
    "blank lines": (b"\n\naspirin\n\n\n", "aspirin", 1),
    "only line ends": (b"\n\n\n", "aspirin", 0),
    "invalid bytes vanish as BERT has it": (b"asp\xffirin \xe2\x82\n", "aspirin", 1),
    "line separator is no line end": ("aspirin\u2028aspirin\n".encode(), "aspirin", 1),
    "beginning and length as another keyword": (b"alleviating\nalleviation\n", "alleviation", 1),
    "longer than eight bytes": (b"electroencephalographic electroencephalographies\n",
                                "electroencephalographic", 1),
    "just eight bytes": (b"morphine morphines morphin\n", "morphine", 1),
    "at the very end": (b"pain zinc", "zinc", 1),
    "form feed is no line end": (b"aspirin \x0c aspirin\n", "aspirin", 1),
    "dash between words": ("zinc–aspirin—zinc\naspirin…\n".encode(), "aspirin", 2),
    "dash in a phrase": ("zinc–aspirin\nzinc-aspirin\nzinc aspirin\n".encode(), "zinc–aspirin", 1),
    "middle dot": ("10·aspirin·zinc\n".encode(), "aspirin", 1),
    "middle dot as a keyword": ("1·2\n1.2\n".encode(), "·", 1),
    "no-break space before a line end": ("aspirin\u00a0\n\u2009zinc\n".encode(), "aspirin", 1),
    "zero-width space vanishes": ("asp\u200birin\n".encode(), "aspirin", 1),
    "first half of a dash": (b"aspirin\xe2\x80 zinc\n\x93aspirin\n", "aspirin", 2),
    "half a letter before a dash": (b"aspirin\xf0\xe2\x80\x93\n", "aspirin", 1),
    "half a letter before a control character": (b"aspirin\xc3\x01\n", "aspirin", 1),
    "a word of one letter many times": (b"a" * 128 + b" " + b"b" * 128 + b"\n" + b"a" * 127 + b"\n",
                                        "a" * 128, 1),
    "last byte of a dash in another letter": ("aspirin\u3013\n".encode(), "aspirin", 0),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("cut", CUTS)
def test_named_cases(tmp_path, name, cut):
    raw, keyword, lines = CASES[name]
    others = ["nowhere", "alleviated", "alleviating of"]
    found = scan_bytes(tmp_path, raw, [keyword, *others], piece_bytes=cut)
    assert found.counts == {keyword: lines} | dict.fromkeys(others, 0)
    assert len(found[keyword]) == lines and not any(found[other] for other in others)
    assert found.report.bytes == len(raw)
    assert found.report.lines == raw.count(b"\n") + (not raw.endswith(b"\n"))


def test_empty_files_and_files_smaller_than_a_piece(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "b.txt").write_bytes(b"zinc")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b""))
    found = find_contexts(["zinc"], tmp_path, workers=0)
    assert found["zinc"] == ["zinc"] and found.report.files == 3 and found.report.lines == 1


def test_invalid_bytes_are_counted_and_shown(tmp_path):
    found = scan_bytes(tmp_path, b"zinc \xff\n caf\xe9 zinc\n\xce\xb1 zinc", ["zinc"])
    assert found.report.invalid_bytes == 2
    assert sorted(found["zinc"]) == ["caf\ufffd zinc", "zinc \ufffd", "α zinc"]


def test_excerpts_of_huge_lines(tmp_path):
    line = "α " * 3_000 + "Ménière (zinc) " + "β " * 3_000 + "aspirin"
    keywords = ["zinc", "meniere", "meniere (zinc", "aspirin", "β"]
    found = scan_bytes(tmp_path, line.encode(), keywords, max_words=8)
    for keyword, lines in found.items():
        assert f" {' '.join(bert_words(keyword))} " in f" {bert_text(lines[0])} "
        assert len(lines[0].split()) == 8 and lines[0] in line


PEAK = """
import json, sys, time
from bioptimus_lib.scan import find_contexts
found = find_contexts(["zinc", "aspirin", "α", "zinc aspirin"], sys.argv[1], workers=0)
status = open("/proc/self/status").read()
print(json.dumps([found.counts, int(status.split("VmHWM:")[1].split()[0]) // 1024]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("blank", [b" ", b"\t"])
def test_a_line_of_fifty_megabytes(tmp_path, blank):
    """It is found, in less than half a minute and a few times its size of memory."""
    path = tmp_path / "a.txt"
    path.write_bytes(
        blank.join([b"word"] * 10_000_000) + " α zinc\u00a0aspirin\naspirin\n".encode()
    )
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, check=True, timeout=60
    )
    counts, megabytes = json.loads(done.stdout)
    assert counts == {"zinc": 1, "aspirin": 2, "α": 1, "zinc aspirin": 1}
    assert megabytes < 600


def test_long_line_of_many_blocks(tmp_path):
    raw = b"zinc " * 300_000 + b"\naspirin zinc\n"
    for cut in (200_000, None):
        found = scan_bytes(tmp_path, raw, ["zinc", "aspirin"], piece_bytes=cut, max_words=5)
        assert found.counts == {"zinc": 2, "aspirin": 1} and found.report.lines == 2
        assert sorted(found["zinc"]) == ["aspirin zinc", "zinc zinc zinc zinc zinc"]


alphabet = st.sampled_from(
    [*"aAbBeEz12 \t\r\n.-(%", "é", "e\u0301", "α", "Σ", "ß", "İ", "ﬁ", "中", "–", "≥", "\u00ad",
     "\u00a0", "\u2028", "\ufeff", "\x0b", "\x1c", "\x85", "\ufffd", "µ", "…", "😀", "़", "ก็"]
)  # fmt: skip
texts = st.lists(alphabet, max_size=60).map("".join)


@given(texts)
@settings(max_examples=150)
def test_words_are_those_of_bert(text):
    assert words(text) == bert_words(text)
    assert [w for part in split(text) for w in words(part)] == words(text)


def test_words_of_every_character_in_use():
    """All characters up to Unicode 8, which the tables of `tokenizers` know."""
    old = [
        c
        for c in map(chr, range(0xD800))
        if unicodedata.ucd_3_2_0.category(c) != "Cn"
        and c not in "\u166d\u1734\u1885\u1886"  # of other classes since
    ]
    wrong = [c for c in old if words(f"a{c}b") != bert_words(f"a{c}b")]
    assert len(old) > 40_000 and wrong == []


@given(
    raw=st.lists(st.one_of(texts.map(str.encode), st.binary(max_size=8)), max_size=8).map(b"".join),
    keywords=st.lists(texts.filter(bert_words), min_size=1, max_size=6, unique=True),
    cut=st.integers(1, 80),
)
@settings(max_examples=100)
def test_finds_what_a_naive_search_finds(tmp_path_factory, raw, keywords, cut):
    folder = tmp_path_factory.getbasetemp()
    found = scan_bytes(folder, raw, keywords, piece_bytes=cut)
    for keyword in keywords:
        expected = naive(keyword, raw)
        assert found.counts[keyword] == len(expected) == len(found[keyword])
        # Our replacement marks are one per byte, Python's one per broken character.
        assert Counter(map(bert_text, found[keyword])) == Counter(map(bert_text, expected))


@given(
    raw=st.lists(texts, min_size=1, max_size=8).map(lambda some: "".join(some).encode()),
    keywords=st.lists(texts.filter(bert_words), min_size=1, max_size=6, unique=True),
)
@settings(max_examples=150)
def test_a_loop_that_stops_wherever_it_can(tmp_path_factory, raw, keywords):
    """At the end of each line, and at each page of characters, all of which are new to it."""
    folder = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "ROOM", 0)
        patch.setattr(matching, "_characters", matching._Characters())
        found = scan_bytes(folder, raw, keywords)
    assert found.counts == {k: len(naive(k, raw)) for k in keywords}
    assert found.report.lines == raw.count(b"\n") + (bool(raw) and not raw.endswith(b"\n"))


def test_the_loop_cuts_at_every_character_as_words_does():
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and c != 10]
    forms = ["ab", "a", "b"]
    counts = Counter()
    for c in characters:
        counts.update(set(words(f"a{c}b")))
    text = "\n".join(f"a{c}b" for c in characters).encode()
    assert count_lines(Keywords("\n".join(forms).encode()), text).tolist() == [
        counts[form] for form in forms
    ]


def bert_text(text: str) -> str:
    return " ".join(bert_words(text))


STEMS = ["", "a", "cardio", "cardiomy", "electroencephal", "neuropsychopharmacolog"]
ENDS = ["", "s", "ic", "ical", "opathy", "opathic", "ogram", "ograms", "é", "α"]
similar = st.builds("{}{}".format, st.sampled_from(STEMS), st.sampled_from(ENDS)).filter(bool)


@given(
    lines=st.lists(st.lists(similar, max_size=8).map(" ".join), max_size=8),
    keywords=st.lists(similar, min_size=1, max_size=40, unique=True),
)
@settings(max_examples=100)
def test_tells_similar_words_apart(tmp_path_factory, lines, keywords):
    raw = "\n".join(lines).encode()
    found = scan_bytes(tmp_path_factory.getbasetemp(), raw, keywords)
    assert {k: sorted(found[k]) for k in keywords} == {k: sorted(naive(k, raw)) for k in keywords}


@given(
    raw=st.lists(st.one_of(texts.map(str.encode), st.binary(max_size=8)), max_size=8).map(b"".join),
    cut=st.integers(1, 80),
)
@settings(max_examples=100)
def test_counts_what_bert_counts(tmp_path_factory, raw, cut):
    path = tmp_path_factory.getbasetemp() / "count.txt"
    path.write_bytes(raw)
    lines = [line.decode("utf-8", "replace") for line in raw.split(b"\n")]
    expected = Counter(word for line in lines for word in bert_words(line))
    assert count_words(path, workers=0, piece_bytes=cut) == expected


@pytest.mark.parametrize("name", CASES)
def test_counts_of_the_named_cases(tmp_path, name):
    path = tmp_path / "count.txt"
    path.write_bytes(CASES[name][0])
    lines = CASES[name][0].decode("utf-8", "replace").split("\n")
    assert count_words(path, workers=0) == Counter(w for line in lines for w in bert_words(line))


@given(raw=st.binary(max_size=200), cut=st.integers(1, 50), block=st.integers(1, 50))
@settings(max_examples=150)
def test_pieces_lose_and_double_nothing(tmp_path_factory, raw, cut, block):
    path = tmp_path_factory.getbasetemp() / "pieces.txt"
    path.write_bytes(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_ranges, "BLOCK", block)
        found = [
            part
            for p in byte_ranges.byte_ranges([path], ["p"], size=cut)
            for part in byte_ranges.blocks(p)
        ]
    assert b"".join(data for _, data in found) == raw
    for offset, data in found:
        assert raw[offset : offset + len(data)] == data
        assert offset == 0 or raw[offset - 1 : offset] == b"\n"
        assert data.endswith(b"\n") or offset + len(data) == len(raw)


# -- the sample -----------------------------------------------------------------------------------

KEYWORDS = ["patients", "treatment", "p", "%", "mg", "α", "nowhere"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, megabytes=0.6, seed=3)
    big = sorted(folder.glob("*.txt"))[0]
    (folder / "more.txt.gz").write_bytes(gzip.compress(big.read_bytes()[:100_000]))
    return folder


@pytest.fixture(scope="module")
def sample(corpus):
    return find_contexts(KEYWORDS, corpus, contexts=5, workers=0)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_same_sample_with_processes(corpus, sample, workers):
    found = find_contexts(KEYWORDS, corpus, contexts=5, workers=workers, piece_bytes=50_000)
    assert dict(found) == dict(sample) and found.counts == sample.counts
    assert count_words(corpus, workers=workers, piece_bytes=99_999) == count_words(
        corpus, workers=0
    )


def test_same_sample_with_any_executor_and_any_cut(corpus, sample):
    with ThreadPoolExecutor(3) as executor:
        found = find_contexts(
            KEYWORDS, corpus, contexts=5, executor=executor, piece_bytes=7_777
        )
    assert dict(found) == dict(sample) and found.counts == sample.counts
    assert all(found.counts[k] > 5 for k in ("patients", "treatment", "%"))


@pytest.mark.parametrize("sample", ["random", "first"])
def test_same_sample_on_a_dask_cluster(corpus, sample):
    distributed = pytest.importorskip("distributed")
    alone = find_contexts(KEYWORDS, corpus, contexts=5, sample=sample, workers=0)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as some,
        distributed.Client(some) as client,
    ):
        found = find_contexts(
            KEYWORDS, corpus, contexts=5, sample=sample, executor=client.get_executor(),
            piece_bytes=50_000,
        )  # fmt: skip
    assert dict(found) == dict(alone) and found.counts == alone.counts


def test_threads_do_not_disturb_each_other(corpus):
    """With ``first``, each thread stops looking for other keywords at other times."""
    alone = find_contexts(KEYWORDS, corpus, contexts=3, sample="first", workers=0)
    for cut in (5_000, 20_000, 50_000):
        with ThreadPoolExecutor(4) as executor:
            found = find_contexts(
                KEYWORDS, corpus, contexts=3, sample="first", executor=executor, piece_bytes=cut
            )
        assert dict(found) == dict(alone)


def test_a_scan_leaves_nothing_to_the_next_one(corpus, sample):
    """In one process, with the same keywords: compiled keywords and limits are kept there."""
    find_contexts(KEYWORDS, corpus, contexts=1, sample="first", workers=0)
    assert dict(find_contexts(KEYWORDS, corpus, contexts=5, workers=0)) == dict(sample)


def test_same_sample_whatever_the_global_random_state(corpus, sample):
    random.seed(time.time_ns())
    assert dict(find_contexts(KEYWORDS, corpus, contexts=5, workers=0)) == dict(sample)


def test_same_sample_at_another_place_and_in_another_list(corpus, sample, tmp_path):
    moved = tmp_path / "elsewhere" / "corpus"
    moved.parent.mkdir()
    os.symlink(corpus, moved)
    found = find_contexts([*reversed(KEYWORDS), "kinase"], moved, contexts=5, workers=0)
    assert {k: found[k] for k in KEYWORDS} == dict(sample)


def test_another_seed_gives_another_sample(corpus, sample):
    other = find_contexts(KEYWORDS, corpus, contexts=5, workers=0, seed=1)
    assert other.counts == sample.counts and other["patients"] != sample["patients"]


def test_fewer_contexts_are_the_first_of_more(corpus, sample):
    few = find_contexts(KEYWORDS, corpus, contexts=2, workers=0)
    assert all(few[k] == sample[k][:2] for k in KEYWORDS)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_first_lines_in_the_order_of_the_corpus(corpus, workers):
    found = find_contexts(
        KEYWORDS, corpus, contexts=4, sample="first", workers=workers, piece_bytes=33_333
    )
    everything = find_contexts(KEYWORDS, corpus, contexts=10**6, sample="first", workers=0)
    assert dict(found) == {keyword: lines[:4] for keyword, lines in everything.items()}
    raw = sorted(corpus.glob("*.txt"))[0].read_bytes()
    assert everything["patients"][:50] == naive("patients", raw)[:50]
    assert found.counts == {} and found.missing == ["nowhere"]


def test_a_sample_of_another_kind(corpus):
    with pytest.raises(ValueError, match="choose random or first"):
        find_contexts(KEYWORDS, corpus, sample="last")


def test_the_sample_is_uniform(tmp_path):
    """Each of 50 lines is chosen about equally often over 400 keywords that are in all of them."""
    keywords = [f"k{n}" for n in range(400)]
    lines = [" ".join([*keywords, f"line{n}"]) for n in range(50)]
    raw = "\n".join(lines).encode()
    found = scan_bytes(tmp_path, raw, keywords, contexts=5)
    drawn = Counter(line.rsplit("line")[1] for k in keywords for line in found[k])
    # 40 expected each; chi-square with 49 degrees of freedom is below 85.4 in 99.9 % of draws.
    assert sum((drawn[str(n)] - 40) ** 2 / 40 for n in range(50)) < 85.4


def test_two_spellings_of_a_keyword_and_a_repeated_one(tmp_path, caplog):
    found = scan_bytes(tmp_path, b"Zinc\nzinc\n", ["zinc", "Zinc", "zinc"])
    assert list(found) == ["zinc", "Zinc"] and found["zinc"] == found["Zinc"]
    assert "more than once" in caplog.text


def test_long_lines_are_cut_around_the_keyword(tmp_path):
    line = " ".join(f"w{n}" for n in range(300))
    found = scan_bytes(tmp_path, line.encode(), ["w0", "w150", "w299", "w200 w201"], max_words=20)
    for keyword, lines in found.items():
        parts = lines[0].split()
        assert len(parts) == 20 and keyword in lines[0] and lines[0] in line


@given(
    parts=st.lists(st.sampled_from(["zinc", "(zinc),", "“zinc”", "α", "of\u00a0it", "a\x0bb", "-"]),
                   min_size=1, max_size=300),
    limit=st.integers(1, 30),
)  # fmt: skip
@settings(max_examples=200)
def test_excerpts_hold_the_keyword_and_as_many_words_as_there_are(parts, limit):
    line = " ".join(parts)
    if "zinc" not in words(line):
        return
    raw = line.encode()
    text = around(raw, np.array([raw.index(b"zinc")]), limit).raw.tobytes().decode()
    assert "zinc" in words(text)
    assert len(split(text)) == min(limit, len(split(line)))
    assert f" {' '.join(split(text))} " in f" {' '.join(split(line))} "


def test_records_are_scanned_by_sentence(tmp_path):
    record = {"id": 1, "title": "Zinc works", "text": "We gave zinc. Pain fell. Zinc is cheap."}
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    found = find_contexts(["zinc"], tmp_path, workers=0)
    assert sorted(found["zinc"]) == ["We gave zinc.", "Zinc is cheap.", "Zinc works"]


# -- writing and reading --------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["json", "parquet"])
def test_round_trip(sample, tmp_path, ending):
    path = tmp_path / f"contexts.{ending}"
    (sample.to_json if ending == "json" else sample.to_parquet)(path)
    again = Contexts.load(path)
    assert dict(again) == dict(sample) and list(again) == list(sample)
    assert again.counts == sample.counts and again.report == sample.report
    assert again.missing == ["nowhere"] == list(sample.report.missing)


def test_json_is_what_qik_find_writes(sample, tmp_path):
    path = sample.to_json(tmp_path / "massive.json")
    assert json.loads(path.read_text("utf-8")) == dict(sample)
    (tmp_path / "massive.report.json").unlink()
    bare = Contexts.load(path)
    assert dict(bare) == dict(sample) and bare.counts == {} and bare.report is None


@pytest.mark.parametrize("name, content", [
    ("a.json", b"{"), ("a.json", b'{"a": "b"}'), ("a.json", b"[]"), ("a.parquet", b"PAR1"),
])  # fmt: skip
def test_broken_contexts_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        Contexts.load(tmp_path / name)


def test_missing_contexts(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.json"):
        Contexts.load(tmp_path / "none.json")


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("keywords", [[], [""], ["  "], ["zinc", "\u00ad"], "zinc"])
def test_bad_keywords(tmp_path, keywords):
    with pytest.raises(ValueError, match="keyword"):
        scan_bytes(tmp_path, b"zinc\n", keywords)


@pytest.mark.parametrize("option", [
    {"contexts": 0}, {"workers": -1}, {"max_words": 0}, {"piece_bytes": -1},
])  # fmt: skip
def test_bad_numbers(tmp_path, option):
    with pytest.raises(ValueError, match="impossible"):
        scan_bytes(tmp_path, b"zinc\n", ["zinc"], **option)


def test_missing_corpus_and_folder_without_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_contexts(["zinc"], tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"\.jsonl"):
        find_contexts(["zinc"], tmp_path)
    with pytest.raises(ValueError, match="at least one"):
        find_contexts(["zinc"], [])


@pytest.mark.parametrize("workers", [0, 1])
def test_cut_gzip_is_named(tmp_path, workers):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(random.Random(0).randbytes(9999))[:-2000])
    with pytest.raises(DataError, match=r"a\.txt\.gz: .*broken") as caught:
        find_contexts(["zinc"], path, workers=workers)
    assert str(caught.value).count("a.txt.gz") == 1


XML = "<PubmedArticleSet><PubmedArticle/></PubmedArticleSet>"
BAD_FILES = {
    "cut gzip": ("b.txt.gz", gzip.compress(random.Random(0).randbytes(9999))[:-2000], "broken"),
    "no gzip": ("b.txt.gz", b"zinc\n", "broken"),
    "gzip cut after a hit": ("b.txt.gz", gzip.compress(b"zinc\n" * 400_000)[:-9], "broken"),
    "cut XML": ("b.xml", XML[:30].encode(), "broken XML"),
    "other XML": ("b.xml", b"<html/>", "not PubMed XML"),
    "XML with an entity": (
        "b.xml", b'<!DOCTYPE a [<!ENTITY zinc "zinc">]>' + XML.encode(), "entity 'zinc'"
    ),
    "XML with a file": (
        "b.xml", b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + XML.encode(), "'f'"
    ),
    "not JSON": ("b.jsonl", b'{"text": "zinc"}\n{', "b.jsonl:2"),
    "JSON without text": ("b.jsonl", b"[1]\n", "b.jsonl:1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("sample", ["random", "first"])
def test_bad_files_are_named_or_left_out(tmp_path, caplog, name, sample):
    file, content, message = BAD_FILES[name]
    (tmp_path / "a.txt").write_text("zinc one\nzinc two\n")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"zinc three\n"))
    good = find_contexts(["zinc"], tmp_path, contexts=2, sample=sample, workers=0)
    (tmp_path / file).write_bytes(content)
    options = {"contexts": 2, "sample": sample, "workers": 0}
    with pytest.raises(DataError, match=message) as caught:
        find_contexts(["zinc"], tmp_path, **options)
    assert file in str(caught.value)
    found = find_contexts(["zinc"], tmp_path, keep_going=True, **options)
    assert dict(found) == dict(good) and found.counts == good.counts
    assert found.report.files == 2 and len(found.report.skipped) == 1
    assert file in found.report.skipped[0] and "1 left out" in str(found.report)
    assert f"left out: {found.report.skipped[0]}" in caplog.text
    again = Contexts.load(found.to_json(tmp_path / "c.json"))
    assert again.report == found.report


def test_missing_paths_are_left_out(tmp_path):
    (tmp_path / "a.txt").write_text("zinc\n")
    paths = [tmp_path / "none", tmp_path / "a.txt"]
    found = find_contexts(["zinc"], paths, workers=0, keep_going=True)
    assert found.counts == {"zinc": 1} and "none" in found.report.skipped[0]
    with pytest.raises(FileNotFoundError, match="none"):
        find_contexts(["zinc"], paths[:1], workers=0, keep_going=True)


def test_unreadable_file(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("zinc\n")
    (tmp_path / "b.txt").write_text("zinc\n")

    def refuse(path):
        if "b.txt" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, "rb")

    monkeypatch.setattr(byte_ranges, "open_bytes", refuse)  # root may read whatever the mode says
    with pytest.raises(PermissionError, match=r"b\.txt"):
        find_contexts(["zinc"], tmp_path, workers=0)
    found = find_contexts(["zinc"], tmp_path, workers=0, keep_going=True)
    assert found["zinc"] == ["zinc"] and "b.txt" in found.report.skipped[0]


def test_keep_going_gives_the_same_with_processes(corpus, sample, tmp_path):
    (tmp_path / "bad.txt.gz").write_bytes(gzip.compress(b"patients\n" * 99)[:-9])
    for workers in (0, 2):
        found = find_contexts(
            KEYWORDS, [corpus, tmp_path], contexts=5, workers=workers, keep_going=True,
            piece_bytes=99_000,
        )  # fmt: skip
        assert dict(found) == dict(sample) and found.counts == sample.counts


def test_keyword_files(tmp_path):
    path = tmp_path / "k.txt"
    path.write_text("zinc\n\n aspirin **E. coli**zinc\r\n", "utf-8")
    assert read_keywords(path) == ["zinc", "aspirin", "E. coli"]
    path.write_text("aspirin\nzinc\n", "utf-8-sig")  # as Notepad saves it
    assert read_keywords(path) == ["aspirin", "zinc"]
    path.write_text("\n**\n")
    with pytest.raises(DataError, match="k.txt"):
        read_keywords(path)


def die(task: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return task


def wait(task: int) -> int:
    time.sleep(60)
    return task


def workers_of(parent) -> list:
    """The worker processes of a process: children of its server, or its own."""
    children = {" ".join(child.cmdline()): child for child in parent.children()}
    servers = [child for line, child in children.items() if "forkserver" in line]
    if servers:
        return servers[0].children()
    return [child for line, child in children.items() if "spawn_main" in line]


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is for POSIX")
def test_killed_worker_is_an_error():
    with pytest.raises(ChildProcessError, match="worker"):
        list(in_order(die, [1, 2], workers=1))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are for POSIX")
@pytest.mark.parametrize("kind", ["SIGINT", "SIGKILL"])
def test_no_orphans(kind):
    """Ctrl-C, or the death of the parent, ends the workers too."""
    psutil = pytest.importorskip("psutil")
    code = (
        "from test_scan import wait; from bioptimus_lib.workers import in_order\n"
        "list(in_order(wait, [1, 2], workers=2))"
    )
    parent = psutil.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(workers_of(parent)) < 2:
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.05)
    time.sleep(1.5)  # the workers are in their task now
    workers = parent.children(recursive=True)
    parent.send_signal(getattr(signal, kind))
    assert parent.wait(timeout=20) != 0
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs files that never end")
@pytest.mark.parametrize("kind, code", [("SIGINT", 130), ("SIGKILL", 2)])
def test_a_scan_that_is_ended(tmp_path, kind, code):
    """Ctrl-C on the command, or kill -9 of a worker: an end, no orphan, no file."""
    psutil = pytest.importorskip("psutil")
    os.mkfifo(tmp_path / "a.gz")  # a worker waits for ever to open it
    (tmp_path / "k.txt").write_text("zinc")
    parent = psutil.Popen(
        [sys.executable, "-m", "bioptimus_lib", "scan", "--workers", "2", "--quiet", "--corpus",
         "a.gz", "--keywords", "k.txt", "--out", "out/c.json"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(byte_ranges.__file__).parents[1])},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not workers_of(parent):
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.05)
    time.sleep(1.5)  # the workers are in their task now
    children = parent.children(recursive=True)
    worker = workers_of(parent)[0]
    (parent if kind == "SIGINT" else worker).send_signal(getattr(signal, kind))
    _, error = parent.communicate(timeout=30)
    assert parent.returncode == code
    assert error.strip().count("\n") == 0
    assert ("interrupted" if kind == "SIGINT" else "a worker process died") in error
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == [] and list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals are for POSIX")
def test_ctrl_c_ends_threads_at_once(tmp_path):
    """On plain text, which threads go through; a thread cannot be killed."""
    (tmp_path / "corpus").mkdir()
    first = tmp_path / "corpus" / "0.txt"
    first.write_text("zinc and aspirin were given to some of the patients\n" * 400_000)
    for number in range(1, 500):  # ten gigabytes to read, and one file on the disk
        os.link(first, first.with_name(f"{number}.txt"))
    (tmp_path / "k.txt").write_text("zinc")
    parent = subprocess.Popen(
        [sys.executable, "-m", "bioptimus_lib", "scan", "--workers", "2", "--corpus", "corpus",
         "--keywords", "k.txt", "--out", "out/c.json"],
        cwd=tmp_path, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(byte_ranges.__file__).parents[1])},
    )  # fmt: skip
    assert parent.stderr.read(5) == b"\rscan"  # its bar
    time.sleep(0.5)
    parent.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, error = parent.communicate(timeout=60)
    assert time.monotonic() - sent < 5
    assert parent.returncode == 130 and error.strip().endswith(b"interrupted")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_search_that_is_stopped(corpus):
    plan = plan_scan(corpus, workers=1)
    job = Job(plan.groups[0], b"zinc", 3, 0, "stopped", 80, True)
    with pytest.raises(CancelledError):
        search(job, stopped=lambda: True)
    asked = iter([False, True])
    with pytest.raises(CancelledError):
        search(job._replace(parts=job.parts * 2), stopped=lambda: next(asked))


@pytest.mark.parametrize("sample", ["random", "first"])
def test_same_sample_with_threads(corpus, sample, tmp_path, monkeypatch):
    """Plain text needs no process."""
    monkeypatch.setattr("bioptimus_lib.workers.ProcessPoolExecutor", None)
    for path in plan_scan(corpus).files:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        (tmp_path / path.name.removesuffix(".gz")).write_bytes(raw)
    options = {"contexts": 5, "sample": sample}
    alone = find_contexts(KEYWORDS, tmp_path, workers=0, **options)
    for workers, piece in ((1, 50_000), (2, None), (4, 20_000)):
        found = find_contexts(KEYWORDS, tmp_path, workers=workers, piece_bytes=piece, **options)
        assert dict(found) == dict(alone) and found.counts == alone.counts


# -- the command ----------------------------------------------------------------------------------


def test_command(corpus, tmp_path, capsys):
    (tmp_path / "k.txt").write_text("patients**E. coli")
    base = ["scan", "--corpus", str(corpus), "--keywords", str(tmp_path / "k.txt"), "--quiet"]
    assert main([*base, "--dry-run"]) == 0
    assert "2 keywords" in capsys.readouterr().out and not (tmp_path / "new").exists()
    out = tmp_path / "new" / "c.parquet"
    assert main([*base, "--contexts", "3", "--workers", "0", "--out", str(out)]) == 0
    found = Contexts.load(out)
    assert len(found["patients"]) == 3 and list(found) == ["patients", "E. coli"]


@pytest.mark.parametrize("change, message", [
    ({"--out": "c.csv"}, ".parquet"), ({"--out": None}, ".parquet"), ({"--out": "."}, "folder"),
    ({"--keywords": "none.txt"}, "none.txt"), ({"--corpus": "none"}, "none"),
    ({"--contexts": "0"}, "contexts = 0"), ({"--out": "k.txt/c.json"}, "folder k.txt"),
])  # fmt: skip
def test_command_refuses(corpus, tmp_path, capsys, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k.txt").write_text("zinc")
    if change.get("--out") == ".":
        (tmp_path / "d.json").mkdir()
        change = {"--out": "d.json"}
    options = {"--corpus": str(corpus), "--keywords": "k.txt", "--out": "c.json"} | change
    flat = [text for pair in options.items() if pair[1] is not None for text in pair]
    assert main(["scan", *flat]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not (tmp_path / "c.json").exists()


def test_command_keeps_going(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("zinc\n")
    (tmp_path / "b.txt.gz").write_bytes(b"zinc\n")
    (tmp_path / "k.list").write_text("zinc")
    base = [
        "scan", "--corpus", str(tmp_path), "--keywords", str(tmp_path / "k.list"), "--quiet",
        "--out", str(tmp_path / "c.json"),
    ]  # fmt: skip
    assert main(base) == 2 and "b.txt.gz" in capsys.readouterr().err
    assert main([*base, "--keep-going"]) == 0
    assert "1 left out" in capsys.readouterr().out
    assert dict(Contexts.load(tmp_path / "c.json")) == {"zinc": ["zinc"]}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_command_finds_out_first_that_it_cannot_write(tmp_path, capsys):
    (tmp_path / "k.txt").write_text("zinc")
    (tmp_path / "closed").mkdir(mode=0o500)
    out = str(tmp_path / "closed" / "c.json")
    keywords = str(tmp_path / "k.txt")
    assert main(["scan", "--corpus", "none", "--keywords", keywords, "--out", out]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_plan_reads_nothing(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x" * 100)
    plan = plan_scan(tmp_path, workers=0, piece_bytes=30)
    assert plan.bytes == 100 and [len(group) for group in plan.groups] == [4]
    assert "1 file," in str(plan)


@pytest.mark.skipif("BIOPTIMUS_MIRROR" not in os.environ, reason="needs the real corpus")
def test_real_text_against_a_naive_search(tmp_path):
    source = Path(os.environ["BIOPTIMUS_MIRROR"], "corpus/biomed/evidence-inference-003.txt.gz")
    raw = gzip.open(source).read()[2_000_000:2_400_000]
    keywords = ["interleukin", "placebo", "α", "IL-6", "±", "E. coli", "body mass index", "%"]
    found = scan_bytes(tmp_path, raw, keywords, piece_bytes=50_000)
    assert {k: len(naive(k, raw)) for k in keywords} == found.counts


@pytest.mark.skipif("BIOPTIMUS_MIRROR" not in os.environ, reason="needs the real corpus")
def test_twenty_slices_of_real_text_against_a_naive_count(tmp_path):
    """Every word of a slice, and phrases: the lines that hold it, counted line by line."""
    random_ = random.Random(5)
    files = sorted(Path(os.environ["BIOPTIMUS_MIRROR"], "corpus/biomed").glob("*.txt.gz"))
    for _ in range(20):
        raw = gzip.open(random_.choice(files)).read()
        at = random_.randrange(len(raw) - 60_000)
        raw = raw[at : at + 60_000]  # begins and ends in the middle of a line, or of a letter
        lines = [bert_words(line.decode("utf-8", "replace")) for line in raw.split(b"\n")]
        expected = Counter(word for line in lines for word in set(line))
        pairs = Counter(pair for line in lines for pair in set(zip(line, line[1:])))  # noqa: B905
        phrases = {" ".join(pair): number for pair, number in pairs.most_common(40)}
        found = scan_bytes(tmp_path, raw, [*expected, *phrases, "nowhere"], piece_bytes=20_000)
        assert found.counts == expected | phrases | {"nowhere": 0}
        assert count_words(tmp_path / "text.txt") == Counter(w for line in lines for w in line)


def in_the_loop(word: bytes) -> tuple[int, int, int]:
    """The two numbers of a word, and its bytes, as the loop makes them one byte after the other."""
    made = (np.uint64(0), np.uint64(0), np.uint64(0))
    for byte in word:
        made = match_loop.grown(*map(np.uint64, made), byte)
    return tuple(map(int, made))


@settings(deadline=None)  # the first call waits for the compiler
@given(st.lists(st.text("abyz09", min_size=1, max_size=18), min_size=2, max_size=40, unique=True))
def test_short_words_never_share_their_numbers(some):
    """The loop takes a word of at most fifteen bytes for found when its numbers are."""
    short = [in_the_loop(w.encode()) for w in some if len(w) <= match_loop.SHORT]
    assert len(set(short)) == len(short)
    targets = Keywords("\n".join(some).encode()).targets
    both = zip(targets.wholes.tolist(), targets.rests.tolist(), map(len, some), strict=True)
    assert list(both) == [in_the_loop(word.encode()) for word in some]


@given(st.binary(min_size=8, max_size=8))
def test_eight_bytes_at_once_are_what_each_is(raw):
    small, other = match_loop.eight_letters(np.frombuffer(raw, dtype=np.uint64)[0])
    letters = [chr(byte).isascii() and chr(byte).isalnum() for byte in raw]
    assert [bool(byte) for byte in int(other).to_bytes(8, "little")] == [
        not letter for letter in letters
    ]
    made = int(small).to_bytes(8, "little")
    for byte, letter, new in zip(raw, letters, made, strict=True):
        assert not letter or new == ord(chr(byte).lower())


@pytest.mark.parametrize("long", [7, 8, 9, 14, 15, 16, 17, 23, 24, 25])
@pytest.mark.parametrize("where", ["first", "last"])
def test_words_around_eight_bytes(tmp_path, long, where):
    """At the end of a text there are no eight bytes to take at once, and within a word with an
    accent they begin anywhere: the same words are found."""
    word = ("abcdefgh01" * 3)[:long]
    twin = "z" + word[1:] if where == "first" else word[:-1] + "z"
    raw = "\n".join([
        word, word.upper(), f"x {word}", f"{word}a", word[:-1], f"{word[:3]}\0{word[3:]}",
        f"\u00e1{word[1:]}", f"({word})-{twin}", f"{word[:-1]}\u0301{word[-1]}", twin, word,
    ])  # fmt: skip
    for some in (word, twin):
        found = scan_bytes(tmp_path, raw.encode(), [some])
        assert found.counts == {some: len(naive(some, raw.encode()))}
    assert len(naive(word, raw.encode())) == 8


@pytest.mark.parametrize("word, keyword", [("ab\0c", "abc"), ("\u00e1bc", "abc"), ("ABC", "abc")])
def test_a_word_that_is_spelt_otherwise(tmp_path, word, keyword):
    raw = f"{word} here\n{keyword}\n{word}{keyword}\nno {keyword}x\n".encode()
    for some in (word, keyword):
        assert scan_bytes(tmp_path, raw, [some]).counts == {some: len(naive(some, raw))}
