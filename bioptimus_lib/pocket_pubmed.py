"""Pocket PubMed: a baseline and an update file in the NLM's XML, from our generated abstracts.

Everything that PubMed's files do to their readers is in them, in known numbers: records without an
abstract, retracted ones, other languages, new versions, deletions, equal texts, and characters that
were typed in odd ways. So a reader of such files can be checked without a network, and a learner
can be shown what is dropped and why. The records are made up, their PMIDs begin at 90,000,001.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from bioptimus_lib.files import atomic_write
from bioptimus_lib.pocket import Abstract, abstracts, lexicon
from bioptimus_lib.pocket_grammar import drug_groups

FIRST_PMID = 90_000_001
YEARS = (1975, 2025)  # PMIDs and years rise together
PERIOD = 60
#: What is planted, by the place of a record in each run of ``PERIOD`` records. "retracted" is told
#: by a publication type, "retracted by notice" by a link to the notice.
PLAN = {
    2: "soft hyphen", 3: "ligature", 4: "escaped twice", 5: "no abstract", 6: "powers and formulas",
    7: "retracted", 8: "Greek letter", 9: "micro sign", 11: "not English", 17: "too short",
    23: "duplicate", 25: "no abstract", 29: "replaced", 31: "deleted", 34: "soft hyphen",
    37: "retracted by notice", 41: "not English", 45: "no abstract", 53: "duplicate",
    59: "replaced",
}  # fmt: skip
#: Drug classes by the year in which they and their drugs begin to be written about. Made up: near
#: the years of their first approvals, in steps of five.
FIRST_YEARS = {
    "ACE inhibitor": 1980, "statin": 1985, "proton pump inhibitor": 1990,
    "angiotensin receptor blocker": 1995, "bisphosphonate": 1995, "TNF inhibitor": 2000,
    "thiazolidinedione": 2000, "DPP-4 inhibitor": 2005, "GLP-1 receptor agonist": 2005,
    "factor Xa inhibitor": 2010, "JAK inhibitor": 2010, "CFTR modulator": 2010,
    "PCSK9 inhibitor": 2015, "SGLT2 inhibitor": 2015, "interleukin-17 inhibitor": 2015,
    "interleukin-23 inhibitor": 2015,
}  # fmt: skip
#: A sentence that carries each oddity into the text of a record: as XML, and as it shall become.
ODD = {
    "soft hyphen": ("The auto\u00adimmune markers were normal.",
                    "The autoimmune markers were normal."),
    "ligature": ("Pulmonary \ufb01brosis was not in\ufb02amed.",
                 "Pulmonary fibrosis was not inflamed."),
    "escaped twice": ("Loss of &lt;i&gt;TP53&lt;/i&gt; fell (p &amp;lt; 0.05, IFN-&amp;#x3b3;).",
                      "Loss of TP53 fell (p < 0.05, IFN-γ)."),
    "powers and formulas": ("We gave 2 × 10<sup>9</sup> cells, <sup>18</sup>F and "
                            "H<sub>2</sub>O per m<sup>2</sup>.",
                            "We gave 2 × 10^9 cells, 18F and H2O per m2."),
    "Greek letter": ("Serum TNF-&#945; and IL-1β were measured.",
                     "Serum TNF-α and IL-1β were measured."),
    "micro sign": ("Samples of 5 \u00b5l were frozen.", "Samples of 5 μl were frozen."),
}  # fmt: skip
LANGUAGES = ("fre", "ger", "jpn", "spa")
SECTIONS = {"BACKGROUND": "BACKGROUND", "METHODS": "METHODS", "RESULTS": "RESULTS",
            "CONCLUSION": "CONCLUSIONS"}  # fmt: skip
HEAD = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN" \
"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">
<PubmedArticleSet>
"""


def planted(records: int = 600) -> Counter[str]:
    """How many records of each kind ``write_baseline`` makes of so many records.

    The reasons of ``parts.DROPPED`` are counted as the corpus stage counts them, both kinds of
    retraction together. "new" are records that the update file adds.
    """
    count = Counter(PLAN[n % PERIOD] for n in range(records) if n % PERIOD in PLAN)
    count["retracted"] += count.pop("retracted by notice", 0)
    count["new"] = records // PERIOD
    return +count


