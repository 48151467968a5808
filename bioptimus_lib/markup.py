"""Marked text on paper: plain, JSON lines, BRAT standoff, and a page in colours.

Each format is a function from lines with their entities to pieces of output, which end with a line
end and can be written one by one as they come.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from bioptimus_lib.tagging import Mark, Marked

#: Grounds under dark and light letters; types share them beyond eight.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c564b",
)  # fmt: skip
#: What JSON leaves as it is and some readers take for the end of a line.
_ENDS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})
#: Characters that HTML does not allow; each is shown by its picture (U+2400 and up).
_CONTROL = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"} | {0x7F: 0x2421}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Entities</title>
<style>
:root{{color-scheme:light dark}}
body{{font:16px/1.9 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}}
p{{margin:.4rem 0;white-space:pre-wrap;overflow-wrap:anywhere}}
mark{{color:inherit;background:color-mix(in srgb,var(--c) 22%,transparent);
 border-bottom:2px solid var(--c);border-radius:3px;padding:.05rem .15rem;unicode-bidi:isolate}}
mark::after{{content:attr(data-type);font-size:.7em;margin-left:.35em;opacity:.8}}
{colours}
</style></head><body>
"""


def parts(marked: Marked) -> Iterator[tuple[str, Mark | None]]:
    """The text of a line in parts: between entities with None, and each entity with its mark.

    >>> from bioptimus_lib.tagging import Line
    >>> [text for text, _ in parts(Marked(Line(1, 0, "some fever"), [Mark("Disease", 5, 10, 1)]))]
    ['some ', 'fever']
    """
    text, at = marked.line.text, 0
    for mark in marked.marks:
        if mark.start > at:
            yield text[at : mark.start], None
        yield text[mark.start : mark.stop], mark
        at = mark.stop
    if at < len(text):
        yield text[at:], None


def plain(lines: Iterable[Marked], types: Sequence[str] = ()) -> Iterator[str]:
    """The text as it was, line ends too, with each entity as ``[text](Type)``."""
    for marked in lines:
        shown = (f"[{text}]({mark.type})" if mark else text for text, mark in parts(marked))
        yield "".join(shown) + marked.line.end


def json_lines(lines: Iterable[Marked], types: Sequence[str] = ()) -> Iterator[str]:
    """An object for each line: number, start in the whole text, text, entities with their
    characters in this text."""
    for line, marks in lines:
        row = {
            "line": line.number, "start": line.start, "text": line.text,
            "entities": [
                {"type": m.type, "start": m.start, "end": m.stop,
                 "text": line.text[m.start : m.stop], "score": round(m.score, 4)}
                for m in marks
            ],
        }  # fmt: skip
        yield json.dumps(row, ensure_ascii=False).translate(_ENDS) + "\n"


def brat(lines: Iterable[Marked], types: Sequence[str] = ()) -> Iterator[str]:
    """BRAT's standoff: the annotation file to the text, whose characters are counted from its
    beginning, line ends too."""
    number = 0
    for line, marks in lines:
        for mark in marks:
            number += 1
            text = re.sub(r"\s", " ", line.text[mark.start : mark.stop])
            kind = re.sub(r"[^\w-]", "_", mark.type)
            yield f"T{number}\t{kind} {line.start + mark.start} {line.start + mark.stop}\t{text}\n"


def html(lines: Iterable[Marked], types: Sequence[str] = ()) -> Iterator[str]:
    """A page in colours that needs no other file; a paragraph for each line, all escaped."""
    known = {kind: n for n, kind in enumerate(types)}
    rules = "\n".join(f".t{n}{{--c:{colour}}}" for n, colour in enumerate(COLOURS))
    yield PAGE.format(colours=rules)
    for marked in lines:
        shown = []
        for text, mark in parts(marked):
            safe = escape(text.translate(_CONTROL)).replace("\r", "\u240d")
            if mark:
                n = known.setdefault(mark.type, len(known)) % len(COLOURS)
                safe = f'<mark class="t{n}" data-type="{escape(mark.type)}">{safe}</mark>'
            shown.append(safe)
        yield f'<p dir="auto">{"".join(shown)}</p>\n'
    yield "</body></html>\n"


Format = Callable[[Iterable[Marked], Sequence[str]], Iterator[str]]
FORMATS: dict[str, Format] = {"plain": plain, "jsonl": json_lines, "brat": brat, "html": html}
