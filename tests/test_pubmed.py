"""The corpus stage: what is read, how it is cut, what is dropped, and what broken input says."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib.cli import main
from bioptimus_lib.errors import DataError
from bioptimus_lib.pubmed import clean, sentences, write_shards
from bioptimus_lib.records import Document, corpus_files, documents, readable_files

ARTICLE = """<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="1">{pmid}</PMID>
<Article><ArticleTitle>{title}</ArticleTitle>{abstract}</Article></MedlineCitation>
<PubmedData><ArticleIdList><ArticleId IdType="pubmed">{pmid}</ArticleId></ArticleIdList>
</PubmedData></PubmedArticle>"""
DOCTYPE = (
    '<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2024//EN" '
    '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_240101.dtd">\n'
)


def pubmed_xml(*articles: str, doctype: str = DOCTYPE) -> bytes:
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    body = "\n".join(articles)
    return f"{head}{doctype}<PubmedArticleSet>\n{body}\n</PubmedArticleSet>\n".encode()


def article(pmid: int, title: str = "A title.", *sections: str) -> str:
    abstract = f"<Abstract>{''.join(sections)}</Abstract>" if sections else ""
    return ARTICLE.format(pmid=pmid, title=title, abstract=abstract)


def section(text: str, label: str | None = None) -> str:
    mark = f' Label="{label}" NlmCategory="{label}"' if label else ""
    return f"<AbstractText{mark}>{text}</AbstractText>"


# -- which files ----------------------------------------------------------------------------------


def test_readable_files(tmp_path):
    for name in ("b/x.xml.gz", "b/y.jsonl", "a.txt", "z.gz", "LICENSE.txt", "README.txt", "t.tsv",
                 ".hidden.txt", "c.json"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in readable_files(tmp_path)]
    assert found == ["a.txt", "b/x.xml.gz", "b/y.jsonl", "z.gz"]
    assert readable_files(tmp_path / "a.txt") == [tmp_path / "a.txt"]


def test_no_readable_files(tmp_path):
    (tmp_path / "t.tsv").write_text("x")
    for path in (tmp_path, tmp_path / "t.tsv"):
        with pytest.raises(DataError, match=r"looked for \.txt, .*\.xml\.gz"):
            readable_files(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        readable_files(tmp_path / "nowhere")


def test_every_file_once_and_names_that_move_with_the_corpus(tmp_path):
    for name in ("one/a.txt", "two/a.txt", "two/deep/b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    files, names = corpus_files([tmp_path / "one", tmp_path / "two", tmp_path / "one" / "a.txt"])
    assert names == ["a.txt", "a.txt#2", "deep/b.txt"] and len(files) == 3


# -- documents ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["txt", "txt.gz", "gz"])
def test_plain_text(tmp_path, ending):
    text = (
        "TITLE: Zinc for colds\n\n  ABSTRACT.METHODS:\nWe gave\nzinc.\r\n\n\n"
        "ABSTRACT.RESULTS AND α:\nColds:\nwere shorter.\n\nBODY.USE IN H:2O.\n:\n\nIt works.\n\n"
        "NOTE: zinc is a metal."
    )
    path = tmp_path / f"a.{ending}"
    path.write_bytes(gzip.compress(text.encode()) if "gz" in ending else text.encode())
    assert list(documents(path)) == [
        Document(f"a.{ending}:4", "Zinc for colds", "We gave zinc."),
        Document(f"a.{ending}:9", "", "Colds: were shorter."),
        Document(f"a.{ending}:15", "", "It works."),
        Document(f"a.{ending}:17", "", "NOTE: zinc is a metal."),
    ]


def test_invalid_bytes_are_replaced_and_counted(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n\n\xffok\xc3\n\xce\xb1")
    tally = Counter()
    found = [d.text for d in documents(tmp_path, tally=tally)]
    assert found == ["caf\ufffd", "\ufffdok\ufffd α"] and tally["invalid bytes"] == 3


def test_json_lines(tmp_path):
    lines = ['{"id": 7, "title": "T", "text": "One."}', "", '{"text": "Two \\ud800.", "id": "x"}',
             '{"text": "", "title": null}']  # fmt: skip
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert list(documents(path)) == [
        Document("7", "T", "One."),
        Document("x", "", "Two \ufffd."),
        Document("a.jsonl.gz:4", "", ""),
    ]


@pytest.mark.parametrize("ending", ["xml", "xml.gz"])
def test_pubmed_xml(tmp_path, ending):
    raw = pubmed_xml(
        article(
            11,
            "Effect of <i>E. coli</i> on H<sub>2</sub>O &amp; p &lt; 0.05<!-- no -->.",
            section("Why\n  not?", "BACKGROUND"),
            section("", "METHODS"),
            section("It <b>rose</b>.", "RESULTS"),
            "<CopyrightInformation>Mine</CopyrightInformation>",
        ),
        article(12, "No abstract"),
        article(13, "", section("Plain.")),
    )
    path = tmp_path / f"a.{ending}"
    path.write_bytes(gzip.compress(raw) if "gz" in ending else raw)
    assert list(documents(path)) == [
        Document(
            "11",
            "Effect of E. coli on H2O & p < 0.05.",
            "Why not?\nIt rose.",
            ("BACKGROUND", "RESULTS"),
        ),
        Document("12", "No abstract", ""),
        Document("13", "", "Plain.", ("",)),
    ]


ENTITY = '<!DOCTYPE PubmedArticleSet [<!ENTITY a "aaaa">{}]>\n'
BOMB = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghi"))
HOSTILE = {
    "entity in the text": (ENTITY.format(""), "&a;"),
    "expansion": (ENTITY.format(BOMB), "&i;"),
    "file": (ENTITY.format('<!ENTITY x SYSTEM "file:///etc/hostname">'), "&x;"),
    "network": (ENTITY.format('<!ENTITY x SYSTEM "http://127.0.0.1:9/">'), "&x;"),
    "parameter": ('<!DOCTYPE PubmedArticleSet [<!ENTITY % p SYSTEM "file:///etc/x"> %p;]>', ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused(tmp_path, name):
    doctype, text = HOSTILE[name]
    path = tmp_path / "a.xml"
    path.write_bytes(pubmed_xml(article(1, "T", section(text)), doctype=doctype))
    with pytest.raises(DataError, match=r"a\.xml: .*refused"):
        list(documents(path))


def test_entities_in_an_attribute_are_refused_before_they_grow(tmp_path):
    path = tmp_path / "a.xml"
    raw = pubmed_xml(article(1, "T", section("x", "&i;")), doctype=ENTITY.format(BOMB))
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.xml"):
        list(documents(path))


GZIP = gzip.compress(random.Random(0).randbytes(5000))
BROKEN = {
    "cut gzip": ("a.txt.gz", GZIP[:-100], r"a\.txt\.gz: .*broken"),
    "no gzip": ("a.txt.gz", b"hello", r"a\.txt\.gz: .*broken"),
    "damaged gzip": ("a.txt.gz", GZIP[:99] + b"xxxx" + GZIP[103:], r"a\.txt\.gz: .*broken"),
    "cut gzip of XML": ("a.xml.gz", gzip.compress(pubmed_xml())[:-20], r"a\.xml\.gz"),
    "no JSON": ("a.jsonl", b'{"text": "x"}\n{"text": ', r"a\.jsonl:2: not JSON"),
    "deep JSON": ("a.jsonl", b"[" * 200_000, r"a\.jsonl:1: not JSON"),
    "no object": ("a.jsonl", b"[1]", r"a\.jsonl:1: .*object"),
    "no text": ("a.jsonl", b'\n{"title": "x"}', r'a\.jsonl:2: .*"text"'),
    "text no string": ("a.jsonl", b'{"text": 1}', r'a\.jsonl:1: .*"text"'),
    "title no string": ("a.jsonl", b'{"text": "x", "title": [1]}', r'a\.jsonl:1: .*"title"'),
    "broken XML": ("a.xml", pubmed_xml()[:-9] + b"<", r"a\.xml:\d+: broken XML"),
    "empty XML": ("a.xml", b"", r"a\.xml"),
    "other XML": ("a.xml", b"<html/>", r"a\.xml: not PubMed"),
    "no PMID": ("a.xml", pubmed_xml("\n<PubmedArticle/>"), r"a\.xml:5: .*PMID"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_is_named(tmp_path, name):
    file, raw, message = BROKEN[name]
    (tmp_path / file).write_bytes(raw)
    with pytest.raises(DataError, match=message):
        list(documents(tmp_path))


# -- sentences ------------------------------------------------------------------------------------

#: Sentences that hold what cuts naive splitters; each is followed by "The next trial began."
WHOLE = [
    "The effect was large at p < 0.05.", "Drugs, e.g. Aspirin, bleed.", "See Fig. 2 for doses.",
    "Deaths (i.e. All causes) fell.", "Results (Figs. 2 and 3) agree.", "They grew E. coli here.",
    "Pain fell faster (P = .03).", "It was 40% vs. Placebo in both.", "A dose of 5.3 mg or .75 mg.",
    "T cells were grown with IL-2.", "Smith et al. (2010) found none.", "Dr. Jones read all scans.",
    "Mice got approx. 5 mL of saline.", "Candida spp. were found.", "The U.S. Food Agency agreed.",
    "Bacillus sp. strain 12 grew.", "Salmonella enterica subsp. enterica.", "Does zinc help?",
    "Deaths fell by half [12].", "All had hepatitis B.", "We measured TNF-α.", "It stayed at 4 °C.",
    "The ratio was 1.2 (95% CI, 1.1-1.4; P<.001).", "Mice got 5 mg/kg i.v. Twice daily.",
]  # fmt: skip


@pytest.mark.parametrize("sentence", WHOLE)
def test_sentences(sentence):
    pair = [sentence, "The next trial began."]
    assert sentences(" ".join(pair)) == pair


def test_line_ends_end_sentences():
    assert sentences("One here\nTwo here\n\n  \n") == ["One here", "Two here"]
    assert sentences("") == []


@given(st.text(alphabet="aB1. \n?!()é\u2028\r", max_size=80))
@settings(max_examples=200)
def test_sentences_lose_no_letter(text):
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(s == s.strip() and s for s in found)


def test_clean():
    assert clean("a\u00adb \u200bc\u0301  d\t\u00a0e \n f ") == "ab ć d e\nf"


# -- shards ---------------------------------------------------------------------------------------

DRUGS = ("zinc", "aspirin", "ibuprofen", "warfarin", "metformin")


def paragraph(n: int) -> str:
    drug = DRUGS[n % 5]
    return f"We gave {drug} to {n} patients twice. Pain fell in {n // 2} of them. It cost {n}."


@pytest.fixture
def corpus(tmp_path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("\n\n".join(map(paragraph, range(200))) + "\n\nHeading\n\n")
    rows = [{"id": n, "title": "", "text": paragraph(n).upper()} for n in range(150, 300)]
    (folder / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    abstract = section(paragraph(900), "METHODS"), section("And so on.", "RESULTS")
    xml = pubmed_xml(article(1, "A title", *abstract), article(2, "None"))
    (folder / "c.xml.gz").write_bytes(gzip.compress(xml))
    return folder


def text_of(folder: Path) -> str:
    return "".join(path.read_text("utf-8") for path in sorted(folder.glob("corpus-*.txt")))


def test_shards(corpus, tmp_path):
    report = write_shards(corpus, tmp_path / "out", workers=0)
    text = text_of(tmp_path / "out")
    blocks = text.split("\n\n")
    assert blocks.pop() == "" and len(blocks) == report.documents_out == 301
    assert blocks[3] == "\n".join(sentences(paragraph(3)))
    assert blocks[-1].splitlines()[0] == "A title" and blocks[-1].splitlines()[-1] == "And so on."
    assert report.files == 3 and report.documents_in == 200 + 1 + 150 + 2
    # Upper case is no difference: the 50 of b.jsonl that are in a.txt are duplicates.
    assert report.dropped == {"no abstract": 1, "too short": 1, "duplicate": 50}
    assert report.documents_in == report.documents_out + sum(report.dropped.values())
    assert report.bytes == len(text.encode())
    assert report.sentences == sum(len(block.split("\n")) for block in blocks) == 905
    kept = json.loads((tmp_path / "out" / "corpus.json").read_text())
    assert kept["documents_out"] == 301 and kept["inputs"] == ["a.txt", "b.jsonl", "c.xml.gz"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["corpus-000.txt", "corpus.json"]


def same_files(one: Path, two: Path) -> bool:
    names = [sorted(path.name for path in folder.iterdir()) for folder in (one, two)]
    return names[0] == names[1] and all(
        (one / name).read_bytes() == (two / name).read_bytes() for name in names[0]
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_same_shards_with_processes(corpus, tmp_path, workers):
    for name, n in (("one", 0), ("two", workers)):
        random.seed(n)
        write_shards(corpus, tmp_path / name, workers=n, megabytes=0.01, shard_megabytes=0.003)
    assert same_files(tmp_path / "one", tmp_path / "two")
    assert len(list((tmp_path / "one").glob("*.txt"))) == 4


def test_shards_of_shards_are_the_same(corpus, tmp_path):
    first = write_shards(corpus, tmp_path / "one", workers=0)
    again = write_shards(tmp_path / "one", tmp_path / "two", workers=0)
    assert again.dropped == {} and again.documents_out == first.documents_out
    # Only the title, which plain text does not tell from a sentence, may be joined to the next.
    assert text_of(tmp_path / "two").split("\n\n")[:300] == (
        text_of(tmp_path / "one").split("\n\n")[:300]
    )


def test_limit_is_a_random_sample(corpus, tmp_path):
    texts = []
    for seed in (0, 0, 1):
        report = write_shards(corpus, tmp_path / "out", workers=0, megabytes=0.01, seed=seed)
        texts.append(text_of(tmp_path / "out"))
        assert 9_000 < len(texts[-1].encode()) == report.bytes <= 10_000
        assert report.documents_in == report.documents_out + sum(report.dropped.values())
    assert texts[0] == texts[1] != texts[2]
    numbers = [int(line.split()[-1].rstrip(".")) for line in texts[0].lower().split("\n")
               if line.startswith("it cost")]  # fmt: skip
    assert numbers == sorted(numbers)  # in the order of the files
    assert min(numbers) < 60 and max(numbers) > 240  # and from all of them


def test_duplicates_may_stay(corpus, tmp_path):
    report = write_shards(corpus, tmp_path / "out", workers=0, dedupe=False)
    assert report.documents_out == 351 and "duplicate" not in report.dropped


def test_nothing_to_write(tmp_path):
    (tmp_path / "a.txt").write_text("short\n\n\n")
    with pytest.raises(DataError, match="corpus is empty: 1 too short"):
        write_shards(tmp_path / "a.txt", tmp_path / "out")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="corpus is empty: no documents"):
        write_shards(tmp_path / "a.txt", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_ends_the_run_and_what_is_done_stays(corpus, tmp_path, workers):
    (corpus / "d.jsonl").write_text("{")
    with pytest.raises(DataError, match=r"d\.jsonl:1"):
        write_shards(corpus, tmp_path / "out", workers=workers)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.work", "in"]
    (corpus / "d.jsonl").unlink()
    assert write_shards(corpus, tmp_path / "out", workers=workers).resumed == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_only_a_corpus_is_replaced(corpus, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("precious")
    with pytest.raises(FileExistsError, match="mine"):
        write_shards(corpus, tmp_path / "mine", workers=0)
    assert (tmp_path / "mine" / "thesis.doc").read_text() == "precious"
    with pytest.raises(ValueError, match="would replace"):
        write_shards(tmp_path / "in", tmp_path / "in")
    write_shards(corpus, tmp_path / "out", workers=0)
    write_shards(corpus / "a.txt", tmp_path / "out", workers=0)
    assert len(text_of(tmp_path / "out").split("\n\n")) == 201


@pytest.mark.parametrize("option", [
    {"megabytes": 0}, {"megabytes": float("nan")}, {"shard_megabytes": -1}, {"workers": -1},
])  # fmt: skip
def test_impossible_numbers(corpus, tmp_path, option):
    with pytest.raises(ValueError, match="impossible"):
        write_shards(corpus, tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()


def test_command(corpus, tmp_path, capsys):
    assert main(["corpus", str(corpus), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["documents", "written", "301", "85.3%"] in lines
    assert ["-", "duplicate", "50", "14.2%"] in lines
    assert (tmp_path / "out/corpus-000.txt").is_file()
    assert main(["corpus", str(tmp_path / "none"), "--out", str(tmp_path / "x"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "none" in error


@pytest.mark.skipif("BIOPTIMUS_MIRROR" not in os.environ, reason="needs the real corpus")
def test_real_text(tmp_path):
    source = Path(os.environ["BIOPTIMUS_MIRROR"], "corpus/biomed/evidence-inference-000.txt.gz")
    report = write_shards(source, tmp_path / "out", workers=0)
    assert report.documents_out > 4_000 and report.sentences > 40_000 and report.bytes > 7e6
    assert not any(line.startswith(("BODY.", "ABSTRACT.", "TITLE:"))
                   for line in text_of(tmp_path / "out").split("\n"))  # fmt: skip
