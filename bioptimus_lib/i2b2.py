"""A reader's own files of the i2b2/VA challenge of 2010: concepts and relations in clinical notes.

The form is the one that the challenge describes (Uzuner et al., 2011, and the notes on annotation
that come with the files). A document is three files of one name: ``.txt``, a sentence a line,
tokens between blanks; ``.con``, a concept a line; ``.rel``, a relation a line::

    c="chest pain" 3:4 3:5||t="problem"
    c="aspirin" 3:0 3:0||r="TrAP"||c="chest pain" 3:4 3:5

A place is ``line:token``, lines from 1, tokens from 0, the last one included. The text in quotes is
that of the tokens in lower case, which we compare: a place that has slipped is an error. The files
need an agreement, are not a part of this course, and must not leave their owner's machine.

A folder holds the folders ``train`` and ``test``, in which the files lie anywhere (the challenge
packs ``txt``, ``concept`` and ``rel`` apart, and hospitals apart). Devel is a tenth of the
documents of train, ours, unless there is a folder ``devel``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bioptimus_lib.conll import SPLITS, Sentence, write_conll
from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_dir
from bioptimus_lib.relations import Mention
from bioptimus_lib.sketch import digest
from bioptimus_lib.task_data import Data, Example, known, numbered

TYPES = ("problem", "test", "treatment")
#: Relations by the types of their two concepts. The second is always a problem.
RELATIONS = {
    "treatment": ("TrAP", "TrCP", "TrIP", "TrNAP", "TrWP"),
    "test": ("TeCP", "TeRP"),
    "problem": ("PIP",),
}
NONE = "none"
DEVEL = 10  # one document of so many of train, where there is no folder of it
_PLACE = r'c="(.*)" (\d+):(\d+) (\d+):(\d+)'
_CONCEPT = re.compile(rf'{_PLACE}\|\|t="([^"]*)"')
_RELATION = re.compile(rf'{_PLACE}\|\|r="([^"]*)"\|\|{_PLACE}')


class Span(NamedTuple):
    """Tokens ``start:stop`` of a sentence, counted from 0."""

    sentence: int
    start: int
    stop: int


@dataclass(frozen=True)
class Document:
    """Sentences as tokens, the type of each concept, and the relation of each pair that has one."""

    name: str
    sentences: tuple[tuple[str, ...], ...]
    concepts: dict[Span, str]
    relations: dict[tuple[Span, Span], str]


def is_folder(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder looks like one of these files: a ``train`` with concepts in it."""
    return next(iter((Path(folder) / "train").rglob("*.con")), None) is not None


# -- files -----------------------------------------------------------------------------------------


def read_document(
    text: Path, concepts: Path | None = None, relations: Path | None = None
) -> Document:
    """A document from its files.

    Raises:
        FileNotFoundError: one of them is missing.
        DataError: with file and line: bytes that are not UTF-8, a line of another form, a place
            that is not in the text or holds another text, an unknown type or relation, a concept
            of two types or that overlaps another (the same line twice is one), a relation of what
            is no concept, or of types that it cannot have, or of two sentences.
    """
    sentences = tuple(tuple(line.split()) for _, line in numbered(text))
    found: dict[Span, str] = {}
    taken: dict[tuple[int, int], tuple[Span, int]] = {}
    for line, raw in _lines(concepts):
        match = _CONCEPT.fullmatch(raw.strip())
        if match is None:
            raise DataError(f'expected c="…" 1:0 1:1||t="problem", found {raw[:60]!r}',
                            path=concepts, line=line)  # fmt: skip
        *place, kind = match.groups()
        span = _span(place, sentences, path=concepts, line=line)
        known(kind, TYPES, path=concepts, line=line)
        if found.setdefault(span, kind) != kind:
            raise DataError(f"{_shown(span)} is a {found[span]} already", path=concepts, line=line)
        for token in range(span.start, span.stop):
            other, first = taken.setdefault((span.sentence, token), (span, line))
            if other != span:
                raise DataError(f"shares a token with the concept of line {first}",
                                path=concepts, line=line)  # fmt: skip
    pairs: dict[tuple[Span, Span], str] = {}
    for line, raw in _lines(relations):
        match = _RELATION.fullmatch(raw.strip())
        if match is None:
            raise DataError(f'expected c="…" 1:0 1:1||r="TrAP"||c="…" 1:3 1:3, found {raw[:60]!r}',
                            path=relations, line=line)  # fmt: skip
        cells = match.groups()
        one, two = (_span(cells[i : i + 5], sentences, path=relations, line=line) for i in (0, 6))
        for span in (one, two):
            if span not in found:
                raise DataError(f"no concept stands at {_shown(span)}", path=relations, line=line)
        possible = RELATIONS[found[one]] if found[two] == "problem" else ()
        if cells[5] not in possible:
            raise DataError(
                f"relation {cells[5]!r} of a {found[one]} and a {found[two]}: expected "
                f"{' or '.join(possible) or 'a problem in the second place'}",
                path=relations, line=line,
            )  # fmt: skip
        if one.sentence != two.sentence:
            raise DataError("a relation over two sentences", path=relations, line=line)
        if one == two:
            raise DataError("a relation of a concept with itself", path=relations, line=line)
        if pairs.setdefault((one, two), cells[5]) != cells[5]:
            raise DataError(
                f"the pair is {pairs[one, two]} already", path=relations, line=line
            )
    return Document(text.stem, sentences, found, pairs)


def _lines(path: Path | None) -> list[tuple[int, str]]:
    """The lines that are not blank; a document without concepts may have an empty file."""
    if path is None or not path.stat().st_size:
        return []
    return [(number, line) for number, line in numbered(path) if line.strip()]


