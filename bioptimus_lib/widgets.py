"""Widgets: a few controls around a pure function that draws, and its static twin for the book."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from bioptimus_lib.controls import above_picture
from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.masking import UNITS, Masking
from bioptimus_lib.pictures import contexts_list, masked_text, masks, panel
from bioptimus_lib.plots_corpus import steps

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from bioptimus_lib.contexts import Contexts

FREE = "own choice"


def masking_lab(tokenizer: PreTrainedTokenizerBase, text: str) -> Any:
    """Mask a text by a phase of the curriculum, or by settings of one's own.

    Choosing a phase sets unit, rate and corruption; changing one of these leaves the phase.

    Returns:
        The widget; the last expression of a cell shows it.
    """
    import ipywidgets

    first = PHASES[0].masking
    phase = ipywidgets.Dropdown(
        options=[*(p.version for p in PHASES), FREE], value=PHASES[0].version, description="phase"
    )
    controls = {
        "unit": ipywidgets.Dropdown(options=UNITS, value=first.unit, description="unit"),
        "rate": ipywidgets.FloatSlider(
            value=first.rate, min=0.05, max=0.8, step=0.05, description="rate",
            continuous_update=False,
        ),
        "corruption": ipywidgets.Checkbox(value=first.corruption, description="corruption"),
        "seed": ipywidgets.IntSlider(
            value=0, min=0, max=20, description="draw", continuous_update=False
        ),
    }
    settings = {p.version: _values(p.masking) for p in PHASES}

    def picture(unit: str, rate: float, corruption: bool, seed: int) -> str:
        return lab_picture(tokenizer, text, Masking(unit, rate, corruption), seed=seed)

    choosing = [False]  # while a phase sets the controls, their changes are not the reader's

    def choose(change: Any) -> None:
        choosing[0] = True
        for name, value in settings.get(change["new"], {}).items():
            controls[name].value = value
        choosing[0] = False

    def leave(_: Any) -> None:
        if not choosing[0]:
            now = Masking(*(controls[name].value for name in ("unit", "rate", "corruption")))
            phase.value = phase_like(now)

    phase.observe(choose, names="value")
    for name in ("unit", "rate", "corruption"):
        controls[name].observe(leave, names="value")
    return above_picture(controls, picture, first=[phase])


def _values(masking: Masking) -> dict[str, Any]:
    return {"unit": masking.unit, "rate": masking.rate, "corruption": masking.corruption}


def phase_like(masking: Masking) -> str:
    """The version whose phase masks like this, or "own choice".

    >>> phase_like(Masking("word", 0.2, True)), phase_like(Masking("span", 0.2, True))
    ('v0.3', 'own choice')
    """
    near = Masking(masking.unit, round(masking.rate, 4), masking.corruption)  # sliders are floats
    return next((phase.version for phase in PHASES if phase.masking == near), FREE)


def lab_picture(
    tokenizer: PreTrainedTokenizerBase, text: str, masking: Masking, *, seed: int = 0
) -> str:
    """What the lab shows for one setting, as HTML."""
    return masks({str(masking): masked_text(tokenizer, text, masking, seed=seed)})


def masks_of_phases(
    tokenizer: PreTrainedTokenizerBase, text: str, *, seed: int = 0
) -> str:
    """The static twin of the lab: the same text under the masks of each phase, as HTML."""
    return masks(
        {
            f"{phase.version}: {phase.masking}": masked_text(
                tokenizer, text, phase.masking, seed=seed
            )
            for phase in PHASES
        }
    )


def contexts_browser(contexts: Contexts, *, most: int = 5) -> Any:
    """Choose a keyword and see its sentences, up to as many as the slider says.

    Args:
        contexts: what a scan gave.
        most: sentences shown to begin with.

    Returns:
        The widget; the last expression of a cell shows it.

    Raises:
        ValueError: there is no keyword to choose.
    """
    import ipywidgets

    if not contexts:
        raise ValueError("no keywords to browse: scan for at least one")
    largest = max(map(len, contexts.values())) or 1
    controls = {
        "keyword": ipywidgets.Dropdown(options=list(contexts), description="keyword"),
        "most": ipywidgets.IntSlider(
            value=min(most, largest), min=1, max=largest, description="sentences",
            continuous_update=False,
        ),
    }

    return above_picture(controls, partial(browser_picture, contexts))


def browser_picture(contexts: Contexts, keyword: str, *, most: int = 5) -> str:
    """What the browser shows for one keyword, as HTML: how many of its lines, and these."""
    shown = len(contexts[keyword][:most])
    held = contexts.counts.get(keyword)
    of = "" if held is None else f", of {held:,} lines that hold it"
    head = panel(f"<h3>{escape(keyword)} <small>{shown:,} shown{of}</small></h3>")
    return head + contexts_list(keyword, contexts[keyword], most=most)


def browser_twin(contexts: Contexts, keywords: Iterable[str], *, most: int = 2) -> str:
    """The static twin of the browser: some keywords one below the other, as HTML."""
    return "".join(browser_picture(contexts, keyword, most=most) for keyword in keywords)


def cleaning_lab(text: str) -> Any:
    """Type a text and see what each step of the cleaning makes of it.

    Returns:
        The widget; the last expression of a cell shows it.
    """
    import ipywidgets

    box = ipywidgets.Textarea(
        value=text, description="text", layout=ipywidgets.Layout(width="95%", height="5em")
    )

    return above_picture({"text": box}, cleaning_steps)


def cleaning_steps(text: str) -> str:
    """The static twin of the lab: a text after each step of ``cleaning.STEPS``, as HTML."""
    from bioptimus_lib.cleaning import STEPS, clean

    rows, whole = [("as it is", "", text)], text
    for step in STEPS:
        after = step.function(text)
        rows.append((step.name, text, after))
        text = after
    if clean(whole) != text:  # what one step lays bare, an earlier one takes away
        rows.append(("once more", text, clean(whole)))
    return steps(rows)
