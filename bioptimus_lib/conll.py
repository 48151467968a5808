"""Named entities in CoNLL files: a strict reader and the entities that IOB2 tags spell.

One token per line, ``token<TAB>tag``; a blank line ends a sentence. Tags are IOB2: ``B-X`` begins
an entity of type X, ``I-X`` continues it, ``O`` is outside. An ``I-X`` that continues nothing is
an error in a gold file, and no entity in a prediction: this is what ``seqeval`` calls strict, and
its default mode would forgive it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_write

SPLITS = ("train", "devel", "test")
DOCUMENT = "-DOCSTART-"


@dataclass(frozen=True)
class Sentence:
    """Tokens and their IOB2 tags, one tag per token; ValueError if the two do not match.

    ``document`` is the number of its document in the file, from 0, where the file marks documents
    (None where it does not); sentences are equal whatever documents they stand in.

    >>> Sentence(("lung", "cancer"), ("B-Disease", "I-Disease")).tokens
    ('lung', 'cancer')
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    document: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.tags):
            raise ValueError(f"{len(self.tokens)} tokens but {len(self.tags)} tags")

    def __len__(self) -> int:
        return len(self.tokens)


class Entity(NamedTuple):
    """An entity of a type, from token ``start`` up to, not including, token ``stop``."""

    type: str
    start: int
    stop: int


# --- files -------------------------------------------------------------------------------------


def read_conll(path: str | os.PathLike[str]) -> list[Sentence]:
    """Read a CoNLL file; a line that begins with ``-DOCSTART-`` begins the next document.

    Raises:
        FileNotFoundError: no such file.
        DataError: with file and line: bytes that are not UTF-8, a line that is not
            ``token<TAB>tag`` or whose token is blank, a tag that is not IOB2, an ``I-X`` that
            continues no X; with the file alone: no sentence in it.
    """
    sentences: list[Sentence] = []
    document: int | None = None
    tokens: list[str] = []
    tags: list[str] = []

    def end() -> None:
        if tokens:
            sentences.append(Sentence(tuple(tokens), tuple(tags), document))
            tokens.clear()
            tags.clear()

    # Lines end at \n alone: Unicode has other line ends, and they occur inside tokens.
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise DataError(f"not UTF-8 ({error})", path=path, line=number) from None
            if not line.strip():
                end()
                continue
            if line.startswith(DOCUMENT):
                end()
                document = 0 if document is None else document + 1
                continue
            columns = line.split("\t")
            # A token may be any character, also one that a tokenizer drops, but not a plain blank.
            if len(columns) != 2 or not columns[0].strip(" ") or not columns[1]:
                raise DataError(
                    f"expected token<TAB>tag, found {line[:60]!r}", path=path, line=number
                )
            token, tag = columns
            if problem := tag_problem(tag, tags[-1] if tags else "O"):
                raise DataError(problem, path=path, line=number)
            tokens.append(token)
            tags.append(tag)
    end()
    if not sentences:
        raise DataError("no sentence in this file", path=path)
    return sentences


def tag_problem(tag: str, before: str = "O") -> str | None:
    """What is wrong with a tag that follows another in IOB2, or None.

    >>> tag_problem("I-Drug", "B-Drug"), tag_problem("O", "I-Drug")
    (None, None)
    >>> tag_problem("I-Drug", "O")
    "tag 'I-Drug' continues no entity: the tag before it is 'O', IOB2 begins with B-"
    """
    if tag == "O":
        return None
    prefix, _, kind = tag.partition("-")
    if prefix not in ("B", "I") or not kind:
        return f"tag {tag!r} is not IOB2: expected O, B-TYPE or I-TYPE"
    if prefix == "I" and (before == "O" or before[2:] != kind):
        return (
            f"tag {tag!r} continues no entity: the tag before it is {before!r}, "
            "IOB2 begins with B-"
        )
    return None


def split_files(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """``train.tsv``, ``devel.tsv`` and ``test.tsv`` of a folder; FileNotFoundError if one lacks."""
    files = {split: Path(folder) / f"{split}.tsv" for split in SPLITS}
    for path in files.values():
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} holds no {path.name}: a NER set is a folder with train.tsv, devel.tsv "
                "and test.tsv"
            )
    return files


def load_splits(folder: str | os.PathLike[str]) -> dict[str, list[Sentence]]:
    """The sentences of ``train.tsv``, ``devel.tsv`` and ``test.tsv`` in a folder, by split.

    Raises:
        FileNotFoundError: the folder or one of the files is not there.
        DataError: as ``read_conll``.
    """
    return {split: read_conll(path) for split, path in split_files(folder).items()}


def count(splits: Mapping[str, Sequence[Sentence]]) -> dict[str, dict[str, int]]:
    """Sentences, tokens and entities of each split."""
    return {
        split: {
            "sentences": len(sentences),
            "tokens": sum(map(len, sentences)),
            "entities": sum(len(entities(sentence.tags)) for sentence in sentences),
        }
        for split, sentences in splits.items()
    }


