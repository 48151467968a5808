"""Figures of the chapter on NER data: pieces and labels, windows, ways of scoring, mistakes, facts.

They share the style of ``plots``: a colour is never the only difference, and everything reads at
400 px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from bioptimus_lib.conll import entities
from bioptimus_lib.pictures import panel
from bioptimus_lib.plots import (
    BLUE,
    GREEN,
    INK,
    LINE,
    ORANGE,
    PAGE,
    PALE,
    RED,
    SERIES,
    SKY,
    SOFT,
    new_figure,
    style,
)
from bioptimus_lib.windows import IGNORED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bioptimus_lib.windows import Window

#: Fill and hatch of the parts of a bar, in this order; the first is what one hopes for.
PARTS = ((GREEN, ""), (ORANGE, "///"), (RED, "xx"), (SKY, "..."))


def aligned(
    tokens: Sequence[str],
    tags: Sequence[str],
    pieces: Sequence[Sequence[str]],
    labels: Sequence[Sequence[str | int]],
) -> str:
    """Tokens with their tags, and below each its pieces with the labels that they carry, as HTML.

    Args:
        tokens, tags: of the sentence.
        pieces, labels: of each token; a label of −100 is one that is not asked about.

    Raises:
        ValueError: the four are not of one length.
    """
    parts = []
    for token, tag, own, asked in zip(tokens, tags, pieces, labels, strict=True):
        chips = "".join(
            f'<span class="p{" kept" if label != IGNORED else ""}">{escape(piece)}'
            f"<small>{'–' if label == IGNORED else escape(str(label))}</small></span>"
            for piece, label in zip(own, asked, strict=True)
        )
        parts.append(
            "<span style='display:inline-flex;flex-direction:column;margin:.15rem .25rem'>"
            f"<span>{escape(token)}<br><b>{escape(tag)}</b></span>"
            f"<span class='word'>{chips}</span></span>"
        )
    key = '<p class="key">Above: the token and its tag. Below: its pieces and their labels.</p>'
    return panel(f"<div class='line'>{''.join(parts)}</div>{key}")


def window_rows(
    sizes: Sequence[int],
    tags: Sequence[str],
    windows: Sequence[Window],
    *,
    room: int,
    title: str = "One sentence in windows",
) -> Figure:
    """A sentence in windows: what each shows, what it labels, and what a cut would lose.

    Args:
        sizes: pieces of each token.
        tags: of the sentence; its entities are drawn on top.
        windows: as ``windows.cut`` gives them.
        room: pieces of a window, for the cut.

    Raises:
        ValueError: no window, or another number of tags than of tokens.
    """
    from itertools import accumulate

    if not windows or len(sizes) != len(tags):
        raise ValueError(f"{len(windows)} windows, {len(sizes)} tokens, {len(tags)} tags")
    edges = [0, *accumulate(sizes)]
    rows = ["entities", *(f"window {n}" for n in range(1, len(windows) + 1)), "cut off"]
    box = {"height": 0.56, "edgecolor": SOFT, "lw": 0.8}
    with style():
        figure, axes = new_figure(height=1.35 + 0.38 * len(rows))
        axes.barh(0, edges[-1], color=PAGE, **box)
        for entity in entities(tags):
            left = edges[entity.start]
            axes.barh(0, edges[entity.stop] - left, left=left, color=ORANGE, **box)
        for row, (start, stop, first, last) in enumerate(windows, start=1):
            axes.barh(row, edges[stop] - edges[start], left=edges[start], color="#cfe3f2", **box)
            axes.barh(row, edges[last] - edges[first], left=edges[first], color=BLUE, **box)
        axes.barh(len(rows) - 1, min(room, edges[-1]), color=BLUE, **box)
        if edges[-1] > room:
            axes.barh(len(rows) - 1, edges[-1] - room, left=room, color=PAGE, hatch="///", **box)
        for edge in edges:
            axes.axvline(edge, color=LINE, lw=0.5, zorder=0)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, edges[-1])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("pieces; dark: labelled there, light: context, hatched: lost")
        axes.set_title(title)
    return figure


def ways(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    reference: str,
    title: str = "The same predictions, scored in several ways",
) -> Figure:
    """F1 by each way of scoring: a dot for the mean, open ones for seeds, and what it adds.

    Args:
        panels: set → {way → F1 of each seed}.
        reference: the way whose F1 is a dashed line; the numbers say the difference to it.

    Raises:
        ValueError: nothing to draw, or a panel without the reference.
    """
    import numpy as np

    if not panels or any(reference not in rows for rows in panels.values()):
        raise ValueError(f"give one panel or more, each with the way {reference!r}")
    lines = [len(rows) for rows in panels.values()]
    with style():
        figure, axes = new_figure(
            height=0.9 + 0.45 * len(panels) + 0.27 * sum(lines), rows=len(panels), squeeze=False,
            height_ratios=lines,
        )
        for place, (name, rows) in zip(axes.flat, panels.items(), strict=True):
            strict = float(np.mean(rows[reference]))
            means = [float(np.mean(values)) for values in rows.values()]
            place.axvline(strict, color=SOFT, lw=1.2, linestyle=(0, (3, 3)), zorder=1)
            for row, (mean, values) in enumerate(zip(means, rows.values(), strict=True)):
                above = mean - strict
                same = abs(above) < 0.005
                colour, marker = (INK, "D") if same else (RED, "s") if above > 0 else (BLUE, "o")
                place.plot([strict, mean], [row, row], color=colour, lw=2)
                if len(values) > 1:
                    place.plot(values, [row] * len(values), marker, mfc=PAGE, mec=colour, ms=5,
                               mew=1.2, linestyle="none")
                place.plot(mean, row, marker, color=colour, ms=8, mec=INK, mew=0.7)
                said = f"{mean:.1f}" if row == list(rows).index(reference) else f"{above:+z.1f}"
                place.annotate(said, (1.0, row), xycoords=("axes fraction", "data"), ha="right",
                               va="center", weight="bold", fontsize=10)
            every = np.concatenate([np.asarray(some, float) for some in rows.values()])
            width = max(float(np.ptp(every)), 1.0)
            place.set_xlim(every.min() - 0.06 * width, every.max() + 0.25 * width)
            place.set_yticks(range(len(rows)), list(rows), fontsize=9.5)
            place.set_ylim(len(rows) - 0.4, -0.6)
            place.tick_params(axis="y", length=0)
            place.grid(axis="x")
            place.grid(visible=False, axis="y")
            place.spines["left"].set_visible(False)
            place.set_title(name, fontsize=10.5, pad=4)
        axes[-1, 0].set_xlabel("F1, per cent; right: difference to the dashed line")
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def mistakes(
    panels: Mapping[str, Mapping[str, float]], *, title: str = "Kinds of mistakes"
) -> Figure:
    """How many mistakes are of each kind, a panel for each model or set.

    Args:
        panels: name → {kind → mistakes}, each with the same kinds in one order; at most three.

    Raises:
        ValueError: no panel, more than three, or panels with other kinds.
    """
    if not 1 <= len(panels) <= 3 or len({tuple(rows) for rows in panels.values()}) != 1:
        raise ValueError(f"{len(panels)} panels: give one to three with the same kinds")
    kinds = list(next(iter(panels.values())))
    with style():
        figure, axes = new_figure(
            height=1.0 + 0.33 * len(kinds), columns=len(panels), sharey=True, squeeze=False
        )
        for place, (name, counts) in zip(axes.flat, panels.items(), strict=True):
            total = max(sum(counts.values()), 1e-9)
            for row, kind in enumerate(kinds):
                lone = kind in ("missed", "spurious")
                place.barh(row, counts[kind], height=0.62, color=SKY if lone else ORANGE,
                           hatch="" if lone else "///", edgecolor=PAGE, lw=0.8)
                place.annotate(f"{counts[kind] / total:.0%}", (counts[kind], row), xytext=(4, 0),
                               textcoords="offset points", va="center", fontsize=10)
            place.set_yticks(range(len(kinds)), kinds)
            place.margins(x=0.22)
            place.set_title(name, fontsize=10.5, pad=5)
            place.grid(axis="x")
            place.grid(visible=False, axis="y")
            place.tick_params(axis="y", length=0)
        axes[0, 0].invert_yaxis()
        figure.supxlabel("mistakes; hatched: something of it was found", fontsize=10.5)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def lengths(
    sets: Mapping[str, Sequence[Sequence[float]]], *, title: str = "How long entities are"
) -> Figure:
    """Share of the entities that have so many tokens, a line per set.

    Args:
        sets: name → (tokens, entities) pairs, the last of them for all that are as long or longer.

    Raises:
        ValueError: no set, more than there are looks, or other lengths in one than in another.
    """
    known = {tuple(length for length, _ in pairs) for pairs in sets.values()}
    if not 1 <= len(sets) <= len(SERIES) or len(known) > 1:
        raise ValueError(f"{len(sets)} sets: give 1 to {len(SERIES)}, all with the same lengths")
    with style():
        figure, axes = new_figure(height=3.9)
        for (name, pairs), look in zip(sets.items(), SERIES, strict=False):
            total = max(sum(n for _, n in pairs), 1)
            places = [int(k) for k, _ in pairs]
            axes.plot(places, [100 * n / total for _, n in pairs], **look, label=name,
                      clip_on=False)
        axes.set_xticks(places, [*map(str, places[:-1]), f"{places[-1]} +"])
        axes.set_ylim(0)
        axes.set(xlabel="tokens of the entity", ylabel="% of the entities")
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=3, handlelength=3.2, columnspacing=1.2)
    return figure


def stacked(
    rows: Mapping[str, Mapping[str, float]], *, title: str, xlabel: str
) -> Figure:
    """Shares that add up to one as bars cut into parts, a bar per set.

    Args:
        rows: name → {part → share}, each with the same parts in one order; at most four.

    Raises:
        ValueError: no row, rows with other parts, or too many parts.
    """
    names = list(next(iter(rows.values()), ()))
    if not 1 <= len(names) <= len(PARTS) or any(list(row) != names for row in rows.values()):
        raise ValueError(f"rows {list(rows)}: give the same 1 to {len(PARTS)} parts in each")
    with style():
        figure, axes = new_figure(height=1.45 + 0.42 * len(rows))
        for row, shares in enumerate(rows.values()):
            left = 0.0
            for name, (colour, hatch) in zip(names, PARTS, strict=False):
                share = 100 * shares[name]
                axes.barh(row, share, left=left, height=0.64, color=colour, hatch=hatch,
                          edgecolor=PAGE, lw=0.8, label=name if row == 0 else None)
                if share >= 7:
                    axes.text(left + share / 2, row, f"{share:.0f}", ha="center", va="center",
                              fontsize=10, weight="bold",
                              bbox={"facecolor": PAGE, "edgecolor": "none", "pad": 1.2})
                left += share
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)
        axes.set_xlabel(xlabel)
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=len(names), columnspacing=1.4)
    return figure


def share_map(
    table: Mapping[str, Mapping[str, float]], *, xlabel: str, ylabel: str, title: str
) -> Figure:
    """A share for each row and column as a number on a shade; a dash where there is none.

    Args:
        table: row → {column → share}; a column that a row lacks is left empty.

    Raises:
        ValueError: no rows.
    """
    import numpy as np

    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    if not columns:
        raise ValueError("a map needs a row, and each row a column")
    columns = [name for name in table if name in columns] + [c for c in columns if c not in table]
    values = np.array([[row.get(c, np.nan) for c in columns] for row in table.values()], float)
    with style():
        figure, axes = new_figure(height=1.7 + 0.46 * len(table))
        axes.imshow(np.nan_to_num(values), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            empty = np.isnan(value)
            axes.text(column, row, "–" if empty else f"{value:.0%}", ha="center", va="center",
                      color=PAGE if value > 0.55 else INK, weight="normal" if empty else "bold")
        axes.set_xticks(range(len(columns)), columns, rotation=25, ha="right")
        axes.set_yticks(range(len(table)), list(table))
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set_facecolor(PALE)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.set_title(title)
    return figure
