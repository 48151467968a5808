"""Exercises of chapter 17: the number that a card may name, a changed release, marks in a page."""

from __future__ import annotations

from hashlib import sha256
from html import escape
from typing import Any

from bioptimus_lib.checks import Exercise, Mistake

# -- 17-1: the number of the card ------------------------------------------------------------------


def index_value(rows: list[dict[str, Any]], version: str) -> tuple[float, int]:
    """The solution of 17-1: mean F1 of a version over its seeds, and the number of these."""
    own = [row["metrics"]["f1"] for row in rows if row["model"] == version]
    return round(sum(own) / len(own), 2), len(own)


def _rows(**scores: tuple[float, ...]) -> list[dict[str, Any]]:
    return [
        {"model": model.replace("_", "."), "seed": seed,
         "metrics": {"f1": f1, "devel_f1": f1 + 2.25, "precision": f1 - 1, "recall": f1 + 1}}
        for model, values in scores.items() for seed, f1 in enumerate(values)
    ]  # fmt: skip


def _index_cases() -> list[tuple[Any, ...]]:
    return [
        (_rows(old=(60.0, 61.5), v0_1=(62.25,), v0_4=(64.5, 63.125, 66.0)), "v0.4"),
        (_rows(old=(71.0, 70.0), v0_4=(72.1, 69.3)), "v0.4"),
        (_rows(v0_1=(50.0, 52.5), v0_4=(55.0,)), "v0.1"),
    ]


def _own(rows: list[dict[str, Any]], version: str, metric: str = "f1") -> list[float]:
    return [row["metrics"][metric] for row in rows if row["model"] == version]


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 2)


INDEX_VALUE = Exercise(
    name="index_value",
    cases=_index_cases,
    solution=index_value,
    mistakes=(
        Mistake(
            lambda rows, version: (round(max(_own(rows, version)), 2), len(_own(rows, version))),
            "this is the best seed. Whoever downloads the model and fine-tunes it gets a seed of "
            "her own: the mean is what she may expect.",
        ),
        Mistake(
            lambda rows, version: (_mean([row["metrics"]["f1"] for row in rows]), len(rows)),
            "all models of the run are in it. The card is about one version.",
        ),
        Mistake(
            lambda rows, version: (_mean(_own(rows, version, "devel_f1")),
                                   len(_own(rows, version))),
            "this is F1 on devel, which has chosen the epoch. A card names the test set.",
        ),
        Mistake(
            lambda rows, version: (round(_own(rows, version)[0], 2), 1),
            "this is the first seed alone. The others are as good a measurement.",
        ),
        Mistake(
            lambda rows, version: (_mean(_own(rows, version)), len(rows)),
            "the mean is right, the number is not: count the seeds of this version, not all rows.",
        ),
        Mistake(
            lambda rows, version: (round(_mean(_own(rows, version)) / 100, 4),
                                   len(_own(rows, version))),
            "this is a share of one. The ledger and the card of this course give F1 in per cent.",
        ),
        Mistake(
            lambda rows, version: (sum(_own(rows, version)) / len(_own(rows, version)),
                                   len(_own(rows, version))),
            "the mean is not rounded: give two places. More of them would promise what so few "
            "seeds cannot know.",
        ),
    ),
    gives="a pair: mean F1 in per cent, rounded to two places, and the number of seeds",
    praise="One number, and how many measurements are behind it.",
)  # fmt: skip

# -- 17-2: is it still what was made? --------------------------------------------------------------


def not_as_made(manifest: dict[str, str], files: dict[str, bytes]) -> list[str]:
    """The solution of 17-2: sorted names that were changed, added or lost."""
    names = manifest.keys() | files.keys()
    return sorted(
        name for name in names
        if name not in files or manifest.get(name) != sha256(files[name]).hexdigest()
    )  # fmt: skip


def _manifest(**files: bytes) -> dict[str, str]:
    return {name: sha256(data).hexdigest() for name, data in files.items()}


def _manifest_cases() -> list[tuple[Any, ...]]:
    made = _manifest(weights=b"0123", config=b"{}", card=b"F1 50.0")
    return [
        (made, {"weights": b"0123", "config": b"{}", "card": b"F1 99.0"}),
        (made, {"weights": b"0123", "card": b"F1 50.0"}),
        (made, {"weights": b"0123", "config": b"{}", "card": b"F1 50.0", "extra": b"x"}),
        (made, {"weights": b"0123", "config": b"{}", "card": b"F1 50.0"}),
        (made, {"notes": b"", "card": b"F1 50", "weights": b"4567"}),
    ]


def _changed(manifest: dict[str, str], files: dict[str, bytes]) -> set[str]:
    both = manifest.keys() & files.keys()
    return {name for name in both if manifest[name] != sha256(files[name]).hexdigest()}


