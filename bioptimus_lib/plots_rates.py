"""Figures of the last two phases: a table of losses as colours, and what is said of seen words.

They share the style of ``plots``: a colour is never the only difference, every cell says its
number, and everything reads at 400 px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bioptimus_lib.plots import INK, PAGE, SERIES, SOFT, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "cividis_r"  # light is low; made for colour-blind readers, and even in grey
LIGHT = 0.38  # the part of the colours on which dark letters have a contrast of 4.5 or more
STEPS = 24


def heat_map(
    values: Mapping[str, Mapping[str, float]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    noise: float = 0.0,
    own: Mapping[str, str] | None = None,
) -> Figure:
    """A number per row and column; colour is how far it lies above the least of its column.

    Columns are different questions, so only numbers of one column are compared: the least has a
    full dot, those within ``noise`` of it an open one.

    Args:
        values: row → column → number, small is good; each row with the same columns.
        noise: difference that chance alone would give.
        own: row → column that belongs to it, such as the masking that it was trained with; framed.

    Raises:
        ValueError: no rows, or rows of different columns.
    """
    import numpy as np
    from matplotlib.patches import Rectangle

    columns = list(next(iter(values.values()), ()))
    if not columns or any(list(row) != columns for row in values.values()):
        raise ValueError(f"rows {list(values)}: give one or more, each with the same columns")
    table = np.array([list(row.values()) for row in values.values()], float)
    above = table - np.nanmin(table, axis=0)
    top = max(float(np.nanmax(above)), 1e-9)
    with style():
        figure, axes = new_figure(height=1.5 + 0.5 * len(table))
        drawn = axes.imshow(above, cmap=COLOURS, vmin=0, vmax=top / LIGHT, aspect="auto")
        for (row, column), value in np.ndenumerate(table):
            best = above[row, column] == 0
            mark = " ●" if best else (" ○" if above[row, column] <= noise else "")
            axes.text(column, row, f"{value:.2f}{mark}", ha="center", va="center",
                      color=INK, weight="bold" if best else "normal")
        for row, column in (own or {}).items():
            if row in values and column in columns:
                axes.add_patch(Rectangle(
                    (columns.index(column) - 0.46, list(values).index(row) - 0.43), 0.92, 0.86,
                    fill=False, edgecolor=INK, lw=1.6, linestyle=(0, (4, 2)),
                ))  # fmt: skip
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(table)), list(values))
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.set_title(title)
        bar = figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02)
        bar.ax.set_ylim(0, top)
        bar.set_label("above the least\nof the column", fontsize=9.5)
        bar.outline.set_visible(False)
    return figure


def doubt(
    panels: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str = "What a piece in sight is given",
) -> Figure:
    """How much probability models give to the piece that stands there: right ones, wrong ones.

    A line says which share of the places gets at most so much. Where both lines lie apart, a
    threshold tells right pieces from wrong ones.

    Args:
        panels: model → (probabilities of right pieces, of wrong pieces), at most three.

    Raises:
        ValueError: no panel, or more than three.
    """
    import numpy as np

    if not 1 <= len(panels) <= 3:
        raise ValueError(f"{len(panels)} panels: give one to three")
    edges = np.linspace(-8, 0, STEPS + 1)  # powers of ten
    with style():
        figure, axes = new_figure(height=3.5, columns=len(panels), sharey=True, squeeze=False)
        for place, (name, kinds) in zip(axes.flat, panels.items(), strict=True):
            for chances, what, look in zip(kinds, ("right piece", "wrong piece"), SERIES,
                                           strict=False):
                powers = np.log10(np.clip(np.asarray(chances, float), 1e-8, 1))
                shares = [(powers <= edge).mean() for edge in edges]
                place.plot(edges, shares, **look, label=what, markevery=4, clip_on=False)
            place.set_title(name, fontsize=10.5, pad=6)
            place.set_xticks([-8, -4, 0], ["$10^{-8}$", "$10^{-4}$", "1"])
            place.set_xlim(-8, 0)
            place.set_ylim(0, 1)
        axes.flat[0].set_ylabel("share of places")
        axes.flat[len(panels) // 2].set_xlabel("given at most this probability")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, handlelength=3.4)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def parts_of_loss(
    models: Mapping[str, Mapping[str, tuple[float, float]]], *, title: str = "One loss, three tasks"
) -> Figure:
    """The loss of each model as a bar, cut by what stood in the place.

    Args:
        models: model → kind of place → (loss in nats, share of the guesses).

    Raises:
        ValueError: no model.
    """
    if not models:
        raise ValueError("no losses to draw")
    with style():
        figure, axes = new_figure(height=1.5 + 0.5 * len(models))
        kinds = list(dict.fromkeys(kind for parts in models.values() for kind in parts))
        hatches = ("", "///", "...")
        for row, parts in enumerate(models.values()):
            left = 0.0
            for number, kind in enumerate(kinds):
                loss, share = parts.get(kind, (0.0, 0.0))
                axes.barh(row, loss * share, left=left, height=0.62, color=SERIES[number]["color"],
                          hatch=hatches[number % 3], edgecolor=PAGE, lw=0.8,
                          label=kind if row == 0 else None)
                left += loss * share
            axes.text(left, row, f" {left:.2f}", va="center", weight="bold")
        axes.set_yticks(range(len(models)), list(models))
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.12)
        axes.spines["left"].set_color(SOFT)
        axes.set_title(title)
        axes.set_xlabel("loss per guess, nats: each kind's loss times its share")
        figure.legend(loc="outside lower center", ncols=3)
    return figure
