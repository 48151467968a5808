"""What is known of a release: what it was made from, how it was trained, what it scored.

Numbers come from the rows that the run gives to the ledger and from what its stages measured. Paths
of a reader's own files are not told, their last names are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any


@dataclass(frozen=True)
class Material:
    """Something that a model was made from: its name, what it is, on what terms, and where."""

    name: str
    what: str
    licence: str
    page: str | None = None
    hub: str | None = None
    licence_url: str | None = None

    @classmethod
    def named(cls, name: str, *, own: bool = False) -> Material:
        """A source of the table, what is made here, or a reader's own, whose path is not told."""
        from bioptimus_lib.source_table import table

        if not own and (row := table().get(name)):
            return cls(name, row.what, row.licence, row.page, row.hub, row.licence_url)
        if not own and name in ("pocket", "pocket-bert"):
            what = "our own small BERT" if name == "pocket-bert" else "generated text of the course"
            return cls(name, what, "CC BY 4.0")
        return cls(PurePath(name).name, "the releaser's own", "not known to this card")

    def __str__(self) -> str:
        link = f"[{self.name}]({self.page})" if self.page else f"`{self.name}`"
        terms = f"[{self.licence}]({self.licence_url})" if self.licence_url else self.licence
        return f"{link}: {self.what.rstrip('.')} (licence: {terms})"


@dataclass(frozen=True)
class Tagged:
    """A tagger that was made from the model: its set, labels, scores on test, seed, seconds."""

    dataset: Material
    labels: tuple[str, ...]
    metrics: Mapping[str, float]
    seed: int
    seconds: float
    sentences: int | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card tells. Sizes are those of the training; seconds are those of the stages that led
    to this version, on ``device``; ``rows`` are those of the ledger, all models and seeds."""

    version: str
    profile: str
    masking: str
    backbone: Material
    corpus: Material
    dataset: Material
    sentences: int
    megabytes: float
    steps: int
    tokens: int
    length: int
    held_out: Mapping[str, float]
    rows: Sequence[Mapping[str, Any]] = field(repr=False)
    in_ledger: bool
    seconds: float
    device: str
    versions: Mapping[str, str]
    commit: str | None
    seed: int
    licence: str | None = None
    watts: float | None = None
    tagger: Tagged | None = None

    @property
    def name(self) -> str:
        """Of the model."""
        end = f"-{self.tagger.dataset.name}" if self.tagger else ""
        return f"bioptimus-{self.version}-{self.profile}{end}"

    def with_tagger(self, *, dataset: str, **others: Any) -> Facts:
        """The facts of a tagger that was made from this model."""
        same = dataset == self.dataset.name
        material = self.dataset if same else Material.named(dataset)
        return replace(self, tagger=Tagged(material, **others))

    def f1(self, model: str) -> list[float]:
        """Entity F1 of a model of the run, one for each seed."""
        return [row["metrics"]["f1"] for row in self.rows if row["model"] == model]
