"""PubMed's XML: fields, versions, deletions; the pocket PubMed; and files made by an enemy."""

from __future__ import annotations

import gzip
import hashlib
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pubmed import article, pubmed_xml, section, text_of

from bioptimus_lib import pocket_pubmed
from bioptimus_lib.errors import DataError
from bioptimus_lib.parts import DROPPED, ROW
from bioptimus_lib.pocket_pubmed import FIRST_YEARS, ODD, planted, write_baseline
from bioptimus_lib.pubmed import write_shards
from bioptimus_lib.records import Document, documents
from bioptimus_lib.selection import choose

LONG = "Zinc was given to forty patients with a cold in winter."


def record(pmid: int, *, article: str = "", citation: str = "", data: str = "", text=LONG) -> str:
    abstract = f"<Abstract><AbstractText>{text}</AbstractText></Abstract>" if text else ""
    return (
        f'<PubmedArticle><MedlineCitation><PMID Version="1">{pmid}</PMID><Article>'
        f"<ArticleTitle>T{pmid}</ArticleTitle>{abstract}{article}</Article>{citation}"
        f"</MedlineCitation><PubmedData>{data}</PubmedData></PubmedArticle>"
    )


def issue(date: str) -> str:
    return f"<Journal><JournalIssue><PubDate>{date}</PubDate></JournalIssue></Journal>"


def history(status: str, year: int) -> str:
    return f'<PubMedPubDate PubStatus="{status}"><Year>{year}</Year></PubMedPubDate>'


ELECTRONIC = "<ArticleDate><Year>2004</Year></ArticleDate>"
HISTORY = f"<History>{history('received', 2001)}{history('pubmed', 2003)}</History>"
YEARS = {
    "year": (issue("<Year>2005</Year>") + ELECTRONIC, HISTORY, 2005),
    "range": (issue("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>") + ELECTRONIC, HISTORY, 1998),
    "season": (issue("<MedlineDate>Winter 1987-88</MedlineDate>"), "", 1987),
    "electronic": (issue("<Season>Fall</Season>") + ELECTRONIC, HISTORY, 2004),
    "no year in words": (issue("<MedlineDate>Spring</MedlineDate>") + ELECTRONIC, HISTORY, 2004),
    "history": ("", HISTORY, 2003),
    "other history": ("", f"<History>{history('received', 2001)}</History>", 2001),
    "none": ("", "", None),
}


def one(tmp_path: Path, *records: str) -> Document:
    (tmp_path / "a.xml").write_bytes(pubmed_xml(*records))
    return next(documents(tmp_path / "a.xml"))


@pytest.mark.parametrize("name", YEARS)
def test_year(tmp_path, name):
    inside, data, year = YEARS[name]
    assert one(tmp_path, record(1, article=inside, data=data)).year == year


def test_fields(tmp_path):
    names = "".join(f"<MeshHeading><DescriptorName UI='D1'>{name}</DescriptorName>"
                    "<QualifierName>x</QualifierName></MeshHeading>"
                    for name in ("Humans", "Common  Cold"))  # fmt: skip
    found = one(tmp_path, record(
        1, article="<Language>fre</Language><Language>eng</Language>",
        citation=f"<MeshHeadingList>{names}</MeshHeadingList>",
    ))  # fmt: skip
    assert found.mesh == ("Humans", "Common Cold") and found.language == "eng"
    assert not found.retracted and found.title == "T1"
    assert one(tmp_path, record(1, article="<Language>jpn</Language>")).language == "jpn"


def kind(name: str) -> str:
    return f"<PublicationTypeList><PublicationType>{name}</PublicationType></PublicationTypeList>"


def notice(name: str) -> str:
    return (f'<CommentsCorrectionsList><CommentsCorrections RefType="{name}"/>'
            "</CommentsCorrectionsList>")  # fmt: skip


@pytest.mark.parametrize("inside, outside, retracted", [
    (kind("Retracted Publication"), "", True), (kind("Retraction of Publication"), "", False),
    ("", notice("RetractionIn"), True), ("", notice("RetractionOf"), False),
    ("", notice("ErratumIn"), False), (kind("Journal Article"), "", False),
])  # fmt: skip
def test_retracted(tmp_path, inside, outside, retracted):
    assert one(tmp_path, record(1, article=inside, citation=outside)).retracted is retracted


