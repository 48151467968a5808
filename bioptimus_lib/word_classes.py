"""Classes of pieces by their spelling: drug names, genes, chemistry, Greek and Latin word parts.

The rules are data, ``data/words/classes.tsv``, to be read and corrected by people. Spelling is a
hint and no dictionary, so the share of a class is to be read beside its share among general words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import data_dir
from bioptimus_lib.wordpiece import CONTINUATION

RULES = "words/classes.tsv"
NO_CLASS = "no class"
WHERE = {"match": r"(?:{})", "end": r".*(?:{})", "start": r"(?:{}).*"}


class Rule(NamedTuple):
    """A class and the spelling that puts a piece into it."""

    name: str
    where: str
    pattern: re.Pattern[str]


@cache
def rules() -> tuple[Rule, ...]:
    """The rules in their order: the first that fits decides.

    Raises:
        DataError: a line of the file is no rule.
    """
    path = data_dir() / RULES
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, where, patterns = line.split("\t")
            inner = patterns if where == "match" else "|".join(map(re.escape, patterns.split()))
            found.append(Rule(name, where, re.compile(WHERE[where].format(inner))))
        except (ValueError, KeyError, re.error) as error:
            says = f"expected class, {' or '.join(WHERE)}, patterns, between tabs"
            raise DataError(says, path=path, line=number) from error
    return tuple(found)


def classes() -> tuple[str, ...]:
    """The names of all classes in the order of their rules, ``NO_CLASS`` last."""
    return (*dict.fromkeys(rule.name for rule in rules()), NO_CLASS)


def word_class(piece: str) -> str:
    """The class of a piece; rules for beginnings do not look at what continues a word.

    >>> [word_class(p) for p in ("pembrolizumab", "##ectomy", "il6", "42", "##ab", "kitchen")]
    ['drug', 'Greek or Latin ending', 'gene or protein', 'number', '1 to 3 letters', 'no class']
    """
    text = piece.removeprefix(CONTINUATION)
    inside = text != piece
    for rule in rules():
        if not (inside and rule.where == "start") and rule.pattern.fullmatch(text):
            return rule.name
    return NO_CLASS


def by_class(pieces: Iterable[str]) -> dict[str, list[str]]:
    """Class → its pieces, in their order; every class is there."""
    found: dict[str, list[str]] = {name: [] for name in classes()}
    for piece in pieces:
        found[word_class(piece)].append(piece)
    return found