NOT_AS_MADE = Exercise(
    name="not_as_made",
    cases=_manifest_cases,
    solution=not_as_made,
    mistakes=(
        Mistake(
            lambda manifest, files: sorted(
                _changed(manifest, files) | (manifest.keys() - files.keys())
            ),
            "what was added is let through. A file that nobody made on purpose may be the one "
            "that should not go out.",
        ),
        Mistake(
            lambda manifest, files: sorted(
                _changed(manifest, files) | (files.keys() - manifest.keys())
            ),
            "what was lost is let through: whoever loads the release finds a part missing.",
        ),
        Mistake(
            lambda manifest, files: sorted(_changed(manifest, files)),
            "only files that are on both sides are looked at. Names that are on one alone count, "
            "too.",
        ),
        Mistake(
            lambda manifest, files: sorted(manifest.keys() ^ files.keys()),
            "only names are compared. The hash is what tells that the content is the same.",
        ),
        Mistake(
            lambda manifest, files: sorted(
                (manifest.keys() | files.keys()) - set(not_as_made(manifest, files))
            ),
            "these are the files that are as they were made. Wanted are the others.",
        ),
    ),
    gives="a sorted list of names, empty if all is as it was made",
    praise="Changed, added, lost: nothing goes out that was not made.",
)

# -- 17-3: marks in a page -------------------------------------------------------------------------

Entities = list[tuple[int, int, str]]


def mark(text: str, entities: Entities) -> str:
    """The solution of 17-3: the text as HTML, each entity in a ``<mark>`` with its type."""
    parts, at = [], 0
    for start, stop, kind in entities:
        parts.append(escape(text[at:start]))
        parts.append(f'<mark title="{escape(kind)}">{escape(text[start:stop])}</mark>')
        at = stop
    return "".join([*parts, escape(text[at:])])


def _mark_cases() -> list[tuple[Any, ...]]:
    return [
        ("p < 0.05: aspirin & rest, no aspirin", [(10, 17, "Drug")]),
        ("<b>IL-2</b> in \"severe\" gout", [(3, 7, "Gene"), (24, 28, 'a "sign" <x>')]),
        ("no entity & nothing", []),
        ("fever", [(0, 5, "Disease")]),
        ("A&B fever <i>gout</i> end", [(4, 9, "Disease"), (13, 17, "Disease")]),
    ]


def _parts(text: str, entities: Entities, *, kinds: bool = True, tail: bool = True) -> str:
    """The solution without one of its parts."""
    found, at = [], 0
    for start, stop, kind in entities:
        name = escape(kind) if kinds else kind
        inner = escape(text[start:stop])
        found.append(f'{escape(text[at:start])}<mark title="{name}">{inner}</mark>')
        at = stop
    return "".join(found) + (escape(text[at:]) if tail else "")


def _raw(text: str, entities: Entities) -> str:
    for start, stop, kind in reversed(entities):
        text = f'{text[:start]}<mark title="{kind}">{text[start:stop]}</mark>{text[stop:]}'
    return text


def _moved(text: str, entities: Entities) -> str:
    for start, stop, kind in entities:
        text = f'{text[:start]}<mark title="{kind}">{text[start:stop]}</mark>{text[stop:]}'
    return text


def _everywhere(text: str, entities: Entities) -> str:
    out = escape(text)
    for start, stop, kind in entities:
        inner = escape(text[start:stop])
        out = out.replace(inner, f'<mark title="{escape(kind)}">{inner}</mark>')
    return out


def _safe_kinds(entities: Entities) -> Entities:
    return [(start, stop, escape(kind)) for start, stop, kind in entities]


MARK = Exercise(
    name="mark",
    cases=_mark_cases,
    solution=mark,
    mistakes=(
        Mistake(
            _raw,
            "the text goes into the page as it is. A `<` of it becomes a tag, and a `<script>` "
            "would run: escape every part.",
        ),
        Mistake(
            _moved,
            "the first mark makes the text longer, so the places of the second are no longer "
            "true; and nothing is escaped. Build the page from parts, left to right.",
        ),
        Mistake(
            lambda text, entities: _raw(escape(text), _safe_kinds(entities)),
            "escaping makes the text longer (`<` becomes `&lt;`), and the places belong to the "
            "text as it was. Cut first, then escape each part.",
        ),
        Mistake(
            lambda text, entities: escape(_raw(text, entities)),
            "your own marks are escaped with the rest, so the reader sees them as letters.",
        ),
        Mistake(
            lambda text, entities: _parts(text, entities, kinds=False),
            "the text is safe, the type is not: it comes from a file, too, and a quote in it ends "
            "the attribute.",
        ),
        Mistake(
            lambda text, entities: _parts(text, entities, tail=False),
            "what comes after the last entity is lost.",
        ),
        Mistake(
            _everywhere,
            "every place with the same letters is marked. The entity is the one at start:stop.",
        ),
    ),
    gives='HTML: escaped text, with <mark title="TYPE">…</mark> around each entity',
    praise="Any text may come now, with tags in it or without.",
)

EXERCISES = {"17-1": INDEX_VALUE, "17-2": NOT_AS_MADE, "17-3": MARK}
