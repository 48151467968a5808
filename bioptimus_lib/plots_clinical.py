"""Figures of clinical notes: a note with its sections, what cutting loses, sizes, exposure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from bioptimus_lib.clinical_text import PLACEHOLDER, sections
from bioptimus_lib.pictures import panel
from bioptimus_lib.plots import BLUE, INK, PAGE, PALE, SERIES, SOFT, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Fill and hatch of the parts of an encoder, light to dark.
LOOKS = ((PALE, "...."), ("#a9cbe3", None), ("#5aa0cf", "////"), (BLUE, None), (SOFT, None))


def note_html(text: str, *, label: str = "a note with its sections") -> str:
    """A note as it is, each section's canonical name before it, placeholders marked."""
    parts = []
    for section in sections(text):
        body = escape(text[section.start : section.stop].strip())
        body = PLACEHOLDER.sub(lambda found: f"<mark>{found[0]}</mark>", body)
        heading = f"<b>{escape(section.heading)}:</b> " if section.heading else ""
        parts.append(
            f"<h3>{escape(section.name)}</h3>"
            f"<p style='white-space:pre-wrap;margin:.1rem 0 .5rem'>{heading}{body}</p>"
        )
    return panel("".join(parts), label=label)


def lost(shares: Mapping[str, Mapping[str, float]], *, title: str) -> Figure:
    """A bar per section: the share of its pieces that a reader of the beginning does not see.

    Args:
        shares: length of the window, in words → {section → share, 0 to 1}; at most three windows.

    Raises:
        ValueError: nothing to draw.
    """
    names = list(dict.fromkeys(name for some in shares.values() for name in some))
    if not names or len(shares) > 3:
        raise ValueError(f"{len(shares)} windows, {len(names)} sections: give 1 to 3, and some")
    high = 0.8 / len(shares)
    with style():
        figure, axes = new_figure(height=1.4 + (0.16 + 0.18 * len(shares)) * len(names))
        for number, (window, some) in enumerate(shares.items()):
            fill, hatch = LOOKS[1 + number]
            places = [row + (number - (len(shares) - 1) / 2) * high for row in range(len(names))]
            axes.barh(places, [100 * some.get(name, 0) for name in names], height=high, color=fill,
                      hatch=hatch, edgecolor=INK, lw=0.8, label=window)  # fmt: skip
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="pieces beyond the window, per cent")
        axes.set_title(title, x=0, ha="left")
        if len(shares) > 1:
            figure.legend(loc="outside lower center", ncols=3)
    return figure


def sizes(
    models: Mapping[str, Mapping[str, int]], *, published: Mapping[str, float | None],
    title: str = "Parameters of the encoder, by part",
) -> Figure:  # fmt: skip
    """A bar per model, cut by part; a diamond where the published number is.

    Args:
        models: name → {part → parameters}; the parts of all are the same, at most five.
        published: name → millions, where known.

    Raises:
        ValueError: nothing to draw, or more parts than looks.
    """
    parts = list(dict.fromkeys(part for some in models.values() for part in some))
    if not parts or len(parts) > len(LOOKS):
        raise ValueError(f"{len(models)} models of {len(parts)} parts: give 1 to {len(LOOKS)}")
    with style():
        figure, axes = new_figure(height=1.75 + 0.42 * len(models))
        for row, (name, some) in enumerate(models.items()):
            left = 0.0
            for part, (fill, hatch) in zip(parts, LOOKS, strict=False):
                size = some.get(part, 0) / 1e6
                axes.barh(row, size, left=left, height=0.62, color=fill, hatch=hatch,
                          edgecolor=INK, lw=0.8, label=part if row == 0 else None)  # fmt: skip
                left += size
            known = published.get(name)
            axes.annotate(f"{left:.1f}", (max(left, known or 0), row), xytext=(9, 0),
                          textcoords="offset points", va="center", weight="bold")  # fmt: skip
            if known:
                axes.plot(known, row, "D", ms=7, mfc=PAGE, mec=INK, mew=1.4)
        axes.set_yticks(range(len(models)), list(models))
        axes.set_ylim(len(models) - 0.5, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.12)
        axes.set_xlabel("millions (diamond: published)")
        axes.set_title(title, x=0, ha="left")
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def exposures(
    series: Mapping[str, Mapping[int, Sequence[float]]], *, most: float, chance: float,
    title: str = "How far up the true name stands",
) -> Figure:  # fmt: skip
    """Exposure over how often a name stands in the text, a mark per name, a line through means.

    Args:
        series: model → {times → exposures in bits}; times from 0, in equal steps on the page.
        most: bits of the first rank.
        chance: bits of a name that was drawn at random, in the mean.

    Raises:
        ValueError: nothing to draw, or more series than looks.
    """
    import numpy as np

    times = sorted({time for some in series.values() for time in some})
    if not times or len(series) > len(SERIES):
        raise ValueError(f"{len(series)} series: give 1 to {len(SERIES)} with points")
    with style():
        figure, axes = new_figure(height=3.9)
        for level, name in ((most, "first"), (chance, "chance")):
            axes.axhline(level, color=SOFT, lw=1.2, linestyle=(0, (3, 3)), zorder=0)
            axes.annotate(name, (1.0, level), xycoords=("axes fraction", "data"), xytext=(4, 0),
                          textcoords="offset points", va="center", fontsize=10, color=INK,
                          annotation_clip=False)  # fmt: skip
        for number, ((name, some), look) in enumerate(zip(series.items(), SERIES, strict=False)):
            off = (number - (len(series) - 1) / 2) * 0.12
            places = [times.index(time) + off for time in sorted(some)]
            axes.plot(places, [float(np.mean(some[t])) for t in sorted(some)], **look, label=name)
            for place, time in zip(places, sorted(some), strict=True):
                axes.plot([place] * len(some[time]), some[time], look["marker"], ms=4, mfc=PAGE,
                          mec=look["color"], linestyle="none")  # fmt: skip
        axes.set_xticks(range(len(times)), [f"{time}" for time in times])
        axes.set_ylim(0, 1.12 * most)
        axes.set(xlabel="times that the name stands in the text", ylabel="exposure, bits")
        axes.set_title(title, x=0, ha="left")
        figure.legend(loc="outside lower center", ncols=2, handlelength=3.2)
    return figure
