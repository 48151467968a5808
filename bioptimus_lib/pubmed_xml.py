"""PubMed's XML: records of the NLM's baseline and update files, streamed one at a time.

A file is checked before it is read: one that declares entities of its own is refused at the
declaration, before anything could be expanded or loaded. Nothing outside the file is ever read,
the NLM's DTD that it names included. What has been read is freed, so memory does not grow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat

from bioptimus_lib.cleaning import TAGS, drop_tags
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import open_bytes
from bioptimus_lib.records import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

PROLOG = 1 << 20  # bytes in which the first element has to begin
ENGLISH = "eng"
RETRACTED = "Retracted Publication"
RETRACTED_BY = "RetractionIn"
#: Where the year of publication stands, the best place first. A MedlineDate is "1998 Dec-1999 Jan".
YEARS = (
    "MedlineCitation/Article/Journal/JournalIssue/PubDate/Year",
    "MedlineCitation/Article/Journal/JournalIssue/PubDate/MedlineDate",
    "MedlineCitation/Article/ArticleDate/Year",
    "PubmedData/History/PubMedPubDate[@PubStatus='pubmed']/Year",
    "PubmedData/History/PubMedPubDate/Year",
)
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)", re.ASCII)
_PMID = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_ARTICLE, _DELETED = "PubmedArticle", "DeleteCitation"


def articles(file: Path, *, deleted: list[str] | None = None) -> Iterator[Document]:
    """The records of a file, in order.

    Args:
        file: PubMed XML, gzipped or not.
        deleted: grows by the PMIDs that the file tells to delete.

    Raises:
        DataError: broken XML, XML that is not PubMed's or declares entities, text in one element
            of more than 10 MB, a record without a PMID.
    """
    from lxml import etree

    found = _root(file) == "PubmedArticleSet"
    with open_bytes(file) as stream:
        events = etree.iterparse(
            stream,
            events=("end",),
            tag=(_ARTICLE, "PubmedBookArticle", _DELETED),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            for _, element in events:
                if element.tag == _ARTICLE:
                    found = True
                    yield _document(element, file)
                elif element.tag == _DELETED and deleted is not None:
                    deleted += [_pmid(pmid, file) for pmid in element.iterfind("PMID")]
                element.clear()
                while (before := element.getprevious()) is not None:
                    element.getparent().remove(before)
        except etree.XMLSyntaxError as error:
            raise DataError(f"broken XML: {error.msg}", path=file, line=error.lineno) from None
    if not found:
        raise DataError("not PubMed XML: it holds no PubmedArticle", path=file)


class _Begins(Exception):
    """The first element begins."""


def _root(file: Path) -> str:
    """The name of the first element, before which no entity may be declared."""

    def entity(name: str, *_: object) -> None:
        raise DataError(f"the XML declares the entity {name!r}; such files are refused", path=file)

    def element(name: str, _: object) -> None:
        raise _Begins(name)

    parser = expat.ParserCreate()
    parser.EntityDeclHandler, parser.StartElementHandler = entity, element
    try:
        with open_bytes(file) as stream:
            for _ in range(0, PROLOG, 1 << 14):
                block = stream.read(1 << 14)
                parser.Parse(block, not block)
    except _Begins as begins:
        return str(begins)
    except expat.ExpatError as error:
        why = expat.ErrorString(error.code)
        raise DataError(f"broken XML: {why}", path=file, line=error.lineno) from None
    except (LookupError, ValueError) as error:  # an encoding that it does not know
        if isinstance(error, DataError):
            raise
        raise DataError(f"broken XML: {error}", path=file, line=1) from None
    raise DataError(f"no XML element begins in the first {PROLOG >> 20} MB", path=file)


def refuse_entities(file: Path) -> None:
    """DataError if an XML file declares an entity, or is no XML."""
    _root(file)


def _document(element: _Element, file: Path) -> Document:
    citation = element.find("MedlineCitation")
    pmid = _pmid(None if citation is None else citation.find("PMID"), file, element)
    lines, labels = [], []
    for section in citation.iterfind("Article/Abstract/AbstractText"):
        if text := _text(section):
            lines.append(text)
            labels.append(section.get("Label", ""))
    languages = [(e.text or "").strip() for e in citation.iterfind("Article/Language")]
    return Document(
        pmid,
        _text(citation.find("Article/ArticleTitle")),
        "\n".join(lines),
        tuple(labels),
        year=_year(element),
        mesh=tuple(
            " ".join((e.text or "").split())
            for e in citation.iterfind("MeshHeadingList/MeshHeading/DescriptorName")
        ),
        language=ENGLISH if ENGLISH in languages else next(iter(languages), ""),
        retracted=_retracted(citation),
    )


def _pmid(element: _Element | None, file: Path, record: _Element | None = None) -> str:
    pmid = "" if element is None else (element.text or "").strip()
    if not _PMID.fullmatch(pmid):
        place = record if record is not None else element
        what = f"the PMID {pmid!r} is no number" if pmid else "a record without a PMID"
        raise DataError(what, path=file, line=None if place is None else place.sourceline)
    return pmid


def _year(record: _Element) -> int | None:
    for place in YEARS:
        if found := _YEAR.search(record.findtext(place) or ""):
            return int(found[0])
    return None


def _retracted(citation: _Element) -> bool:
    kinds = citation.iterfind("Article/PublicationTypeList/PublicationType")
    notices = citation.iterfind("CommentsCorrectionsList/CommentsCorrections")
    return any(e.text == RETRACTED for e in kinds) or any(
        e.get("RefType") == RETRACTED_BY for e in notices
    )


def _text(element: _Element | None) -> str:
    """All text below an element; inline tags such as ``<i>`` go, a power keeps apart."""
    if element is None:
        return ""
    text = "".join(_marked(element)) if len(element) else element.text or ""
    return " ".join(drop_tags(text).split())


def _marked(element: _Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        inline = child.tag in TAGS
        yield f"<{child.tag}>" if inline else ""
        yield from _marked(child)
        yield f"</{child.tag}>" if inline else ""
        yield child.tail or ""
