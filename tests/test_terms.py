"""Terms are defined once and linked where a reader meets them; symbols are the chapters' own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import terms

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
}
GLOSSARY = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")


def test_every_term_is_linked_where_it_is_first_used():
    assert not terms.problems(GLOSSARY, CHAPTERS)


def test_the_glossary_is_in_order():
    key = ["".join(filter(str.isalnum, term.lower())) for term in terms.defined(GLOSSARY)]
    assert key == sorted(key)


def test_everyday_words_are_terms():
    assert {term.lower() for term in terms.defined(GLOSSARY)} >= terms.EVERYDAY


def chapter(*texts: str) -> dict:
    return {"cells": [{"cell_type": "markdown", "source": text} for text in ("# Title", *texts)]}


SMALL = "```{glossary}\nAdam\n  A rule.\n\nF1\n  A score.\n\npower\n  How often.\n```\n"
GOOD = {
    "00": chapter("{term}`Adam` moves. `f1` is code.", "## F1\n\n| F1 |\n|-|\n\nA power cut."),
    "01": chapter("The {term}`scores <F1>` of Adam, and their {term}`power`."),
}


def test_a_good_book_has_no_problems():
    assert terms.problems(SMALL, GOOD) == []


@pytest.mark.parametrize("glossary, chapters, message", [
    (SMALL.replace("power", "adam"), GOOD, "adam is defined twice"),
    (SMALL, {"00": GOOD["00"]}, "no chapter links F1"),
    (SMALL, {"00": chapter("No F1 yet."), **{"01": GOOD["00"], "02": GOOD["01"]}},
     "00 uses F1, which is first linked in 02"),
    (SMALL, {**GOOD, "02": chapter("{term}`AdamW`")}, "02 links adamw, which is not defined"),
])  # fmt: skip
def test_each_problem_is_found(glossary, chapters, message):
    assert message in terms.problems(glossary, chapters)


# -- symbols -------------------------------------------------------------------------------------

NOTATION = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CHAPTERS)
def test_symbols_of_a_chapter_are_those_that_the_page_explains_for_it(name):
    explained = terms.notation(NOTATION).get(name[:2], set())
    used = terms.symbols_of(CHAPTERS[name])
    assert explained - used == set(), "explained, but not in the chapter"
    assert used - explained == set(), "in the chapter, but not explained"


def test_symbols_are_found_in_formulas_alone():
    found = terms.symbols_of(chapter(
        r"Here $x_i$, `$y$` and {cite}`b`.", "$$\n\\frac{\\sigma^2}{\\text{rate}}\n$$"
    ))  # fmt: skip
    assert found >= {"x", "i", "sigma"} and not found & {"y", "b", "t"}
