"""Figures of the course in one style: they read at 400 px, in print, in dark mode and in grey.

Every function takes data and gives a matplotlib ``Figure``; ``show`` puts it on the page as a
crisp SVG with alt text. Colours are those of Okabe and Ito (2008), safe for colour-blind readers,
and never the only difference: a marker, a hatch or a label says the same.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from bioptimus_lib.curriculum import PHASES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bioptimus_lib.arrays import Floats

BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SKY, PURPLE = "#56b4e9", "#cc79a7"
INK, SOFT, LINE, PALE = "#1f2a37", "#4b5a6b", "#d5dde6", "#eef2f6"
PAGE = "#ffffff"  # figures bring their own light panel, so that dark mode needs no second version

# The theme of the book puts a second, grey panel behind HTML in dark mode: one is enough.
DARK = (
    "html[data-theme=dark] .bd-content .cell_output .text_html:has(.bio,.bio-figure)"
    "{background:none!important;padding:0!important}"
)

WIDTH = 6.0  # inches; shown at most SHOWN pixels wide, and at 368 px on a phone: 11 pt become 9 px
SHOWN = 640

#: The look of a series, in this order: colour, marker, line style.
SERIES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": RED, "marker": "s", "linestyle": "--"},
    {"color": GREEN, "marker": "^", "linestyle": "-."},
    {"color": PURPLE, "marker": "D", "linestyle": ":"},
    {"color": ORANGE, "marker": "v", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    {"color": SKY, "marker": "P", "linestyle": (0, (1, 1))},
)

STYLE: dict[Any, Any] = {
    "figure.figsize": (WIDTH, 3.4),
    "figure.facecolor": PAGE,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.10,
    "figure.dpi": 110,
    "savefig.facecolor": PAGE,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelsize": 11,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "hatch.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 10,
    # Letters as outlines look the same everywhere, and the salt makes equal figures equal bytes.
    "svg.fonttype": "path",
    "svg.hashsalt": "bioptimus",
}


@contextmanager
def style() -> Iterator[None]:
    """The course's matplotlib settings, within the block only."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def use_style() -> None:
    """The course's matplotlib settings from here on, and SVG for figures that a cell leaves."""
    import matplotlib

    matplotlib.rcParams.update(STYLE)
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # no notebook: nothing to set
        return
    set_matplotlib_formats("svg")


