"""Examples of tasks beyond named entities: what one is, and files that are read strictly.

A text, or a pair of texts, has an answer: a label, a set of labels, or a number. Reading loses
nothing in silence: a broken line is an error with its place, and what a reader leaves out on
purpose is counted under its reason.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from bioptimus_lib.conll import SPLITS
from bioptimus_lib.errors import DataError
from bioptimus_lib.relations import VIEWS, Pair
from bioptimus_lib.sketch import digest

Answer = str | tuple[str, ...] | float


def number_of(answer: Answer) -> float:
    """The answer of a task of scores, a number."""
    return float(cast("str | float", answer))


def labels_of(answer: Answer) -> tuple[str, ...]:
    """The answer of a task of several labels, a tuple of them."""
    return cast("tuple[str, ...]", answer)


@dataclass(frozen=True)
class Example:
    """A text with its answer.

    Args:
        id: its name, which no other example of its file has.
        text: what is read; with ``second``, the first of a pair.
        answer: a label, a tuple of labels (sorted as in the task), or a number.
        second: the second text of a pair.
        mentions: the two mentions whose relation is asked for.
    """

    id: str
    text: str
    answer: Answer
    second: str | None = None
    mentions: Pair | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.text,) if self.second is None else (self.text, self.second)

    def shown(self, view: str) -> Example:
        """The example as a model reads it: its mentions marked, blinded or left as they are.

        Raises:
            ValueError: no such view, or no mentions to show.
        """
        if view not in VIEWS:
            raise ValueError(f"view {view!r} is unknown: choose one of {', '.join(VIEWS)}")
        if self.mentions is None:
            raise ValueError(f"{self.id} has no mentions, so it has no view {view!r}")
        return replace(self, text=VIEWS[view](self.text, self.mentions), mentions=None)


Splits = Mapping[str, Sequence[Example]]


@dataclass(frozen=True)
class Data:
    """What was read of a task.

    Args:
        folds: each with ``train``, ``devel`` and ``test``; one, unless the task is tested by
            cross-validation.
        dropped: split and reason → examples that were left out.
    """

    folds: tuple[Splits, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def test(self) -> list[Example]:
        """The test examples of all folds, in their order; each is tested once."""
        return [example for fold in self.folds for example in fold["test"]]

    def shown(self, view: str | None) -> Data:
        """The same with each example as a model reads it; None for examples without mentions."""
        if view is None:
            return self
        folds = tuple(
            {split: [example.shown(view) for example in some] for split, some in fold.items()}
            for fold in self.folds
        )
        return Data(folds, self.dropped)

    def first(self, examples: int | None) -> Data:
        """The same with the first so many examples of train; None or 0 for all."""
        folds = tuple({**fold, "train": fold["train"][: examples or None]} for fold in self.folds)
        return Data(folds, self.dropped)

    def report(self) -> dict[str, Any]:
        """How many examples each split has (of the first fold), what was dropped, how many texts of
        test stand in train too, and how many examples have the texts of another of their split
        whose answer differs, so that not all can be right."""
        fold = self.folds[0]
        seen = {example.texts for example in fold["train"]}
        return {
            "examples": {split: len(fold[split]) for split in SPLITS},
            "folds": len(self.folds),
            "tested": len(self.test),
            "dropped": dict(self.dropped),
            "test texts in train": sum(example.texts in seen for example in fold["test"]),
            "contradicted": {split: _contradicted(fold[split]) for split in SPLITS},
        }


def _contradicted(examples: Sequence[Example]) -> int:
    answers: dict[tuple[str, ...], set[Answer]] = {}
    for example in examples:
        answers.setdefault(example.texts, set()).add(example.answer)
    return sum(len(answers[example.texts]) > 1 for example in examples)


# --- strict files ------------------------------------------------------------------------------


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers from 1; a line ends at ``\\n`` alone.

    Raises:
        FileNotFoundError: no such file.
        DataError: bytes that are not UTF-8, with their line; an empty file.
    """
    number = 0
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"not UTF-8 ({error})", path=path, line=number) from None
            yield number, line.rstrip("\r\n")
    if not number:
        raise DataError("the file is empty", path=path)


def columns(path: Path, names: Sequence[str], *, header: bool) -> Iterator[tuple[int, list[str]]]:
    """The rows of a tab-separated file with their lines.

    Raises:
        DataError: a row with more or fewer columns, or a header with other names.
    """
    rows = 0
    for number, line in numbered(path):
        cells = line.split("\t")
        if header and number == 1:
            if cells != list(names):
                raise DataError(
                    f"the header is {line[:80]!r}, expected the columns {', '.join(names)}",
                    path=path, line=1,
                )  # fmt: skip
            continue
        if len(cells) != len(names):
            raise DataError(
                f"{len(cells)} columns, expected {len(names)}: {', '.join(names)}",
                path=path, line=number,
            )  # fmt: skip
        rows += 1
        yield number, cells
    if not rows:
        raise DataError("no example in this file", path=path)


