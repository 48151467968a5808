"""From files to documents: PubMed XML, JSON lines, hospital notes and plain text, read one document
at a time."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioptimus_lib.clinical_text import prepared
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import decode, open_bytes
from bioptimus_lib.noteevents import check_header, is_notes, notes

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
        year: of publication, None if it is not known.
        mesh: MeSH descriptors.
        language: of the article, a code such as ``eng``; "" if it is not known. The abstract that
            PubMed has of a French article is nearly always in English.
        retracted: the article has been taken back.
    """

    id: str
    title: str
    text: str
    labels: tuple[str, ...] = ()
    year: int | None = None
    mesh: tuple[str, ...] = ()
    language: str = ""
    retracted: bool = False


def readable_files(path: str | os.PathLike[str]) -> list[Path]:
    """The readable files in a folder and those below, sorted; a file is a list of itself.

    Hidden files and folders are passed over, and what lies beside a corpus (``ABOUT``).

    Raises:
        FileNotFoundError: no such file or folder.
        DataError: nothing there has one of ``ENDINGS`` or is called ``NOTEEVENTS….csv``; such a
            file with another header.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(
            file
            for file in path.rglob("*")
            if readable(file)
            and not file.name.startswith(ABOUT)
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
            and file.is_file()
        )
    elif path.exists():
        found = [path] if readable(path) else []
    else:
        raise FileNotFoundError(f"no such file or folder: {path}")
    if not found:
        raise DataError(
            f"nothing to read; looked for {', '.join(ENDINGS)} and NOTEEVENTS.csv", path=path
        )
    for file in filter(is_notes, found):  # the files are large: say now what can be said
        check_header(file)
    return found


def readable(file: Path) -> bool:
    """Whether a file is of a kind that is read, by its name."""
    return file.name.endswith(ENDINGS) or is_notes(file)


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
    """Whether the file holds records (JSON lines, XML, notes) rather than lines of text."""
    return str(path).removesuffix(".gz").endswith((".jsonl", ".xml")) or is_notes(path)


def documents(
    path: str | os.PathLike[str],
    *,
    tally: Counter[str] | None = None,
    deleted: list[str] | None = None,
) -> Iterator[Document]:
    """The documents of a file, or of all readable files of a folder, in order.

    Plain text gives one for each run of lines between blank lines, joined by blanks; lines that
    are only a label (``ABSTRACT.METHODS:``) are left out, a ``TITLE:`` line becomes the title of
    the paragraph after it. JSON lines hold objects with ``text`` and perhaps ``id`` and the other
    fields of ``Document``. PubMed XML: see ``pubmed_xml``. A ``NOTEEVENTS.csv`` gives its notes as
    ``clinical_text.prepared`` makes them; those that the hospital took back are ``retracted``.

    Args:
        tally: ``tally["invalid bytes"]`` grows by the bytes that are not UTF-8; each is replaced.
            XML that is not in its encoding is broken.
        deleted: grows by the PMIDs that a PubMed file tells to delete, when the file ends.

    Raises:
        FileNotFoundError, DataError: as ``readable_files``; and DataError with file and line for
            broken gzip, JSON or XML, and for XML with entities of its own.
    """
    tally = Counter() if tally is None else tally
    for file in readable_files(path):
        name = file.name.removesuffix(".gz")
        if is_notes(file):
            for note in notes(file):
                yield Document(f"note {note.row_id}", "", prepared(note.text), retracted=note.error)
        elif name.endswith(".jsonl"):
            yield from _json_lines(file, tally)
        elif name.endswith(".xml"):
            from bioptimus_lib.pubmed_xml import articles

            yield from articles(file, deleted=deleted)
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
        for name, fits, kind in FIELDS:
            if record.get(name) is not None and not fits(record[name]):
                raise DataError(f'"{name}" is not {kind}', path=file, line=number)
        yield Document(
            str(record.get("id", f"{file.name}:{number}")),
            _whole(record.get("title") or ""),
            _whole(record["text"]),
            tuple(map(_whole, record.get("labels") or ())),
            year=record.get("year"),
            mesh=tuple(map(_whole, record.get("mesh") or ())),
            language=_whole(record.get("language") or ""),
            retracted=bool(record.get("retracted")),
        )


def _string(value: Any) -> bool:
    return isinstance(value, str)


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(map(_string, value))


#: Optional fields of a JSON line: name, what fits, and what it is called.
FIELDS = (
    ("title", _string, "a string"),
    ("labels", _strings, "a list of strings"),
    ("year", lambda value: type(value) is int, "a whole number"),
    ("mesh", _strings, "a list of strings"),
    ("language", _string, "a string"),
    ("retracted", lambda value: isinstance(value, bool), "true or false"),
)


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can spell and UTF-8 cannot."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
