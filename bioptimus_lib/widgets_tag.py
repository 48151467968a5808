"""A box to type into: text in, coloured entities out; the demo of the chapter on releases.

A type has a colour and stands behind its entity in small print; all that comes from a text is
escaped.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from bioptimus_lib.controls import above_picture
from bioptimus_lib.markup import parts
from bioptimus_lib.pictures import panel
from bioptimus_lib.tagging import Marked, read_lines
from bioptimus_lib.widgets_ner import GROUNDS, STYLE

if TYPE_CHECKING:
    from bioptimus_lib.tagging import TextTagger

LONGEST = 5000  # characters that the box reads: what is longer is for ``bioptimus tag``


def types_of(tagger: TextTagger) -> list[str]:
    """The types that a tagger knows, in the order of their colours."""
    return sorted({label[2:] for label in tagger.tagger.labels if label != "O"})


def line_html(marked: Marked, types: Sequence[str]) -> str:
    """A line with its entities set off, as a paragraph that finds its own direction.

    Args:
        types: all that occur, which fixes their colours.
    """
    shown = []
    for text, mark in parts(marked):
        if mark is None:
            shown.append(escape(text))
            continue
        ground = GROUNDS[types.index(mark.type) % len(GROUNDS)]
        shown.append(
            f"<span class='ent' style='background:{ground}' title='{mark.score:.0%} sure'>"
            f"<bdi>{escape(text)}</bdi><small>{escape(mark.type)}</small></span>"
        )
    return f"<p dir='auto' style='line-height:2.1'>{''.join(shown)}</p>"


def tag_picture(tagger: TextTagger, text: str) -> str:
    """What the box shows: the lines of a text with their entities, as HTML."""
    types = types_of(tagger)
    cut = text[:LONGEST]
    marked = list(tagger.tag_lines(read_lines(io.StringIO(cut, newline="\n"))))
    lines = "".join(line_html(one, types) for one in marked if one.line.text.strip())
    count = sum(len(one.marks) for one in marked)
    note = f"{count} {'entity' if count == 1 else 'entities'}"
    note += f"; the first {LONGEST:,} characters" if len(text) > LONGEST else ""
    key = " ".join(
        f"<span class='ent' style='background:{GROUNDS[n % len(GROUNDS)]}'>{escape(kind)}</span>"
        for n, kind in enumerate(types)
    )
    body = lines or "<p>Nothing to read.</p>"
    return STYLE + panel(f"{body}<p class='key'>{note}. Types: {key}</p>", label="Tagged text")


def tag_twin(tagger: TextTagger, texts: Sequence[str]) -> str:
    """The static twin of the box: several texts, one below the other."""
    return tag_picture(tagger, "\n".join(" ".join(text.splitlines()) for text in texts))


def tag_box(tagger: TextTagger, text: str = "") -> Any:
    """Type a text, and see its entities as you go.

    Returns:
        The widget; the last expression of a cell shows it.
    """
    import ipywidgets

    box = ipywidgets.Textarea(
        value=text, description="text", continuous_update=False,
        layout=ipywidgets.Layout(width="95%", height="6em"),
    )  # fmt: skip

    return above_picture({"text": box}, partial(tag_picture, tagger))