def objects(path: Path, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON-lines file with their lines.

    Raises:
        DataError: a line that is no JSON object, or lacks one of these names.
    """
    for number, line in numbered(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON ({error})", path=path, line=number) from None
        if not isinstance(row, dict):
            raise DataError("expected a JSON object", path=path, line=number)
        if missing := [name for name in names if name not in row]:
            raise DataError(f"no {missing[0]!r} in this object", path=path, line=number)
        yield number, row


def filled(text: Any, what: str, *, path: Path, line: int | None) -> str:
    """A text with something in it, stripped; DataError for anything else."""
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{what} is {text!r}, expected a text", path=path, line=line)
    return text.strip()


def known(label: Any, labels: Sequence[str], *, path: Path | None, line: int | None) -> str:
    """A label of the task; DataError for anything else."""
    if label not in labels:
        raise DataError(
            f"unknown label {label!r}, expected one of {', '.join(labels)}", path=path, line=line
        )
    return str(label)


def number_in(text: Any, low: float, high: float, *, path: Path, line: int | None) -> float:
    """A number of a range; DataError for anything else."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = float("nan")
    if isinstance(text, bool) or not math.isfinite(value) or not low <= value <= high:
        raise DataError(f"score {text!r}, expected {low:g} to {high:g}", path=path, line=line)
    return value


class Ids:
    """Remembers which ids a file had; DataError for one that comes again."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines = path, dict[str, int | None]()

    def new(self, name: str, line: int | None) -> str:
        if name in self.lines:
            where = f", first in line {self.lines[name]}" if self.lines[name] else ""
            raise DataError(f"id {name!r} for the second time{where}", path=self.path, line=line)
        self.lines[name] = line
        return name


# --- splits ------------------------------------------------------------------------------------


def set_apart(
    examples: Sequence[Example],
    share: float,
    *,
    seed: int = 0,
    by: Callable[[Example], object] = lambda example: example.answer,
) -> tuple[list[Example], list[Example]]:
    """(the rest, those set apart): a share of each answer, drawn by a hash of their texts.

    The same texts go to the same side, and an example does not change sides when others come or
    go in other answers. Both sides keep the order of the examples.

    Raises:
        ValueError: the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}, it must be between 0 and 1")
    groups: dict[object, dict[tuple[str, ...], int]] = {}
    owner: dict[tuple[str, ...], object] = {}
    for example in examples:
        group = owner.setdefault(example.texts, by(example))
        texts = groups.setdefault(group, {})
        texts[example.texts] = texts.get(example.texts, 0) + 1
    apart: set[tuple[str, ...]] = set()
    for texts in groups.values():
        wanted, taken = round(share * sum(texts.values())), 0
        for text in sorted(texts, key=lambda one: digest(seed, "set apart", *one)):
            if taken >= wanted:
                break
            apart.add(text)
            taken += texts[text]
    return (
        [example for example in examples if example.texts not in apart],
        [example for example in examples if example.texts in apart],
    )


def cross_validation(
    examples: Sequence[Example], folds: int, *, seed: int = 0
) -> tuple[dict[str, list[Example]], ...]:
    """Folds in which each example is tested once; the next fold is devel, the others are train.

    Numbers are dealt out in their order, so each fold has its share of high and of low ones;
    within a round of dealing chance decides, by a hash of the texts. Examples of the same text
    are not kept together.

    Raises:
        ValueError: fewer than three folds, or fewer examples than folds.
    """
    if not 3 <= folds <= len(examples):
        raise ValueError(f"{folds} folds of {len(examples)} examples: at least 3, and one in each")

    def chance(example: Example) -> int:
        return digest(seed, "fold", example.id, *example.texts)

    ordered = sorted(examples, key=lambda e: (e.answer, chance(e)))
    of: dict[str, int] = {}
    for start in range(0, len(ordered), folds):
        dealt = sorted(ordered[start : start + folds], key=chance)
        # Rounds begin at another fold each, so that the last, short one favours none.
        of |= {e.id: (place + start // folds) % folds for place, e in enumerate(dealt)}
    return tuple(
        {
            "train": [e for e in examples if of[e.id] not in (k, (k + 1) % folds)],
            "devel": [e for e in examples if of[e.id] == (k + 1) % folds],
            "test": [e for e in examples if of[e.id] == k],
        }
        for k in range(folds)
    )


def count_answers(examples: Sequence[Example]) -> Counter[Answer]:
    """How often each label (of sets: each label of them) or number occurs."""
    found: Counter[Answer] = Counter()
    for example in examples:
        found.update(example.answer if isinstance(example.answer, tuple) else (example.answer,))
    return found
