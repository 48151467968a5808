"""What every chapter has, in this order: ``missing`` says in words what a notebook lacks.

A chapter is a header (title, promise, picture, objectives, what one needs, minutes), the set-up
cell, sections with at least two predictions and two exercises, numbers at scale that come from the
ledger, a quiz, and take-aways with what the paper does, what we changed, and further reading. A
reader who knows one chapter knows where to look in the next.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from tidy import SETUP, source, tags

LEDGER = re.compile(  # what reads rows: the ledger, and tables and figures that are made of it
    r"\b(?:ledger|evidence|verdicts|plots_ledger|results_page)\.\w+|\w+_tables\.\w+"
    r"|\bfrom bioptimus_lib\.(?:ledger|evidence|verdicts|plots_ledger) import\b"
)
PREDICT = re.compile(r"\*\*Predict\b")
FOLDED = re.compile(r"<details\b|:::+\{dropdown\}|:class: .*\bdropdown\b")
CARD = {
    "no one-sentence promise in italics below the title": r"\A# [^\n]+\n\n\*[^*\n](?:[^*]|\n)+\*\n",
    "no pipeline picture with *you are here*": (
        r'<img class="bio-map" alt="[^"]+(?:You are at|This chapter goes (?:through|on from))[^"]+"'
    ),
    "no objectives that begin with a verb": (
        r"\*\*You will be able to\*\*\n\n(?:- \*\w[^*]*\*.*\n(?:  .*\n)*){2,}"
    ),
    "no prerequisites": r"^\*\*You need\*\* \S",
    "no link to the glossary": r"\]\(\.\./book/glossary\.md\)",
    "no minutes to read and to run, in `pocket` and on a T4": (
        r"^\| to read \| to run in `pocket`[^|\n]*\|[^|\n]*T4[^|\n]* \|\n\|[-|]+\n"
        r"\| \d+[^|]*minutes[^|]*\|[^|]+\|[^|]+\|"
    ),
}
PAPER = re.compile(
    r"^### What the papers? (?:does|do), and what we changed\n(.*?)(?=^### |\Z)", re.M | re.S
)
READING = re.compile(r"^### Further reading\n(.*?)(?=^### |^\*\*Next|\Z)", re.M | re.S)


def items(text: str) -> list[str]:
    """The items of a list with dashes, each on one line.

    >>> items("- one\\n  more\\n- two\\n\\nAfter")
    ['one more', 'two']
    """
    found = re.findall(r"^- (.*(?:\n(?!- |\n|[#*|]).*)*)", text, re.M)
    return [" ".join(item.split()) for item in found]


def missing(notebook: dict[str, Any]) -> list[str]:
    """What a chapter lacks, or has in the wrong place, in words."""
    cells = notebook["cells"]
    texts = [source(cell) for cell in cells]
    places = {
        "header": 0,
        "set-up cell": _where(cells, lambda cell, _: SETUP in tags(cell)),
        "first section": _where(cells, lambda cell, text: _words(cell) and _heads(text)),
        "Numbers at scale": _where(cells, lambda _, text: "## Numbers at scale" in _heads(text)),
        "Quiz": _where(cells, lambda _, text: "## Quiz" in _heads(text)),
        "Take-aways": _where(cells, lambda _, text: "## Take-aways" in _heads(text)),
    }
    found = [f"no {name}" for name, place in places.items() if place is None]
    if found:
        return found
    order = list(places.values())
    if order != sorted(order) or order[-1] != len(cells) - 1 or order[1] != 1:
        return [f"parts in the wrong order; they belong so: {', '.join(places)}"]
    scale, quiz = places["Numbers at scale"], places["Quiz"]
    return [
        *_header(texts[0]),
        *_minutes(cells, texts),
        *_predictions(cells[:quiz], texts[:quiz]),
        *_exercises(cells[:quiz]),
        *_scale(cells[scale:quiz]),
        *_quiz(cells[quiz + 1 : -1]),
        *_end(texts),
    ]


def _where(cells: list[dict[str, Any]], holds: Any) -> int | None:
    return next((n for n, cell in enumerate(cells) if holds(cell, source(cell))), None)


def _line(cells: list[dict[str, Any]], line: str) -> int | None:
    return _where(cells, lambda _, text: line in text.splitlines())


def _words(cell: dict[str, Any]) -> bool:
    return cell["cell_type"] == "markdown"


def _heads(text: str) -> list[str]:
    return re.findall(r"^## .+$", text, re.M)


def _header(text: str) -> Iterator[str]:
    for problem, pattern in CARD.items():
        if not re.search(pattern, text, re.M):
            yield f"header: {problem}"


def _minutes(cells: list[dict[str, Any]], texts: list[str]) -> Iterator[str]:
    """Whether the header's minutes are those of 200 words a minute, or 300 of code, to within 5."""
    said = re.search(r"^\| to read .*\n.*\n\| (\d+)", texts[0], re.M)
    needed = sum(
        len(text.split()) / (200 if _words(cell) else 300)
        for cell, text in zip(cells, texts, strict=True)
    )
    if said and abs(int(said[1]) - needed) > 5:
        yield f"{said[1]} minutes to read, where its words take {needed:.0f}"


