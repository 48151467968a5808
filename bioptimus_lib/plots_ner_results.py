"""Figures of results: F1 of models with its intervals, and what draws by chance look like.

They share the style of ``plots``: a colour is never the only difference, and everything reads at
400 px.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bioptimus_lib.plots import BLUE, INK, PAGE, RED, SERIES, SOFT, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bioptimus_lib.arrays import Floats

BINS = 40


class Row(NamedTuple):
    """A line of a forest plot: an estimate, its interval, and the single values behind it."""

    value: float
    low: float
    high: float
    points: Sequence[float] = ()

    @property
    def difference(self) -> str:
        """A difference in words.

        >>> Row(-0.04, -1.5, 0.8).difference
        '+0.0, -1.5 to +0.8'
        """
        return f"{self.value:+z.1f}, {self.low:+z.1f} to {self.high:+z.1f}"


def of_difference(seeds: Iterable[float]) -> str:
    """What a bar of a forest plot of differences is: with one seed each, sentences alone vary."""
    return "F1 points, 95 % over sentences" + (" and seeds" if max(seeds) > 1 else "")


def forest(
    rows: Mapping[str, Row],
    *,
    title: str,
    xlabel: str,
    zero: bool = False,
) -> Figure:
    """A line per row, from top to bottom: a bar for the interval, open marks for single values.

    Args:
        rows: label → estimate; an interval of NaN is not drawn.
        zero: mark 0, for differences, which have a sign; rows whose interval holds it are drawn
            pale.

    Raises:
        ValueError: nothing to draw.
    """
    import numpy as np

    if not rows:
        raise ValueError("no rows to draw")
    form = "+z.1f" if zero else ".1f"
    with style():
        figure, axes = new_figure(height=1.1 + 0.42 * len(rows))
        values = np.array([v for row in rows.values() for v in (*row[:3], *row.points)])
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
        width = max(high - low, 1e-9)
        if zero:
            axes.axvline(0, color=SOFT, lw=1.2, linestyle=(0, (3, 3)), zorder=1)
        for place, row in enumerate(rows.values()):
            unsure = zero and row.low <= 0 <= row.high
            axes.plot([row.low, row.high], [place] * 2, color=BLUE, lw=4.5,
                      alpha=0.3 if unsure else 0.75, solid_capstyle="butt")
            axes.plot(row.points, np.full(len(row.points), place), "o", mfc=PAGE, mec=INK, ms=4.5,
                      mew=1.0, linestyle="none")
            axes.plot(row.value, place, "D" if unsure else "o", color=BLUE, ms=8, mec=INK, mew=0.8,
                      mfc=PAGE if unsure else BLUE)
            axes.annotate(format(row.value, form), (1.0, place), xytext=(5, 0), va="center",
                          xycoords=("axes fraction", "data"), textcoords="offset points",
                          weight="normal" if unsure else "bold", annotation_clip=False)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(low - 0.05 * width, high + 0.05 * width)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(xlabel, x=1.0, ha="right")  # long names of rows leave little room
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def draws(
    values: Floats,
    *,
    title: str,
    xlabel: str,
    marks: Mapping[str, float] | None = None,
    band: tuple[float, float] | None = None,
    beyond: float | None = None,
) -> Figure:
    """A histogram of numbers drawn by chance.

    Args:
        marks: label → a number to mark by a line, such as the one that was found; at most four.
        band: an interval to shade.
        beyond: draws at least so far from 0, on either side, are hatched.

    Raises:
        ValueError: nothing to draw, or more marks than looks.
    """
    import numpy as np
    from matplotlib.patches import Patch

    values, marks = np.asarray(values, float), marks or {}
    if not len(values) or len(marks) > 4:
        raise ValueError(f"{len(values)} draws and {len(marks)} marks: give draws, and 4 marks at "
                         "most")  # fmt: skip
    with style():
        figure, axes = new_figure(height=3.5)
        legend: list[Any] = []
        if band:
            label = f"{band[0]:.1f} to {band[1]:.1f}"
            legend.append(axes.axvspan(*band, color="#dfe9f1", lw=0, zorder=0, label=label))
        heights, edges = np.histogram(values, bins=BINS)
        limit = np.inf if beyond is None else beyond
        # A bar is hatched if its middle lies beyond: at the limit a bar is as good as its half.
        middles = (edges[:-1] + edges[1:]) / 2
        outside = np.abs(middles) >= limit
        for some, look in ((~outside, {"color": BLUE, "alpha": 0.55}),
                           (outside, {"color": RED, "hatch": "///", "edgecolor": PAGE})):
            if some.any():
                axes.bar(middles[some], heights[some], width=np.diff(edges)[0] * 0.95, lw=0, **look)
        if beyond is not None:
            share = float((np.abs(values) >= beyond - 1e-9).mean())
            legend.append(Patch(facecolor=RED, hatch="///", edgecolor=PAGE, lw=0,
                                label=f"as far from 0: {share:.1%}"))
        for (label, mark), look in zip(marks.items(), SERIES, strict=False):
            legend.append(
                axes.axvline(mark, color=INK, lw=1.8, linestyle=look["linestyle"], label=label)
            )
        axes.set(xlabel=xlabel, ylabel="draws")
        axes.set_title(title)
        if legend:
            figure.legend(handles=legend, loc="outside lower center", ncols=2, handlelength=2.8)
    return figure
