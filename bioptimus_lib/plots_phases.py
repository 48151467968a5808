"""Figures of the phase chapters: how a training went, one model under several masks, what is
guessed by kind and frequency of words, how far rows have moved, filled gaps.

They share the style of ``plots``: a colour is never the only difference, and everything reads at
400 px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from bioptimus_lib.pictures import panel
from bioptimus_lib.plots import BLUE, INK, PAGE, SERIES, SOFT, centred_mean, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bioptimus_lib.arrays import Floats
    from bioptimus_lib.looks import Drift, Filled, Gap, Tally

LABELS = {
    "loss": "training loss, nats", "grad_norm": "gradient norm", "learning_rate": "learning rate",
}  # fmt: skip
FEWEST = 8  # hidden words of which a share is drawn; of fewer it would be chance


def training(
    runs: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    parts: Sequence[str] = ("loss", "grad_norm"),
    title: str = "How the training went",
    window: int = 1,
) -> Figure:
    """Trainings over their steps, one panel below the other.

    Args:
        runs: name → columns of its log, as ``looks.curve`` gives them; at most six.
        parts: columns to draw: ``loss``, ``grad_norm``, ``learning_rate``.
        window: points of the log that are averaged; the learning rate is drawn as it is.

    Raises:
        ValueError: nothing to draw, more runs than looks, or an unknown column.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    if not runs or len(runs) > len(SERIES) or not parts:
        raise ValueError(f"{len(runs)} trainings, {len(parts)} parts: give 1 to {len(SERIES)}")
    if unknown := [part for part in parts if part not in LABELS]:
        raise ValueError(f"part {unknown[0]!r} is unknown: choose of {', '.join(LABELS)}")
    with style():
        figure, axes = new_figure(
            height=0.9 + 1.9 * len(parts) + 0.22 * -(-len(runs) // 2), rows=len(parts),
            sharex=True, squeeze=False,
        )  # fmt: skip
        for place, part in zip(axes.flat, parts, strict=True):
            for (name, log), look in zip(runs.items(), SERIES, strict=False):
                ramp = part == "learning_rate"  # has no noise
                place.plot(
                    log["step"], centred_mean(log[part], 1 if ramp else window), **look,
                    markevery=max(1, len(log["step"]) // 6), label=name,
                )  # fmt: skip
            place.set_ylabel(LABELS[part])
            if part == "grad_norm":  # falls by powers of ten in the first steps
                place.set_yscale("log")
                place.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
                place.yaxis.set_major_formatter("{x:g}")
                place.yaxis.set_minor_formatter(NullFormatter())
        axes.flat[-1].set_xlabel("step")
        axes.flat[0].set_title(title)
        if len(runs) > 1:
            handles, labels = axes.flat[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=2, handlelength=3.4)
    return figure


def dots(
    series: Mapping[str, Mapping[str, float | Sequence[float]]],
    *,
    xlabel: str,
    title: str,
    form: str = "{:.2f}",
) -> Figure:
    """A row for each thing that is compared, a mark for each series; several values: open marks.

    Args:
        series: name, such as a model → {row, such as a masking → a value or several}; at most six.
        form: of the means that stand at the marks, if there is one series; of two or more none.

    Raises:
        ValueError: nothing to draw, or series of different rows.
    """
    import numpy as np

    same = len({tuple(rows) for rows in series.values()}) == 1
    if not same or len(series) > len(SERIES):
        raise ValueError(f"give 1 to {len(SERIES)} series, each with the same rows in one order")
    names = list(next(iter(series.values())))
    with style():
        figure, axes = new_figure(height=1.2 + 0.44 * len(names) + 0.22 * -(-len(series) // 3))
        shift = np.linspace(-0.16, 0.16, len(series)) if len(series) > 1 else [0.0]
        for (name, rows), look, off in zip(series.items(), SERIES, shift, strict=False):
            places = np.arange(len(names)) + off
            means = [float(np.mean(rows[row])) for row in names]
            for place, row in zip(places, names, strict=True):
                values = np.atleast_1d(np.asarray(rows[row], float))
                if len(values) > 1:
                    axes.plot(values, np.full(len(values), place), look["marker"], mfc=PAGE,
                              mec=look["color"], ms=4.5, mew=1.2, linestyle="none",
                              zorder=4)  # the mean may lie on them
            axes.plot(means, places, look["marker"], color=look["color"], ms=8.5, mec=INK, mew=0.8,
                      linestyle="none", label=name)
            if len(series) == 1:
                for mean, place in zip(means, places, strict=True):
                    axes.annotate(form.format(mean), (mean, place), xytext=(9, 0), va="center",
                                  textcoords="offset points", weight="bold")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.margins(x=0.16)
        low, high = axes.get_xlim()
        if low < 0 <= min(float(np.min(rows[row])) for rows in series.values() for row in names):
            axes.set_xlim(-0.04 * high, high)  # no room for what cannot be
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_xlabel(xlabel)
        axes.set_title(title, x=0, ha="left")
        if len(series) > 1:
            figure.legend(loc="outside lower center", ncols=3, handletextpad=0.2)
    return figure


def bands(
    series: Mapping[str, Mapping[str, Mapping[str, Tally]]],
    *,
    title: str = "Hidden words that are guessed",
) -> Figure:
    """Share of words guessed by frequency band, a panel per kind, bars of one standard error.

    Args:
        series: name of the version → kind → band → tally, as from ``looks.accuracy_by_band``.

    Raises:
        ValueError: nothing to draw, or more versions than looks.
    """
    if not series or len(series) > len(SERIES):
        raise ValueError(f"{len(series)} versions: give 1 to {len(SERIES)}")
    first = next(iter(series.values()))
    kinds = [k for k in first if any(t.total >= FEWEST for t in first[k].values())]
    if not kinds:
        raise ValueError(f"no band of any kind has {FEWEST} hidden words: give more blocks")
    names = list(first[kinds[0]])
    with style():
        lines = -(-len(kinds) // 2)
        figure, axes = new_figure(
            height=1.0 + 2.1 * lines, rows=lines, columns=min(2, len(kinds)), squeeze=False,
            sharex=True, sharey=True,
        )  # fmt: skip
        for place in axes.flat[len(kinds) :]:
            place.set_visible(False)
        for place, kind in zip(axes.flat, kinds, strict=False):
            for (name, table), look in zip(series.items(), SERIES, strict=False):
                drawn = [i for i, band in enumerate(names) if table[kind][band].total >= FEWEST]
                tallies = [table[kind][names[i]] for i in drawn]
                shares = [100 * t.share for t in tallies]
                place.plot(drawn, shares, **look, label=name)
                place.vlines(
                    drawn, [s - 100 * t.error for s, t in zip(shares, tallies, strict=True)],
                    [s + 100 * t.error for s, t in zip(shares, tallies, strict=True)],
                    color=look["color"], lw=1.4, alpha=0.6,
                )  # fmt: skip
            total = sum(t.total for t in first[kind].values())
            place.set_title(f"{kind} ({total:,})", fontsize=10.5, pad=6)
            place.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=9)
            place.set_xlim(-0.4, len(names) - 0.6)
            place.tick_params(labelbottom=True)
        for place in axes[:, 0]:
            place.set_ylabel("guessed, % ± 1 s.e.")
        for place in axes.flat[max(0, len(kinds) - 2) : len(kinds)]:
            place.set_xlabel("times in training")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=3.0)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def drifts(groups: Mapping[str, Drift], *, title: str = "How far the rows have moved") -> Figure:
    """Two panels, a row per group: cosine to the start, and norm now over norm then.

    A bar goes from the 5th to the 95th percentile, the mark is the median.

    Raises:
        ValueError: no group.
    """
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    if not groups:
        raise ValueError("no rows to draw")
    panels = {
        "cosine to the start": {name: d.cosine for name, d in groups.items()},
        "norm, now over then": {name: d.after / d.before for name, d in groups.items()},
    }
    with style():
        figure, axes = new_figure(height=1.2 + 0.42 * len(groups), columns=2, sharey=True)
        for place, (what, rows) in zip(axes, panels.items(), strict=True):
            for row, values in enumerate(rows.values()):
                low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
                place.plot([low, high], [row, row], color=BLUE, lw=5, alpha=0.35,
                           solid_capstyle="butt")
                place.plot(middle, row, "o", color=BLUE, ms=8.5, mec=INK, mew=0.8)
                place.annotate(f"{middle:.3f}", (middle, row), xytext=(0, 8), ha="center",
                               textcoords="offset points", fontsize=9.5, weight="bold")
            place.axvline(1.0, color=SOFT, lw=1.2, linestyle=(0, (3, 3)), zorder=0)
            place.set_title(what, fontsize=10.5, pad=6)
            place.grid(axis="x")
            place.grid(visible=False, axis="y")
            place.tick_params(axis="y", length=0)
            place.margins(x=0.14)
            place.xaxis.set_major_locator(MaxNLocator(4))
            place.set_xlabel("median, and 5th to 95th percentile", fontsize=9.5)
        axes[0].set_yticks(range(len(groups)), list(groups))
        axes[0].set_ylim(len(groups) - 0.5, -0.7)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def by_frequency(
    groups: Mapping[str, tuple[Floats, Floats]],
    *,
    ylabel: str,
    title: str,
    bins: int = 8,
) -> Figure:
    """Median of something over frequency, logarithmic; a band holds the middle half.

    Args:
        groups: name → (how often each occurs, its value); at most six.

    Raises:
        ValueError: nothing to draw.
    """
    import numpy as np
    from matplotlib.ticker import NullFormatter

    if not groups or len(groups) > len(SERIES) or not all(len(x) for x, _ in groups.values()):
        raise ValueError(f"give 1 to {len(SERIES)} groups, none of them empty")
    top = max(float(np.max(x)) for x, _ in groups.values()) + 1
    edges = np.geomspace(1, max(top, 2) * 1.0001, bins + 1)
    with style():
        figure, axes = new_figure(height=3.5)
        for (name, (x, y)), look in zip(groups.items(), SERIES, strict=False):
            x, y = np.asarray(x, float) + 1, np.asarray(y, float)
            bin_of = np.digitize(x, edges) - 1
            places, rows = [], []
            for number in range(bins):
                some = y[bin_of == number]
                if len(some) >= FEWEST:
                    places.append(float(np.sqrt(edges[number] * edges[number + 1])))
                    rows.append(np.quantile(some, [0.25, 0.5, 0.75]))
            if not rows:
                continue
            low, middle, high = np.transpose(rows)
            axes.fill_between(places, low, high, color=look["color"], alpha=0.15, lw=0)
            axes.plot(places, middle, **look, label=name)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="times in training, plus 1 (median, and middle half)", ylabel=ylabel)
        axes.set_title(title)
        if len(groups) > 1:
            figure.legend(loc="outside lower center", ncols=3, handlelength=3.0)
    return figure


def filled_gaps(gaps: Sequence[Gap], filled: Sequence[Mapping[str, Filled]]) -> str:
    """Gaps with what several versions put into them, HTML; a right first guess is set off.

    Args:
        gaps: the sentences.
        filled: for each, version → what it makes of it, as from ``looks.fill_mask``.
    """
    parts = []
    for gap, row in zip(gaps, filled, strict=True):
        before, after = map(escape, gap.text.split("[MASK]"))
        answer = escape(gap.answer)
        parts.append(f'<tr><th colspan="3">{before}<mark>{answer}</mark>{after}</th></tr>')
        for name, found in row.items():
            said = " ".join(_guess(piece, p, gap.answer) for piece, p in found.best)
            parts.append(
                f"<tr><td>{escape(name)}</td><td>{said}</td>"
                f'<td class="n">{_percent(found.answer)}</td></tr>'
            )
    head = '<tr><th>version</th><th>its guesses</th><th class="n">the word</th></tr>'
    return panel(f"<table>{head}{''.join(parts)}</table>")


def _guess(pieces: str, chance: float, answer: str) -> str:
    right = pieces.replace(" ##", "").casefold() == answer.casefold()
    said = f"<b>{escape(pieces)} ✓</b>" if right else escape(pieces)
    chip = f'<span class="word"><span class="p">{said}</span></span>'
    return f'<span class="guess">{chip} <small>{_percent(chance)}</small></span>'


def _percent(chance: float) -> str:
    """A probability in per cent, HTML; with a power of ten where it is very small.

    >>> [_percent(p) for p in (0.5, 0.013, 0.0004, 3e-9, 0)]
    ['50%', '1.3%', '0.04%', '3·10<sup>−7</sup>%', '0%']
    """
    value = 100 * chance
    if 0 < value < 0.01:
        digits, power = f"{value:.0e}".split("e")
        return f"{digits}·10<sup>−{-int(power)}</sup>%"
    return f"{value:.0f}%" if value >= 10 else f"{value:.2g}%"
