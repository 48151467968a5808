"""Figures of stable fine-tuning: seeds as dots in violins, rates by layer, gains with intervals.

They share the style of ``plots``: a colour is never the only difference, and everything reads at
400 px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bioptimus_lib.plots import BLUE, INK, PAGE, PALE, RED, SERIES, SOFT, new_figure, style

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bioptimus_lib.stats import Interval, Summary

HALF = 0.36  # of a row, the most that a violin takes to either side


def seeds(
    groups: Mapping[str, Sequence[float]],
    *,
    floors: Mapping[str, float] | None = None,
    floor_label: str = "list of names",
    xlabel: str = "F1 on test, per cent",
    title: str = "The same fine-tuning, another seed",
) -> Figure:
    """A violin per group, a mark per seed, a diamond for the mean; failed seeds are crosses.

    Args:
        groups: name → values, one per seed; drawn from top to bottom.
        floors: name → value above which a seed has not failed; drawn as a dashed line.
        floor_label: what the floor is, for the legend.

    Raises:
        ValueError: nothing to draw.
    """
    import numpy as np
    from matplotlib.lines import Line2D

    if not groups or not all(len(values) for values in groups.values()):
        raise ValueError(f"groups {list(groups)}: give one or more, each with a value")
    floors = floors or {}
    with style():
        figure, axes = new_figure(height=(1.5 if floors else 1.25) + 0.56 * len(groups))
        any_failed = False
        failure: dict[str, Any] = {
            "marker": "X", "ms": 7, "color": RED, "mec": INK, "mew": 0.5, "linestyle": "none",
        }  # fmt: skip
        for row, (name, some) in enumerate(groups.items()):
            values = np.asarray(some, float)
            _violin(axes, values, row)
            floor = floors.get(name)
            failed = values <= floor if floor is not None else np.zeros(len(values), bool)
            off = row + 0.11 * (np.arange(len(values)) % 3 - 1)  # neighbours do not hide each other
            axes.plot(values[~failed], off[~failed], "o", ms=5.5, mfc=PAGE, mec=BLUE, mew=1.4,
                      linestyle="none")
            axes.plot(values[failed], off[failed], **failure)
            any_failed = any_failed or bool(failed.any())
            axes.plot(values.mean(), row, "D", ms=7, color=BLUE, mec=INK, mew=0.8)
            if floor is not None:
                axes.plot([floor, floor], [row - HALF, row + HALF], color=SOFT, lw=1.6,
                          linestyle=(0, (3, 2)))
            said = f"{values.mean():.1f}"
            said += f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
            axes.annotate(said, (1.0, row), xycoords=("axes fraction", "data"), xytext=(4, 0),
                          textcoords="offset points", va="center", weight="bold", fontsize=9.5,
                          annotation_clip=False)
        axes.margins(x=0.03)
        _rows(axes, list(groups))
        axes.set_xlabel(xlabel)
        axes.set_title(title, x=0, ha="left")
        if floors:
            line = Line2D([], [], color=SOFT, lw=1.6, linestyle=(0, (3, 2)), label=floor_label)
            cross = Line2D([], [], **failure, label="failed: not above it")
            figure.legend(handles=[line, cross] if any_failed else [line],
                          loc="outside lower center", ncols=2)
    return figure


def _violin(axes: Axes, values: np.ndarray, row: float) -> None:
    """The density of the values, mirrored; nothing where they have no spread."""
    import numpy as np

    if len(values) < 3 or values.std() < 1e-9:
        return
    from scipy.stats import gaussian_kde

    x = np.linspace(values.min(), values.max(), 80)  # no seed was beyond, whatever a density says
    density = gaussian_kde(values)(x)
    height = HALF * density / density.max()
    axes.fill_between(x, row - height, row + height, color=BLUE, alpha=0.16, lw=0)
    axes.plot(x, row - height, color=BLUE, lw=0.8)
    axes.plot(x, row + height, color=BLUE, lw=0.8)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")


def paths(
    panels: Mapping[str, Sequence[Sequence[float]]],
    *,
    floor: float | None = None,
    title: str = "F1 on devel, epoch by epoch",
) -> Figure:
    """A line per seed over the epochs, a panel per recipe, the chosen epoch marked.

    Args:
        panels: recipe → for each seed the F1 after each epoch; at most three.
        floor: F1 above which a seed has not failed; a dashed line.

    Raises:
        ValueError: no panel, too many, or one without a seed.
    """
    if not 1 <= len(panels) <= 3 or not all(panels.values()):
        raise ValueError(f"panels {list(panels)}: give one to three, each with a seed")
    with style():
        figure, axes = new_figure(height=3.3, columns=len(panels), sharey=True, squeeze=False)
        for place, (name, runs) in zip(axes.flat, panels.items(), strict=True):
            for run in runs:
                epochs = range(1, len(run) + 1)
                place.plot(epochs, run, color=BLUE, lw=1.1, alpha=0.6)
                best = max(run)
                place.plot(1 + list(run).index(best), best, "o", ms=4.5, mfc=PAGE, mec=BLUE)
            if floor is not None:
                place.axhline(floor, color=SOFT, lw=1.4, linestyle=(0, (3, 2)))
            place.set_title(name, fontsize=10.5, pad=6)
            place.set_xlim(0.5, max(map(len, runs)) + 0.5)
            place.xaxis.get_major_locator().set_params(integer=True, nbins=5)
        most = max(max(run) for runs in panels.values() for run in runs)
        top = max(most, floor or 0, 1)
        axes.flat[0].set_ylim(-0.03 * top, 1.05 * top)  # a seed that stays at 0 is seen
        axes.flat[0].set_ylabel("F1, per cent")
        said = "epoch (circle: chosen" + (", dashed: list of names)" if floor is not None else ")")
        axes.flat[len(panels) // 2].set_xlabel(said)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def rates(
    lines: Mapping[str, Sequence[float]], *, title: str = "Learning rate by layer"
) -> Figure:
    """The rate of each level as a share of the head's, a line per recipe; 0 is frozen.

    Args:
        lines: recipe → rate of embeddings, layers from below, head; at most six, of one length.

    Raises:
        ValueError: nothing to draw, or lines of different lengths.
    """
    lengths = {len(values) for values in lines.values()}
    if len(lengths) != 1 or len(lines) > len(SERIES):
        raise ValueError(f"{len(lines)} lines of lengths {sorted(lengths)}: give 1 to 6 of one")
    (length,) = lengths
    with style():
        figure, axes = new_figure(height=3.5 + 0.22 * -(-len(lines) // 3))
        for (name, values), look in zip(lines.items(), SERIES, strict=False):
            axes.plot(range(length), values, **look, label=name, clip_on=False)
        names = ["emb.", *map(str, range(1, length - 1)), "head"]
        axes.set_xticks(range(length), names)
        axes.set_ylim(0, 1.03)
        axes.set(xlabel="embeddings, layers from below, head", ylabel="share of the head's rate")
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=3, handlelength=3.2)
    return figure


def learning(
    sizes: Mapping[str, int], frozen: Mapping[str, int], *, title: str = "What still learns"
) -> Figure:
    """A bar of parameters per recipe, cut by level; frozen levels are pale and hatched.

    Args:
        sizes: level, from below → its parameters.
        frozen: recipe → how many of the lowest levels do not learn.

    Raises:
        ValueError: nothing to draw.
    """
    if not sizes or not frozen:
        raise ValueError("give the sizes of levels, and a recipe or more")
    total = sum(sizes.values())
    with style():
        figure, axes = new_figure(height=1.3 + 0.46 * len(frozen))
        for row, number in enumerate(frozen.values()):
            left = 0.0
            for place, (level, size) in enumerate(sizes.items()):
                off = place < number
                axes.barh(row, size / 1e6, left=left, height=0.66, lw=1.0, edgecolor=INK,
                          color=PALE if off else "#a9cbe3", hatch="////" if off else None)
                if row == 0 and size > 0.06 * total:
                    axes.text(left + size / 2e6, -0.5, level, ha="center", va="bottom",
                              fontsize=9.5)
                left += size / 1e6
            rest = sum(list(sizes.values())[number:])
            axes.text(left, row, f" {rest / total:.0%}", va="center", weight="bold")
        _rows(axes, list(frozen))
        axes.set_ylim(len(frozen) - 0.45, -0.85)
        axes.margins(x=0.1)
        axes.set_xlabel("parameters, millions (bold: share that learns)")
        axes.set_title(title, x=0, ha="left")
    return figure


def gains(
    groups: Mapping[str, Mapping[str, Summary | Interval]],
    *,
    zero: float = 0.0,
    xlabel: str = "F1 minus plain, points (95 % interval over seeds)",
    title: str = "What each remedy changes",
) -> Figure:
    """A row per recipe with a mark and its interval for each group, beside the line of no effect.

    Args:
        groups: name, such as a number of sentences → recipe → estimate with ``low`` and ``high``;
            at most six. An interval that does not hold ``zero`` has a filled mark.
        zero: where nothing is changed.

    Raises:
        ValueError: nothing to draw, or more groups than there are looks.
    """
    rows = list(dict.fromkeys(name for some in groups.values() for name in some))
    if not rows or len(groups) > len(SERIES):
        raise ValueError(f"{len(groups)} groups: give 1 to {len(SERIES)} with a recipe")
    with style():
        most = max(sum(row in some for some in groups.values()) for row in rows)
        figure, axes = new_figure(
            height=1.3 + (0.22 + 0.09 * most) * len(rows) + 0.3 * (len(groups) > 1)
        )
        axes.axvline(zero, color=SOFT, lw=1.4, zorder=0)
        for (name, some), look in zip(groups.items(), SERIES, strict=False):
            axes.plot([], [], look["marker"], color=look["color"], linestyle="none", label=name)
            for recipe, found in some.items():
                there = [group for group, of in groups.items() if recipe in of]
                off = (there.index(name) - (len(there) - 1) / 2) * 0.6 / most
                place = rows.index(recipe) + off
                value = found.value if hasattr(found, "value") else found.mean
                sure = not found.low <= zero <= found.high
                axes.plot([found.low, found.high], [place, place], color=look["color"], lw=1.6)
                axes.plot(value, place, look["marker"], ms=6.5, mec=look["color"], mew=1.4,
                          mfc=look["color"] if sure else PAGE)
        _rows(axes, rows)
        axes.set_xlabel(xlabel)
        axes.set_title(title, x=0, ha="left")
        if len(groups) > 1:
            figure.legend(loc="outside lower center", ncols=3, handletextpad=0.2)
    return figure