def test_powers_tags_and_nested_ones(tmp_path):
    text = ("10<sup>9</sup>/L of <i>E. <b>coli</b></i>, H<sub>2</sub><sup>18</sup>O, "
            "<sup>18</sup>F, m<sup>2</sup>, &lt;i&gt;x&lt;/i&gt;, p &lt;0.05")  # fmt: skip
    assert one(tmp_path, record(1, text=text)).text == (
        "10^9/L of E. coli, H2^18O, 18F, m2, x, p <0.05"
    )


# -- versions, deletions, and all reasons together -------------------------------------------------


def files_of(folder: Path, *contents: bytes) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(contents, 1):
        (folder / f"n{number}.xml").write_bytes(content)
    return [folder / f"n{number}.xml" for number in range(1, len(contents) + 1)]


def delete(*pmids: int) -> str:
    inner = "".join(f'<PMID Version="1">{pmid}</PMID>' for pmid in pmids)
    return f"<DeleteCitation>{inner}</DeleteCitation>"


def words(n: int) -> str:
    return f"Text number {n} tells of zinc and of colds in forty people."


def test_the_later_record_wins(tmp_path):
    files = files_of(
        tmp_path / "in",
        pubmed_xml(*(record(n, text=words(n)) for n in range(1, 8))),
        pubmed_xml(record(1, text=words(11)), record(2, text=""), record(1, text=words(111)),
                   record(3, article=kind("Retracted Publication")), delete(4, 5, 99)),
        pubmed_xml(record(5, text=words(55)), record(8, text=words(8)), delete(8)),
    )  # fmt: skip
    report = write_shards(files, tmp_path / "out", workers=0)
    # PMID 1 twice, 2, 3 and 5 (deleted, then there again); 4 and 8 are gone.
    assert report.dropped == {"replaced": 5, "deleted": 2, "retracted": 1, "no abstract": 1}
    left = [line for line in text_of(tmp_path / "out").split("\n") if line.startswith("Text")]
    assert left == [words(n) for n in (6, 7, 111, 55)]
    # The order of the files counts: a baseline read last wins.
    again = write_shards(files[::-1], tmp_path / "out", workers=0)
    assert again.dropped["replaced"] == 5 and words(1) in text_of(tmp_path / "out")


def test_other_languages_can_stay(tmp_path):
    files = files_of(tmp_path / "in", pubmed_xml(
        *(record(n, article=f"<Language>{code}</Language>", text=words(n))
          for n, code in enumerate(("eng", "ger", "und"), 1))))  # fmt: skip
    assert write_shards(files, tmp_path / "out").dropped == {"not English": 1}
    assert write_shards(files, tmp_path / "out", any_language=True).documents_out == 3


RECORDS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 5), st.sampled_from([0, 0, 0, 3, 5])), max_size=25
)
DELETED = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 25)), max_size=4)


@given(RECORDS, DELETED, st.booleans(), st.sampled_from([None, 0.00003, 0.0001]))
@settings(max_examples=300)
def test_choose_is_what_a_plain_loop_does(records, deleted, dedupe, limit):
    rows = np.array([(t * 7, t, p, 0 if r else 10 + t, 1, r) for p, t, r in records], ROW)
    got = choose(rows, deleted, dedupe=dedupe, limit=limit, seed=3).tolist()
    reason, seen = [], set()
    for n, (pmid, text, why) in enumerate(records):
        if pmid and any(later == pmid for later, *_ in records[n + 1 :]):
            why = 1 + DROPPED.index("replaced")
        elif pmid and any(number == pmid and n < before for number, before in deleted):
            why = 1 + DROPPED.index("deleted")
        elif not why and dedupe and text in seen:
            why = 1 + DROPPED.index("duplicate")
        if not why:
            seen.add(text)
        reason.append(why)
    if limit is not None:
        salt, room = (3).to_bytes(16, "little", signed=True), int(limit * 1e6)
        def lot(n: int) -> tuple[bytes, int]:
            raw = rows[n : n + 1][["high", "low"]].copy()
            digest = raw["high"].tobytes() + raw["low"].tobytes()
            return hashlib.blake2b(digest, digest_size=8, salt=salt).digest(), n
        for n in sorted((n for n, why in enumerate(reason) if not why), key=lot):
            room -= int(rows["size"][n])
            if room < 0:
                reason[n] = 1 + DROPPED.index("over the limit")
    assert got == reason


