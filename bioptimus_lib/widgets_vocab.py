"""The widget of the vocabulary chapter: type words, see how several tokenizers cut them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from bioptimus_lib.controls import above_picture
from bioptimus_lib.pictures import panel, pieces_table

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST = 12  # words shown


def cutting_lab(tokenizers: Mapping[str, PreTrainedTokenizerBase], text: str) -> Any:
    """Type one or more words and see what each tokenizer makes of them.

    Args:
        tokenizers: name → tokenizer.
        text: what stands in the box to begin with.

    Returns:
        The widget; the last expression of a cell shows it.
    """
    import ipywidgets

    box = ipywidgets.Text(
        value=text, description="words", layout=ipywidgets.Layout(width="95%")
    )

    return above_picture({"text": box}, partial(cuts, tokenizers))


def cuts(tokenizers: Mapping[str, PreTrainedTokenizerBase], text: str) -> str:
    """The static twin of the lab: words between blanks as each tokenizer cuts them, as HTML."""
    found = list(dict.fromkeys(text.split()))
    if not found:
        return panel("<p>Type a word.</p>")
    table = pieces_table({
        word: {name: tokenizer.tokenize(word) for name, tokenizer in tokenizers.items()}
        for word in found[:MOST]
    })
    left = len(found) - MOST
    more = panel(f"<p>{escape(str(left))} more words are not shown.</p>") if left > 0 else ""
    return table + more