def _predictions(cells: list[dict[str, Any]], texts: list[str]) -> Iterator[str]:
    """A question, then a cell that answers it, then the explanation, folded."""
    marks = [
        (number, mark.start(), "asked" if PREDICT.match(mark.group()) else "folded")
        for number, text in enumerate(texts)
        if _words(cells[number])
        for mark in re.finditer(f"{PREDICT.pattern}|{FOLDED.pattern}", text)
        if not re.search(r"\{solution-start\}", text)
    ]
    asked = [(number, place) for number, place, kind in marks if kind == "asked"]
    if len(asked) < 2:
        yield f"{len(asked)} predictions; a chapter has at least two"
    for this, following in zip(asked, [*asked[1:], (len(cells), 0)], strict=True):
        where = cells[this[0]]["id"]
        folded = [number for number, place, kind in marks
                  if kind == "folded" and this < (number, place) < following]  # fmt: skip
        if not folded:
            yield f"cell {where}: a prediction without an explanation behind a dropdown"
        elif all(map(_words, cells[this[0] : folded[0]])):
            yield f"cell {where}: no cell answers the prediction"


def _exercises(cells: list[dict[str, Any]]) -> Iterator[str]:
    """A stub, a check, and a solution in a dropdown that the same check proves."""
    labels = [
        label
        for cell in cells
        for label in re.findall(r"\{exercise-start\}.*\n:label: (\S+)", source(cell))
    ]
    if len(labels) < 2:
        yield f"{len(labels)} exercises; a chapter has at least two"
    for label in labels:
        begin = _line(cells, f":label: {label}")
        solved = _line(cells, f":::{{solution-start}} {label}")
        end = solved and _where(cells[solved:], lambda _, text: "{solution-end}" in text)
        if solved is None or end is None or begin is None:
            yield f"exercise {label}: no solution"
            continue
        if ":class: dropdown" not in source(cells[solved]):
            yield f"exercise {label}: the solution is not behind a dropdown"
        open_to_all = [cell for cell in cells[begin:solved] if not _words(cell)]
        solution = [cell for cell in cells[solved : solved + end] if not _words(cell)]
        stubs = [cell for cell in open_to_all if re.search(r"^ *\.\.\.", source(cell), re.M)]
        checks = [_checked(some) for some in (open_to_all, solution)]
        if not stubs:
            yield f"exercise {label}: no stub (a body of `...`)"
        if not checks[0]:
            yield f"exercise {label}: no check before the solution"
        elif checks[0] != checks[1]:
            yield f"exercise {label}: the solution is not proven by the same check"


def _checked(cells: list[dict[str, Any]]) -> list[str]:
    return re.findall(r'^check\("([\w-]+)"', "\n".join(map(source, cells)), re.M)


def _scale(cells: list[dict[str, Any]]) -> Iterator[str]:
    if not any(LEDGER.search(source(cell)) for cell in cells if not _words(cell)):
        yield "Numbers at scale: no cell reads the ledger"


def _quiz(cells: list[dict[str, Any]]) -> Iterator[str]:
    """Three to five questions; one right answer each, and a word about every answer."""
    call = next(
        (
            node
            for cell in cells
            if not _words(cell)
            for node in ast.walk(ast.parse(source(cell)))
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "quiz"
        ),
        None,
    )
    if call is None:
        yield "Quiz: no `chapter.quiz`"
        return
    questions = ast.literal_eval(call.args[0])
    if not 3 <= len(questions) <= 5:
        yield f"Quiz: {len(questions)} questions; three to five belong there"
    for question in questions:
        if sum(bool(answer["correct"]) for answer in question["answers"]) != 1:
            yield f"Quiz: {question['question']!r} has not one right answer"
        for answer in question["answers"]:
            if len(answer.get("feedback", "").split()) < 3:
                yield f"Quiz: {question['question']!r}: {answer['answer']!r} is not explained"


def _end(texts: list[str]) -> Iterator[str]:
    """Take-aways with links to what shows them, the paper beside us, further reading."""
    last = texts[-1]
    anchors = set(re.findall(r'<a id="([\w-]+)"', "\n".join(texts)))
    learnt = items(last.partition("\n### ")[0])
    if not 3 <= len(learnt) <= 5:
        yield f"Take-aways: {len(learnt)} sentences; three to five belong there"
    for item in learnt:
        links = re.findall(r'(?:href="|\]\()#([\w-]+)', item)
        if not links:
            yield f"Take-aways: {item[:40]!r}... is not linked to the cell that shows it"
        for link in sorted(set(links) - anchors):
            yield f"Take-aways: #{link} is not in this chapter"
    compared = PAPER.search(last)
    if not compared or len(re.findall(r"^\|.+\|.+\|.+\|$", compared[1], re.M)) < 4:
        yield "no table of what the paper does and what we changed"
    reading = READING.search(last)
    sources = items(reading[1]) if reading else []
    if not 3 <= len(sources) <= 5:
        yield f"Further reading: {len(sources)} items; three to five belong there"
    for item in sources:
        reason = re.sub(r"\{cite[^`]*`[^`]*`|\[[^\]]*\]\([^)]*\)|https?:\S+", "", item)
        if len(re.findall(r"\w+", reason)) < 3:
            yield f"Further reading: {item[:40]!r}... has no reason"
        if reason == item:
            yield f"Further reading: {item[:40]!r}... names no source"
