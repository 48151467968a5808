"""Every chapter has all its parts in order; a chapter with one part spoilt proves each rule."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import anatomy
import pytest
import tidy

CHAPTERS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
MODEL = json.loads(next(p for p in CHAPTERS if p.stem == "07_phase2").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_has_all_its_parts(path):
    found = anatomy.missing(json.loads(path.read_text(encoding="utf-8")))
    assert not found, "\n".join(found)


def cell(notebook: dict, cell_id: str) -> dict:
    return next(cell for cell in notebook["cells"] if cell["id"] == cell_id)


def without(*ids: str) -> dict:
    notebook = copy.deepcopy(MODEL)
    assert set(ids) <= {cell["id"] for cell in notebook["cells"]}
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] not in ids]
    return notebook


def changed(cell_id: str, pattern: str, by: str = "", count: int = 1) -> dict:
    notebook = copy.deepcopy(MODEL)
    spoilt = cell(notebook, cell_id)
    spoilt["source"], hits = re.subn(pattern, by, tidy.source(spoilt), count=count, flags=re.M)
    assert hits, f"{pattern} is not in {cell_id}"
    return notebook


def moved(cell_id: str, before: str) -> dict:
    notebook = copy.deepcopy(MODEL)
    taken = cell(notebook, cell_id)
    notebook["cells"].remove(taken)
    place = [cell["id"] for cell in notebook["cells"]].index(before)
    notebook["cells"].insert(place, taken)
    return notebook


def six_questions() -> dict:
    return changed("quiz", r"(chapter\.quiz\(\[)\n(    \{(?:.|\n)*?\n    \},)", r"\1\n\2\n\2\n\2")


def without_ledger() -> dict:
    notebook = copy.deepcopy(MODEL)
    for each in notebook["cells"]:
        if each["id"].startswith("scale-") and each["cell_type"] == "code":
            each["source"] = anatomy.LEDGER.sub("made_up", tidy.source(each))
    return notebook


def one_prediction() -> dict:
    notebook = copy.deepcopy(MODEL)
    for name in ("jump-text", "control-text"):
        spoilt = cell(notebook, name)
        spoilt["source"] = tidy.source(spoilt).replace("**Predict.**", "")
    return notebook


def without_answering_cells() -> dict:
    ids = [cell["id"] for cell in MODEL["cells"]]
    between = MODEL["cells"][ids.index("control-text") : ids.index("control-answer")]
    return without(*(cell["id"] for cell in between if cell["cell_type"] == "code"))


BROKEN = {
    "promise": (changed("header", r"^\*A piece", "A piece"), "promise"),
    "picture": (changed("header", "You are at", "It is at"), "pipeline picture"),
    "objectives": (changed("header", r"^- \*\w+\*", "- all", 4), "objectives"),
    "prerequisites": (changed("header", r"\*\*You need\*\*.*"), "prerequisites"),
    "glossary": (changed("header", r"\.\./book/glossary\.md", "x.md"), "glossary"),
    "minutes": (changed("header", r"^\| 20 minutes", "| some time"), "minutes"),
    "few minutes": (changed("header", r"^\| 20 minutes", "| 5 minutes"), "5 minutes to read"),
    "T4": (changed("header", "T4", "V100"), "T4"),
    "set-up cell": (without("setup"), "no set-up cell"),
    "numbers at scale": (changed("scale-text", "## Numbers at scale", "## More"), "Numbers at"),
    "no ledger": (without_ledger(), "no cell reads the ledger"),
    "quiz heading": (without("quiz-text"), "no Quiz"),
    "take-aways": (changed("take-aways", "^## Take-aways", "## End"), "no Take-aways"),
    "order of quiz": (moved("quiz-text", "scale-text"), "wrong order"),
    "order of set-up": (moved("setup", "take-aways"), "wrong order"),
    "after the end": (moved("take-aways", "quiz"), "wrong order"),
    "one prediction": (one_prediction(), "1 predictions"),
    "not folded": (changed("jump-answer", "<details", "<div"), "without an explanation"),
    "no answering cell": (without_answering_cells(), "no cell answers"),
    "one exercise": (changed("ex1-text", ":::{exercise-start}", ":::{note}"), "1 exercises"),
    "no stub": (changed("ex1-stub", r"\.\.\.", "pass"), "no stub"),
    "no check": (without("ex1-check"), "no check before"),
    "no solution": (without("ex1-solution-start"), "no solution"),
    "open solution": (changed("ex1-solution-start", ":class: dropdown"), "not behind a dropdown"),
    "unproven": (changed("ex1-solution", r'^check\("07-1".*'), "not proven"),
    "other check": (changed("ex1-solution", r'^check\("07-1"', 'check("07-2"'), "not proven"),
    "no quiz": (changed("quiz", r"chapter\.quiz", "print"), "no `chapter.quiz`"),
    "many questions": (six_questions(), "6 questions"),
    "two right": (changed("quiz", '"correct": False', '"correct": True'), "not one right"),
    "no feedback": (changed("quiz", r'"feedback": "[^"]+"', '"feedback": "No."'), "not explained"),
    "few take-aways": (changed("take-aways", r"^- (?:.*\n)+?(?=- )", "", 2), "2 sentences"),
    "unlinked": (changed("take-aways", '<a href="#ch07-jump">one', "<a>one"), "is not linked"),
    "dead link": (changed("take-aways", "#ch07-jump", "#ch07-hop"), "#ch07-hop is not in"),
    "the paper": (changed("take-aways", "^### What the paper does", "### What it does"), "paper"),
    "paper's table": (changed("take-aways", r"^\| [a-z].*\n", "", 9), "no table of what the paper"),
    "few sources": (changed("take-aways", r"^- \{cite:t\}.*\n", "", 3), "2 items"),
    "no reason": (changed("take-aways", r"(`levine2021pmi`):.*", r"\1"), "has no reason"),
    "no source": (changed("take-aways", r"\{cite:t\}`levine2021pmi`", "A paper"), "no source"),
}


def test_the_model_is_whole():
    assert anatomy.missing(MODEL) == []


@pytest.mark.parametrize("case", BROKEN)
def test_each_part_is_missed_when_it_is_gone(case):
    notebook, message = BROKEN[case]
    found = anatomy.missing(notebook)
    assert len(found) == 1 and message in found[0], found
