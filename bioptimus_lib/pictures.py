"""Pictures made of text: the map of the pipeline, words as chips, masks, contexts, tables.

Where letters are what is looked at, HTML is better than a plot: it wraps on a phone, can be copied
and is read aloud. All functions are pure and give text; everything that comes from a corpus is
escaped. ``plots`` holds the figures proper, and the colours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from bioptimus_lib.masking import IGNORED, Masking
from bioptimus_lib.plots import (
    BLUE,
    DARK,
    GREEN,
    INK,
    LINE,
    ORANGE,
    PAGE,
    PALE,
    RED,
    SOFT,
    data_uri,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: The stages of the map: title, what comes out of it, colour.
STAGES: tuple[tuple[str, str, str], ...] = (
    ("Corpus", "clean sentences", BLUE),
    ("Scan", "words in context", RED),
    ("Vocabulary", "new pieces", GREEN),
    ("Distillation", "first embeddings", "#a8467f"),
    ("Four phases", "v0.1 to v0.4", BLUE),
    ("NER", "entity F1", RED),
)

# Written twice, .bio.bio is stronger than what JupyterLab says of tables: fixed, and to the right.
# What is wider than the panel scrolls, and a shadow stands at the edge behind which there is more:
# two covers move along with the content and hide it at the ends.
CSS = f"""<style>
.bio{{color:{INK};border-radius:8px;padding:.6rem .7rem;max-width:46rem;
 font-size:.95rem;line-height:1.45;overflow-wrap:break-word;overflow-x:auto;
 background:linear-gradient(to right,{PAGE} 40%,{PAGE}00) left/2.5rem 100% no-repeat local,
 linear-gradient(to left,{PAGE} 40%,{PAGE}00) right/2.5rem 100% no-repeat local,
 linear-gradient(to right,{LINE},{LINE}00) left/1rem 100% no-repeat,
 linear-gradient(to left,{LINE},{LINE}00) right/1rem 100% no-repeat,{PAGE}}}
.bio.bio table{{border-collapse:collapse;width:100%;margin:0;display:table;table-layout:auto}}
.bio.bio table,.bio.bio tr,.bio.bio th,.bio.bio td{{background:none}}
.bio table,.bio th,.bio td{{color:{INK}}}
.bio.bio th,.bio.bio td{{text-align:left;vertical-align:top;padding:.3rem .5rem;border:0;
 border-bottom:1px solid {LINE}}}
