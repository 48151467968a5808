"""The widget of the distillation chapter: one new word, its neighbours under each strategy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from bioptimus_lib.controls import above_picture
from bioptimus_lib.plots import image, nearest, neighbours


def neighbour_panels(
    tables: Mapping[str, Any], names: Sequence[str], word: str, *, n: int = 5
) -> dict[str, list[tuple[str, float]]]:
    """The n nearest names of a word in each table, with their cosines; common means taken off.

    Args:
        tables: strategy → rows (N, H), one for each name.
        names: what the rows stand for.
        word: one of them.

    Raises:
        ValueError: the word is none of the names.
    """
    if word not in names:
        raise ValueError(f"{word!r} has no row here: choose one of the {len(names)} names")
    row = list(names).index(word)
    found = {}
    for strategy, rows in tables.items():
        near = nearest(rows - rows.mean(0), row, n=n)
        found[strategy] = [(names[index], cosine) for index, cosine in near]
    return found


def neighbours_picture(
    tables: Mapping[str, Any],
    names: Sequence[str],
    word: str,
    *,
    classes: Mapping[str, str],
    n: int = 5,
) -> str:
    """The static twin of the browser: one word's neighbours under each strategy, as HTML.

    Args:
        tables, names, word: as in ``neighbour_panels``.
        classes: name → semantic class; neighbours of the word's own class are marked.
    """
    panels = neighbour_panels(tables, names, word, n=n)
    kind = classes.get(word)
    related = {name for name, other in classes.items() if other == kind} if kind else set()
    title = f"{word} ({kind})" if kind else word
    said = "; ".join(
        f"{strategy}: {', '.join(name for name, _ in found)}" for strategy, found in panels.items()
    )
    figure = neighbours(panels, related=related, title=title)
    return image(figure, alt=f"Nearest neighbours of {title}, a panel per strategy. {said}.")


def neighbours_browser(
    tables: Mapping[str, Any],
    names: Sequence[str],
    *,
    classes: Mapping[str, str],
    words: Iterable[str],
) -> Any:
    """Choose a new word and see its neighbours under each strategy.

    Args:
        words: those that can be chosen, in the order of the list.

    Returns:
        The widget; the last expression of a cell shows it.

    Raises:
        ValueError: there is no word to choose.
    """
    import ipywidgets

    words = list(words)
    if not words:
        raise ValueError("no words to browse: give at least one")
    controls = {
        "word": ipywidgets.Dropdown(options=words, value=words[0], description="word"),
        "n": ipywidgets.IntSlider(
            value=5, min=1, max=10, description="neighbours", continuous_update=False
        ),
    }

    return above_picture(controls, partial(neighbours_picture, tables, names, classes=classes))
