"""Figures of tasks beyond entities: what is read, F1 label by label, scores beside gold, margins.

They share the style of ``plots``: a colour is never the only difference, and everything reads at
400 px.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from bioptimus_lib.pictures import panel
from bioptimus_lib.plots import BLUE, INK, PAGE, RED, SOFT, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bioptimus_lib.task_steps import Piece

SPECIAL = re.compile(r"\[[A-Z]+\]")
SIGNS = frozenset(("<", ">", "[", "]", "@", "$"))
MOST_PANELS = 4


# --- what is read ------------------------------------------------------------------------------


def reading(
    rows: Mapping[str, Sequence[Piece]], *, most: int = 60, signs: bool = True
) -> str:
    """What a model reads, as chips: special pieces dark, signs set off, the second text below a 2.

    Args:
        rows: heading → pieces.
        most: pieces of a row; what is left is counted.
        signs: whether brackets and placeholders are set off.
    """
    parts = []
    for heading, pieces in rows.items():
        parts.append(
            f"<h3>{escape(heading)} <small>{len(pieces)} pieces</small></h3><div class='line'>"
        )
        words: list[list[str]] = []
        for piece in pieces[:most]:
            kind = " mask" if SPECIAL.fullmatch(piece.text) else ""
            kind = " kept" if signs and piece.text in SIGNS else kind
            chip = (
                f'<span class="p{kind}">{escape(piece.text)}<small>{piece.part + 1}</small></span>'
            )
            if piece.text.startswith("##") and words:
                words[-1].append(chip)
            else:
                words.append([chip])
        parts += ['<span class="word">' + "".join(word) + "</span>" for word in words]
        if len(pieces) > most:
            parts.append(f"<span class='p'>… {len(pieces) - most} more</span>")
        parts.append("</div>")
    key = '<p class="key">Small print: 1 for the first text, 2 for the second.</p>'
    return panel("".join(parts) + key, label="What the model reads: " + ", ".join(rows))


# --- scores taken apart ------------------------------------------------------------------------


def by_label(
    labels: Mapping[str, Mapping[str, float]],
    *,
    micro: float,
    macro: float,
    title: str = "F1 label by label",
    xlabel: str = "F1, per cent (right: gold answers in test)",
) -> Figure:
    """A bar of F1 for each label, the most frequent on top, with micro and macro F1 as lines.

    Args:
        labels: label → ``f1`` in percent and ``gold``, how often it is right.

    Raises:
        ValueError: no label.
    """
    if not labels:
        raise ValueError("no label to draw")
    ordered = sorted(labels, key=lambda name: (-labels[name]["gold"], name))
    with style():
        figure, axes = new_figure(height=1.5 + 0.31 * len(ordered))
        for row, name in enumerate(ordered):
            found = labels[name]
            axes.barh(row, found["f1"], height=0.62, color="#a9cbe3", edgecolor=INK, lw=0.8)
            axes.annotate(f"{found['gold']:,.0f}", (1.0, row), xytext=(4, 0), va="center",
                          xycoords=("axes fraction", "data"), textcoords="offset points",
                          annotation_clip=False)
        for value, name, colour, line in ((micro, "micro", BLUE, "-"), (macro, "macro", RED, "--")):
            axes.axvline(value, color=colour, lw=2, linestyle=line, label=f"{name} {value:.1f}")
        axes.set_yticks(range(len(ordered)), [shortened(name) for name in ordered])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(xlabel)
        axes.set_title(title, x=0, ha="left")
        figure.legend(loc="outside lower center", ncols=2, handlelength=3)
    return figure


def shortened(name: str, most: int = 24) -> str:
    """A label that fits beside a bar.

    >>> shortened("Sustaining proliferative signaling")
    'Sustaining proliferativ…'
    """
    return name if len(name) <= most else name[: most - 1] + "…"


class Scatter(NamedTuple):
    """Predicted numbers over gold ones, their correlation in percent, and whether both are in one
    unit, so that they could be equal."""

    gold: Sequence[float]
    predicted: Sequence[float]
    pearson: float
    one_unit: bool = True


def beside_gold(
    panels: Mapping[str, Scatter], *, title: str, ylabel: str = "predicted"
) -> Figure:
    """Predicted scores over gold ones, a panel for each model; of one unit with the line of
    equality.

    Raises:
        ValueError: no panel, or too many.
    """
    if not 1 <= len(panels) <= MOST_PANELS:
        raise ValueError(f"{len(panels)} panels: give 1 to {MOST_PANELS}")
    with style():
        columns = len(panels) if len(panels) < MOST_PANELS else 2
        lines = -(-len(panels) // columns)
        figure, axes = new_figure(
            height=0.6 + 2.6 * lines, rows=lines, columns=columns, squeeze=False, sharex=True
        )
        for place, (name, found) in zip(axes.flat, panels.items(), strict=True):
            ends = [min(found.gold), max(found.gold)]
            if found.one_unit:
                place.plot(ends, ends, color=SOFT, lw=1.2, linestyle=(0, (3, 3)))
            place.plot(found.gold, found.predicted, "o", ms=3, mfc=PAGE, mec=BLUE, mew=0.8,
                       alpha=0.7, linestyle="none")
            place.set_title(f"{name}\nr = {found.pearson / 100:.2f}", fontsize=10.5, pad=6)
            place.grid(axis="both")
        for row in axes:
            row[0].set_ylabel(ylabel)
        for place in axes[-1]:
            place.set_xlabel("gold")
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure
