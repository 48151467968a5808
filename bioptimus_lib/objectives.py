"""What a student is trained for, as data: a sum of terms with weights, which a reader can print.

Nothing here loads torch. What a term computes is a function of the same name in ``distil_terms``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

#: Term → what it reads of both models.
KINDS: dict[str, str] = {
    "masked_lm": "logits",
    "soft_targets": "logits",
    "soft_cross_entropy": "logits",
    "hidden_cosine": "states",
    "hidden_mse": "states",
    "attention_kl": "maps",
    "attention_mse": "maps",
}
LAYERS = ("mapped", "last", "embeddings and mapped")
PROJECTIONS = ("none", "shared", "per layer")


@dataclass(frozen=True)
class Term:
    """One question with its weight.

    Args:
        kind: a row of ``KINDS``.
        weight: factor in the sum.
        temperature: T, of ``soft_targets`` and ``soft_cross_entropy``.
        squared: multiply ``soft_targets`` by T².
        layers: which layers are compared: those that the layer map pairs, the last of both, or the
            embeddings' output and those of the map. The value is the sum over the pairs, as in the
            scripts of both papers.
        projection: how a student of another width is brought to the teacher's: not, by one linear
            map for all pairs, or by one for each (Romero et al., 2015, section 2, where the map is
            called a regressor). The maps are trained and then thrown away.
        per: what ``attention_kl`` is a mean over; see there.
    """

    kind: str
    weight: float = 1.0
    temperature: float = 1.0
    squared: bool = True
    layers: str = "mapped"
    projection: str = "none"
    per: str = "row"

    def __post_init__(self) -> None:
        for name, choices in (
            ("kind", KINDS), ("layers", LAYERS), ("projection", PROJECTIONS),
            ("per", ("row", "element")),
        ):  # fmt: skip
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name} {value!r} is unknown: choose one of {list(choices)}")
        for name in ("weight", "temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be above 0")
        if self.projection != "none" and self.reads != "states":
            raise ValueError(f"{self.kind} has nothing to project: only hidden states are")
        if self.layers == "embeddings and mapped" and self.reads != "states":
            raise ValueError(f"{self.kind} does not read hidden states: embeddings have no others")

    @property
    def reads(self) -> str:
        """``logits``, ``states`` or ``maps``."""
        return KINDS[self.kind]

    def pairs(
        self, layer_map: Sequence[int], *, student: int, teacher: int
    ) -> list[tuple[int, int]]:
        """The layers that are compared, student's and teacher's, both counted from 0; −1 is the
        output of the embeddings.

        Args:
            layer_map: for each layer of the student the teacher's.
            student: its number of layers.
            teacher: its number of layers.

        >>> Term("hidden_mse", layers="embeddings and mapped").pairs((1, 3), student=2, teacher=4)
        [(-1, -1), (0, 1), (1, 3)]
        >>> Term("hidden_cosine", layers="last").pairs((), student=2, teacher=4)
        [(1, 3)]
        """
        if self.layers == "last":
            return [(student - 1, teacher - 1)]
        first = [(-1, -1)] if self.layers == "embeddings and mapped" else []
        return first + list(enumerate(layer_map))

    def __str__(self) -> str:
        notes = [f"T = {self.temperature:g}"] if "soft" in self.kind else []
        if self.kind == "soft_targets" and self.temperature != 1:
            notes.append("× T²" if self.squared else "without T²")
        if self.reads != "logits":
            notes.append(self.layers)
        if self.projection != "none":
            notes.append(f"{self.projection} projection")
        if self.per == "element":
            notes.append("per element")
        joined = ", ".join(notes)
        return f"{self.weight:g}·{self.kind}{f' ({joined})' if notes else ''}"


@dataclass(frozen=True)
class Objective:
    """A sum of terms.

    >>> print(Objective((Term("soft_targets", 5, temperature=2), Term("masked_lm", 2))))
    5·soft_targets (T = 2, × T²) + 2·masked_lm
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        kinds = [term.kind for term in self.terms]
        if not kinds or len(set(kinds)) < len(kinds):
            raise ValueError(f"an objective has each kind of term once, and one at least: {kinds}")

    def __contains__(self, kind: str) -> bool:
        return any(term.kind == kind for term in self.terms)

    def reads(self, what: str) -> bool:
        """Whether any term reads ``logits``, ``states`` or ``maps``."""
        return any(term.reads == what for term in self.terms)

    @property
    def teaches(self) -> bool:
        """Whether a teacher is needed."""
        return any(term.kind != "masked_lm" for term in self.terms)

    @property
    def maps_layers(self) -> bool:
        """Whether a layer map is needed."""
        return any(t.reads != "logits" and t.layers != "last" for t in self.terms)

    def change(self, kind: str, **values: Any) -> Objective:
        """The same with other values in one term.

        Raises:
            ValueError: it has no such term.
        """
        if kind not in self:
            raise ValueError(f"the objective {self} has no {kind}")
        return Objective(tuple(replace(t, **values) if t.kind == kind else t for t in self.terms))

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))


#: The objectives of the papers by name, read in their scripts. What we do not know of them:
#: the mean over pairs of layers (a sum would weigh deep students more), the weights of TinyBERT's
#: terms, and that its soft cross-entropy is taken where something is masked.
OBJECTIVES: dict[str, Objective] = {
    "masked language model": Objective((Term("masked_lm"),)),
    "DistilBERT": Objective((
        Term("soft_targets", 5, temperature=2), Term("masked_lm", 2),
        Term("hidden_cosine", 1, layers="last"),
    )),
    "CompactBioBERT": Objective((
        Term("masked_lm", 1), Term("attention_kl", 3), Term("hidden_cosine", 3),
        Term("soft_targets", 5),
    )),
    "TinyBERT": Objective((
        Term("attention_mse"),
        Term("hidden_mse", layers="embeddings and mapped", projection="shared"),
        Term("soft_cross_entropy"),
    )),
}  # fmt: skip
