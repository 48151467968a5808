"""Figures of the scanning chapter: growth laws, speed-up, sketches, samples, what is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bioptimus_lib.plots import (
    BLUE,
    INK,
    LINE,
    ORANGE,
    PAGE,
    PALE,
    RED,
    SERIES,
    SOFT,
    new_figure,
    style,
)
from bioptimus_lib.scan_steps import speed_up

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, MaxNLocator

MOST = 64  # workers up to which Amdahl's curve is drawn


def growth_curves(
    series: Mapping[str, Mapping[int, float]],
    *,
    megabytes: float,
    title: str = "Seconds per megabyte of text",
) -> Figure:
    """Time against number of keywords on logarithmic axes, where a power law is a straight line.

    Args:
        series: way to scan → {number of keywords → seconds for the text}, at most six.
        megabytes: size of the text, 10^6 bytes.

    Raises:
        ValueError: nothing to draw, or more series than there are looks.
    """
    if not any(series.values()) or len(series) > len(SERIES):
        raise ValueError(f"{len(series)} series: give 1 to {len(SERIES)} with points")
    with style():
        figure, axes = new_figure(height=4.6)
        for (name, points), look in zip(series.items(), SERIES, strict=False):
            axes.plot(list(points), [s / megabytes for s in points.values()], **look, label=name)
        sizes = [size for points in series.values() for size in points]
        axes.set(xscale="log", yscale="log", xlabel="keywords")
        # A guide from the lower left corner: ten times the keywords, ten times the time.
        top = max(s for points in series.values() for s in points.values()) / megabytes
        bottom = min(s for points in series.values() for s in points.values()) / megabytes
        start, end = min(sizes), max(sizes)
        stop = min(end, start * top / bottom)
        axes.plot([start, stop], [bottom * 0.5, bottom * 0.5 * stop / start], color=SOFT, lw=1.0,
                  linestyle=(0, (3, 3)), zorder=1, label="in proportion")
        axes.grid(axis="x")
        axes.set_title(title, pad=12)
        figure.legend(loc="outside lower center", ncols=2, handlelength=3.4)
    return figure


def speed_ups(
    measured: Mapping[int, float],
    *,
    serial: float,
    parallel: float,
    title: str = "Speed-up against one worker",
) -> Figure:
    """Measured speed-ups, and the curve that Amdahl's law draws from the measured serial part.

    Args:
        measured: workers → times as fast as one.
        serial, parallel: seconds that only one can do, and that can be shared out.

    Raises:
        ValueError: nothing measured, or no work.
    """
    if not measured or parallel <= 0 or serial < 0:
        raise ValueError("a speed-up needs a measurement, and work that can be shared out")
    most = max(MOST, *measured)
    counts = [2 ** (n / 8) for n in range(0, 8 * most.bit_length() - 7)]
    with style():
        figure, axes = new_figure(height=4.0)
        axes.plot([1, most], [1, most], color=SOFT, lw=1.2, linestyle=(0, (3, 3)), label="ideal")
        curve = [speed_up(serial, parallel, n) for n in counts]
        axes.plot(counts, curve, color=BLUE, label="Amdahl, from the measured serial part")
        axes.plot(list(measured), list(measured.values()), "s", color=RED, ms=9, mec=INK, mew=0.8,
                  label="measured", zorder=3)
        axes.set(xscale="log", yscale="log", xlabel="workers", title=title)
        ticks = [2**n for n in range(most.bit_length())]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(_fixed(ticks))
            axis.set_major_formatter("{x:.0f}")
            axis.set_minor_locator(_fixed([]))
        axes.set_ylim(min(0.9, *(0.9 * s for s in measured.values())), most)
        axes.grid(axis="x")
        axes.legend(loc="upper left")
    return figure


def _fixed(ticks: Sequence[float]) -> FixedLocator:
    from matplotlib.ticker import FixedLocator

    return FixedLocator(ticks)


def sketches(
    parts: Mapping[str, Sequence[int]], k: int, *, title: str = "Bottom-K: keep the smallest hashes"
) -> Figure:
    """Lines as marks at their hash, a row per part and one for the whole; filled marks are kept.

    Args:
        parts: part of the corpus → 64-bit hashes of its lines.
        k: how many are kept, of each part and of the whole.

    Raises:
        ValueError: no part has a line.
    """
    if not any(parts.values()):
        raise ValueError("no hashes to draw")
    whole = sorted(value for values in parts.values() for value in values)
    with style():
        figure, axes = new_figure(height=0.9 + 0.55 * (len(parts) + 1))
        limit = whole[min(k, len(whole)) - 1] / 2**64
        for row, (name, values) in enumerate({**parts, "merged": whole}.items()):
            ordered = sorted(values)
            last = name == "merged"
            x = [value / 2**64 for value in ordered]
            axes.plot(x[k:], [row] * len(x[k:]), "o", mfc=PAGE, mec=SOFT, ms=6, alpha=0.8)
            axes.plot(x[:k], [row] * len(x[:k]), "D" if last else "o", color=RED if last else BLUE,
                      ms=8, mec=INK, mew=0.7)
        axes.axvline(limit, color=RED, lw=1.2, linestyle=(0, (3, 3)), zorder=0)
        axes.set_yticks(range(len(parts) + 1), [*parts, "merged"])
        axes.set_ylim(len(parts) + 0.5, -0.5)
        axes.set_xlim(-0.015, 1.015)
        axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        axes.grid(visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set(title=title, xlabel="hash of a line, as a share of the largest")
    return figure


def inclusion_rates(
    rates: Mapping[str, Sequence[float]],
    sizes: Sequence[int],
    k: int,
    *,
    title: str = "How often is a line in the sample?",
) -> Figure:
    """A panel per sampler: the share of draws that hold a line, by its place in the corpus.

    Args:
        rates: sampler → a rate for each line.
        sizes: lines that each worker reads; borders are drawn.
        k: size of the sample; k / lines is the rate that a fair sample gives every line.

    Raises:
        ValueError: a sampler has not as many rates as there are lines.
    """
    total = sum(sizes)
    if not rates or any(len(values) != total for values in rates.values()):
        raise ValueError(f"each sampler needs {total} rates, one for each line")
    with style():
        figure, axes = new_figure(
            height=0.7 + 1.35 * len(rates), rows=len(rates), sharex=True, squeeze=False
        )
        for (name, values), look, place in zip(rates.items(), SERIES, axes.flat, strict=False):
            start = 0
            for number, size in enumerate(sizes):
                place.axvspan(start, start + size, color=PALE if number % 2 == 0 else PAGE,
                              zorder=0, lw=0)
                start += size
            place.axhline(k / total, color=INK, lw=1.2, linestyle=(0, (3, 3)))
            place.plot([n + 0.5 for n in range(total)], values, look["marker"],
                       color=look["color"], ms=3)
            top = max(*values, k / total)
            place.set_ylim(-0.08 * top, 1.15 * top)
            place.set_title(name, pad=4)
            place.yaxis.set_major_formatter(lambda rate, _: f"{100 * rate:.3g}%")
            place.yaxis.set_major_locator(_few())
        axes.flat[-1].set_xlim(0, total)
        axes.flat[-1].set_xlabel("line of the corpus; a shade per worker; dashed: fair")
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def _few() -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=3)


def fates(counts: Mapping[str, int], *, kept: str, title: str) -> Figure:
    """What became of the lines: a bar per cause with its share, the kept ones hatched apart.

    Args:
        counts: cause → number of pairs of keyword and line, drawn from top to bottom.
        kept: the cause that is none.

    Raises:
        ValueError: nothing is counted.
    """
    total = sum(counts.values())
    if not total:
        raise ValueError("nothing to draw: no line holds a keyword")
    with style():
        figure, axes = new_figure(height=0.8 + 0.36 * len(counts))
        for row, (cause, count) in enumerate(counts.items()):
            fine = cause == kept
            axes.barh(row, count / total, height=0.7, color="#b9d6ea" if fine else ORANGE,
                      edgecolor=BLUE if fine else INK, hatch="///" if fine else None, lw=0.8)
            share = count / total
            axes.text(share + 0.01, row, f"{share:.1%}" if share < 0.1 else f"{share:.0%}",
                      va="center", weight="bold", fontsize=10)
        axes.set_yticks(range(len(counts)), list(counts))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.15 * max(counts.values()) / total)
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.grid(axis="x", color=LINE)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_title(title, x=0, ha="left")
    return figure
