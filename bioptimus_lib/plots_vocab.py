"""Figures of the vocabulary chapter: overlap, classes of new pieces, pieces per word, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bioptimus_lib.plots import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PAGE,
    PALE,
    RED,
    SERIES,
    SOFT,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What becomes of a row: fill, edge, hatch.
FATES = {
    "kept": ("#b9d6ea", BLUE, None),
    "new, begins a word": ("#cfeadf", GREEN, "///"),
    "new, inside a word": ("#fde9b8", ORANGE, "..."),
    "dropped": (PALE, SOFT, "xxx"),
}


def overlap(bars: Mapping[str, Mapping[str, int]], *, title: str) -> Figure:
    """Vocabularies as bars of equal height, each cut into what is kept, new, or dropped.

    Args:
        bars: name of a vocabulary → {name of ``FATES`` → pieces}.

    Raises:
        ValueError: no piece, or an unknown fate.
    """
    if not bars or not all(sum(parts.values()) for parts in bars.values()):
        raise ValueError("an overlap needs vocabularies with pieces")
    if unknown := {f for parts in bars.values() for f in parts} - FATES.keys():
        raise ValueError(f"{sorted(unknown)[0]!r} is none of {', '.join(FATES)}")
    with style():
        figure, axes = new_figure(height=1.3 + 0.62 * len(bars))
        most = max(sum(parts.values()) for parts in bars.values())
        seen: dict[str, Any] = {}
        for row, parts in enumerate(bars.values()):
            left = 0
            for fate, count in parts.items():
                fill, edge, hatch = FATES[fate]
                bar = axes.barh(row, count, left=left, height=0.62, color=fill, edgecolor=edge,
                                hatch=hatch, lw=1)
                seen.setdefault(fate, bar)
                if count > 0.07 * most:
                    axes.text(left + count / 2, row, f"{count:,}", ha="center", va="center",
                              fontsize=10, weight="bold", color=INK,
                              bbox={"facecolor": PAGE, "edgecolor": "none", "pad": 1.2})
                left += count
        axes.set_yticks(range(len(bars)), list(bars))
        axes.invert_yaxis()
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.tick_params(axis="y", length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.set_title(title, x=0, ha="left")
        ordered = [fate for fate in FATES if fate in seen]
        figure.legend([seen[fate] for fate in ordered], ordered, loc="outside lower center",
                      ncols=2)
    return figure


def class_shares(
    shares: Mapping[str, Mapping[str, float]], *, title: str = "What kind of pieces?"
) -> Figure:
    """Classes as rows; a group of pieces is a bar in each of them.

    Args:
        shares: group (at most three, such as "new pieces") → {class → share of the group}.

    Raises:
        ValueError: no group, or more than there are looks.
    """
    looks = ((BLUE, None), ("#ffffff", "////"), ("#fde9b8", "..."))
    if not 1 <= len(shares) <= len(looks):
        raise ValueError(f"{len(shares)} groups: give 1 to {len(looks)}")
    names = list(next(iter(shares.values())))
    with style():
        height = 0.8 / len(shares)
        figure, axes = new_figure(height=1.3 + 0.3 * len(names) * len(shares))
        for place, ((group, found), (fill, hatch)) in enumerate(
            zip(shares.items(), looks, strict=False)
        ):
            rows = [row + (place + 0.5) * height - 0.4 for row in range(len(names))]
            values = [found[name] for name in names]
            axes.barh(rows, values, height=height, color=fill, hatch=hatch, edgecolor=BLUE, lw=0.9,
                      label=group)
            for row, value in zip(rows, values, strict=True):
                said = f"{value:.1%}" if value < 0.1 else f"{value:.0%}"
                axes.text(value + 0.008, row, said, va="center", fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.14 * max(max(found.values()) for found in shares.values()))
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.tick_params(axis="y", length=0)
        axes.spines["bottom"].set_visible(False)
        axes.set_title(title, x=0, ha="left")
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def before_and_after(
    values: Mapping[str, tuple[float, float]], *, title: str = "Old and new vocabulary"
) -> Figure:
    """Texts as rows, a number with the old and with the new vocabulary, and an arrow between.

    Args:
        values: text → (old, new).

    Raises:
        ValueError: no text.
    """
    if not values:
        raise ValueError("no text to draw")
    with style():
        figure, axes = new_figure(height=1.35 + 0.42 * len(values))
        numbers = [number for pair in values.values() for number in pair]
        reach = max(numbers) - min(numbers) or 0.1
        named: set[str] = set()  # in the legend
        for row, (old, new) in enumerate(values.values()):
            worse = new > old
            colour = RED if worse else GREEN
            far = abs(new - old) > 0.1 * reach  # else the marks would swallow the point
            axes.annotate("", (new, row), (old, row), zorder=1, arrowprops={
                "arrowstyle": "-|>" if far else "-", "color": colour, "lw": 2,
                "shrinkA": 4, "shrinkB": 4, "linestyle": "--" if worse else "-"})
            axes.plot(old, row, "o", mfc=PAGE, mec=INK, mew=1.6, ms=8,
                      label="old vocabulary" if row == 0 else None)
            name = "new, longer" if worse else "new vocabulary"
            axes.plot(new, row, "s", color=colour, mec=INK, mew=0.8, ms=8,
                      label=None if name in named else name)
            named.add(name)
            side = 1 if worse else -1
            axes.annotate(f"{new:.2f}", (new, row), (9 * side, 0), textcoords="offset points",
                          ha="left" if worse else "right", va="center", weight="bold",
                          fontsize=10)
            axes.annotate(f"{old:.2f}", (old, row), (-9 * side, 0), textcoords="offset points",
                          ha="right" if worse else "left", va="center", fontsize=10)
        axes.set_yticks(range(len(values)), list(values))
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.set_xlim(min(numbers) - 0.2 * reach, max(numbers) + 0.2 * reach)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("pieces per word")
        axes.set_title(title, x=0, ha="left")
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def coverage_curves(
    curves: Mapping[str, Sequence[Sequence[float]]],
    *,
    marked: Mapping[str, tuple[int, float]] | None = None,
    title: str = "Running words that are one piece",
) -> Figure:
    """Coverage against the size of a vocabulary, a line per text.

    Args:
        curves: text → (size, coverage, ...) points, at most six.
        marked: curve → (size, coverage) of the old vocabulary on its text: a hollow mark of its
            colour.

    Raises:
        ValueError: nothing to draw, or more curves than there are looks.
    """
    if not curves or not all(curves.values()) or len(curves) > len(SERIES):
        raise ValueError(f"{len(curves)} curves: give 1 to {len(SERIES)} with points")
    with style():
        figure, axes = new_figure(height=4.3)
        for (name, points), look in zip(curves.items(), SERIES, strict=False):
            axes.plot([p[0] for p in points], [p[1] for p in points], **look, label=name)
        colours = dict(zip(curves, (look["color"] for look in SERIES), strict=False))
        for n, (name, (size, share)) in enumerate((marked or {}).items()):
            axes.plot([size], [share], linestyle="none", marker="Ds"[n % 2], ms=13 - 4 * (n % 2),
                      mec=colours[name], mfc="none", mew=2.2, zorder=4,
                      label=f"old vocabulary, {name}")
        axes.set(xscale="log", xlabel="pieces in the vocabulary")
        axes.xaxis.set_major_formatter(lambda size, _: f"{size:,.0f}")
        sizes = sorted({int(p[0]) for points in curves.values() for p in points})
        axes.set_xticks(_apart(sizes))
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.grid(axis="x")
        axes.set_title(title, x=0, ha="left")
        figure.legend(loc="outside lower center", ncols=2, handlelength=3.2)
    return figure


def _apart(sizes: Sequence[int]) -> list[int]:
    """Sizes far enough apart on a logarithmic axis for their labels."""
    kept: list[int] = []
    for size in sizes:
        if not kept or size > 1.7 * kept[-1]:
            kept.append(size)
    return kept