def write_baseline(
    folder: str | os.PathLike[str], *, records: int = 600, files: int = 2, seed: int = 0
) -> list[Path]:
    """Write ``pocket26n0001.xml.gz``, … and one update file, each with its ``.md5``.

    Args:
        folder: is made if it does not exist; older pocket files in it go.
        records: of the baseline. The update file has the new version of those that are replaced,
            one new record for each ``PERIOD``, and the list of those to delete.
        files: of the baseline.

    Returns:
        The files in the order in which they have to be read.
    """
    if not 1 <= files <= records:
        raise ValueError(f"{records} records in {files} files: give at least one for each file")
    folder = Path(folder)
    for old in folder.glob("pocket26n*.xml.gz*"):
        old.unlink()
    made = [_record(n, text, year) for n, text, year in _texts(records, seed)]
    cuts = [records * n // files for n in range(files + 1)]
    contents = ["".join(made[start:end]) for start, end in itertools.pairwise(cuts)]
    contents.append(_update(records, seed))
    return [_write(folder / f"pocket26n{number:04d}.xml.gz", content)
            for number, content in enumerate(contents, start=1)]  # fmt: skip


def _write(path: Path, content: str) -> Path:
    raw = f"{HEAD}{content}</PubmedArticleSet>\n".encode()
    packed = gzip.compress(raw, mtime=0)  # without a date: the same bytes each time
    with atomic_write(path, "wb") as file:
        file.write(packed)
    with atomic_write(path.with_name(f"{path.name}.md5")) as file:
        digest = hashlib.md5(packed, usedforsecurity=False).hexdigest()
        file.write(f"MD5({path.name})= {digest}\n")
    return path


def year_of(number: int, records: int) -> int:
    """The year of record ``number`` of so many."""
    first, last = YEARS
    return first + number * (last - first + 1) // records


def _texts(records: int, seed: int) -> Iterator[tuple[int, Abstract, int]]:
    """Record number, its abstract and year; a text that is ahead of its year is passed over."""
    last = None
    drawn = _drawn(seed, 0)
    for number in range(records):
        year = year_of(number, records)
        if PLAN.get(number % PERIOD) != "duplicate" or last is None:
            last = next(text for text in drawn if not _ahead(text, year))
        yield number, last, year


def _drawn(seed: int, start: int) -> Iterator[Abstract]:
    return (next(abstracts(1, seed=seed, start=n)) for n in itertools.count(start))


def _ahead(text: Abstract, year: int) -> bool:
    words = _later(year)
    return words is not None and words.search(" ".join(text.sentences)) is not None


@cache
def _later(year: int) -> re.Pattern[str] | None:
    """Names of the classes, and of their drugs, that begin after a year."""
    groups = drug_groups()
    names = [word for name, first in FIRST_YEARS.items() if first > year
             for word in (name, *groups[name].drugs.items)]  # fmt: skip
    return re.compile("|".join(map(re.escape, names)), re.IGNORECASE) if names else None


def _update(records: int, seed: int) -> str:
    drawn = _drawn(seed, 1_000_000)  # far behind the texts of the baseline
    content, gone = [], [FIRST_PMID + 10 * records]  # and one that never was
    for number in range(records):
        if (kind := PLAN.get(number % PERIOD)) == "replaced":
            content.append(_record(number, next(drawn), YEARS[1], plain=True))
        elif kind == "deleted":
            gone.append(FIRST_PMID + number)
    for number in range(records // PERIOD):
        content.append(_record(records + number, next(drawn), YEARS[1], plain=True))
    pmids = "\n".join(f'<PMID Version="1">{pmid}</PMID>' for pmid in gone)
    return f"{''.join(content)}<DeleteCitation>\n{pmids}\n</DeleteCitation>\n"


# --- one record -----------------------------------------------------------------------------------


def _record(number: int, text: Abstract, year: int, *, plain: bool = False) -> str:
    """The XML of one record with what ``PLAN`` plants in it, nothing if ``plain``."""
    kind = "" if plain else PLAN.get(number % PERIOD, "")
    pmid = FIRST_PMID + number
    language, title = "eng", _marked(text.title)
    if kind == "not English":
        language, title = LANGUAGES[number % len(LANGUAGES)], f"[{title.rstrip('.')}]."
    kinds = ["Journal Article"] + ["Retracted Publication"] * (kind == "retracted")
    notice = "" if kind != "retracted by notice" else f"""
<CommentsCorrectionsList><CommentsCorrections RefType="RetractionIn"><RefSource>Pocket J Med. \
{year + 1};1:1</RefSource></CommentsCorrections></CommentsCorrectionsList>"""
    date, electronic = _dates(number, year)
    return f"""<PubmedArticle>
<MedlineCitation Status="MEDLINE" Owner="NLM">
<PMID Version="1">{pmid}</PMID>
<Article PubModel="Print">
<Journal><JournalIssue CitedMedium="Print">{date}</JournalIssue>\
<Title>Pocket journal of medicine</Title></Journal>
<ArticleTitle>{title}</ArticleTitle>
{_abstract(text, kind)}<Language>{language}</Language>
<PublicationTypeList>{"".join(f"<PublicationType>{k}</PublicationType>" for k in kinds)}\
</PublicationTypeList>
{electronic}</Article>
<MedlineJournalInfo><MedlineTA>Pocket J Med</MedlineTA></MedlineJournalInfo>
<CitationSubset>IM</CitationSubset>{notice}
<MeshHeadingList>{_headings(text)}</MeshHeadingList>
</MedlineCitation>
<PubmedData><History><PubMedPubDate PubStatus="pubmed"><Year>{year}</Year><Month>1</Month>\
<Day>1</Day></PubMedPubDate></History><PublicationStatus>ppublish</PublicationStatus>\
<ArticleIdList><ArticleId IdType="pubmed">{pmid}</ArticleId></ArticleIdList></PubmedData>
</PubmedArticle>
"""


def _dates(number: int, year: int) -> tuple[str, str]:
    """The date of the issue, one in ten in words or missing, and of the electronic article."""
    if number % 20 == 9:
        date, electronic = f"<MedlineDate>{year} Nov-Dec</MedlineDate>", ""
    elif number % 20 == 19:
        date = "<Season>Spring</Season>"
        electronic = (f'<ArticleDate DateType="Electronic"><Year>{year}</Year><Month>03</Month>'
                      "<Day>01</Day></ArticleDate>\n")  # fmt: skip
    else:
        date, electronic = f"<Year>{year}</Year><Month>Mar</Month>", ""
    return f"<PubDate>{date}</PubDate>", electronic


def _abstract(text: Abstract, kind: str) -> str:
    if kind == "no abstract":
        return ""
    if kind == "too short":
        return "<Abstract><AbstractText>See the full text.</AbstractText></Abstract>\n"
    bodies = [(label, _marked(" ".join(lines))) for label, lines in text.sections]
    if kind in ODD:
        bodies[-1] = bodies[-1][0], f"{bodies[-1][1]} {ODD[kind][0]}"
    if text.structured:
        inner = "\n".join(
            f'<AbstractText Label="{label}" NlmCategory="{SECTIONS[label]}">{body}</AbstractText>'
            for label, body in bodies
        )
    else:
        inner = f"<AbstractText>{' '.join(body for _, body in bodies)}</AbstractText>"
    return f"<Abstract>{inner}</Abstract>\n"


def _marked(text: str) -> str:
    """Escaped for XML, names of species in italics."""
    return _SPECIES.sub(r"<i>\g<0></i>", escape(text))


_SPECIES = re.compile(r"\b[A-Z]\. [a-z]{4,}")


def _headings(text: Abstract) -> str:
    found = _terms().findall(text.title)
    names = dict.fromkeys(["Humans", *(term[:1].upper() + term[1:] for term in found)])
    return "".join(
        f"<MeshHeading><DescriptorName UI={quoteattr(_identity(name))} MajorTopicYN=\"N\">"
        f"{escape(name)}</DescriptorName></MeshHeading>"
        for name in names
    )


@cache
def _terms() -> re.Pattern[str]:
    """Diseases and drugs; of two that begin at one place, the longer."""
    names = sorted({*lexicon("disease"), *lexicon("drug")}, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b", re.IGNORECASE)


def _identity(name: str) -> str:
    """A made-up identifier in the form of MeSH's."""
    return f"P{int.from_bytes(hashlib.blake2b(name.encode(), digest_size=3).digest()):08d}"