# -- the pocket PubMed ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def baseline(tmp_path_factory) -> list[Path]:
    return write_baseline(tmp_path_factory.mktemp("pubmed"), records=600)


def test_each_count_is_what_was_planted(baseline, tmp_path):
    report = write_shards(baseline, tmp_path / "out", workers=0)
    made = planted(600)
    assert report.dropped == {why: made[why] for why in DROPPED if made[why]}
    assert set(report.dropped) == set(DROPPED) - {"over the limit"}
    assert report.documents_in == 600 + made["replaced"] + made["new"]
    lines = Counter(text_of(tmp_path / "out").split("\n"))
    raw = Counter()
    for document in documents(baseline[0].parent):
        raw.update(kind for kind, (odd, _) in ODD.items() if document.text.endswith(odd))
    for odd, (_, whole) in ODD.items():
        assert lines[whole] == made[odd] > 0, odd
    # As they come out of the file; tags and references that XML itself knows are gone by then.
    assert raw["soft hyphen"] == 20 and raw["ligature"] == raw["micro sign"] == 10
    text = text_of(tmp_path / "out")
    assert not any(character in text for character in "\u00ad\ufb01\ufb02\u00b5<&") or "<" in text


def test_baseline_is_the_same_each_time_and_has_its_sums(baseline, tmp_path):
    again = write_baseline(tmp_path, records=600)
    other = write_baseline(tmp_path / "other", records=120, files=3, seed=1)
    assert [p.name for p in again] == [f"pocket26n000{n}.xml.gz" for n in (1, 2, 3)]
    assert len(other) == 4 and other[0].read_bytes() != again[0].read_bytes()
    for one, two in zip(baseline, again, strict=True):
        assert one.read_bytes() == two.read_bytes()
        digest = hashlib.md5(one.read_bytes()).hexdigest()
        assert two.with_name(f"{two.name}.md5").read_text() == f"MD5({one.name})= {digest}\n"
    assert len(write_baseline(tmp_path, records=60, files=1)) == 2
    assert len(list(tmp_path.glob("*.gz"))) == 2  # older ones are gone
    with pytest.raises(ValueError, match="at least one"):
        write_baseline(tmp_path, records=2, files=3)


def test_words_have_their_years(baseline):
    found = [d for d in documents(baseline[0].parent) if int(d.id) < 90_000_601]
    assert {d.year for d in found} == set(range(1975, 2026))
    first = {name: [d.year for d in found if name in d.text] for name in ("statin", "SGLT2 inh")}
    for name, year in FIRST_YEARS.items():
        years = [d.year for d in found if name.lower() in d.text.lower() and d.year < 2025]
        assert all(y >= year for y in years), name
    assert first["statin"]
    assert sum("Humans" in d.mesh for d in found) == len(found)
    assert any(len(d.mesh) > 1 for d in found)


def test_plan_counts_add_up():
    assert planted(60)["no abstract"] == 3 and planted(0) == Counter()
    assert planted(600)["retracted"] == 20 and set(pocket_pubmed.ODD) <= set(planted(600))


# -- enemies and accidents ------------------------------------------------------------------------