def new_figure(
    *, height: float, rows: int = 1, columns: int = 1, **grid: Any
) -> tuple[Figure, Any]:
    """A figure of the course's width that no notebook shows by itself, and its axes.

    Args:
        height: in inches; the width is always ``WIDTH``.
        rows, columns: of axes; one is returned bare, several as an array.
        grid: further arguments of ``Figure.subplots``, such as ``sharex``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots(rows, columns, **grid)


# -- onto the page -------------------------------------------------------------------------------


def svg(figure: Figure) -> str:
    """A figure as SVG text: the same bytes for the same figure, coordinates to 1/100 point."""
    buffer = io.StringIO()
    with style():
        if figure.get_layout_engine() is not None:
            # Each drawing moves the layout by some 1e-14; frozen after one, ids stay the same.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.S)
    # Coordinates are rounded, the factors that scale letters are not.
    text = re.sub(r"scale\([^)]*\)|-?\d+\.\d{3,}", _rounded, text)
    text = re.sub(r">\s+<", "><", text)
    # Marks of one look say so once: half of what a cloud of points weighs.
    return re.sub(r'<use [^>]*style="([^"]*)"/>(?:<use [^>]*style="\1"/>)+', _grouped, text)


def _grouped(match: re.Match[str]) -> str:
    style = f' style="{match.group(1)}"'
    return f"<g{style}>{match.group().replace(style, '')}</g>"


def _rounded(match: re.Match[str]) -> str:
    number = match.group()
    return number if number.startswith("scale") else f"{float(number):.2f}"


def data_uri(picture: Figure | str) -> str:
    """A figure, or SVG text, as a ``data:`` address: the page needs no second file."""
    text = picture if isinstance(picture, str) else svg(picture)
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def image(picture: Figure | str, *, alt: str, width: int = SHOWN) -> str:
    """A figure, or SVG text, as an HTML image.

    Args:
        alt: what a reader who does not see it must know: what is drawn, and what it shows.
        width: in pixels, at most; on a narrow screen it takes what is there.

    Raises:
        ValueError: the alt text is empty.
    """
    if not alt.strip():
        raise ValueError("a figure needs alt text: say what is drawn and what it shows")
    look = (
        f"display:block;width:100%;max-width:{width}px;height:auto;margin:0.5rem 0;"
        f"background:{PAGE};border-radius:8px"
    )
    alt = escape(" ".join(alt.split()), quote=True)
    picture = f'<img class="bio-figure" alt="{alt}" style="{look}" src="{data_uri(picture)}">'
    return f"<style>{DARK}</style>{picture}"


def show(picture: Figure | str, *, alt: str, width: int = SHOWN) -> None:
    """Display a figure, or SVG text, with alt text (see ``image``)."""
    from IPython.display import HTML, display

    display(HTML(image(picture, alt=alt, width=width)))


def nearest(vectors: Any, row: int, *, n: int = 5) -> list[tuple[int, float]]:
    """The rows with the largest cosine to one row, itself left out, nearest first.

    Args:
        vectors: array or tensor (V, H).
        row: index of the row that is asked about.
        n: how many neighbours.

    >>> nearest([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], 0, n=1)
    [(2, 1.0)]
    """
    import numpy as np

    matrix = np.asarray(vectors, dtype=np.float64)
    matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    cosine = matrix @ matrix[row]
    order = [int(index) for index in np.argsort(-cosine, kind="stable") if index != row]
    return [(index, float(cosine[index])) for index in order[:n]]


# -- the figures ---------------------------------------------------------------------------------


def loss_curves(
    phases: Mapping[str, Sequence[Mapping[str, float]]], *, title: str = "Training loss"
) -> Figure:
    """Loss of successive phases on one axis of pieces seen, with the switches marked.

    Args:
        phases: version → its log in the order of training, rows with ``tokens`` (counted within
            the phase) and ``loss`` (nats per guessed piece), as ``Run.losses`` gives it.

    Raises:
        ValueError: a version is not of the curriculum, or no phase has a row.
    """
    known = {phase.version: phase for phase in PHASES}
    if not any(phases.values()):
        raise ValueError("no losses to draw: the training logs are empty")
    if unknown := [version for version in phases if version not in known]:
        raise ValueError(f"version {unknown[0]!r} is unknown: choose of {', '.join(known)}")
    with style():
        figure, axes = new_figure(height=3.7)
        start = 0.0
        tops = [row["loss"] for rows in phases.values() for row in rows]
        low, high = min(tops), max(tops)
        first = next(rows for rows in phases.values() if rows)
        later = max(tops[len(first) // 8 :])
        if steep := high - low > 2 * (later - low):  # then the switches would be a flat line
            high = later
        room = max(high - low, 0.1)
        windows = {version: len(rows) // 6 for version, rows in phases.items()}
        for number, (version, rows) in enumerate(phases.items()):
            if not rows:
                continue
            end = start + max(row["tokens"] for row in rows) / 1000
            axes.axvspan(start, end, color=PALE if number % 2 == 0 else PAGE, zorder=0, lw=0)
            pieces = [start + row["tokens"] / 1000 for row in rows]
            values = [row["loss"] for row in rows]
            window, look = windows[version], SERIES[number]
            if window > 1:  # single batches are noisy: they stay as a thin line behind their mean
                axes.plot(pieces, values, color=look["color"], lw=0.8, alpha=0.45)
            axes.plot(
                pieces, centred_mean(values, window), **look,
                markevery=max(1, window), clip_on=steep,
            )
            masking = known[version].masking
            middle = (start + end) / 2
            about = f"{masking.unit}s {masking.rate:.0%}"
            about += "" if masking.corruption else "\nall [MASK]"
            axes.text(middle, high + 0.40 * room, version, ha="center", va="top", weight="bold")
            axes.text(middle, high + 0.29 * room, about, ha="center", va="top", fontsize=9.5,
                      linespacing=1.3)
            if start:
                axes.axvline(start, color=SOFT, lw=1.0, linestyle=(0, (3, 3)))
            start = end
        axes.set_xlim(0, start)
        axes.set_ylim(low - 0.08 * room, high + 0.45 * room)
        if steep:
            axes.text(0.02 * start, high + 0.1 * room, f"begins at {tops[0]:.1f}", fontsize=9.5)
        read = "pieces read, thousands"
        if max(windows.values()) > 1:
            read += " (thin: as logged, thick: their mean)"
        axes.set(title=title, xlabel=read, ylabel="training loss, nats per guess")
    return figure


def centred_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean around each value, over as many before it as behind it: the line neither lags nor
    jumps where another one begins.

    Args:
        window: values of a mean, less towards both ends.

    >>> centred_mean([1.0, 3.0, 5.0, 13.0], 3)
    [1.0, 3.0, 7.0, 13.0]
    """
    last = len(values) - 1
    reach = (min(window // 2, place, last - place) for place in range(len(values)))
    parts = (values[place - far : place + far + 1] for place, far in enumerate(reach))
    return [sum(part) / len(part) for part in parts]


def f1_by_version(
    scores: Mapping[str, Sequence[float]],
    *,
    reference: str = "continued",
    title: str = "Entity F1 on the test set",
) -> Figure:
    """One row per model: an open mark per seed, a filled one for the mean, a band for the noise.

    Args:
        scores: model → F1 in per cent, one number per seed; drawn from top to bottom.
        reference: the control whose mean ± two standard deviations over seeds (pooled over the
            models) is shaded: a mean inside the band is not told apart from it.

    Raises:
        ValueError: no scores.
    """
    import numpy as np

    rows = {model: np.asarray(values, float) for model, values in scores.items() if len(values)}
    if not rows:
        raise ValueError("no scores to draw")
    names = {"old": "old model", "continued": "continued\n(old vocabulary)"}
    with style():
        figure, axes = new_figure(height=0.8 + 0.48 * len(rows))
        spread = pooled_spread(rows.values())
        values = np.concatenate(list(rows.values()))
        band: tuple[float, ...] = ()
        if spread is not None and reference in rows:
            mean = float(rows[reference].mean())
            band = mean - 2 * spread, mean + 2 * spread
            axes.axvspan(*band, color=PALE, zorder=0, lw=0)
            axes.axvline(mean, color=SOFT, lw=1.0, linestyle=(0, (3, 3)), zorder=1)
        shown = np.append(values, band)
        width = max(float(np.ptp(shown)), 1.0)
        for place, (model, seeds) in enumerate(rows.items()):
            colour, marker = (ORANGE, "s") if model == reference else (BLUE, "o")
            if len(seeds) > 1:
                axes.plot([seeds.min(), seeds.max()], [place] * 2, color=colour, lw=1.5, alpha=0.5)
                axes.plot(seeds, np.full(len(seeds), place), marker, mfc=PAGE, mec=colour, ms=6,
                          mew=1.5, linestyle="none")
            axes.plot(seeds.mean(), place, marker, color=colour, ms=9, mec=INK, mew=0.8)
            axes.text(values.max() + 0.10 * width, place, f"{seeds.mean():.1f}", va="center",
                      weight="bold")
        axes.set_yticks(range(len(rows)), [names.get(model, model) for model in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        right = max(shown.max() + 0.08 * width, values.max() + 0.28 * width)
        axes.set_xlim(shown.min() - 0.08 * width, right)
        least, most = min(map(len, rows.values())), max(map(len, rows.values()))
        several = f"{most} seeds" if least == most else f"{least} to {most} seeds"
        says = "one seed: its noise is unknown" if most == 1 else f"{several}, filled: mean"
        if band:
            says = f"{several}; shaded: square ± 2 sd"
        axes.set(title=title, xlabel=f"F1, per cent ({says})")
    return figure


def pooled_spread(groups: Iterable[Floats]) -> float | None:
    """Standard deviation within groups, pooled over them; None when no group has two numbers.

    >>> pooled_spread([[1.0, 3.0], [10.0, 12.0]])
    1.4142135623730951
    """
    squares, freedom = 0.0, 0
    for group in groups:
        mean = sum(group) / len(group)
        squares += sum((value - mean) ** 2 for value in group)
        freedom += len(group) - 1
    return float((squares / freedom) ** 0.5) if freedom else None


def neighbours(
    panels: Mapping[str, Sequence[tuple[str, float]]],
    *,
    related: Iterable[str] = (),
    title: str | None = None,
) -> Figure:
    """Nearest neighbours of one token under several embeddings, one panel each.

    Args:
        panels: name of the embedding → (neighbour, cosine), nearest first.
        related: neighbours that belong to the token by meaning; marked by colour, hatch and a dot.

    Raises:
        ValueError: no panel.
    """
    if not panels:
        raise ValueError("no neighbours to draw")
    related = set(related)
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    longest = max(len(found) for found in panels.values())
    with style():
        figure, axes = new_figure(
            height=0.4 + lines * (0.62 + 0.27 * longest),
            rows=lines,
            columns=columns,
            squeeze=False,
            sharex=True,
        )
        for place in axes.flat[len(panels) :]:
            place.set_visible(False)
        for place, (name, found) in zip(axes.flat, panels.items(), strict=False):
            _neighbour_bars(place, found, related)
            hits = sum(token in related for token, _ in found)
            place.set_title(name, pad=6)
            if related:
                place.set_title(f"{hits}/{len(found)} ●", loc="right", fontsize=10, pad=6)
            place.set_ylim(longest - 0.4, -0.6)
        for place in axes[-1]:
            place.set_xlabel("cosine")
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def _neighbour_bars(axes: Axes, found: Sequence[tuple[str, float]], related: set[str]) -> None:
    """Pale bars from 0 to the cosine, with the neighbour's name written on them."""
    for row, (token, cosine) in enumerate(found):
        ours = token in related
        axes.barh(row, max(cosine, 0.0), height=0.82, color="#b5dccd" if ours else "#dfe5ec",
                  edgecolor=GREEN if ours else "#aab4c0", hatch="///" if ours else None, lw=0.8)
        axes.text(0.02, row, f"● {token}" if ours else token, va="center", fontsize=10,
                  bbox={"facecolor": PAGE, "alpha": 0.75, "lw": 0, "pad": 0.8} if ours else None)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