.bio th{{color:{SOFT};font-weight:600}}
.bio td.n,.bio th.n{{text-align:right;font-variant-numeric:tabular-nums}}
.bio td.n{{white-space:nowrap}}
.bio .cuts td:first-child{{width:8.5em}}
.bio .cuts th{{padding-top:.7rem;color:{INK};overflow-wrap:anywhere}}
.bio mark{{background:#fde9b8;color:{INK};border-bottom:2px solid {ORANGE};padding:0 .1em}}
.bio code{{background:{PALE};color:{INK};border-color:{LINE};overflow-wrap:anywhere}}
.bio ol{{margin:0;padding-left:1.6rem}}
.bio li{{margin:.25rem 0}}
.bio h3{{margin:.7rem 0 .2rem;font-size:1rem;color:{INK}}}
.bio h3 small{{color:{SOFT};font-weight:400}}
.bio .line{{display:flex;flex-wrap:wrap;gap:.35rem .3rem;align-items:flex-start}}
.bio .word{{display:inline-flex;flex-wrap:wrap;row-gap:.2rem}}
.bio .p{{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.82rem;
 line-height:1.3;border:1px solid {LINE};background:{PALE};padding:.08rem .28rem;
 text-align:center;margin-left:-1px;white-space:nowrap}}
.bio .word .p:first-child{{border-radius:6px 0 0 6px}}
.bio .word .p:last-child{{border-radius:0 6px 6px 0}}
.bio .word .p:only-child{{border-radius:6px}}
.bio .p small{{display:block;font-size:.72rem;color:{SOFT}}}
.bio .guess{{white-space:nowrap;margin-right:.5rem}}
.bio .guess small{{color:{SOFT}}}
.bio .p.unknown{{background:{LINE};border-style:dashed}}
.bio .p.mask{{background:{INK};color:#fff;border-color:{INK}}}
.bio .p.mask small{{color:#e3e8ee}}
.bio .p.other{{background:#fbe3d3;border:2px dashed #b34e00}}
.bio .p.kept{{background:#d9f0e7;border:2px solid {GREEN}}}
.bio .p.whole{{background:#00704f;border-color:#00704f;color:#fff;font-weight:700}}
.bio .key{{font-size:.82rem;color:{SOFT};margin:.6rem 0 0}}
{DARK}
</style>"""


def panel(content: str, *, label: str | None = None) -> str:
    """HTML on the light panel that all pictures share, with the style that it needs."""
    name = f' role="group" aria-label="{escape(label, quote=True)}"' if label else ""
    return f'{CSS}<div class="bio"{name}>{content}</div>'


def folded(heading: str, content: str) -> str:
    """HTML that a reader opens if it is wanted."""
    return panel(f"<details><summary>{escape(heading)}</summary>{content}</details>")


# -- the map -------------------------------------------------------------------------------------

SANS = "font-family='Helvetica Neue,Helvetica,Arial,DejaVu Sans,sans-serif'"


def pipeline_picture(
    here: int | Iterable[int] = (), *, columns: int = 6, after: bool = False
) -> str:
    """The map of the pipeline as SVG text, with "you are here".

    Args:
        here: the stage, or stages, that a chapter is about, counted from 1.
        columns: stages in a row: 6 for wide screens, 3 for narrow ones.
        after: the chapter begins where this stage ends.

    Raises:
        ValueError: there is no such stage.
    """
    here = {here} if isinstance(here, int) else set(here)
    if bad := sorted(here - set(range(1, len(STAGES) + 1))):
        raise ValueError(f"stage {bad[0]} is not on the map: choose of 1 to {len(STAGES)}")
    width, height, gap, row_gap, margin, top = 168, 96, 24, 44, 12, 30
    rows = -(-len(STAGES) // columns)
    full = 2 * margin + columns * width + (columns - 1) * gap
    tall = top + margin + rows * height + (rows - 1) * row_gap

    def place(number: int) -> tuple[int, int]:
        row, column = divmod(number, columns)
        return margin + column * (width + gap), top + row * (height + row_gap)

    parts = [f"<rect width='{full}' height='{tall}' rx='14' fill='{PALE}'/>"]
    for number in range(1, len(STAGES)):
        (x, y), (before, above) = place(number), place(number - 1)
        if y == above:
            path = f"M{before + width + 4} {y + height / 2:g} h{gap - 9} m-6 -6 l6 6 l-6 6"
        else:
            middle = above + height + 9
            path = (
                f"M{before + width / 2:g} {above + height + 2} V{middle} H{x + 26} V{y - 4} "
                "m-6 -6 l6 6 l6 -6"
            )
        parts.append(f"<path d='{path}' fill='none' stroke='{SOFT}' stroke-width='2.5'/>")
    whole = len(here) == len(STAGES)
    for number, (title, gives, colour) in enumerate(STAGES):
        x, y = place(number)
        ours = number + 1 in here
        edge, line = (ORANGE, 4) if ours else (LINE, 1.5)
        parts.append(
            f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='10' fill='{PAGE}' "
            f"stroke='{edge}' stroke-width='{line}'/>"
            f"<circle cx='{x + 24}' cy='{y + 33}' r='14' fill='{colour}'/>"
            f"<text x='{x + 24}' y='{y + 39}' font-size='17' {SANS} font-weight='700' fill='#fff' "
            f"text-anchor='middle'>{number + 1}</text>"
            f"<text x='{x + 45}' y='{y + 40}' font-size='18.5' {SANS} font-weight='700' "
            f"fill='{INK}'>{title}</text>"
            f"<text x='{x + width / 2:g}' y='{y + 74}' font-size='17' {SANS} fill='{SOFT}' "
            f"text-anchor='middle'>{gives}</text>"
        )
        if ours and (number == 0 or not whole):
            one = ("goes on from here", 168) if after else ("you are here", 128)
            words, wide = ("this chapter: all six, small", 262) if whole else one
            left = x if whole else x + width / 2 - wide / 2
            parts.append(
                f"<rect x='{left:g}' y='{y - 22}' width='{wide}' height='27' rx='13' "
                f"fill='{ORANGE}'/><text x='{left + wide / 2:g}' y='{y - 3}' font-size='17' {SANS} "
                f"font-weight='700' fill='{INK}' text-anchor='middle'>{words}</text>"
            )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{full}' height='{tall}' "
        f"viewBox='0 0 {full} {tall}'>" + "".join(parts) + "</svg>"
    )


def pipeline_html(here: int | Iterable[int] = (), *, after: bool = False) -> str:
    """The map as HTML that chooses the picture by the width of the screen; for header cells."""
    wide, narrow = (
        data_uri(pipeline_picture(here, columns=columns, after=after)) for columns in (6, 3)
    )
    alt = escape(pipeline_words(here, after=after), quote=True)
    return (
        f'<picture><source media="(max-width: 640px)" srcset="{narrow}">'
        f'<img class="bio-map" alt="{alt}" width="100%" src="{wide}"></picture>'
    )


def pipeline_words(here: int | Iterable[int] = (), *, after: bool = False) -> str:
    """The same map in words, for alt text.

    >>> pipeline_words(3).endswith('You are at Vocabulary.')
    True
    """
    here = {here} if isinstance(here, int) else set(here)
    names = [title for title, _, _ in STAGES]
    at = [name for number, name in enumerate(names, 1) if number in here]
    where = "This chapter goes through all of them." if len(at) == len(names) else (
        f"{'This chapter goes on from' if after else 'You are at'} {' and '.join(at)}."
        if at else ""
    )
    return f"The pipeline in six stages, joined by arrows: {', '.join(names)}. {where}".strip()


# -- words ---------------------------------------------------------------------------------------


def chips(pieces: Sequence[str]) -> str:
    """The pieces of one word as joined chips; a word that is one piece, or unknown, is set off."""
    kind = " unknown" if list(pieces) == ["[UNK]"] else " whole" if len(pieces) == 1 else ""
    inner = "".join(f'<span class="p{kind}">{escape(piece)}</span>' for piece in pieces)
    return f'<span class="word">{inner}</span>'


def pieces_table(words: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """Words as several tokenizers cut them.

    Args:
        words: word → {name of the tokenizer → pieces}.
    """
    rows = []
    for word, cuts in words.items():
        rows.append(f'<tr><th colspan="2">{escape(word)}</th></tr>')
        for name, pieces in cuts.items():
            cut = f"{chips(pieces)} <small>{len(pieces)}</small>"
            rows.append(f"<tr><td>{escape(name)}</td><td>{cut}</td></tr>")
    return panel(f'<table class="cuts">{"".join(rows)}</table>')


def contexts_list(keyword: str, sentences: Sequence[str], *, most: int = 5) -> str:
    """Sentences with the keyword marked; "no context" if there is none."""
    if not sentences:
        return panel(f"<p>No context of <b>{escape(keyword)}</b> was found.</p>")
    return document(sentences[:most], marked=[keyword])


def document(sentences: Sequence[str], *, marked: Iterable[str] = ()) -> str:
    """A text, one numbered sentence per line, with whole words marked, in any case of letters."""
    words = "|".join(sorted(map(re.escape, marked), key=len, reverse=True))
    find = re.compile(rf"(?<!\w)({words})(?!\w)" if words else r"(?!)()", re.IGNORECASE)
    items = (
        "".join(  # every second part of a split is a hit
            f"<mark>{escape(part)}</mark>" if number % 2 else escape(part)
            for number, part in enumerate(find.split(sentence))
        )
        for sentence in sentences
    )
    return panel("<ol>" + "".join(f"<li>{item}</li>" for item in items) + "</ol>")


def table(rows: Sequence[Mapping[str, object]], *, numbers: Iterable[str] = ()) -> str:
    """Rows of equal keys as a table; the columns named in ``numbers`` are set to the right. A long
    text has the class ``long``, so that a small screen can give it room."""
    if not rows:
        return panel("<p>No rows.</p>")
    right = set(numbers)

    def cell(tag: str, name: str, text: str) -> str:
        kind = " class=n" if name in right else " class=long" if len(text) > 40 else ""
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    def cells(tag: str, values: Mapping[str, object]) -> str:
        return "".join(cell(tag, name, str(value)) for name, value in values.items())

    head = cells("th", {name: name for name in rows[0]})
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return panel(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


# -- masks ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One piece of a masked text.

    Attributes:
        piece: the true piece.
        seen: what the model sees in its place.
        guessed: whether the model has to guess it.
    """

    piece: str
    seen: str
    guessed: bool

    @property
    def kind(self) -> str:
        """``plain``, ``mask``, ``other`` (a random piece) or ``kept`` (guessed, but unchanged)."""
        if not self.guessed:
            return "plain"
        if self.seen == "[MASK]":
            return "mask"
        return "kept" if self.seen == self.piece else "other"


def masked_text(
    tokenizer: PreTrainedTokenizerBase, text: str, masking: Masking, *, seed: int = 0
) -> list[Cell]:
    """Mask a text as pre-training would: the same seed gives the same masks."""
    import torch

    from bioptimus_lib.masking import PieceTable, generator_for, mask

    ids = torch.tensor([tokenizer(text, truncation=True)["input_ids"]])
    inputs, labels = mask(
        ids, masking, PieceTable.of(tokenizer), generator=generator_for(seed)
    )
    true, seen = (tokenizer.convert_ids_to_tokens(row[0].tolist()) for row in (ids, inputs))
    guessed = (labels[0] != IGNORED).tolist()
    return [Cell(*cell) for cell in zip(true, seen, guessed, strict=True)][1:-1]


KEY = (
    '<p class="key"><span class="p mask">[MASK]</span> hidden &nbsp; '
    '<span class="p other">cat</span> replaced by a random piece &nbsp; '
    '<span class="p kept">dose</span> left as it is, to be guessed all the same. '
    "Small print: the true piece.</p>"
)


def masks(rows: Mapping[str, Sequence[Cell]]) -> str:
    """Masked texts below each other: pieces of a word joined, what is to be guessed set off.

    Args:
        rows: heading → cells, as ``masked_text`` gives them.
    """
    parts = []
    for heading, cells in rows.items():
        guessed = sum(cell.guessed for cell in cells)
        share = guessed / len(cells) if cells else 0.0
        parts.append(
            f"<h3>{escape(heading)} <small>{guessed} of {len(cells)} pieces to guess "
            f"({share:.0%})</small></h3><div class='line'>"
        )
        words: list[list[Cell]] = []
        for cell in cells:
            if cell.piece.startswith("##") and words:
                words[-1].append(cell)
            else:
                words.append([cell])
        for word in words:
            parts.append('<span class="word">' + "".join(map(_masked_chip, word)) + "</span>")
        parts.append("</div>")
    return panel("".join(parts) + KEY)


def _masked_chip(cell: Cell) -> str:
    if not cell.guessed:
        return f'<span class="p">{escape(cell.piece)}</span>'
    return (
        f'<span class="p {cell.kind}">{escape(cell.seen)}<small>{escape(cell.piece)}</small></span>'
    )
