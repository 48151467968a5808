"""Figures of the masking chapter: a grid of masks, shares per row, leaks, difficulty by phase.

They share the style of ``plots``: a colour is never the only difference, and everything reads at
400 px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bioptimus_lib.pictures import Cell
from bioptimus_lib.plots import GREEN, INK, LINE, PAGE, PALE, RED, SERIES, SOFT, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bioptimus_lib.arrays import Floats

#: Kind of a cell → fill, mark, its colour.
LOOKS = {
    "plain": (PALE, "", INK),
    "mask": (INK, "", PAGE),
    "other": ("#fbe3d3", "×", "#8a3b00"),
    "kept": ("#d9f0e7", "●", GREEN),
}


def mask_grid(
    panels: Mapping[str, Mapping[str, Sequence[Cell]]],
    *,
    title: str = "One sentence, every setting",
) -> Figure:
    """The same text under many settings: a row each, a box for each piece, words set apart.

    Args:
        panels: heading, such as a rate → {setting → cells, as ``pictures.masked_text`` gives them}.

    Raises:
        ValueError: nothing to draw, or texts of different lengths.
    """
    from matplotlib.patches import Rectangle

    lengths = {len(cells) for rows in panels.values() for cells in rows.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"texts of {sorted(lengths)} pieces: give the same one under each setting")
    length, lines = lengths.pop(), sum(map(len, panels.values()))
    with style():
        figure, axes = new_figure(
            height=0.75 + 0.42 * len(panels) + 0.27 * lines, rows=len(panels), squeeze=False,
            sharex=True, height_ratios=[len(rows) for rows in panels.values()],
        )
        for place, (heading, rows) in zip(axes.flat, panels.items(), strict=True):
            for row, cells in enumerate(rows.values()):
                for column, cell in enumerate(cells):
                    inside = cell.piece.startswith("##")
                    left = column + (-0.08 if inside else 0.2)
                    fill, mark, colour = LOOKS[cell.kind]
                    box = (left, row - 0.38), column + 0.92 - left, 0.76
                    place.add_patch(Rectangle(*box, facecolor=fill, edgecolor=SOFT, lw=0.7))
                    if mark:
                        place.text(column + 0.5, row, mark, ha="center", va="center", fontsize=10,
                                   color=colour, weight="bold")
            place.set_yticks(range(len(rows)), list(rows))
            place.set_ylim(len(rows) - 0.4, -0.6)
            place.set_title(heading, fontsize=10.5, pad=4)
            place.tick_params(axis="both", length=0)
            place.grid(visible=False)
            for side in place.spines.values():
                side.set_visible(False)
        axes[-1, 0].set_xlim(-0.1, length + 0.1)
        axes[-1, 0].set_xticks([])
        said = "dark: [MASK]   ×: random piece   ●: left as it is   pieces of a word touch"
        figure.supxlabel(said, x=0.01, ha="left", fontsize=10)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def shares(
    groups: Mapping[str, Floats], *, rate: float, title: str = "How much of a row is asked"
) -> Figure:
    """Histograms of the share of a row that is to be guessed, a panel for each way to choose.

    Args:
        groups: name → share of each row, in [0, 1].
        rate: what is wanted, a dashed line.

    Raises:
        ValueError: a group is empty.
    """
    import numpy as np

    if not groups or any(not len(values) for values in groups.values()):
        raise ValueError("give each way to choose the share of one row or more")
    top = max(max(values) for values in groups.values())
    bins = np.arange(-0.005, max(top, 1.5 * rate) + 0.02, 0.01)
    with style():
        figure, axes = new_figure(
            height=0.9 + 1.15 * len(groups), rows=len(groups), squeeze=False, sharex=True
        )
        for place, (name, values), look in zip(axes.flat, groups.items(), SERIES, strict=False):
            values = np.asarray(values, float)
            place.hist(values, bins=bins, weights=np.full(len(values), 100 / len(values)),
                       color=look["color"], edgecolor=PAGE, lw=0.6)
            place.axvline(rate, color=INK, lw=1.2, linestyle=(0, (3, 3)))
            place.set_title(f"{name}: {(values == 0).mean():.1%} of the rows ask nothing",
                            fontsize=10.5, pad=5)
            place.set_ylabel("% of rows")
        axes[-1, 0].set_xlabel("share of a row's pieces that is to be guessed")
        axes[-1, 0].xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def leaks(
    measured: Mapping[str, Mapping[int, float]],
    expected: Mapping[str, Mapping[int, float]],
    *,
    title: str = "Guesses that see a part of their own word",
) -> Figure:
    """Share of leaking guesses over the pieces of the word: marks measured, lines by the rules.

    Args:
        measured, expected: name of a setting → {pieces of the word → share}.

    Raises:
        ValueError: nothing to draw, or other names in the one than in the other.
    """
    if not measured or list(measured) != list(expected) or len(measured) > len(SERIES):
        raise ValueError(f"measured {list(measured)}, expected {list(expected)}: give the same")
    with style():
        figure, axes = new_figure(height=3.8)
        for (name, points), look in zip(measured.items(), SERIES, strict=False):
            line = expected[name]
            axes.plot(sorted(line), [100 * line[k] for k in sorted(line)], color=look["color"],
                      linestyle=look["linestyle"], clip_on=False)
            axes.plot(sorted(points), [100 * points[k] for k in sorted(points)], look["marker"],
                      color=look["color"], ms=8, mec=INK, mew=0.6, label=name, clip_on=False)
        places = sorted({k for points in measured.values() for k in points})
        most = max(places)
        axes.set_xticks(places, [f"{k}" if k < most else f"{k} +" for k in places])
        axes.set(xlabel="pieces of the word", ylabel="% of its guesses", ylim=(0, 100))
        axes.set_title(title, pad=12)
        figure.legend(loc="outside lower center", ncols=2, handletextpad=0.2)
    return figure


def difficulties(
    models: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    *,
    title: str = "One fixed model, four tasks",
) -> Figure:
    """Loss and accuracy by phase, a line per model; bars from least to most over mask seeds.

    Args:
        models: model → {phase → {"loss": values, "accuracy": values}}.

    Raises:
        ValueError: no model, or models with different phases.
    """
    import numpy as np

    if not models or len({tuple(rows) for rows in models.values()}) != 1:
        raise ValueError("give one model or more, each with the same phases in one order")
    phases = list(next(iter(models.values())))
    with style():
        figure, axes = new_figure(height=3.7, columns=2)
        for place, (what, label, scale) in zip(
            axes, (("loss", "loss, nats per guess", 1), ("accuracy", "accuracy, %", 100)),
            strict=True,
        ):
            for (name, rows), look in zip(models.items(), SERIES, strict=False):
                values = [scale * np.asarray(rows[phase][what], float) for phase in phases]
                place.plot(range(len(phases)), [v.mean() for v in values], **look, label=name)
                place.vlines(range(len(phases)), [v.min() for v in values],
                             [v.max() for v in values], color=look["color"], lw=3, alpha=0.45)
            place.set_xticks(range(len(phases)), phases)
            place.set_title(label, fontsize=10.5)
            place.margins(x=0.08, y=0.12)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, handlelength=3.2)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def ladder(
    steps: Mapping[str, Floats], *, title: str, xlabel: str = "change of loss, nats"
) -> Figure:
    """What each step of a comparison changes, a bar per step with its spread; zero is a line.

    Args:
        steps: name → differences, one per seed.

    Raises:
        ValueError: nothing to draw.
    """
    import numpy as np

    if not steps or any(not len(values) for values in steps.values()):
        raise ValueError("a ladder needs a step, and each step a difference")
    with style():
        figure, axes = new_figure(height=1.1 + 0.45 * len(steps))
        for row, values in enumerate(steps.values()):
            values = np.asarray(values, float)
            harder = values.mean() > 0
            axes.barh(row, values.mean(), height=0.55, color=RED if harder else GREEN,
                      hatch="//" if harder else "", edgecolor=PAGE, lw=0)
            axes.plot([values.min(), values.max()], [row, row], color=INK, lw=2)
            axes.annotate(f"{values.mean():+z.2f}", (max(values.max(), 0), row), xytext=(6, 0),
                          textcoords="offset points", va="center", weight="bold")
        axes.axvline(0, color=SOFT, lw=1.2)
        axes.set_yticks(range(len(steps)), list(steps))
        axes.set_ylim(len(steps) - 0.45, -0.55)
        axes.margins(x=0.18)
        axes.grid(axis="x", color=LINE)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(xlabel)
        axes.set_title(title, x=0, ha="left")
    return figure