def write_conll(
    path: str | os.PathLike[str],
    sentences: Iterable[Sentence],
    predicted: Iterable[Sequence[str]] | None = None,
) -> None:
    """Write sentences, with predicted tags as a third column if given; whole or not at all.

    Where documents are known each begins with a line ``-DOCSTART-``, but not beside predictions,
    whose files hold sentences alone.
    """
    with atomic_write(path) as file:
        if predicted is None:
            document = None
            for sentence in sentences:
                if sentence.document is not None and sentence.document != document:
                    document = sentence.document
                    file.write(f"{DOCUMENT}\tO\n\n")
                file.writelines(
                    f"{token}\t{tag}\n"
                    for token, tag in zip(sentence.tokens, sentence.tags, strict=True)
                )
                file.write("\n")
            return
        for sentence, tags in zip(sentences, predicted, strict=True):
            rows = zip(sentence.tokens, sentence.tags, tags, strict=True)
            file.writelines(f"{token}\t{gold}\t{tag}\n" for token, gold, tag in rows)
            file.write("\n")


def read_predictions(path: str | os.PathLike[str]) -> list[tuple[str, ...]]:
    """The predicted tags of a file of ``write_conll``: its last column, valid IOB2 or not.

    Raises:
        FileNotFoundError: no such file.
        DataError: a line without three columns.
    """
    sentences: list[tuple[str, ...]] = []
    tags: list[str] = []
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            columns = line.rstrip("\n").split("\t")
            if columns == [""]:
                sentences.append(tuple(tags))
                tags = []
            elif len(columns) == 3:
                tags.append(columns[2])
            else:
                raise DataError(
                    f"expected token, gold tag, predicted tag; found {line[:60]!r}",
                    path=path,
                    line=number,
                )
    return sentences


# --- tags --------------------------------------------------------------------------------------


def types_of(sentences: Iterable[Sentence]) -> list[str]:
    """The entity types that occur, sorted."""
    return sorted({tag[2:] for sentence in sentences for tag in sentence.tags if tag != "O"})


def labels_of(types: Iterable[str]) -> list[str]:
    """The tags of a set of types, in the order of a model's outputs.

    >>> labels_of(["Drug", "Disease"])
    ['O', 'B-Disease', 'I-Disease', 'B-Drug', 'I-Drug']
    """
    return ["O", *(f"{prefix}-{kind}" for kind in sorted(types) for prefix in "BI")]


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a tag sequence under strict IOB2; an orphan ``I-`` belongs to none.

    >>> entities(["B-Drug", "I-Drug", "O", "I-Drug", "B-Gene", "I-Drug"])
    [Entity(type='Drug', start=0, stop=2), Entity(type='Gene', start=4, stop=5)]
    """
    found: list[Entity] = []
    start: int | None = None
    kind = ""
    for i, tag in enumerate([*tags, "O"]):
        if start is not None and tag != f"I-{kind}":
            found.append(Entity(kind, start, i))
            start = None
        if tag.startswith("B-"):
            start, kind = i, tag[2:]
    return found


def repair(tags: Sequence[str]) -> list[str]:
    """The same tags as IOB2: an ``I-`` that continues nothing becomes a ``B-``.

    This is how forgiving scorers read orphans, ``conlleval`` and the default of ``seqeval``: the
    entities of the repaired tags are those that they count. ``entities`` alone is strict.

    >>> repair(["I-Drug", "I-Drug", "O", "I-Gene", "I-Drug"])
    ['B-Drug', 'I-Drug', 'O', 'B-Gene', 'B-Drug']
    """
    return [
        f"B-{tag[2:]}" if tag[0] == "I" and (before == "O" or before[2:] != tag[2:]) else tag
        for before, tag in zip(("O", *tags), tags, strict=False)
    ]


def check_lengths(gold: Sequence[Sequence[object]], predicted: Sequence[Sequence[object]]) -> None:
    """ValueError unless each sentence has as many predicted tags as gold ones."""
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} sentences in gold, {len(predicted)} predicted")
    for i, (left, right) in enumerate(zip(gold, predicted, strict=True)):
        if len(left) != len(right):
            raise ValueError(f"sentence {i}: {len(left)} tags in gold, {len(right)} predicted")


def mentions(sentences: Iterable[Sentence]) -> list[str]:
    """The text of each entity, its tokens with blanks between them, in the order of the text.

    >>> mentions([Sentence(("Lung", "cancer", "grew"), ("B-Disease", "I-Disease", "O"))])
    ['Lung cancer']
    """
    return [
        " ".join(sentence.tokens[entity.start : entity.stop])
        for sentence in sentences
        for entity in entities(sentence.tags)
    ]
