"""Figures of compact models: softened answers, attention maps, layers beside layers, trade-offs.

They share the style of ``plots``: a colour is never the only difference, and everything reads at
400 px.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bioptimus_lib.plots import BLUE, INK, PAGE, PALE, RED, SOFT, new_figure, style

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME_AWAY = 9.5  # points from the middle of a mark to that of its name
SHOWN_PIECES = 16  # rows of an attention map that can be read at 400 px


def softened(
    panels: Mapping[str, Sequence[tuple[str, float]]],
    *,
    title: str = "One answer at several temperatures, each on its own scale",
) -> Figure:
    """Bars of probability, a panel per temperature, the same pieces in the same order; each panel
    has its own scale, for at a high temperature nothing would be seen on the first one's.

    Args:
        panels: name → (piece, probability), as many in each; at most three.

    Raises:
        ValueError: no panel, too many, or other pieces in one.
    """
    names = {tuple(piece for piece, _ in some) for some in panels.values()}
    if not 1 <= len(panels) <= 3 or len(names) != 1:
        raise ValueError(f"panels {list(panels)}: give one to three with the same pieces")
    (pieces,) = names
    with style():
        figure, axes = new_figure(
            height=1.3 + 0.3 * len(pieces), columns=len(panels), sharey=True, squeeze=False
        )
        for place, (name, some) in zip(axes.flat, panels.items(), strict=True):
            chances = [chance for _, chance in some]
            place.barh(range(len(some)), chances, height=0.7, color="#a9cbe3", edgecolor=INK,
                       lw=0.8)
            top = max(chances)
            for row, chance in enumerate(chances):
                place.text(chance + 0.03 * top, row, f"{chance:.{2 if chance < 0.01 else 1}%}",
                           va="center", fontsize=9)
            place.set_xlim(0, 1.5 * top)
            place.set_xticks([])
            place.set_title(name, fontsize=10.5, pad=6)
            place.grid(visible=False)
            place.spines["bottom"].set_visible(False)
        axes.flat[0].set_yticks(range(len(pieces)), pieces)
        axes.flat[0].set_ylim(len(pieces) - 0.4, -0.6)
        axes.flat[0].tick_params(axis="y", length=0)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def attention(
    panels: Mapping[str, np.ndarray], pieces: Sequence[str], *, title: str = "Who looks where"
) -> Figure:
    """Attention maps side by side on one scale, darker for more; rows look at columns.

    Args:
        panels: name → probabilities (T, T), rows sum to 1; at most two.
        pieces: the T pieces, at most ``SHOWN_PIECES``.

    Raises:
        ValueError: no panel, too many, or maps of another size than the pieces.
    """
    size = len(pieces)
    if not 1 <= len(panels) <= 2 or not 1 <= size <= SHOWN_PIECES or any(
        map_.shape != (size, size) for map_ in panels.values()
    ):
        raise ValueError(f"{len(panels)} maps of {size} pieces: give one or two of their size")
    top = max(0.3, *(float(values.max()) for values in panels.values()))
    with style():
        figure, axes = new_figure(height=4.3, columns=len(panels), squeeze=False, sharey=True)
        for place, (name, values) in zip(axes.flat, panels.items(), strict=True):
            drawn = place.imshow(values, cmap="Blues", vmin=0, vmax=top)
            place.set_xticks(range(size), pieces, rotation=90, fontsize=9)
            place.set_xlabel("is looked at")
            place.set_title(name, fontsize=10.5, pad=6)
            place.grid(visible=False)
        axes.flat[0].set_yticks(range(size), pieces, fontsize=9)
        axes.flat[0].set_ylabel("looks")
        figure.colorbar(drawn, ax=axes, shrink=0.6, format=lambda share, _: f"{share:.0%}")
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def layer_grid(
    panels: Mapping[str, np.ndarray],
    *,
    mapped: Sequence[tuple[int, int]] = (),
    title: str = "How far are the layers apart?",
) -> Figure:
    """1 − cosine of the states of two models, layer by layer, with the number in each field.

    Args:
        panels: name → (layers of the student + 1, layers of the teacher + 1), embeddings first.
        mapped: pairs that are compared in training, student's and teacher's layer, both counted
            from 0, −1 for the embeddings; they get a frame.

    Raises:
        ValueError: no panel, or panels of different sizes.
    """
    import numpy as np
    from matplotlib.patches import Rectangle

    if not panels or len({values.shape for values in panels.values()}) != 1:
        raise ValueError(f"panels {list(panels)}: give one or more of one size")
    top = max(float(np.max(values)) for values in panels.values())
    with style():
        figure, axes = new_figure(
            height=1.0 + 1.75 * len(panels), rows=len(panels), squeeze=False, sharex=True
        )
        for place, (name, values) in zip(axes.flat, panels.items(), strict=True):
            rows, columns = values.shape
            place.imshow(values, cmap="Blues_r", vmin=0, vmax=max(top, 1e-9), aspect="auto")
            for row in range(rows):
                for column in range(columns):
                    dark = values[row, column] < 0.45 * top
                    place.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center",
                               fontsize=10, color=PAGE if dark else INK)
            for ours, theirs in mapped:
                place.add_patch(Rectangle((theirs + 0.52, ours + 0.52), 0.96, 0.96, fill=False,
                                          edgecolor=RED, lw=2.4, linestyle=(0, (3, 1.5))))
            place.set_yticks(range(rows), ["emb.", *map(str, range(rows - 1))])
            place.set_xticks(range(columns), ["emb.", *map(str, range(columns - 1))])
            place.set_ylabel("student")
            place.set_title(name, fontsize=10.5, pad=6)
            place.grid(visible=False)
        axes.flat[-1].set_xlabel("layer of the teacher, from 0")
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


class Model(NamedTuple):
    """A model in a trade-off: its F1 over seeds, its encoder's parameters, its times, its memory.

    ``milliseconds`` of a batch of one row, and of one of 32; ``megabytes`` of all weights.
    """

    f1: Sequence[float]
    parameters: float
    milliseconds: Mapping[int, float]
    megabytes: float


#: What a panel is about → how to read it off a model.
COSTS: dict[str, Callable[[Model], float]] = {
    "parameters of the encoder, millions": lambda m: m.parameters / 1e6,
    "latency, ms (batch 1)": lambda m: m.milliseconds[1],
    "ms for a row in a batch of 32": lambda m: m.milliseconds[32] / 32,
    "memory of the weights, MB": lambda m: m.megabytes,
}


def trade_off(
    models: Mapping[str, Model],
    *,
    small: Mapping[str, Model] | None = None,
    title: str = "What a point of F1 costs",
) -> Figure:
    """F1 against four costs, each model a circle with a number; a square is the same in 8 bits.

    Args:
        models: name → model; the numbers follow this order. The legend says them.
        small: the same name → its version in 8 bits, joined by a line.

    Raises:
        ValueError: nothing to draw, or a small version of a model that is not there.
    """
    import numpy as np

    small = small or {}
    if not models or small.keys() - models.keys():
        raise ValueError(f"{len(models)} models, 8 bits of {list(small)}: give both of one name")
    numbers = {name: str(n) for n, name in enumerate(models, start=1)}
    with style():
        figure, axes = new_figure(
            height=6.0 + 0.2 * -(-len(models) // 2), rows=2, columns=2, sharey=True
        )
        marks: dict[Axes, list[tuple[str, float, float]]] = {place: [] for place in axes.flat}
        for place, (label, cost) in zip(axes.flat, COSTS.items(), strict=True):
            for name, model in models.items():
                here = cost(model), float(np.mean(model.f1))
                if name in small:
                    there = cost(small[name]), float(np.mean(small[name].f1))
                    place.plot(*zip(here, there, strict=True), color=SOFT, lw=1.0, zorder=1)
                    place.plot(*there, "s", ms=7, mfc="#f7d9c4", mec=RED, mew=1.4, zorder=2)
                    marks[place].append(("", *there))  # its line says whose it is
                place.plot(*here, "o", ms=7, mfc=PALE, mec=BLUE, mew=1.4, zorder=3)
                marks[place].append((numbers[name], *here))
            place.set_xlabel(label, fontsize=10)
            place.margins(0.16)
            place.set_xlim(left=0)
            place.grid(axis="both")
        for place in axes[:, 0]:
            place.set_ylabel("F1, per cent")
        look = {"linestyle": "none", "mew": 1.4, "ms": 7}
        handles = [
            *(axes[0, 0].plot([], [], "o", mfc=PALE, mec=BLUE, label=f"{n}  {name}", **look)[0]
              for name, n in numbers.items()),
            *([axes[0, 0].plot([], [], "s", mfc="#f7d9c4", mec=RED, label="the same, 8 bits",
                               **look)[0]] if small else []),
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=2, handletextpad=0.3)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
        figure.draw_without_rendering()  # now it is known what lies where
        for place, some in marks.items():
            _name_beside(place, some)
    return figure


def _name_beside(place: Axes, marks: Sequence[tuple[str, float, float]]) -> None:
    """Write the name of each mark (name, x, y) that has one where it is furthest from all marks and
    names; the right side is preferred."""
    import numpy as np

    to_points = 72 / place.figure.dpi
    at = place.transData.transform([mark[1:] for mark in marks]) * to_points  # (marks, 2)
    low, high = place.bbox.get_points() * to_points
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    sides = NAME_AWAY * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    taken = at
    for (name, x, y), here in zip(marks, at, strict=True):
        if not name:
            continue
        spots = here + sides
        room = np.linalg.norm(spots[:, None] - taken[None], axis=2).min(axis=1)
        inside = ((spots > low + 5) & (spots < high - 5)).all(axis=1)
        best = int(np.where(inside, room.round(1), -1).argmax())
        taken = np.vstack((taken, spots[best]))
        place.annotate(name, (x, y), xytext=tuple(sides[best]), textcoords="offset points",
                       ha="center", va="center", fontsize=9, weight="bold", zorder=4)
