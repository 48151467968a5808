"""Figures and pictures of chapter 01: what is dropped, lengths, years, Zipf, Heaps, cut words.

They share the style of ``plots``: a colour is never the only difference, and everything reads at
400 px.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from bioptimus_lib.cleaning import REPLACEMENTS
from bioptimus_lib.pictures import chips, panel
from bioptimus_lib.plots import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    RED,
    SERIES,
    SOFT,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# -- what is dropped -------------------------------------------------------------------------------


def funnel(
    records: int, dropped: Mapping[str, int], *, title: str = "From records to documents"
) -> Figure:
    """Records that come in, what each reason takes away, and what is left, as a waterfall.

    Raises:
        ValueError: more is dropped than came in.
    """
    left = records - sum(dropped.values())
    if left < 0 or records < 1:
        raise ValueError(f"{sum(dropped.values())} of {records} records dropped: nothing adds up")
    with style():
        figure, axes = new_figure(height=0.9 + 0.36 * (len(dropped) + 2))
        axes.barh(0, records, color=BLUE, height=0.66)
        axes.text(records * 1.01, 0, f"{records:,}", va="center", weight="bold")
        here = records
        for place, count in enumerate(dropped.values(), 1):
            axes.barh(place, count, left=here - count, color="#f6c9ad", edgecolor=RED, lw=1,
                      hatch="////", height=0.66)
            axes.plot([here, here], [place - 0.67, place + 0.33], color=SOFT, lw=0.8)
            here -= count
            axes.text(here - records * 0.012, place, f"− {count:,}", va="center", ha="right")
        axes.plot([here, here], [len(dropped) + 0.33, len(dropped) + 0.67], color=SOFT, lw=0.8)
        axes.barh(len(dropped) + 1, here, color=GREEN, height=0.66)
        axes.text(here * 1.01, len(dropped) + 1, f"{here:,}", va="center", weight="bold")
        axes.set_yticks(range(len(dropped) + 2), ["records in", *dropped, "documents out"])
        axes.invert_yaxis()
        axes.set_xlim(0, records * 1.12)
        _bare(axes)
        axes.set(title=title)
    return figure


def _bare(axes: Axes) -> None:
    """Nothing but bars, names and numbers."""
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


# -- lengths and years -----------------------------------------------------------------------------


def lengths(panels: Mapping[str, Sequence[int]]) -> Figure:
    """Distributions of lengths, a panel each, with the median marked and the longest tail cut.

    Args:
        panels: what is counted, such as "words per sentence" → the numbers.

    Raises:
        ValueError: no number in a panel.
    """
    import numpy as np

    if empty := [name for name, values in panels.items() if not len(values)]:
        raise ValueError(f"no lengths of {empty[0]!r} to draw")
    with style():
        figure, axes = new_figure(height=2.9, columns=len(panels), squeeze=False)
        for place, (name, values) in zip(axes.flat, panels.items(), strict=True):
            numbers = np.asarray(values)
            most = int(np.quantile(numbers, 0.995))
            step = max(1, round(most / 24))
            edges = np.arange(0, most + 2 * step, step) - 0.5
            place.hist(np.minimum(numbers, most), bins=edges, color="#b9d3e6", edgecolor=BLUE,
                       lw=0.8, weights=np.full(len(numbers), 100 / len(numbers)))
            middle = float(np.median(numbers))
            place.axvline(middle, color=RED, lw=1.6, linestyle="--")
            x, ha = (0.02, "left") if middle > most / 2 else (0.98, "right")  # beside the line
            place.text(x, 0.95, f"median {middle:g}", transform=place.transAxes, ha=ha, va="top",
                       color="#a83c00", weight="bold")
            place.set(xlabel=name, ylim=(0, 1.16 * place.get_ylim()[1]))
        axes[0, 0].set(ylabel="per cent")
    return figure


def words_by_year(
    years: Mapping[int, Mapping[str, int]],
    chosen: Sequence[str],
    *,
    bin_years: int = 1,
    least: int = 20,
    title: str = "Share of texts with the word",
) -> Figure:
    """Small multiples: the share of each year's texts that have a word, ± two standard errors.

    Args:
        years: as ``wordstats.shares_by_year`` gives them.
        chosen: words, one panel each.
        bin_years: years in a bin; a mark stands in its middle.
        least: years with fewer texts are left out: their share is mostly chance.

    Raises:
        ValueError: no year has that many texts, or a word was not counted.
    """
    import numpy as np

    kept = {int(year): row for year, row in years.items() if row[""] >= least}
    if not kept:
        raise ValueError(f"no year has {least} texts")
    if unknown := [word for word in chosen if word not in next(iter(kept.values()))]:
        raise ValueError(f"{unknown[0]!r} was not counted")
    x = np.array(sorted(kept)) + (bin_years - 1) / 2
    texts = np.array([kept[year][""] for year in sorted(kept)])
    columns = 3 if len(chosen) % 3 == 0 else min(2, len(chosen))
    lines = -(-len(chosen) // columns)
    with style():
        figure, axes = new_figure(
            height=0.5 + 1.55 * lines, rows=lines, columns=columns, squeeze=False, sharex=True
        )
        for place in axes.flat[len(chosen) :]:
            place.set_visible(False)
        for number, (place, word) in enumerate(zip(axes.flat, chosen, strict=False)):
            share = np.array([kept[year][word] for year in sorted(kept)]) / texts
            error = 2 * np.sqrt(share * (1 - share) / texts)
            look = SERIES[number % 3]
            place.fill_between(x, 100 * np.maximum(share - error, 0), 100 * (share + error),
                               color=look["color"], alpha=0.16, lw=0)
            place.plot(x, 100 * share, **{**look, "markersize": 3.5, "lw": 1.5})
            place.set_title(word, pad=4, fontsize=10.5)
            place.set_ylim(0, max(8.0, 118 * float((share + error).max())))
            place.tick_params(labelsize=9)
            place.locator_params(axis="x", nbins=3, integer=True)
            place.locator_params(axis="y", nbins=4)
        figure.suptitle(f"{title}, per cent", x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


# -- Zipf and Heaps --------------------------------------------------------------------------------


def zipf(curves: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """Rank and frequency on logarithmic axes, with the line that Zipf's law draws.

    Args:
        curves: corpus → (rank, share of all words).
    """
    with style():
        figure, axes = new_figure(height=3.7)
        top = max(share for points in curves.values() for _, share in points)
        most = max(rank for points in curves.values() for rank, _ in points)
        axes.plot([1, most], [top, top / most], color=SOFT, lw=1.2, linestyle=(0, (2, 3)),
                  label="exponent 1")
        _curves(axes, curves)
        axes.set(xlabel="rank of the word", ylabel="share of all words", xscale="log",
                 yscale="log", title="Zipf: frequency over rank")
        axes.legend(loc="lower left")
    return figure


def heaps(curves: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """Different words over words read, on logarithmic axes.

    Args:
        curves: corpus → (words read, different words).
    """
    with style():
        figure, axes = new_figure(height=3.7)
        _curves(axes, curves)
        axes.set(xlabel="words read", ylabel="different words", xscale="log", yscale="log",
                 title="Heaps: growth of the vocabulary")
        axes.legend(loc="upper left")
    return figure


def _curves(axes: Axes, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    for look, (name, points) in zip(SERIES, curves.items(), strict=False):
        kind: dict[str, Any] = {**look, "markersize": 4.5}
        axes.plot(*zip(*points, strict=True), **kind, label=name,
                  markevery=max(1, len(points) // 10))
    axes.grid(visible=True, axis="both")


# -- words in pieces -------------------------------------------------------------------------------

#: Fill, edge and letters of the pieces of a word that is cut into 1, 2, 3, and more of them.
CUTS = (
    ("#00704f", "#00704f", "#ffffff"),
    ("#d6e8f5", BLUE, INK),
    ("#fde9b8", ORANGE, INK),
    ("#fbdcc8", RED, INK),
)


def cut_words(words: Mapping[str, Sequence[str]], *, columns: int = 2) -> Figure:
    """Words as rows of pieces, coloured by how many there are, with that number before them.

    Args:
        words: word → pieces.

    Raises:
        ValueError: no word.
    """
    if not words:
        raise ValueError("no words to draw")
    lines = -(-len(words) // columns)
    with style():
        figure, axes = new_figure(height=0.45 + 0.3 * lines, columns=columns, squeeze=False)
        widest = max(sum(len(piece) + 1 for piece in pieces) for pieces in words.values())
        letter = 2.9 / (widest + 3)  # inches that a letter may take in half of the width
        size = min(11.0, letter * 72 / 0.602)  # a monospaced letter is 0.602 of its size wide
        for place, part in zip(axes.flat, _dealt(list(words.items()), lines), strict=False):
            for row, (_, pieces) in enumerate(part):
                fill, edge, ink = CUTS[min(len(pieces), len(CUTS)) - 1]
                place.text(1.4, row, str(len(pieces)), ha="right", va="center", color=INK,
                           weight="bold", fontsize=9.5)
                x = 2.0
                for piece in pieces:
                    wide = len(piece) + 0.8
                    place.barh(row, wide, left=x, height=0.78, color=fill, edgecolor=edge, lw=0.9)
                    place.text(x + wide / 2, row, piece, ha="center", va="center", color=ink,
                               fontsize=size, family="DejaVu Sans Mono")
                    x += wide
            place.set_xlim(0, widest + 3)
            place.set_ylim(lines - 0.4, -0.6)
            place.set_yticks([])
            _bare(place)
        figure.suptitle("Pieces of each word", x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


_T = TypeVar("_T")


def _dealt(items: list[_T], lines: int) -> Iterable[list[_T]]:
    return (items[start : start + lines] for start in range(0, len(items), lines))


# -- characters ------------------------------------------------------------------------------------

NAMES = {0x00AD: "SHY", 0x200B: "ZWSP", 0x200C: "ZWNJ", 0x200D: "ZWJ", 0x2060: "WJ",
         0xFEFF: "BOM", 0x0009: "TAB", 0x00A0: "NBSP", 0x2009: "THIN", 0x202F: "NNBSP"}  # fmt: skip


def visible(text: str) -> str:
    """A text as HTML: a chip for each character that one does not see, a mark for a lookalike.

    >>> print(visible("a\\u00adb\\ufb01"))
    a<span class="p">SHY</span>b<mark>\ufb01</mark>
    >>> print(visible("a  b"))
    a <span class="p">SP</span>b
    """
    return "".join(
        '<span class="p">SP</span>' if here == " " and before in " \t" else _shown(here)
        for before, here in zip(f"\n{text}", text, strict=False)
    )


def _shown(character: str) -> str:
    if name := _unseen(character):
        return f'<span class="p">{name}</span>'
    return f"<mark>{character}</mark>" if character in REPLACEMENTS else escape(character)


def _unseen(character: str) -> str | None:
    code = ord(character)
    if name := NAMES.get(code):
        return name
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cc", "Cf", "Zs"):
        return None if character in " \n\t" else f"U+{code:04X}"
    return None


def before_after(rows: Iterable[Mapping[str, Any]]) -> str:
    """Texts before and after, and what a tokenizer makes of both, as HTML.

    Args:
        rows: ``what``, ``before``, ``after``, and ``pieces``: a pair of lists of pieces, or None.
    """
    parts = []
    for row in rows:
        parts.append(f'<tr><th colspan="2">{escape(str(row["what"]))}</th></tr>')
        pieces = row.get("pieces") or (None, None)
        for name, cut in zip(("before", "after"), pieces, strict=True):
            line = visible(str(row[name]))
            if cut is not None:
                line += f'<div class="line" style="margin-top:.25rem">{_line(cut)}</div>'
            parts.append(f'<tr><td style="width:4em">{name}</td><td>{line}</td></tr>')
    return panel(f"<table>{''.join(parts)}</table>")


def _line(pieces: Sequence[str]) -> str:
    """The pieces of a text: those of a word joined, without the colour of whole words."""
    together: list[list[str]] = []
    for piece in pieces:
        if piece.startswith("##") and together:
            together[-1].append(piece)
        else:
            together.append([piece])
    return "".join(map(chips, together)).replace(' class="p whole"', ' class="p"')


def steps(rows: Iterable[tuple[str, str, str]]) -> str:
    """What becomes of a text step by step; a step that changes nothing is grey.

    Args:
        rows: (step, text before, text after).
    """
    parts = []
    for name, before, after in rows:
        look = "" if before != after else f' style="color:{SOFT}"'
        shown = visible(after) if before != after else "no change"
        parts.append(f"<tr{look}><td>{escape(name)}</td><td>{shown}</td></tr>")
    return panel(f'<table><thead><tr><th>step</th><th>text after it</th></tr></thead>'
                 f'<tbody>{"".join(parts)}</tbody></table>')


