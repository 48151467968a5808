"""The words of the course: no common misspelling, one spelling, which is British.

Looked at is what people read: pages, the text of chapters, docstrings, comments, messages of the
command line. Names in code are as they are. Words that are right here and wrong elsewhere stand in
``accepted_words.txt``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import codespell_lib
import pytest

ROOT = Path(__file__).resolve().parents[1]
ACCEPTED = Path(__file__).with_name("accepted_words.txt")
DATA = Path(codespell_lib.__file__).parent / "data"
NOT_WORDS = re.compile(
    r"^```(?!\{(?:glossary|note|tip|warning|admonition|epigraph)).*?^```"  # code
    r"|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|<[^>]*>|\]\([^)]*\)|data:image\S+|https?:\S+|##\w+",
    re.M | re.S,
)
#: American forms that are British words as well, in another sense.
BOTH = {
    "check", "checks", "checked", "checking", "program", "programs", "practice", "practices",
    "story", "stories", "meter", "meters", "tire", "tires", "disk", "disks", "draft", "drafts",
    "mold", "inquiry", "inquiries", "curb", "ton", "tons", "analog", "dialog", "dialogs", "skeptic",
    "licensed", "licensing", "cozy", "pajamas", "jewelry", "ax", "prolog", "catalog", "artifact",
    "artifacts", "connection", "connections", "gram", "grams", "kilogram", "liter", "encyclopedia",
    "medieval", "judgment", "judgments", "ensure", "ensures",
}  # fmt: skip


def prose_of(path: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of what people read in a file."""
    name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        for cell in json.loads(text)["cells"]:
            if cell["cell_type"] == "markdown":
                yield f"{name} {cell['id']}", NOT_WORDS.sub(" ", "".join(cell["source"]))
    elif path.suffix == ".py":
        yield name, "\n".join(_said_in(text))
    else:
        yield name, NOT_WORDS.sub(" ", text)


def _said_in(source: str) -> Iterator[str]:
    """Docstrings without their examples, comments, and what ``help=`` and ``description=`` say."""
    for comment in re.findall(r"(?:^|\s)#:? (.*)$", source, re.M):
        yield re.sub(r"`[^`]*`", " ", comment)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            said = ast.get_docstring(node) or ""
            said = re.sub(r"^ *>>> .*?(?:\n\s*\n|\Z)", "", said, flags=re.M | re.S)
            yield re.sub(r"``?[^`]*``?|^ +\w+(?:, \w+)*: ", " ", said, flags=re.M)
        elif isinstance(node, ast.keyword) and node.arg in ("help", "description"):
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                yield node.value.value


FILES = [
    *sorted(ROOT.glob("*.md")), *sorted((ROOT / "book").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted((ROOT / "bioptimus_lib").rglob("*.py")),
    *sorted((ROOT / "book").rglob("*.py")),
    *(path for path in sorted((ROOT / "tests").rglob("*.py")) if path != Path(__file__)),
]  # fmt: skip
DRUGS_AND_SUCH = re.compile(r"\b[A-Z][A-Z0-9-]+s?\b|\b\w*\d\w*\b")  # names in capitals, numbers


@pytest.fixture(scope="module")
def course() -> dict[str, str]:
    """Place → words, of everything."""
    texts = [text for path in FILES for text in prose_of(path)]
    return {place: DRUGS_AND_SUCH.sub(" ", text) for place, text in texts}


@pytest.fixture(scope="module")
def misspellings() -> dict[str, str]:
    """Wrong word → right ones, by codespell's list, without what is accepted here."""
    accepted = set(ACCEPTED.read_text(encoding="utf-8").split())
    return {
        wrong: right
        for wrong, right in _pairs(DATA / "dictionary.txt")
        if wrong not in accepted
    }


@pytest.fixture(scope="module")
def american() -> dict[str, str]:
    """American word → British one, where the American is none in Britain."""
    pairs = {right: wrong for wrong, right in _pairs(DATA / "dictionary_en-GB_to_en-US.txt")}
    return {word: british for word, british in pairs.items() if word not in BOTH}


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if "->" in line:
            wrong, right = line.split("->", 1)
            yield wrong.strip().lower(), right.strip(" ,")


def found(course: dict[str, str], words: dict[str, str]) -> list[str]:
    """Each word of a list that stands in the text, with its place and what is meant."""
    return [
        f"{place}: {word} -> {words[word.lower()]}"
        for place, text in course.items()
        for word in re.findall(r"[A-Za-z]+(?:['’][a-z]+)?", text)
        if word.lower() in words
    ]


def test_no_common_misspelling(course, misspellings):
    assert len(course) > 500 and len(misspellings) > 30_000
    assert not found(course, misspellings)


def test_spelling_is_british(course, american):
    assert len(american) > 400
    assert not found(course, american)


def test_mistakes_are_found_where_people_read(tmp_path, monkeypatch, misspellings, american):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.md").write_text("It is teh `teh`, a color.\n```\nteh\n```", encoding="utf-8")
    (tmp_path / "b.py").write_text(
        '"""Teh words.\n\n>>> teh\n"""\nteh = 1  # teh `teh`\nf(help="teh", x="teh")\n',
        encoding="utf-8",
    )
    cells = [{"cell_type": "markdown", "id": "m", "source": ["teh $teh$"]},
             {"cell_type": "code", "id": "c", "source": ["teh"]}]  # fmt: skip
    (tmp_path / "c.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    texts = {place: text for path in sorted(tmp_path.iterdir()) for place, text in prose_of(path)}
    said = found(texts, misspellings)
    assert [line.split(":")[0] for line in said] == ["a.md", "b.py", "b.py", "b.py", "c.ipynb m"]
    assert found(texts, american) == ["a.md: color -> colour"]


def test_accepted_words_are_used(course):
    words = {word.lower() for text in course.values() for word in re.findall(r"[A-Za-z]+", text)}
    accepted = ACCEPTED.read_text(encoding="utf-8").split()
    assert accepted == sorted(set(accepted)) and set(accepted) <= words
