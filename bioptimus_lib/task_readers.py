"""Readers of the files in which each task is published, strict, a function for each format.

A reader is given a folder and the labels of its task, and gives ``task_data.Data``. Which split it
takes from the files and which it has to make is said in its first line; the splits that we make are
the same everywhere, for they follow from hashes of the texts.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bioptimus_lib.clinical_text import without_placeholders
from bioptimus_lib.conll import SPLITS
from bioptimus_lib.errors import DataError
from bioptimus_lib.relations import Mention, unmarked
from bioptimus_lib.task_data import (
    Data,
    Example,
    Ids,
    columns,
    cross_validation,
    filled,
    known,
    number_in,
    numbered,
    objects,
    set_apart,
)

Labels = Sequence[str]
FOLDS = 5  # of cross-validation


def chemprot(folder: Path, labels: Labels) -> Data:
    """``train.txt``, ``dev.txt``, ``test.txt``: JSON lines, the two mentions between signs."""
    # The files do not say which mention is the chemical: the placeholders say which is which.
    placeholders = ("@FIRST$", "@SECOND$")
    splits: dict[str, list[Example]] = {}
    for split, name in zip(SPLITS, ("train", "dev", "test"), strict=True):
        path = folder / f"{name}.txt"
        splits[split] = []
        for line, row in objects(path, ("text", "label")):
            text = filled(row["text"], "the text", path=path, line=line)
            try:
                text, pair = unmarked(text, placeholders)
            except ValueError as error:
                raise DataError(f"mentions: {error}", path=path, line=line) from None
            label = known(row["label"], labels, path=path, line=line)
            splits[split].append(Example(f"{name}-{line}", text, label, mentions=pair))
    return Data((splits,))


def gad(folder: Path, labels: Labels) -> Data:
    """``train.tsv`` without a header, ``test.tsv`` with one; devel is a tenth of train, ours."""

    def read(name: str, header: bool) -> Iterator[Example]:
        path = folder / name
        ids = Ids(path)
        names = ("index", "sentence", "label") if header else ("sentence", "label")
        for line, cells in columns(path, names, header=header):
            *index, text, label = cells
            text = filled(text, "the sentence", path=path, line=line)
            for mention in ("@GENE$", "@DISEASE$"):
                if mention not in text:
                    raise DataError(f"no {mention} in the sentence", path=path, line=line)
            label = known(label, labels, path=path, line=line)
            found = f"{path.stem}-{index[0] if index else line}"
            yield Example(ids.new(found, line), text, label)

    train, devel = set_apart(list(read("train.tsv", False)), 0.1)
    return Data(({"train": train, "devel": devel, "test": list(read("test.tsv", True))},))


def biosses(folder: Path, labels: Labels) -> Data:
    """``biosses.tsv``: 100 pairs without a split, so cross-validation; the mean of five scores."""
    path = folder / "biosses.tsv"
    annotators = [f"annotator_{letter}" for letter in "abcde"]
    ids, found = Ids(path), []
    for line, cells in columns(path, ("id", "sentence1", "sentence2", *annotators), header=True):
        name = ids.new(filled(cells[0], "the id", path=path, line=line), line)
        one, two = (
            filled(text, f"sentence{n}", path=path, line=line)
            for n, text in enumerate(cells[1:3], start=1)
        )
        scores = [number_in(cell, 0, 4, path=path, line=line) for cell in cells[3:]]
        found.append(Example(name, one, sum(scores) / len(scores), second=two))
    try:
        return Data(cross_validation(found, FOLDS))
    except ValueError as error:
        raise DataError(str(error), path=path) from None


def hoc(folder: Path, labels: Labels) -> Data:
    """``hoc.jsonl``: abstracts without a split; a fifth is test, an eighth of the rest devel."""
    path = folder / "hoc.jsonl"
    ids, found = Ids(path), []
    for line, row in objects(path, ("pmid", "sentences", "labels")):
        name = ids.new(filled(row["pmid"], "the pmid", path=path, line=line), line)
        for key in ("sentences", "labels"):
            if not isinstance(row[key], list):
                raise DataError(f"{key!r} is no list", path=path, line=line)
        sentences = [filled(text, "a sentence", path=path, line=line) for text in row["sentences"]]
        text = filled(" ".join(sentences), "the abstract", path=path, line=line)
        found.append(Example(name, text, _set(row["labels"], labels, path=path, line=line)))
    rest, test = set_apart(found, 0.2, by=lambda _: None)
    train, devel = set_apart(rest, 0.125, by=lambda _: None)
    return Data(({"train": train, "devel": devel, "test": test},))


def pubmedqa(folder: Path, labels: Labels) -> Data:
    """``ori_pqal.json``, whose test questions ``test_ground_truth.json`` names; of the others a
    tenth is devel, ours. The answer is sought in question and context, without the conclusion."""
    path, gold = folder / "ori_pqal.json", folder / "test_ground_truth.json"
    questions, answers = _json_object(path), _json_object(gold)
    if lost := sorted(answers.keys() - questions.keys()):
        raise DataError(f"question {lost[0]} is not in {path.name}", path=gold)
    text = path.read_text(encoding="utf-8")
    rest: list[Example] = []
    test: list[Example] = []
    for pmid, row in questions.items():
        line = text.count("\n", 0, max(0, text.find(f'"{pmid}"'))) + 1
        where: dict[str, Any] = {"path": path, "line": line}
        for key in ("QUESTION", "CONTEXTS", "final_decision"):
            if not isinstance(row, dict) or key not in row:
                raise DataError(f"question {pmid} has no {key!r}", **where)
        if not isinstance(row["CONTEXTS"], list):
            raise DataError(f"the contexts of question {pmid} are no list", **where)
        contexts = [filled(part, f"a context of {pmid}", **where) for part in row["CONTEXTS"]]
        example = Example(
            pmid,
            filled(row["QUESTION"], f"question {pmid}", **where),
            known(row["final_decision"], labels, **where),
            second=filled(" ".join(contexts), f"the context of {pmid}", **where),
        )
        if pmid in answers and answers[pmid] != example.answer:
            raise DataError(f"question {pmid} has another answer in {gold.name}", **where)
        (test if pmid in answers else rest).append(example)
    train, devel = set_apart(rest, 0.1)
    return Data(({"train": train, "devel": devel, "test": test},))


def rqe(folder: Path, labels: Labels) -> Data:
    """Three XML files of pairs of questions; in train or devel one with an empty question is left
    out and counted; in test it is an error."""
    names = ("TrainingSet-AMIA2016", "ValidationSet-AMIA2016", "TestSet-wLabels")
    splits: dict[str, list[Example]] = {}
    dropped: dict[str, int] = {}
    for split, name in zip(SPLITS, names, strict=True):
        path = folder / f"MEDIQA2019-Task2-RQE-{name}.xml"
        ids, some = Ids(path), []
        for line, pair in _pairs(path):
            found = ids.new(filled(pair.get("pid"), "pid", path=path, line=line), line)
            label = known(pair.get("value"), labels, path=path, line=line)
            texts = [(pair.findtext(tag) or "").strip() for tag in ("chq", "faq")]
            if split != "test" and not all(texts):
                reason = f"{split}: a question is empty"
                dropped[reason] = dropped.get(reason, 0) + 1
                continue
            one, two = (filled(text, "a question", path=path, line=line) for text in texts)
            some.append(Example(found, one, label, second=two))
        splits[split] = some
    return Data((splits,), dropped)


def mts_dialog(folder: Path, labels: Labels) -> Data:
    """Four CSV files; both test sets are test, together. The text is a section of a note."""
    files = {
        "train": ("TrainingSet",),
        "devel": ("ValidationSet",),
        "test": ("TestSet-1-MEDIQA-Chat-2023", "TestSet-2-MEDIQA-Sum-2023"),
    }
    names = ["ID", "section_header", "section_text", "dialogue"]
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for split, parts in files.items():
        for number, part in enumerate(parts, start=1):
            path = folder / f"MTS-Dialog-{part}.csv"
            ids = Ids(path)
            lines = (line + "\n" for _, line in numbered(path))  # strict in its bytes
            reader = csv.reader(lines, strict=True)
            ended = 0  # a record goes over several lines, and is told by its first
            try:
                for row in reader:
                    line, ended = ended + 1, reader.line_num
                    if line == 1:
                        if row != names:
                            raise DataError(f"expected the columns {names}", path=path, line=1)
                        continue
                    if len(row) != len(names):
                        raise DataError(
                            f"{len(row)} columns, expected {len(names)}", path=path, line=line
                        )
                    name = ids.new(f"{number}-{row[0]}", line)
                    label = known(row[1], labels, path=path, line=line)
                    text = filled(row[2], "the section", path=path, line=line)
                    splits[split].append(Example(name, text, label))
            except csv.Error as error:
                raise DataError(f"not CSV ({error})", path=path, line=ended + 1) from None
            if not ids.lines:
                raise DataError("no example in this file", path=path)
    return Data((splits,))


def mednli(folder: Path, labels: Labels) -> Data:
    """``mli_train_v1.jsonl``, ``mli_dev_v1.jsonl``, ``mli_test_v1.jsonl``: JSON lines, a premise
    from a note and what a physician says of it. Pairs without an agreed label are left out."""
    splits: dict[str, list[Example]] = {}
    dropped: dict[str, int] = {}
    names = ("sentence1", "sentence2", "gold_label", "pairID")
    for split, name in zip(SPLITS, ("train", "dev", "test"), strict=True):
        path = folder / f"mli_{name}_v1.jsonl"
        ids, some = Ids(path), []
        for line, row in objects(path, names):
            found = ids.new(filled(row["pairID"], "pairID", path=path, line=line), line)
            if row["gold_label"] == "-":  # of SNLI's form: its annotators did not agree
                reason = f"{split}: no agreed label"
                dropped[reason] = dropped.get(reason, 0) + 1
                continue
            label = known(row["gold_label"], labels, path=path, line=line)
            one, two = (filled(row[key], key, path=path, line=line) for key in names[:2])
            some.append(Example(found, without_placeholders(one), label,
                                second=without_placeholders(two)))  # fmt: skip
        splits[split] = some
    return Data((splits,), dropped)


def json_lines(folder: Path, labels: Labels) -> Data:
    """Our own form: ``train.jsonl``, ``devel.jsonl``, ``test.jsonl``.

    An object has ``id``, ``text``, perhaps ``second``, perhaps ``mentions`` (two of ``[start, stop,
    placeholder]``), and ``label``, ``labels`` (a list) or ``score``.
    """
    splits: dict[str, list[Example]] = {}
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        if not path.is_file():
            raise FileNotFoundError(f"{folder} holds no {path.name}")
        ids = Ids(path)
        splits[split] = [
            _example(row, labels, ids, path=path, line=line)
            for line, row in objects(path, ("id", "text"))
        ]
    return Data((splits,))


# --- parts -------------------------------------------------------------------------------------


def _example(row: dict[str, Any], labels: Labels, ids: Ids, *, path: Path, line: int) -> Example:
    where: dict[str, Any] = {"path": path, "line": line}
    text = filled(row["text"], "the text", **where)
    if "mentions" in row:
        text = row["text"]  # with the blanks around it, which their offsets count
    kinds = [key for key in ("label", "labels", "score") if key in row]
    if len(kinds) != 1:
        raise DataError(f"one of label, labels and score is needed, found {kinds}", **where)
    answer: Any
    if "label" in row:
        answer = known(row["label"], labels, **where)
    elif "labels" in row:
        answer = _set(row["labels"], labels, **where)
    else:
        answer = number_in(row["score"], float("-inf"), float("inf"), **where)
    pair = None
    if "mentions" in row:
        try:
            one, two = (_mention(*found) for found in row["mentions"])
        except (TypeError, ValueError):
            raise DataError("expected two mentions [start, stop, placeholder]", **where) from None
        if not all(0 <= m.start < m.stop <= len(text) for m in (one, two)):
            raise DataError(f"a mention lies outside of the {len(text)} characters", **where)
        pair = one, two
    second = filled(row["second"], "the second text", **where) if "second" in row else None
    name = ids.new(filled(row["id"], "the id", **where), line)
    return Example(name, text, answer, second=second, mentions=pair)


def _mention(start: object, stop: object, placeholder: object) -> Mention:
    """Of exactly two whole numbers and a word; TypeError for anything else."""
    if type(start) is not int or type(stop) is not int:
        raise TypeError
    if not isinstance(placeholder, str) or not placeholder:
        raise TypeError
    return Mention(start, stop, placeholder)


def _set(found: Any, labels: Labels, *, path: Path, line: int) -> tuple[str, ...]:
    """A list of labels in the order of the task; DataError for anything else."""
    if not isinstance(found, list):
        raise DataError(f"labels are {found!r}, expected a list", path=path, line=line)
    for label in found:
        known(label, labels, path=path, line=line)
    if len(set(found)) != len(found):
        raise DataError(f"a label stands twice in {found}", path=path, line=line)
    return tuple(label for label in labels if label in found)


def _json_object(path: Path) -> dict[str, Any]:
    """The JSON object of a file, no name twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{twice!r} stands there twice", path=path)
        return dict(pairs)

    text = "\n".join(line for _, line in numbered(path))
    try:
        found = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON ({error.msg})", path=path, line=error.lineno) from None
    if not isinstance(found, dict) or not found:
        raise DataError("expected a JSON object with an entry for each example", path=path)
    return found


def _pairs(path: Path) -> Iterator[tuple[int, Any]]:
    """The ``pair`` elements of an XML file with their lines; no entities, no network."""
    from lxml import etree

    from bioptimus_lib.pubmed_xml import refuse_entities

    for _ in numbered(path):  # strict in its bytes
        pass
    refuse_entities(path)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.parse(path, parser).getroot()
    except etree.XMLSyntaxError as error:
        raise DataError(f"broken XML: {error.msg}", path=path, line=error.lineno) from None
    found = 0
    for element in root.iterchildren(etree.Element):
        line = element.sourceline
        tags = [child.tag for child in element]
        if element.tag != "pair" or tags != ["chq", "faq"]:
            raise DataError(
                f"<{element.tag}> with {tags}, expected <pair> with chq and faq",
                path=path, line=line,
            )  # fmt: skip
        found += 1
        yield line, element
    if not found:
        raise DataError("no pair in this file", path=path)
