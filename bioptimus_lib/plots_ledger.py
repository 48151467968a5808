"""Figures of the ledger: the rows of an experiment as a picture, with the tables a click away.

Each function gives HTML; an experiment without rows gives the panel of ``evidence`` that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bioptimus_lib import evidence, nested
from bioptimus_lib.gap_filling import Filled, Gap
from bioptimus_lib.pictures import folded, panel, table
from bioptimus_lib.plots import BLUE, INK, PAGE, image, new_figure, style
from bioptimus_lib.plots_distill import curves
from bioptimus_lib.plots_phases import filled_gaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]
TABLE = "The numbers, and the command"


def by_model(row: Row) -> str:
    """The label that a row has if it is not told otherwise."""
    return str(row["model"])


def every(_: Row) -> bool:
    """Keep all rows."""
    return True


def seeds(
    experiment: str,
    metric: str,
    *,
    title: str,
    xlabel: str,
    label: Callable[[Row], str] = by_model,
    keep: Callable[[Row], bool] = every,
    table: str = "",
) -> str:
    """A line per label: an open mark per row, a filled one at their mean.

    Args:
        label: what a row belongs to; labels stand in the order of their means.
        keep: which rows to take.
        table: HTML to fold away below.
    """
    groups: dict[str, list[Row]] = {}
    for row in evidence.rows_of(experiment, metric):
        if keep(row):
            groups.setdefault(label(row), []).append(row)
    if not groups:
        return evidence.nothing_in(experiment)
    said = "; ".join(
        f"{name} {nested.summary_of(some, metric).text('.3g', '.2g')}"
        for name, some in groups.items()
    )
    values = {name: [row["metrics"][metric] for row in some] for name, some in groups.items()}
    figure = dots(values, title=title, xlabel=xlabel)
    alt = f"{title}: {xlabel}. {said}."
    return image(figure, alt=alt) + (folded(TABLE, table) if table else "")


def lines(
    experiment: str,
    points: Callable[[Row], Sequence[tuple[float, float]]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    label: Callable[[Row], str] = by_model,
    keep: Callable[[Row], bool] = every,
    log: bool = False,
    top: float | None = None,
    table: str = "",
) -> str:
    """A line per label through the means of its rows, with bars from the least to the most.

    Args:
        points: (x, y) of a row, one or several.
        log: a logarithmic x axis.
        top: end of the y axis; what lies above leaves the frame.
        label, keep, table: as in ``seeds``; at most six labels.
    """
    series: dict[str, dict[float, list[float]]] = {}
    for row in evidence.rows_of(experiment):
        if keep(row):
            for x, y in points(row):
                series.setdefault(label(row), {}).setdefault(x, []).append(y)
    if not series:
        return evidence.nothing_in(experiment)
    figure = curves(series, xlabel=xlabel, ylabel=ylabel, title=title, log=log, top=top)
    said = "; ".join(f"{name}: {_ends(some)}" for name, some in series.items())
    alt = f"{title}: {ylabel} over {xlabel}. {said}."
    return image(figure, alt=alt) + (folded(TABLE, table) if table else "")


def gaps(experiment: str, *, seed: int) -> str:
    """The chance that each model of a seed gives to the right word of each gap, and to be opened
    what it puts there; a model that only another seed has is shown by that one."""
    rows: dict[str, Row] = {}
    for row in evidence.rows_of(experiment):
        if "gaps" in row and (row["seed"] == seed or row["model"] not in rows):
            rows[row["model"]] = row
    if not rows:
        return evidence.nothing_in(experiment)
    shown = [Gap(gap["text"], gap["answer"]) for gap in next(iter(rows.values()))["gaps"]]
    filled = [
        {
            model: Filled([tuple(guess) for guess in row["gaps"][n]["best"]],
                          row["gaps"][n]["chance"])
            for model, row in rows.items()
        }
        for n in range(len(shown))
    ]  # fmt: skip
    chances = [
        {"right word": gap.answer, **{model: _share(found.answer) for model, found in of.items()}}
        for gap, of in zip(shown, filled, strict=True)
    ]
    said = panel("<p>The chance that each gives to the right word, per cent:</p>")
    guesses = folded("The sentences, and what each model puts there", filled_gaps(shown, filled))
    below = guesses + evidence.origins(rows.values())
    return said + table(chances, numbers=rows) + below


def _share(chance: float) -> str:
    """A chance in per cent, for a column of them.

    >>> _share(0.4331), _share(0.0002)
    ('43.3', '< 0.1')
    """
    return f"{100 * chance:.1f}" if chance >= 0.001 else "< 0.1"


def phase(before: str, after: str) -> str:
    """Two versions in ``phases``: what the later one has over the earlier in each pre-training that
    has both, and their lines of the table."""
    rows = [row for row in evidence.rows_of("phases") if row["model"] in (before, after)]
    if not rows:
        return evidence.nothing_in("phases")
    gained = [
        f"{name} " + ", ".join(format(gap, form) for gap in gaps)
        for metric, name, form in (("loss", "loss", "+z.2f"), ("f1", "F1", "+z.1f"))
        if (gaps := _by_training(rows, metric, before, after))
    ]
    said = f"{after} − {before}, a number for each pre-training: {'; '.join(gained)}"
    columns = {"loss": "loss", "right": "accuracy", "F1": "f1"}
    return (panel(f"<p>{escape(said)}.</p>") if gained else "") + evidence.metrics_table(
        "phases", columns, first="version", keep=lambda row: row["model"] in (before, after)
    )


def _by_training(rows: Sequence[Row], metric: str, before: str, after: str) -> list[float]:
    """Differences of two models' means, one for each pre-training that both have."""
    of: dict[str, dict[int | None, list[float]]] = {before: {}, after: {}}
    for row in rows:
        if metric in row["metrics"]:
            of[row["model"]].setdefault(nested.pre_training(row), []).append(row["metrics"][metric])
    one, other = of[before], of[after]
    return [fmean(other[n]) - fmean(one[n]) for n in one if n in other]


def _ends(points: Mapping[float, Sequence[float]]) -> str:
    means = {x: sum(values) / len(values) for x, values in points.items()}
    first, last = min(means), max(means)
    return f"{means[first]:.3g} at {first:g}, {means[last]:.3g} at {last:g}"


def dots(groups: Mapping[str, Sequence[float]], *, title: str, xlabel: str) -> Figure:
    """One row per group, by their means: an open mark per value, a filled one at the mean.

    Raises:
        ValueError: nothing to draw.
    """
    import numpy as np

    rows = {name: np.asarray(values, float) for name, values in groups.items() if len(values)}
    if not rows:
        raise ValueError("no values to draw")
    ordered = sorted(rows, key=lambda name: rows[name].mean())
    values = np.concatenate(list(rows.values()))
    width = max(float(np.ptp(values)), 1e-9)
    with style():
        figure, axes = new_figure(height=0.9 + 0.34 * len(rows))
        for place, name in enumerate(ordered):
            some = rows[name]
            axes.plot([some.min(), some.max()], [place] * 2, color=BLUE, lw=1.5, alpha=0.5)
            axes.plot(some, np.full(len(some), place), "o", mfc=PAGE, mec=BLUE, ms=5, mew=1.2,
                      linestyle="none")
            axes.plot(some.mean(), place, "o", color=BLUE, ms=8, mec=INK, mew=0.8)
            axes.text(values.max() + 0.05 * width, place, f"{some.mean():.3g}", va="center")
        axes.set_yticks(range(len(ordered)), ordered)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlim(values.min() - 0.06 * width, values.max() + 0.2 * width)
        axes.set(title=title, xlabel=xlabel)
    return figure
