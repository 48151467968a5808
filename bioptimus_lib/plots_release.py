"""Figures of the release chapter: what a run's time went into, memory of a stream, engines.

They share the style of ``plots``: every bar says its number, and everything reads at 400 px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bioptimus_lib.plots import BLUE, GREEN, INK, ORANGE, RED, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colour and hatch of each engine, so that colour is never the only difference.
LOOKS = ((BLUE, ""), (ORANGE, "//"), (GREEN, ".."), (RED, "xx"))


def bars(
    values: Mapping[str, float], *, title: str, xlabel: str, form: str = "{:.0f}"
) -> Figure:
    """A bar for each name, from top to bottom, with its number.

    Raises:
        ValueError: nothing to draw.
    """
    if not values:
        raise ValueError("no values to draw")
    with style():
        figure, axes = new_figure(height=1.0 + 0.3 * len(values))
        _bars(axes, values, form=form, looks=[(BLUE, "")] * len(values))
        axes.set(title=title, xlabel=xlabel)
    return figure


def engines(rows: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Two panels: milliseconds for one sentence, and sentences per second of many.

    Args:
        rows: as ``bench_onnx.measure`` gives them.

    Raises:
        ValueError: nothing to draw.
    """
    if not rows:
        raise ValueError("no engines to draw")
    wanted = {
        "milliseconds": ("one sentence, ms (short is good)", "{:.1f}"),
        "sentences_per_second": ("all at once, sentences/s (long is good)", "{:,.0f}"),
    }
    with style():
        figure, panels = new_figure(height=1.3 + 0.7 * len(rows), rows=2)
        for axes, (name, (label, form)) in zip(panels, wanted.items(), strict=True):
            looks = [LOOKS[n % len(LOOKS)] for n in range(len(rows))]
            _bars(axes, {row["engine"]: row[name] for row in rows}, form=form, looks=looks)
            axes.set_xlabel(label)
        panels[0].set_title(title)
    return figure


def blocks(rows: Sequence[Mapping[str, float]], *, title: str) -> Figure:
    """Two panels over the size of a block: sentences per second, and lines read before the first
    answer.

    Args:
        rows: with ``block`` (characters), ``rate`` and ``waited``.

    Raises:
        ValueError: nothing to draw.
    """
    if not rows:
        raise ValueError("no blocks to draw")
    sizes = [row["block"] for row in rows]
    wanted = (("rate", "sentences/s", BLUE, "o-"), ("waited", "lines waited for", RED, "s--"))
    with style():
        figure, panels = new_figure(height=4.2, rows=2, sharex=True)
        for axes, (name, label, colour, mark) in zip(panels, wanted, strict=True):
            axes.plot(sizes, [row[name] for row in rows], mark, color=colour)
            for row in rows:
                axes.annotate(f"{row[name]:,.0f}", (row["block"], row[name]), xytext=(0, 7),
                              textcoords="offset points", ha="center")
            axes.set(ylabel=label, xscale="log", ylim=(0, 1.25 * max(row[name] for row in rows)))
        panels[0].set_title(title)
        panels[1].set_xlabel("characters that are tagged together")
    return figure


def _bars(
    axes: Axes, values: Mapping[str, float], *, form: str, looks: Sequence[tuple[str, str]]
) -> None:
    most = max(values.values())
    for place, (value, (colour, hatch)) in enumerate(zip(values.values(), looks, strict=True)):
        axes.barh(place, value, color=colour, hatch=hatch, edgecolor=INK, lw=0.6, height=0.7)
        axes.text(value + 0.015 * most, place, form.format(value), va="center")
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * most)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
