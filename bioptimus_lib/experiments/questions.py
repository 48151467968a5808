"""The questions of chapter 10, each a table of arms whose first is what the others are put beside.

What the paper could not tell apart: whether distillation helps, or a new vocabulary alone; whether
the order of the phases helps, or their length; which of the settings of the masks does.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bioptimus_lib import ledger
from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.experiments.arms import (
    COURSE,
    OLD,
    OURS,
    PAPER,
    SCRATCH,
    Arm,
    tagged,
    trained,
)  # fmt: skip
from bioptimus_lib.experiments.cells import Row, Setting, grouped, same_setting
from bioptimus_lib.experiments.compared import differences
from bioptimus_lib.masking import Masking
from bioptimus_lib.strategies import STRATEGIES

SETS = ("NCBI-disease", "BC5CDR-chem")
TRAINED, TUNED = "pre-training", "fine-tuned"


def variant(setting: Setting, kind: str) -> str:
    """How the ledger calls what is measured: the size of it, then its kind.

    >>> variant(Setting(Path("out"), model="minilm"), TUNED)
    'minilm, 4 × 300 steps: fine-tuned'
    """
    return f"{setting.model_name}, {len(COURSE)} × {setting.steps:,} steps: {kind}"


def constant(masking: Masking) -> tuple[Masking, ...]:
    """A course that never changes, in as many parts as the curriculum has."""
    return (masking,) * len(COURSE)


@dataclass(frozen=True)
class Question:
    """An experiment as ``experiments`` wants it: what a module would have, from a table of arms."""

    name: str
    ABOUT: str
    arms: Mapping[str, Arm]
    METRICS: tuple[str, ...] = ("bits_per_byte", "f1", "recall_unseen", "devel_f1", "difference")

    def table(self, setting: Setting) -> Mapping[str, Arm]:
        """The arms by their names."""
        return self.arms

    def cells(self, setting: Setting) -> list[str]:
        """Each arm, then its fine-tunings; the first seed of all arms before the second."""
        return [
            cell
            for seed in range(setting.seeds)
            for name in self.table(setting)
            for cell in (
                f"{name}+{seed}",
                *(f"{Path(dataset).name}+{name}+{seed}" for dataset in setting.datasets or SETS),
            )
        ]

    def rounds(self, setting: Setting, cells: list[str]) -> list[list[list[str]]]:
        """All arms at once. Two names may stand for the same training (an order that a shuffle
        gives, say): these go together."""
        return [grouped(cells, lambda cell: self._arm(setting, cell)[1].folder(
            setting, int(cell.rsplit("+", 1)[1])))]  # fmt: skip

    def _arm(self, setting: Setting, cell: str) -> tuple[str, Arm]:
        """Name and arm of a cell."""
        name = cell.split("+")[-2]
        return name, self.table(setting)[name]

    def run(self, setting: Setting, cell: str) -> Iterator[Row]:
        """The row of a cell."""
        *dataset, _, number = cell.split("+")
        (name, arm), seed = self._arm(setting, cell), int(number)
        same = {
            "arm": arm.code(setting, seed), "seed": seed,
            "dataset": dataset[0] if dataset else setting.text_name,
            "variant": variant(setting, TUNED if dataset else TRAINED),
        }  # fmt: skip
        row = _known(setting, same) if setting.reuse else None
        if row is None and dataset:
            given = next(d for d in setting.datasets or SETS if Path(d).name == dataset[0])
            row = tagged(setting, arm, seed, given)
        elif row is None:
            row = trained(setting, arm, seed)
        names = {"experiment": self.name, "model": name, "start": arm.start, "budget": arm.budget}
        yield {**row, **same, **names}

    def data(self, setting: Setting) -> list[Path]:
        """The text, the old model, and the sets."""
        from bioptimus_lib.experiments.inputs import ner_files, texts_and_weights

        return texts_and_weights(setting) + ner_files(setting, setting.datasets or SETS)

    def finish(self, rows: list[Row]) -> list[Row]:
        """The rows, and one for each arm beside the first."""
        return rows + differences(rows, first=next(iter(self.arms)))


# --- the tables ----------------------------------------------------------------------------------

WITHOUT_CONTEXTS = "subtoken_mean"  # all others are put beside it: what do contexts add?

INIT = Question(
    "init", "strategies of distillation through the four phases: loss curves and entity F1",
    {name: Arm(name) for name in sorted(STRATEGIES, key=lambda name: name != WITHOUT_CONTEXTS)},
)  # fmt: skip

APPROACH = Question(
    "approach", "from scratch, continued, and with a new vocabulary: random, distilled, calibrated",
    {
        "continued": Arm(OLD),
        "continued, same bytes": Arm(OLD, same_bytes=True),
        "from scratch": Arm(SCRATCH),
        "new vocabulary, random": Arm("random"),
        "new vocabulary, distilled (paper)": Arm(PAPER),
        "new vocabulary, calibrated (ours)": Arm(OURS),
    },
)  # fmt: skip

BASE = Masking("word", 0.15, corruption=True)

MASKING = Question(
    "masking", "unit, rate and corruption of the masks, one at a time",
    {
        "words, 15%": Arm(course=constant(BASE)),
        "single pieces": Arm(course=constant(replace(BASE, unit="token"))),
        "spans": Arm(course=constant(replace(BASE, unit="span"))),
        **{f"{rate:.0%}": Arm(course=constant(replace(BASE, rate=rate)))
           for rate in (0.20, 0.30, 0.40)},
        "no corruption": Arm(course=constant(replace(BASE, corruption=False))),
    },
)  # fmt: skip

FALLING = tuple(replace(BASE, rate=rate) for rate in (0.30, 0.25, 0.20, 0.15))

CURRICULUM = Question(
    "curriculum", "the order of the phases, beside other orders and settings that never change",
    {
        "BIOptimus": Arm(),
        "reversed": Arm(course=COURSE[::-1]),
        "shuffled": Arm(shuffled=True),
        "falling rate": Arm(course=FALLING),
        **{f"{phase.version} throughout": Arm(course=constant(phase.masking)) for phase in PHASES},
    },
)  # fmt: skip

BUDGETS = (1 / 9, 1 / 3, 1.0, 3.0)  # of the setting's steps

BUDGET = Question(
    "budget", "v0.4 and its control against the old model, as pre-training grows",
    {
        "old": Arm(OLD, ()),
        **{
            f"{name}, {share:.2g} of the steps": Arm(start, budget=share)
            for share in BUDGETS
            for name, start in (("v0.4", OURS), ("continued", OLD))
        },
    },
)  # fmt: skip


FRESH = 100  # seeds of ``best`` begin here: those below have chosen the recipe


@dataclass(frozen=True)
class Best(Question):
    """Our recipe beside a plain reading of the paper's: start and course are those with the best
    devel F1 in the questions before, tried on seeds that these did not have."""

    def table(self, setting: Setting) -> dict[str, Arm]:
        """The paper's arm, ours, which is read off the fine-tunings of other questions, and what
        lies between them.

        Raises:
            FileNotFoundError: an arm of them has no fine-tuning yet, here or in the ledger.
            ValueError: there are cells of another recipe of ours, chosen from fewer fine-tunings.
        """
        start, _ = best(setting, INIT)
        courses = (best(setting, question) for question in (MASKING, CURRICULUM))
        course, _ = max(courses, key=lambda found: found[1])
        ours = replace(course, start=start.start)
        recipe = {"start": ours.start, "course": [str(masking) for masking in ours.parts(0)],
                  "shuffled": ours.shuffled}  # fmt: skip
        same_setting(setting.out / self.name / "recipe.json", recipe)
        same_start = Arm(start.start)  # what of the difference is the start alone
        return {**self.arms, "our start, the paper's course": same_start, "ours": ours}

    def cells(self, setting: Setting) -> list[str]:
        """As ``Question`` has them, with other seeds."""
        return [
            f"{name}+{FRESH + int(seed)}"
            for name, seed in (cell.rsplit("+", 1) for cell in super().cells(setting))
        ]


def best(setting: Setting, question: Question) -> tuple[Arm, float]:
    """The arm of a question with the highest F1 on devel, mean over sets and seeds, and that F1.

    Raises:
        FileNotFoundError: neither the folder nor the ledger has a fine-tuning of some arm.
    """
    found: dict[str, list[float]] = {name: [] for name in question.arms}
    for row in _fine_tunings(setting, question):
        if row["model"] in found:  # else an arm that the question had once
            found[row["model"]].append(row["metrics"]["devel_f1"])
    if missing := [name for name, some in found.items() if not some]:
        raise FileNotFoundError(
            f"neither {setting.out} nor the ledger holds a fine-tuning of {missing[0]!r} of the "
            f"experiment {question.name} with this setting, which chooses our recipe: make it first"
        )
    # What has fewer fine-tunings than another (a run that was cut) is not compared with it.
    most = max(map(len, found.values()))
    means = {name: statistics.mean(some) for name, some in found.items() if len(some) == most}
    name = max(means, key=means.__getitem__)
    return question.arms[name], means[name]


def _fine_tunings(setting: Setting, question: Question) -> list[Row]:
    """Rows of a question's fine-tunings: those of the folder, and those that the ledger has
    beside them of the same setting, made in another folder or on another machine."""
    files = sorted((setting.out / question.name).glob("*+*+*.json"))
    here = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
    there = [row for row in _in_ledger(setting, question)
             if row["variant"] == variant(setting, TUNED)]  # fmt: skip
    rows = {(row["model"], row["dataset"], row["seed"]): row for row in (*there, *here)}
    return list(rows.values())


def _in_ledger(setting: Setting, question: Question) -> list[Row]:
    """The ledger's rows of a question with the same setting."""
    try:
        rows = ledger.read(question.name)
    except FileNotFoundError:
        return []
    return [row for row in rows if row.get("setting") == setting.recorded()]


def _known(setting: Setting, same: Row) -> Row | None:
    """The row that the ledger has of an arm, under any question, with where and when it was made;
    None if there is none."""
    return next(
        (row for question in QUESTIONS for row in _in_ledger(setting, question)
         if all(row.get(name) == value for name, value in same.items())), None,
    )  # fmt: skip


BEST = Best(
    "best", "the best start and course of the questions before, beside the paper's", {
        "paper": Arm(PAPER),
    },
)  # fmt: skip

QUESTIONS = (INIT, APPROACH, MASKING, CURRICULUM, BUDGET, BEST)