def _span(
    cells: Sequence[str], sentences: Sequence[Sequence[str]], *, path: Path | None, line: int
) -> Span:
    text, *numbers = cells
    first, start, last, stop = map(int, numbers)
    if first != last:
        raise DataError(f"a concept from line {first} to line {last}", path=path, line=line)
    span = Span(first - 1, start, stop + 1)
    if not 1 <= first <= len(sentences) or not start <= stop < len(sentences[first - 1]):
        raise DataError(f"{_shown(span)} is not in the text", path=path, line=line)
    there = " ".join(sentences[first - 1][start : stop + 1])
    if " ".join(text.split()).lower() != there.lower():
        raise DataError(f"{text!r}, but at {_shown(span)} stands {there!r}", path=path, line=line)
    return span


def _shown(span: Span) -> str:
    return f"{span.sentence + 1}:{span.start} {span.sentence + 1}:{span.stop - 1}"


def documents(folder: str | os.PathLike[str], *, relations: bool) -> dict[str, list[Document]]:
    """The documents of a folder by split, in the order of their names.

    Raises:
        FileNotFoundError: no ``train`` or ``test``; a text without its ``.con``, or ``.rel`` if
            relations are wanted.
        DataError: two texts of one name in a split, annotations without a text, no document in a
            split; and see ``read_document``.
    """
    folder = Path(folder)
    splits: dict[str, list[Document]] = {}
    for split in SPLITS:
        if not (place := folder / split).is_dir():
            if split == "devel":
                continue
            raise FileNotFoundError(f"{folder} has no folder {split}")
        files = {end: _by_name(place, end) for end in ("txt", "con", "rel")}
        for end in ("con", "rel") if relations else ("con",):
            if lost := sorted(files["txt"].keys() - files[end].keys()):
                raise FileNotFoundError(f"{files['txt'][lost[0]]} has no {lost[0]}.{end}")
            if lost := sorted(files[end].keys() - files["txt"].keys()):
                raise DataError(f"no {lost[0]}.txt belongs to it", path=files[end][lost[0]])
        if not files["txt"]:
            raise DataError("no document: expected files .txt, .con and .rel", path=place)
        splits[split] = [
            read_document(path, files["con"][name], files["rel"][name] if relations else None)
            for name, path in sorted(files["txt"].items())
        ]
    if "devel" not in splits:
        train = splits["train"]
        order = sorted(train, key=lambda document: digest("i2b2 devel", document.name))
        apart = {document.name for document in order[: max(1, len(train) // DEVEL)]}
        splits["devel"] = [d for d in train if d.name in apart]
        splits["train"] = [d for d in train if d.name not in apart]
        if not splits["train"]:
            raise DataError("a single document: nothing is left to train on", path=folder / "train")
    return {split: splits[split] for split in SPLITS}


def _by_name(place: Path, end: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(place.rglob(f"*.{end}")):
        if path.stem in found:
            raise DataError(f"a document of this name is in {found[path.stem].parent}, too",
                            path=path)  # fmt: skip
        found[path.stem] = path
    return found


# -- as entities, as a task ------------------------------------------------------------------------


def tagged(document: Document, *, number: int | None = None) -> list[Sentence]:
    """The sentences of a document with the tags of its concepts; empty lines are left out."""
    tags = [["O"] * len(tokens) for tokens in document.sentences]
    for span, kind in document.concepts.items():
        marks = [f"B-{kind}", *[f"I-{kind}"] * (span.stop - span.start - 1)]
        tags[span.sentence][span.start : span.stop] = marks
    return [
        Sentence(tokens, tuple(some), number)
        for tokens, some in zip(document.sentences, tags, strict=True)
        if tokens
    ]


def write_entities(folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """The concepts as an NER set, ``train.tsv``, ``devel.tsv``, ``test.tsv``, whole or not at all.

    Raises:
        FileNotFoundError, DataError: see ``documents``.
    """
    made = documents(folder, relations=False)
    with atomic_dir(out) as temporary:
        for split, some in made.items():
            sentences = [s for n, document in enumerate(some) for s in tagged(document, number=n)]
            write_conll(temporary / f"{split}.tsv", sentences)
    return Path(out)


def relations(folder: Path, labels: Sequence[str]) -> Data:
    """Folders ``train`` and ``test`` (and ``devel``, else a tenth of train's documents, ours): each
    pair of concepts of a sentence that could have a relation, with it or ``none``."""
    splits = {
        split: [example for document in some for example in _examples(document)]
        for split, some in documents(folder, relations=True).items()
    }
    return Data((splits,))


def _examples(document: Document) -> list[Example]:
    by_sentence: dict[int, list[Span]] = {}
    for span in sorted(document.concepts):
        by_sentence.setdefault(span.sentence, []).append(span)
    found = []
    for number, spans in by_sentence.items():
        tokens = document.sentences[number]
        starts = [0]
        for token in tokens:
            starts.append(starts[-1] + len(token) + 1)
        for one in spans:
            for two in spans:
                kinds = document.concepts[one], document.concepts[two]
                # A problem is compared with those after it, in either direction one relation.
                if kinds[1] != "problem" or one == two:
                    continue
                answer = document.relations.get((one, two))
                if kinds[0] == "problem":
                    answer = answer or document.relations.get((two, one))
                    if two < one:
                        continue
                first, second = (
                    Mention(starts[s.start], starts[s.stop] - 1, f"@{kind.upper()}$")
                    for s, kind in zip((one, two), kinds, strict=True)
                )
                name = f"{document.name}-{_shown(one)}-{_shown(two)}".replace(" ", "-")
                found.append(Example(name, " ".join(tokens), answer or NONE,
                                     mentions=(first, second)))  # fmt: skip
    return found
