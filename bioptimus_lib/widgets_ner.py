"""The error browser of the evaluation chapter: what stands in a sentence, and what was found.

Colours tell the types apart, and so does the small print; what is wrong has a dashed frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from bioptimus_lib.conll import Entity, Sentence, entities
from bioptimus_lib.controls import above_picture
from bioptimus_lib.ner_errors import KINDS, Mistake, errors
from bioptimus_lib.pictures import panel

ALL = "all kinds"
#: Pale grounds that leave dark letters readable; types share them beyond six.
GROUNDS = ("#d6e6f2", "#fbe3d3", "#d9f0e7", "#f4dfea", "#fdeec9", "#dcebf8")
STYLE = """<style>
.bio .tagged{margin:.15rem 0;line-height:2.1;padding-left:4.6em;text-indent:-4.6em}
.bio .tagged b{display:inline-block;min-width:4.6em;font-weight:600;text-indent:0}
.bio .ent{border:1px solid #4b5a6b;border-radius:5px;padding:.08rem .25rem}
.bio .ent.bad{border:2px dashed #b34e00}
.bio .ent small{font-size:.7rem;color:#4b5a6b;margin-left:.3em}
.bio .kind{background:#1f2a37;color:#fff;border-radius:5px;padding:.05rem .4rem;font-size:.8rem;
 margin-right:.3em}
.bio .case{border-top:1px solid #d5dde6;padding:.5rem 0}
</style>"""
Predicted = Sequence[Sequence[str]]


class Case(NamedTuple):
    """A sentence with mistakes: its number, its tokens, its tags, the predicted ones."""

    number: int
    sentence: Sentence
    predicted: Sequence[str]
    mistakes: list[Mistake]


def cases(
    sentences: Sequence[Sentence], predicted: Predicted, *, kind: str = ALL
) -> list[Case]:
    """The sentences with a mistake, or with one of a kind, in their order.

    Raises:
        ValueError: an unknown kind, or another number of sentences or tags.
    """
    if kind != ALL and kind not in KINDS:
        raise ValueError(f"kind {kind!r} is unknown: choose one of {', '.join((ALL, *KINDS))}")
    if len(sentences) != len(predicted):
        raise ValueError(f"{len(sentences)} sentences, {len(predicted)} predicted")
    found = []
    for number, (sentence, tags) in enumerate(zip(sentences, predicted, strict=True)):
        mistakes = errors(sentence.tags, tags)
        if any(kind in (ALL, mistake.kind) for mistake in mistakes):
            found.append(Case(number, sentence, tags, mistakes))
    return found


def case_html(case: Case, *, types: Sequence[str]) -> str:
    """One sentence twice, with the gold entities and with the predicted ones, and its mistakes.

    Args:
        types: all types that occur, which fixes their colours.
    """
    wrong = {id_ for m in case.mistakes for id_ in (*_keys("gold", m.gold),
                                                    *_keys("found", m.predicted))}  # fmt: skip
    lines = "".join(
        f"<p class='tagged'><b>{side}</b> {_marked(case.sentence.tokens, tags, side, wrong, types)}"
        "</p>"
        for side, tags in (("gold", case.sentence.tags), ("found", case.predicted))
    )
    kinds = "".join(
        f"<span class='kind'>{escape(kind)}</span>"
        for kind in dict.fromkeys(mistake.kind for mistake in case.mistakes)
    )
    return f"<div class='case'><p class='tagged'>{kinds} sentence {case.number}</p>{lines}</div>"


def _keys(side: str, some: Sequence[Entity]) -> list[tuple[str, Entity]]:
    return [(side, entity) for entity in some]


def _marked(
    tokens: Sequence[str],
    tags: Sequence[str],
    side: str,
    wrong: set[tuple[str, Entity]],
    types: Sequence[str],
) -> str:
    """Tokens with their entities set off, escaped."""
    parts: list[str] = []
    at = 0
    for entity in entities(tags):
        parts += map(escape, tokens[at : entity.start])
        text = escape(" ".join(tokens[entity.start : entity.stop]))
        ground = GROUNDS[types.index(entity.type) % len(GROUNDS)]
        bad = " bad" if (side, entity) in wrong else ""
        parts.append(
            f"<span class='ent{bad}' style='background:{ground}'>{text}"
            f"<small>{escape(entity.type)}</small></span>"
        )
        at = entity.stop
    return " ".join([*parts, *map(escape, tokens[at:])])


def errors_picture(
    sentences: Sequence[Sentence],
    predicted: Predicted,
    *,
    kind: str = ALL,
    first: int = 0,
    most: int = 3,
    model: str = "",
) -> str:
    """What the browser shows: some sentences with mistakes of a kind, as HTML.

    Args:
        kind: of ``ner_errors.KINDS``, or ``ALL``.
        first, most: which of these sentences; beyond the last one there is none.
        model: whose predictions these are, for the heading.
    """
    found = cases(sentences, predicted, kind=kind)
    shown = found[first : first + most]
    about = f": {escape(KINDS[kind])}" if kind in KINDS else ""
    whose = f"{model}: " if model else ""
    head = (
        f"<h3>{escape(whose + kind)} "
        f"<small>{len(found):,} of {len(sentences):,} sentences{about}</small></h3>"
    )
    body = "".join(case_html(case, types=_types(sentences, predicted)) for case in shown)
    label = f"Sentences with mistakes, {kind}"
    return STYLE + panel(head + (body or "<p>No such sentence here.</p>"), label=label)


def _types(sentences: Sequence[Sentence], predicted: Predicted) -> list[str]:
    rows = (*(sentence.tags for sentence in sentences), *predicted)
    return sorted({entity.type for tags in rows for entity in entities(tags)})


def errors_twin(sentences: Sequence[Sentence], predicted: Predicted, *, most: int = 1) -> str:
    """The static twin of the browser: the shortest sentences of each kind of mistake, as HTML."""
    types = _types(sentences, predicted)
    parts = []
    for kind, about in KINDS.items():
        found = cases(sentences, predicted, kind=kind)
        number = f"{len(found):,} sentence{'' if len(found) == 1 else 's'}"
        few = sorted(found, key=lambda case: (len(case.mistakes), len(case.sentence)))[:most]
        parts.append(
            f"<h3>{escape(kind)} <small>{escape(about)}; {number}</small></h3>"
            + "".join(case_html(case, types=types) for case in few)
        )
    return STYLE + panel("".join(parts), label="A sentence for each kind of mistake")


def errors_browser(sentences: Sequence[Sentence], models: Mapping[str, Predicted]) -> Any:
    """Choose a model and a kind of mistake, and leaf through the sentences.

    Args:
        models: name → predicted tags of the sentences.

    Returns:
        The widget; the last expression of a cell shows it.

    Raises:
        ValueError: no model to choose.
    """
    import ipywidgets

    if not models:
        raise ValueError("no predictions to browse: give those of at least one model")
    controls = {
        "model": ipywidgets.Dropdown(options=list(models), description="model"),
        "kind": ipywidgets.Dropdown(options=[ALL, *KINDS], value=ALL, description="mistake"),
        "first": ipywidgets.IntSlider(
            value=0, min=0, max=0, description="from", continuous_update=False
        ),
    }

    def limit(_: Any = None) -> None:
        """As many places to leaf to as there are sentences."""
        found = cases(sentences, models[controls["model"].value], kind=controls["kind"].value)
        controls["first"].max = max(0, len(found) - 1)  # a value beyond it becomes the last one

    def picture(model: str, kind: str, first: int) -> str:
        return errors_picture(sentences, models[model], kind=kind, first=first, model=model)

    for name in ("model", "kind"):
        controls[name].observe(limit, names="value")
    limit()
    return above_picture(controls, picture)
