"""Figures of the distillation chapter: a word on its way to a row, layers, norms, maps, bias.

They share the style of ``plots``: a colour is never the only difference, and everything reads at
400 px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from bioptimus_lib.pictures import panel
from bioptimus_lib.plots import BLUE, INK, ORANGE, PAGE, RED, SERIES, SOFT, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bioptimus_lib.arrays import Floats

DIMENSIONS = 40  # of a hidden state that are drawn; the rest looks alike
COLOURS = "PuOr"  # orange below zero, purple above: told apart by colour-blind readers, and in grey
CROWD = 400  # marks beyond which a scatter is drawn smaller and paler


# -- one word ------------------------------------------------------------------------------------


def sentence_pieces(words: Sequence[Sequence[str]], marked: int) -> str:
    """A sentence as a model sees it, HTML: the pieces of each word joined, one word set off.

    Args:
        words: the pieces of each word.
        marked: index of the word that is looked at.

    Raises:
        ValueError: there is no such word.
    """
    if not 0 <= marked < len(words):
        raise ValueError(f"word {marked} of a sentence of {len(words)} words")
    parts = []
    for number, pieces in enumerate(words):
        kind = "p kept" if number == marked else "p"
        chips = "".join(f'<span class="{kind}">{escape(piece)}</span>' for piece in pieces)
        parts.append(f'<span class="word">{chips}</span>')
    return panel(f"<div class='line'>{''.join(parts)}</div>")


def mean_of_means(
    pieces: Mapping[str, Sequence[float]],
    contexts: Sequence[Sequence[float]],
    *,
    title: str = "From hidden states to one vector",
) -> Figure:
    """The method on one word: pieces in one sentence, f of each sentence, g; colours are values.

    Args:
        pieces: old piece of the word → hidden state in the first sentence, (H,).
        contexts: f of every sentence, (H,) each; the first is that of ``pieces``.

    Raises:
        ValueError: no piece or no context.
    """
    import numpy as np

    if not len(pieces) or not len(contexts):
        raise ValueError("a mean of means needs a piece and a context")
    states = np.asarray(list(pieces.values()), float)[:, :DIMENSIONS]
    f = np.asarray(contexts, float)[:, :DIMENSIONS]
    parts = (
        ("h: hidden states of the pieces, sentence 1", states, list(pieces)),
        ("f: mean over the pieces, for each sentence", f, [str(n + 1) for n in range(len(f))]),
        ("g: mean over the sentences", f.mean(0, keepdims=True), ["g"]),
    )
    limit = float(np.quantile(np.abs(np.concatenate([states, f])), 0.98)) or 1.0
    heights = [max(1.0, len(values)) for _, values, _ in parts]
    with style():
        figure, axes = new_figure(
            height=1.5 + 0.26 * sum(heights), rows=3, height_ratios=heights, sharex=True
        )
        for place, (name, values, rows) in zip(axes, parts, strict=True):
            drawn = place.imshow(values, cmap=COLOURS, vmin=-limit, vmax=limit, aspect="auto",
                                 interpolation="nearest")
            place.set_yticks(range(len(rows)), rows)
            place.set_title(name, fontsize=10.5, pad=5)
            place.grid(visible=False)
            place.tick_params(length=0)
            for side in place.spines.values():
                side.set_visible(False)
        _mark_row(axes[1], 0, f.shape[1])
        axes[2].set_xlabel(f"the first {f.shape[1]} dimensions")
        figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02, aspect=30)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def _mark_row(axes: Axes, row: int, width: int) -> None:
    """A frame around a row of an image: the one that the panel above is averaged into."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((-0.5, row - 0.5), width, 1, fill=False, edgecolor=INK, lw=1.6,
                             clip_on=False))


# -- numbers over something ----------------------------------------------------------------------


