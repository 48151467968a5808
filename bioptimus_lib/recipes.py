"""The compact models of two papers as a table: shape, start, objective, layer map, training.

Rohanian et al. 2022 (Compact Biomedical Transformers) and 2023 (Lightweight Clinical Transformers).
What a row says was read in the authors' scripts and logs; ``None`` is "not found"
by us. Where a value is needed all the same, it is our choice, and ``ours`` of the row names it.

Nothing here loads torch, so that a command can print the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bioptimus_lib.objectives import OBJECTIVES, Objective
from bioptimus_lib.profile import NOT_FOUND

COMPACT = "Rohanian et al. 2022"
CLINICAL = "Rohanian et al. 2023"
ARCHITECTURES = ("bert", "distilbert", "mobilebert", "mini_albert")


@dataclass(frozen=True)
class Shape:
    """Sizes of an encoder.

    Args:
        layers: or passes through the one shared layer.
        hidden: units of a hidden state, H.
        heads: of attention.
        intermediate: units of the feed-forward part.
        embedding: units of a piece's row, if they are not H.
        bottleneck: units inside a layer of MobileBERT.
        adapter: units of the two adapters of each pass of MiniALBERT.
    """

    layers: int
    hidden: int
    heads: int
    intermediate: int
    embedding: int | None = None
    bottleneck: int | None = None
    adapter: int | None = None

    def __str__(self) -> str:
        return f"{self.layers} × {self.hidden}"


#: The shape of the papers' teachers, to which those of the students stand in proportion.
BASE = Shape(12, 768, 12, 3072)
SIX = Shape(6, 768, 12, 3072)
TINY = Shape(4, 312, 12, 1200)
MOBILE = Shape(24, 512, 4, 512, embedding=128, bottleneck=128)
MINI = Shape(6, 768, 12, 3072, embedding=312, adapter=48)


def scaled(shape: Shape, teacher: Shape, *, of: Shape = BASE) -> Shape:
    """A student's shape beside another teacher: what ``shape`` is to ``of``, rounded, 1 at least.

    Hidden units are a multiple of the heads, as attention wants it.

    >>> scaled(SIX, Shape(4, 256, 4, 1024)) == Shape(2, 256, 4, 1024)
    True
    """

    def part(value: int, large: int, small: int, multiple: int = 1) -> int:
        return multiple * max(1, int(value * small / large / multiple + 0.5))

    def units(value: int | None, multiple: int = 1) -> int | None:
        return value and part(value, of.hidden, teacher.hidden, multiple)

    heads = part(shape.heads, of.heads, teacher.heads)
    return Shape(
        layers=part(shape.layers, of.layers, teacher.layers),
        hidden=part(shape.hidden, of.hidden, teacher.hidden, heads),
        heads=heads,
        intermediate=part(shape.intermediate, of.intermediate, teacher.intermediate),
        embedding=units(shape.embedding),
        bottleneck=units(shape.bottleneck, heads),
        adapter=units(shape.adapter),
    )  # fmt: skip


# -- layers of the teacher -------------------------------------------------------------------------


def first_of_group(students: int, teachers: int) -> tuple[int, ...]:
    """The first of each group when the teacher's layers are cut into as many groups as the student
    has layers; counted from 0.

    >>> first_of_group(6, 12)
    (0, 2, 4, 6, 8, 10)
    """
    _check_depths(students, teachers)
    return tuple(i * teachers // students for i in range(students))


def last_of_group(students: int, teachers: int) -> tuple[int, ...]:
    """The last of each group, with which the student's last layer answers for the teacher's.

    >>> last_of_group(6, 12), last_of_group(4, 12)
    ((1, 3, 5, 7, 9, 11), (2, 5, 8, 11))
    """
    _check_depths(students, teachers)
    return tuple((i + 1) * teachers // students - 1 for i in range(students))


def _check_depths(students: int, teachers: int) -> None:
    if not 1 <= students <= teachers:
        raise ValueError(f"a student of {students} layers cannot follow a teacher of {teachers}")


def check_layers(layers: Sequence[int], depth: int, what: str) -> tuple[int, ...]:
    """The layers, if the teacher has them all.

    Raises:
        ValueError: none, or one that is outside of the teacher.
    """
    if not layers or not all(0 <= layer < depth for layer in layers):
        raise ValueError(
            f"{what} {','.join(map(str, layers))}: the teacher has layers 0 to {depth - 1}"
        )
    return tuple(layers)


# -- the table -------------------------------------------------------------------------------------

#: (layers of the student, layers of the teacher) → which of the teacher's.
Rule = Callable[[int, int], tuple[int, ...]]


@dataclass(frozen=True)
class Recipe:
    """How one compact model is made.

    Args:
        name: in the paper.
        paper: which.
        architecture: one of ``ARCHITECTURES``.
        shape: at full size.
        objective: what it is trained for.
        start: what the first weights are: ``teacher`` (some of its layers, embeddings and head),
            ``random``, or the name of a small model that is trained on.
        millions: parameters, as published.
        teacher: name.
        start_layers: of the teacher, by a rule for any depth.
        layer_map: student's layer → teacher's, by such a rule.
        steps: as published.
        learning_rate: as published.
        batch: sequences in a step, as published.
        length: pieces in a sequence, as published.
        ours: fields and questions where what we do is our choice, for we know no published value.
    """

    name: str
    paper: str
    architecture: str
    shape: Shape
    objective: Objective
    start: str
    millions: float | None = None
    teacher: str | None = None
    start_layers: Rule | None = None
    layer_map: Rule | None = None
    steps: int | None = None
    learning_rate: float | None = None
    batch: int | None = 192
    length: int | None = None
    ours: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture {self.architecture!r}: choose one of {ARCHITECTURES}")
        if (self.start == "teacher") != (self.start_layers is not None):
            raise ValueError(f"{self.name}: start_layers go with the start 'teacher'")
        if self.objective.maps_layers != (self.layer_map is not None):
            raise ValueError(f"{self.name}: a layer map is for an objective that compares layers")

    @property
    def continues(self) -> bool:
        """Whether it trains a small model on, without a teacher."""
        return not self.objective.teaches


def _compact(name: str, *values: Any, **others: Any) -> Recipe:
    return Recipe(name, COMPACT, *values, **{"length": 256, **others})


def _clinical(name: str, *values: Any, **others: Any) -> Recipe:
    return Recipe(name, CLINICAL, *values, **{"steps": 121_761, **others})


_MLM = OBJECTIVES["masked language model"]
_DISTILLED = {"steps": 100_000, "learning_rate": 5e-4}
_CONTINUED = {"steps": 200_000, "learning_rate": 1e-4}
_MOBILE_SHAPE = "shape: Transformers' own for this model, but for the number of layers"

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _compact(
            "DistilBioBERT", "bert", SIX, OBJECTIVES["DistilBERT"], "teacher", 65, "BioBERT",
            start_layers=first_of_group, **_DISTILLED,
        ),
        _compact(
            "CompactBioBERT", "bert", SIX, OBJECTIVES["CompactBioBERT"], "teacher", 65, "BioBERT",
            start_layers=last_of_group, layer_map=last_of_group, **_DISTILLED,
        ),
        _compact(
            "TinyBioBERT", "bert", TINY, OBJECTIVES["TinyBERT"], "random", 15, "BioBERT",
            layer_map=last_of_group, **_DISTILLED,
        ),
        _compact("BioDistilBERT", "distilbert", SIX, _MLM, "DistilBERT", 65, **_CONTINUED),
        _compact("BioTinyBERT", "bert", TINY, _MLM, "TinyBERT", 15, **_CONTINUED),
        _compact("BioMobileBERT", "mobilebert", MOBILE, _MLM, "MobileBERT", 25, **_CONTINUED,
                 ours=(_MOBILE_SHAPE,)),
        _clinical(
            "DistilClinicalBERT", "bert", SIX, OBJECTIVES["DistilBERT"], "teacher", None,
            "Bio_ClinicalBERT", start_layers=last_of_group, learning_rate=5e-4,
        ),
        _clinical(
            "TinyClinicalBERT", "bert", TINY, OBJECTIVES["TinyBERT"], "random", None,
            "Bio_ClinicalBERT", layer_map=last_of_group, learning_rate=5e-4,
        ),
        _clinical(
            "ClinicalMiniALBERT", "mini_albert", MINI, OBJECTIVES["CompactBioBERT"], "random", 18,
            "Bio_ClinicalBERT", layer_map=last_of_group, learning_rate=5e-4,
            ours=("head: ends in the table of embeddings",),
        ),
        _clinical("ClinicalDistilBERT", "distilbert", SIX, _MLM, "BioDistilBERT",
                  learning_rate=5e-5),
        _clinical("ClinicalMobileBERT", "mobilebert", MOBILE, _MLM, "BioMobileBERT",
                  learning_rate=5e-5, ours=(_MOBILE_SHAPE,)),
    )
}  # fmt: skip


def recipe(name: str) -> Recipe:
    """The recipe of that name, in whatever case.

    >>> print(recipe("tinybiobert").shape)
    4 × 312

    Raises:
        ValueError: there is none.
    """
    found = {known.lower(): row for known, row in RECIPES.items()}.get(name.lower())
    if found is None:
        raise ValueError(f"recipe {name!r} is unknown: choose one of {', '.join(RECIPES)}")
    return found


def table() -> str:
    """The recipes as a Markdown table."""
    rows = [
        "| model | shape | parameters | starts from | objective | steps | learning rate | ours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in RECIPES.values():
        start = r.start
        if r.start_layers:
            start = f"layers {', '.join(map(str, r.start_layers(r.shape.layers, BASE.layers)))}"
        rate = r.learning_rate and f"{r.learning_rate:.0e}".replace("e-0", "e-")
        rows.append(
            f"| {r.name} | {r.shape} | {_known(r.millions and f'{r.millions:g}M')} | {start} "
            f"| {r.objective} | {_known(r.steps and f'{r.steps:,}')} "
            f"| {_known(rate)} | {'; '.join(r.ours) or '–'} |"
        )
    return "\n".join(rows)


def _known(value: object) -> object:
    return NOT_FOUND if value is None else value
