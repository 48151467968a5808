"""From files to documents: PubMed XML, JSON lines and plain text, read one document at a time."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib.errors import DataError
from bioptimus_lib.passes import decode, open_bytes

if TYPE_CHECKING:
    from lxml.etree import _Element

#: Endings of readable files. A ``.gz`` that is neither JSON lines nor XML is gzipped plain text.
ENDINGS = (".txt", ".txt.gz", ".gz", ".jsonl", ".jsonl.gz", ".xml", ".xml.gz")
ABOUT = ("LICENSE", "LICENCE", "README", ".")  # beginnings of names that lie beside a corpus
INVALID = "invalid bytes"
#: A line without small letters that ends in a colon, and those that the Evidence Inference corpus
#: puts before each section: ``ABSTRACT.METHODS:``, ``BODY.TRIAL IN H:2O`` (the colon went astray).
LABEL = re.compile(r"[^a-z]{0,300}:|(?:ABSTRACT|BODY)\..{0,400}")
TITLE = "TITLE:"


@dataclass(frozen=True)
class Document:
    """A paragraph, an abstract or a record.

    Args:
        id: PMID, the record's own id, or ``file:line``.
        title: may be empty.
        text: lines; PubMed gives a line for each section of the abstract.
        labels: for each line of ``text`` its section's label (``METHODS``) or ""; may be empty.
    """

    id: str
    title: str
    text: str
    labels: tuple[str, ...] = ()


def readable_files(path: str | os.PathLike[str]) -> list[Path]:
    """The readable files in a folder and those below, sorted; a file is a list of itself.

    Raises:
        FileNotFoundError: no such file or folder.
        DataError: nothing there has one of ``ENDINGS``.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(
            file
            for file in path.rglob("*")
            if file.name.endswith(ENDINGS) and not file.name.startswith(ABOUT) and file.is_file()
        )
    elif path.exists():
        found = [path] if path.name.endswith(ENDINGS) else []
    else:
        raise FileNotFoundError(f"no such file or folder: {path}")
    if not found:
        raise DataError(f"nothing to read; looked for {', '.join(ENDINGS)}", path=path)
    return found


def corpus_files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> tuple[list[Path], list[str]]:
    """The readable files of all paths, each once, and a name for each.

    A name is the path below the folder that was given, so it stays when the corpus moves; if two
    files have the same name, the later ones get a number.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    files: dict[Path, tuple[Path, str]] = {}
    seen: Counter[str] = Counter()
    for root in paths:
        for file in readable_files(root):
            if (true := file.resolve()) in files:
                continue
            name = file.name if file == Path(root) else file.relative_to(root).as_posix()
            seen[name] += 1
            files[true] = file, name if seen[name] == 1 else f"{name}#{seen[name]}"
    if not files:
        raise ValueError("no corpus: give at least one file or folder")
    return [file for file, _ in files.values()], [name for _, name in files.values()]


def structured(path: str | os.PathLike[str]) -> bool:
    """Whether the file holds records (JSON lines, XML) rather than lines of text."""
    return str(path).removesuffix(".gz").endswith((".jsonl", ".xml"))


def documents(
    path: str | os.PathLike[str], *, tally: Counter[str] | None = None
) -> Iterator[Document]:
    """The documents of a file, or of all readable files of a folder, in order.

    Plain text gives one for each run of lines between blank lines, joined by blanks; lines that
    are only a label (``ABSTRACT.METHODS:``) are left out, a ``TITLE:`` line becomes the title of
    the paragraph after it. JSON lines hold objects with ``text`` and perhaps ``id`` and ``title``.

    Args:
        tally: ``tally["invalid bytes"]`` grows by the bytes that are not UTF-8; each is replaced.

    Raises:
        FileNotFoundError, DataError: as ``readable_files``; and DataError with file and line for
            broken gzip, JSON or XML, and for XML with entities of its own.
    """
    tally = Counter() if tally is None else tally
    for file in readable_files(path):
        name = file.name.removesuffix(".gz")
        if name.endswith(".jsonl"):
            yield from _json_lines(file, tally)
        elif name.endswith(".xml"):
            yield from _pubmed_xml(file)
        else:
            yield from _paragraphs(file, tally)


def _lines(file: Path, tally: Counter[str]) -> Iterator[tuple[int, str]]:
    with open_bytes(file) as stream:
        for number, raw in enumerate(stream, 1):
            text, invalid = decode(raw)
            if invalid:
                tally[INVALID] += invalid
            yield number, text.strip()


def _paragraphs(file: Path, tally: Counter[str]) -> Iterator[Document]:
    title, first = "", 0
    lines: list[str] = []
    for number, line in _lines(file, tally):
        if not line:
            if lines:
                yield Document(f"{file.name}:{first}", title, " ".join(lines))
                title, lines = "", []
        elif line.startswith(TITLE):
            title = line.removeprefix(TITLE).strip()
        elif not LABEL.fullmatch(line):
            first = first if lines else number
            lines.append(line)
    if lines:
        yield Document(f"{file.name}:{first}", title, " ".join(lines))


def _json_lines(file: Path, tally: Counter[str]) -> Iterator[Document]:
    for number, line in _lines(file, tally):
        if not line:
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"not JSON: {error}", path=file, line=number) from None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise DataError('expected an object with a string "text"', path=file, line=number)
        title = record.get("title") or ""
        if not isinstance(title, str):
            raise DataError('"title" is not a string', path=file, line=number)
        name = str(record.get("id", f"{file.name}:{number}"))
        yield Document(name, _whole(title), _whole(record["text"]))


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can spell and UTF-8 cannot."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _pubmed_xml(file: Path) -> Iterator[Document]:
    """Records of the NLM's PubMed XML, streamed: what has been read is freed.

    Entities are never resolved and nothing is loaded; libxml2's own limits on depth and size stay
    on. A document that declares entities is refused.
    """
    from lxml import etree

    found = False
    with open_bytes(file) as stream:
        events = etree.iterparse(
            stream,
            events=("start", "end"),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            for event, element in events:
                if event == "start":
                    if element.getparent() is None:
                        _refuse_entities(element, file)
                        found = element.tag == "PubmedArticleSet"
                elif element.tag == "PubmedArticle":
                    found = True
                    yield _article(element, file)
                    element.clear()
                    while (before := element.getprevious()) is not None:
                        element.getparent().remove(before)
        except etree.XMLSyntaxError as error:
            raise DataError(f"broken XML: {error.msg}", path=file, line=error.lineno) from None
    if not found:
        raise DataError("not PubMed XML: it holds no PubmedArticle", path=file)


def _refuse_entities(root: _Element, file: Path) -> None:
    declared = root.getroottree().docinfo.internalDTD
    for entity in declared.iterentities() if declared is not None else ():
        raise DataError(
            f"the XML declares the entity {entity.name!r}; such files are refused", path=file
        )


def _article(element: _Element, file: Path) -> Document:
    citation = element.find("MedlineCitation")
    if citation is None or not (pmid := (citation.findtext("PMID") or "").strip()):
        raise DataError("a PubmedArticle without a PMID", path=file, line=element.sourceline)
    lines, labels = [], []
    for section in citation.iterfind("Article/Abstract/AbstractText"):
        if text := _text(section):
            lines.append(text)
            labels.append(section.get("Label", ""))
    return Document(
        pmid, _text(citation.find("Article/ArticleTitle")), "\n".join(lines), tuple(labels)
    )


def _text(element: _Element | None) -> str:
    """All text below an element, without inline tags such as ``<i>`` and ``<sup>``."""
    return "" if element is None else " ".join("".join(element.itertext()).split())