ENTITY = '<!DOCTYPE PubmedArticleSet [<!ENTITY a "aaaa">{}]>\n'
LAUGHS = ENTITY.format(
    "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghij"))
)
QUADRATIC = '<!DOCTYPE PubmedArticleSet [<!ENTITY a "{}">]>\n'.format("a" * 100_000)
PARAMETERS = (
    '<!DOCTYPE PubmedArticleSet [<!ENTITY % a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY % {b} "{f"&#37;{a};" * 10}">' for a, b in pairwise("abcdefghij"))
    + "%j;]>\n"
)
HOSTILE = {
    "billion laughs": (LAUGHS, "&j;"),
    "quadratic blow-up": (QUADRATIC, "&a;" * 50_000),
    "external entity": (ENTITY.format('<!ENTITY x SYSTEM "file:///etc/hostname">'), "&x;"),
    "parameter entities": (PARAMETERS, ""),
    "external parameter entity": (
        '<!DOCTYPE PubmedArticleSet [<!ENTITY % p SYSTEM "http://127.0.0.1:9/"> %p;]>', ""),
    "entity in an attribute": (ENTITY.format('<!ATTLIST PMID Version CDATA "&a;&a;">'), ""),
}  # fmt: skip
LIMITED = """
import resource, sys, time
from pathlib import Path
from bioptimus_lib.records import documents
import lxml.etree
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
try:
    print(len(list(documents(sys.argv[1]))), "read")
except ValueError as error:
    print(error)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused_quickly_in_flat_memory(tmp_path, name):
    doctype, text = HOSTILE[name]
    path = tmp_path / "a.xml.gz"
    path.write_bytes(gzip.compress(pubmed_xml(record(1, text=text), doctype=doctype)))
    run = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True)
    message, cost = run.stdout.splitlines()
    assert "a.xml.gz: the XML declares the entity" in message and "refused" in message
    seconds, kilobytes = map(float, cost.split())
    assert seconds < 5 and kilobytes < 30_000


def test_an_external_dtd_is_never_asked_for(tmp_path):
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.3)
    (tmp_path / "evil.dtd").write_text('<!ENTITY x "expanded">')
    for address in (f"http://127.0.0.1:{server.getsockname()[1]}/a.dtd",
                    (tmp_path / "evil.dtd").as_uri()):  # fmt: skip
        doctype = f'<!DOCTYPE PubmedArticleSet SYSTEM "{address}">\n'
        (tmp_path / "a.xml").write_bytes(pubmed_xml(record(1), doctype=doctype))
        assert [d.text for d in documents(tmp_path / "a.xml")] == [LONG]
        (tmp_path / "a.xml").write_bytes(pubmed_xml(record(1, text="&x;"), doctype=doctype))
        # What the DTD may declare stays as it is spelt.
        assert [d.text for d in documents(tmp_path / "a.xml")] == ["&x;"]
    with pytest.raises(TimeoutError):
        server.accept()
    server.close()


def test_utf_16_is_read(tmp_path):
    raw = pubmed_xml(record(1, text="Ménière α " * 9)).decode().replace("utf-8", "utf-16")
    (tmp_path / "a.xml").write_bytes(raw.encode("utf-16"))
    assert next(documents(tmp_path / "a.xml")).text == ("Ménière α " * 9).strip()


STRANGE = {
    "invalid UTF-8": (pubmed_xml(record(1)).replace(b"forty", b"f\xffrty"), "broken XML"),
    "another encoding": (b'<?xml version="1.0" encoding="utf-7"?><a/>', "broken XML"),
    "other XML": (b"<rss><channel/></rss>", "not PubMed XML"),
    "empty": (b"", r"a\.xml:1: broken XML: no element found"),
    "endless prolog": (b"<?xml version='1.0'?><!--" + b"x" * (3 << 20), "first 1 MB"),
    "a PMID in words": (pubmed_xml(record("one")), r"a\.xml:\d+: the PMID 'one' is no number"),
    "deep": (pubmed_xml(record(1, text="<i>" * 9000 + "x" + "</i>" * 9000)), "broken XML"),
    "a long text": (pubmed_xml(record(1, text="word " * 5_000_000)), "broken XML"),
    "cut": (pubmed_xml(record(1), record(2))[:-60], r"a\.xml:\d+: broken XML"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_xml_is_named(tmp_path, name):
    raw, message = STRANGE[name]
    (tmp_path / "a.xml").write_bytes(raw)
    began = time.process_time()
    with pytest.raises(DataError, match=message):
        list(documents(tmp_path / "a.xml"))
    assert time.process_time() - began < 10


def test_random_damage_is_named_or_harmless(tmp_path):
    raw, rng = pubmed_xml(article(1, "T", section(LONG, "AIM")), record(2)), random.Random(0)
    for _ in range(300):
        damaged = bytearray(raw)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (tmp_path / "a.xml").write_bytes(bytes(damaged))
        try:
            assert len(list(documents(tmp_path / "a.xml"))) <= 2
        except DataError:
            pass