def curves(
    series: Mapping[str, Mapping[float, Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    log: bool = False,
    zero: bool = False,
    top: float | None = None,
) -> Figure:
    """One line of means per series; where there are several values, a bar from least to most.

    Args:
        series: name → {x → values, such as one per seed}, at most six.
        log: a logarithmic x axis; x must be positive then.
        zero: begin the y axis at 0, so that heights can be compared.
        top: end the y axis here; what lies above leaves the frame.

    Raises:
        ValueError: nothing to draw, or more series than there are looks.
    """
    import numpy as np

    if not any(series.values()) or len(series) > len(SERIES):
        raise ValueError(f"{len(series)} series: give 1 to {len(SERIES)} with points")
    with style():
        figure, axes = new_figure(height=3.5 + 0.22 * -(-len(series) // 2))
        places = sorted({x for points in series.values() for x in points})
        for (name, points), look in zip(series.items(), SERIES, strict=False):
            x = sorted(points)
            means = [float(np.mean(points[place])) for place in x]
            many = len(x) > 12
            axes.plot(x, means, **look, label=name, markevery=max(1, len(x) // 8) if many else 1)
            ends = [(min(points[p]), max(points[p])) for p in x if len(points[p]) > 1]
            if ends:
                low, high = zip(*ends, strict=True)
                some = [p for p in x if len(points[p]) > 1]
                axes.vlines(some, low, high, color=look["color"], lw=1.4, alpha=0.6)
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(_fixed([]))
        if len(places) <= 12:
            apart = 0 if log else (places[-1] - places[0]) / 18  # or labels overlap
            kept: list[float] = []
            for place in places:
                if not kept or place - kept[-1] > apart:
                    kept.append(place)
            axes.set_xticks(kept, [f"{place:g}" for place in kept])
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.set_title(title)
        if zero:
            axes.set_ylim(bottom=0)
        if top is not None:
            axes.set_ylim(top=top)
        if len(series) > 1:
            figure.legend(loc="outside lower center", ncols=2, handlelength=3.4)
    return figure


def _fixed(ticks: Sequence[float]) -> Any:
    from matplotlib.ticker import FixedLocator

    return FixedLocator(ticks)


def by_strategy(
    panels: Mapping[str, Mapping[str, Floats]],
    *,
    chance: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Dot plots side by side, a row per strategy: open marks are single values, filled their mean.

    Args:
        panels: what is measured → {strategy → values}; at most three, all with the same strategies.
        chance: what is measured → what chance gives, a dashed line.

    Raises:
        ValueError: no panel, or panels of different strategies.
    """
    import numpy as np

    if not panels or len({tuple(rows) for rows in panels.values()}) != 1:
        raise ValueError("give one panel or several, each with the same strategies in one order")
    names = list(next(iter(panels.values())))
    with style():
        figure, axes = new_figure(
            height=1.15 + 0.4 * len(names), columns=len(panels), sharey=True, squeeze=False
        )
        for place, ((what, rows), look) in zip(
            axes.flat, zip(panels.items(), SERIES, strict=False), strict=True
        ):
            for row, values in enumerate(rows.values()):
                values = np.asarray(values, float)
                if len(values) > 1:
                    place.plot(values, np.full(len(values), row), look["marker"], mfc=PAGE,
                               mec=look["color"], ms=5, mew=1.2, alpha=0.7)
                place.plot(values.mean(), row, look["marker"], color=look["color"], ms=8.5,
                           mec=INK, mew=0.8)
            if chance and what in chance:
                place.axvline(chance[what], color=SOFT, lw=1.2, linestyle=(0, (3, 3)), zorder=0)
            place.set_title(what, fontsize=10.5, pad=6)
            place.grid(axis="x")
            place.grid(visible=True, axis="y", lw=0.6)
            place.tick_params(axis="y", length=0)
            place.margins(x=0.12)
            place.xaxis.set_major_locator(_few())
            place.xaxis.set_major_formatter("{x:g}")
        axes.flat[0].set_yticks(range(len(names)), names)
        axes.flat[0].set_ylim(len(names) - 0.5, -0.5)
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=3)


# -- many rows -----------------------------------------------------------------------------------


def norms(groups: Mapping[str, Sequence[float]], *, reference: str, title: str) -> Figure:
    """Lengths of vectors, a row per group: a line from the 5th to the 95th percentile, the median.

    Args:
        groups: name → norms, positive; the axis is logarithmic.
        reference: the group that the others are to be compared with; its band is shaded.

    Raises:
        ValueError: a group is empty, or there is no such reference.
    """
    import numpy as np

    if reference not in groups or any(not len(values) for values in groups.values()):
        raise ValueError(f"norms of {list(groups)}: none may be empty, {reference!r} among them")
    with style():
        figure, axes = new_figure(height=0.95 + 0.36 * len(groups))
        for row, (name, values) in enumerate(groups.items()):
            low, middle, high = np.quantile(np.asarray(values, float), [0.05, 0.5, 0.95])
            ours = name == reference
            look = {"color": RED if ours else BLUE}
            axes.plot([low, high], [row, row], lw=5, alpha=0.35, solid_capstyle="butt", **look)
            axes.plot(middle, row, "s" if ours else "o", ms=8.5, mec=INK, mew=0.8, **look)
            axes.annotate(f"{middle:.2g}", (high, row), xytext=(6, 0), va="center", weight="bold",
                          textcoords="offset points")
            if ours:
                axes.axvspan(low, high, color=RED, alpha=0.07, lw=0, zorder=0)
        axes.set_xscale("log")
        axes.margins(x=0.14)
        axes.set_yticks(range(len(groups)), list(groups))
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_title(title, x=0, ha="left")
        axes.set_xlabel("norm (median; bar: 5 % to 95 %)")
        _plain_log(axes)
    return figure


def _plain_log(axes: Axes) -> None:
    """A logarithmic x axis with a few plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def class_maps(
    panels: Mapping[str, Sequence[Sequence[float]]],
    classes: Sequence[str],
    *,
    marked: int | None = None,
    label: str = "",
    title: str = "New words in the plane, by semantic class",
) -> Figure:
    """Points in the plane, a panel per way to make them; class by colour and by marker.

    Args:
        panels: name → points (N, 2).
        classes: class of each point, at most six different ones.
        marked: a point to be set off, and ``label`` for it.

    Raises:
        ValueError: more classes than looks, or a panel with another number of points.
    """
    import numpy as np

    kinds = list(dict.fromkeys(classes))
    if not panels or len(kinds) > len(SERIES) or any(
        len(points) != len(classes) for points in panels.values()
    ):
        raise ValueError(
            f"{len(kinds)} classes of {len(classes)} points: give at most {len(SERIES)}, and as "
            "many points in each panel"
        )
    names = np.asarray(classes)
    with style():
        figure, axes = new_figure(height=3.7, columns=len(panels), squeeze=False)
        small = len(classes) > CROWD
        for place, (name, points) in zip(axes.flat, panels.items(), strict=True):
            spots = np.asarray(points, float)
            for kind, look in zip(kinds, SERIES, strict=False):
                some = spots[names == kind]
                place.plot(some[:, 0], some[:, 1], look["marker"], color=look["color"],
                           ms=3.2 if small else 4.2, alpha=0.75, mew=0, label=kind)
            if marked is not None:
                x, y = spots[marked]
                place.plot(x, y, "*", ms=15, color=ORANGE, mec=INK, mew=1.0)
                if label:
                    place.annotate(label, (x, y), xytext=(0, 11), textcoords="offset points",
                                   ha="center", fontsize=9.5, weight="bold",
                                   bbox={"facecolor": PAGE, "alpha": 0.8, "lw": 0, "pad": 1})
            place.set_title(name, fontsize=10.5, pad=6)
            place.set_xticks([])
            place.set_yticks([])
            place.grid(visible=False)
            place.margins(0.1)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(kinds)),
                      markerscale=1.8, handletextpad=0.2, columnspacing=1.2)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def bias_line(
    frequency: Sequence[float],
    bias: Sequence[float],
    line: Mapping[float, float],
    *,
    title: str = "Output bias and frequency",
) -> Figure:
    """Biases of shared tokens over how often they occur, and the line on which new ones are put.

    Args:
        frequency: times that each shared token occurs in the new text.
        bias: what the old model has learned for it.
        line: frequency → bias, two points or more.

    Raises:
        ValueError: nothing to draw.
    """
    if not len(frequency) or len(frequency) != len(bias) or len(line) < 2:
        raise ValueError("give as many biases as frequencies, and two points of a line")
    with style():
        figure, axes = new_figure(height=3.4)
        axes.plot([n + 1 for n in frequency], bias, "o", color=BLUE, ms=2.6, alpha=0.35, mew=0,
                  label="shared token", rasterized=False)
        x = sorted(line)
        axes.plot([n + 1 for n in x], [line[n] for n in x], color=RED, linestyle="--",
                  label="where new tokens are put")
        axes.set_xscale("log")
        axes.set(xlabel="times in the new text, plus 1", ylabel="bias")
        axes.set_title(title)
        axes.grid(axis="x")
        legend = axes.legend(loc="lower right", frameon=True, framealpha=0.85, edgecolor="none")
        for handle in legend.legend_handles:
            handle.set_alpha(1)
            handle.set_markersize(6)
    return figure
