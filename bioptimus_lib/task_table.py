"""The tasks beyond named entities, as rows of one table.

A task is data: what is read (a text or a pair), what is answered (a label, labels, a score), which
metric judges it, where its files come from, and how they are split. ``BLURB`` in the last column
marks what Tinn et al.'s benchmark names, too: relation extraction, BIOSSES, HoC and PubMedQA. Its
own preparation and splits are not in our files, so numbers are not comparable with its leaderboard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioptimus_lib import i2b2, pocket_notes, pocket_tasks, task_readers
from bioptimus_lib.errors import DataError
from bioptimus_lib.relations import VIEWS
from bioptimus_lib.source_table import source
from bioptimus_lib.task_data import Data, count_answers
from bioptimus_lib.task_metrics import METRICS, Metric

READS = ("text", "pair")
ANSWERS = ("label", "labels", "score")
#: The file that makes a folder of one's own a task.
OWN = "task.json"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task.

    Args:
        name: as on the command line.
        what: in a sentence.
        reads: ``text`` or ``pair``.
        answer: ``label`` (one of several), ``labels`` (any number of them) or ``score``.
        labels: all that can be answered, in the order of a model's outputs; none for a score.
        positive: those that count in F1; none for all.
        metric: a row of ``METRICS``.
        views: how its mentions can be shown (``relations.VIEWS``), the usual way first; none for
            texts without mentions.
        split: where train, devel and test come from.
        source: row of the table of sources; None for what is generated or one's own.
        blurb: whether BLURB names it.
        own: the files that a reader has to bring, for nobody may pass them on; none for others.
        note: what to know before comparing a number.
        read: reads a folder.
    """

    name: str
    what: str
    reads: str
    answer: str
    labels: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    metric: str
    views: tuple[str, ...] = ()
    split: str
    source: str | None = None
    blurb: bool = False
    own: str = ""
    note: str = ""
    read: Callable[[Path, Sequence[str]], Data] = task_readers.json_lines

    def __post_init__(self) -> None:
        if self.reads not in READS or self.answer not in ANSWERS or self.metric not in METRICS:
            raise ValueError(
                f"task {self.name!r} reads {self.reads!r}, answers {self.answer!r}, is judged by "
                f"{self.metric!r}: choose of {READS}, {ANSWERS}, {tuple(METRICS)}"
            )
        if self.answer not in METRICS[self.metric].answers:
            raise ValueError(f"task {self.name!r}: {self.metric} is no metric of {self.answer}")
        if (self.answer == "score") == bool(self.labels) or len(self.labels) == 1:
            raise ValueError(f"task {self.name!r}: a score has no labels, others have two or more")
        if len(set(self.labels)) != len(self.labels) or not set(self.positive) <= {*self.labels}:
            raise ValueError(f"task {self.name!r}: a label twice, or a positive one that is none")
        if not set(self.views) <= VIEWS.keys():
            raise ValueError(f"task {self.name!r}: views {self.views}, known are {tuple(VIEWS)}")

    @property
    def judge(self) -> Metric:
        return METRICS[self.metric]

    @property
    def citation(self) -> str:
        made = f"your own copy: {self.own}" if self.own else "generated, or your own"
        return source(self.source).citation if self.source else made

    def view(self, wanted: str | None = None) -> str | None:
        """The view that is meant: the wanted one, else the usual one; None where there is none.

        Raises:
            ValueError: the task cannot be shown so.
        """
        if wanted is None:
            return self.views[0] if self.views else None
        if wanted not in self.views:
            choice = f"choose one of {', '.join(self.views)}" if self.views else "it has none"
            raise ValueError(f"{self.name} has no view {wanted!r}: {choice}")
        return wanted

    def load(self, folder: str | Path) -> Data:
        """Read and check a folder of this task.

        Raises:
            FileNotFoundError: a file is missing.
            DataError: a broken file, or data that cannot be learnt from: a split without examples,
                a label that train lacks, answers or texts of another kind.
        """
        data = self.read(Path(folder), self.labels)
        kind = {"label": str, "labels": tuple, "score": float}[self.answer]
        for fold in data.folds:
            for split, some in fold.items():
                if not some:
                    raise DataError(f"no example in {split} of {self.name}", path=folder)
                for example in some:
                    if not isinstance(example.answer, kind):
                        raise DataError(f"{example.id} of {split} has no {self.answer}: "
                                        f"{example.answer!r}", path=folder)  # fmt: skip
                    if (example.second is not None) != (self.reads == "pair"):
                        raise DataError(f"{example.id} of {split} is no {self.reads}", path=folder)
                    if self.views and example.mentions is None:
                        raise DataError(f"{example.id} of {split} has no mentions", path=folder)
                    if example.mentions is not None and not self.views:
                        raise DataError(
                            f"{example.id} of {split} has mentions: task.json needs views, such as "
                            f"{list(VIEWS)}", path=folder,
                        )  # fmt: skip
        self.check_labels(data, folder)
        return data

    def check_labels(self, data: Data, folder: str | Path) -> None:
        """See that train has each label.

        Raises:
            DataError: it lacks one.
        """
        for fold in data.folds:
            there = count_answers(fold["train"])
            if lost := [label for label in self.labels if label not in there]:
                raise DataError(
                    f"train of {self.name} has no example of {lost[0]!r}: it cannot be learnt",
                    path=folder,
                )


HALLMARKS = (
    "Activating invasion and metastasis", "Avoiding immune destruction", "Cellular energetics",
    "Enabling replicative immortality", "Evading growth suppressors",
    "Genomic instability and mutation", "Inducing angiogenesis", "Resisting cell death",
    "Sustaining proliferative signaling", "Tumor promoting inflammation",
)  # fmt: skip
RELATIONS = (
    "ACTIVATOR", "AGONIST", "AGONIST-ACTIVATOR", "AGONIST-INHIBITOR", "ANTAGONIST",
    "DOWNREGULATOR", "INDIRECT-DOWNREGULATOR", "INDIRECT-UPREGULATOR", "INHIBITOR", "PRODUCT-OF",
    "SUBSTRATE", "SUBSTRATE_PRODUCT-OF", "UPREGULATOR",
)  # fmt: skip
SECTIONS = (
    "ALLERGY", "ASSESSMENT", "CC", "DIAGNOSIS", "DISPOSITION", "EDCOURSE", "EXAM", "FAM/SOCHX",
    "GENHX", "GYNHX", "IMAGING", "IMMUNIZATIONS", "LABS", "MEDICATIONS", "OTHER_HISTORY",
    "PASTMEDICALHX", "PASTSURGICAL", "PLAN", "PROCEDURES", "ROS",
)  # fmt: skip

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="pocket-relation",
            what="what a sentence says of a drug and a disorder: treats, causes, or neither",
            reads="text",
            answer="label",
            labels=("none", "treats", "causes"),
            positive=("treats", "causes"),
            metric="f1",
            views=("markers", "blinded", "plain"),
            split="generated; devel and test have some drugs and disorders that train lacks",
        ),
        Task(
            name="pocket-similarity",
            what="how much two sentences say the same, 0 to 4",
            reads="pair",
            answer="score",
            metric="pearson",
            split="generated",
        ),
        Task(
            name="pocket-fields",
            what="the fields of medicine that a short text is about",
            reads="text",
            answer="labels",
            labels=pocket_tasks.FIELDS,
            metric="f1",
            split="generated; devel and test have some terms that train lacks",
        ),
        Task(
            name="pocket-sections",
            what="which section of a generated hospital note a text is",
            reads="text",
            answer="label",
            labels=pocket_notes.LABELS,
            metric="accuracy",
            split="generated; devel and test have wordings that train lacks",
        ),
        Task(
            name="chemprot",
            what="how a chemical acts on a protein, by the abstract's sentence",
            reads="text",
            answer="label",
            labels=RELATIONS,
            metric="f1",
            views=("markers", "blinded", "plain"),
            split="as published (train, dev, test)",
            source="chemprot",
            blurb=True,
            note="this preparation has 13 relations and no negative class, so micro-F1 over all is "
            "accuracy; numbers with a negative class or with groups of relations are others",
            read=task_readers.chemprot,
        ),
        Task(
            name="gad",
            what="whether a sentence tells a link of a gene and a disease; both are blinded",
            reads="text",
            answer="label",
            labels=("0", "1"),
            positive=("1",),
            metric="f1",
            split="train and test as published (fold 1 of 10); devel is a tenth of train, ours",
            source="gad",
            blurb=True,
            read=task_readers.gad,
        ),
        Task(
            name="biosses",
            what="how much two sentences say the same, 0 to 4, mean of five people",
            reads="pair",
            answer="score",
            metric="pearson",
            split=f"{task_readers.FOLDS}-fold cross-validation, ours: no split is published with "
            "the 100 pairs, and a test of a fifth of them alone would tell little",
            source="biosses",
            blurb=True,
            note="the correlation is over the predictions of all folds together; Tinn et al. found "
            "a top layer that begins anew best here (--reinit 1)",
            read=task_readers.biosses,
        ),
        Task(
            name="hoc",
            what="the hallmarks of cancer that an abstract is about",
            reads="text",
            answer="labels",
            labels=HALLMARKS,
            metric="f1",
            split="70/10/20 by a hash of the text, ours: none is published with the files",
            source="hoc",
            blurb=True,
            read=task_readers.hoc,
        ),
        Task(
            name="pubmedqa",
            what="yes, no or maybe to a question, by the abstract without its conclusion",
            reads="pair",
            answer="label",
            labels=("yes", "no", "maybe"),
            metric="accuracy",
            split="test as published (500 of 1,000); devel is a tenth of the rest, ours",
            source="pubmedqa",
            blurb=True,
            read=task_readers.pubmedqa,
        ),
        Task(
            name="rqe",
            what="whether the answer to a short question would answer a patient's own",
            reads="pair",
            answer="label",
            labels=("false", "true"),
            metric="accuracy",
            split="as published (train, validation, test)",
            source="rqe",
            read=task_readers.rqe,
        ),
        Task(
            name="mts-dialog",
            what="which section of a clinical note a text is",
            reads="text",
            answer="label",
            labels=SECTIONS,
            metric="accuracy",
            split="as published; both test sets together",
            source="mts-dialog",
            read=task_readers.mts_dialog,
        ),
        Task(
            name="mednli",
            what="whether a statement follows from a sentence of a note, contradicts it, or none",
            reads="pair",
            answer="label",
            labels=("entailment", "contradiction", "neutral"),
            metric="accuracy",
            split="as published (train, dev, test)",
            own="the folder of MedNLI with mli_train_v1.jsonl, mli_dev_v1.jsonl, mli_test_v1.jsonl "
            "(PhysioNet, credentials needed)",
            read=task_readers.mednli,
        ),
        Task(
            name="i2b2-relations",
            what="how a treatment or a test relates to a problem, or a problem to another",
            reads="text",
            answer="label",
            labels=(i2b2.NONE, *sorted(r for some in i2b2.RELATIONS.values() for r in some)),
            positive=tuple(sorted(r for some in i2b2.RELATIONS.values() for r in some)),
            metric="f1",
            views=("markers", "blinded", "plain"),
            split="train and test as published; devel is a tenth of train's documents, ours",
            own="a folder with the folders train and test of the i2b2/VA challenge of 2010, files "
            ".txt, .con and .rel (agreement needed)",
            note="concepts are given; all pairs of a sentence that could have a relation are asked "
            "about, those without one as 'none'",
            read=i2b2.relations,
        ),
    )
}


def _names(key: str, given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"{key} is {given!r}, expected a list of strings")
    return tuple(given)


def task(name: str) -> Task:
    """A row of the table, or the task that a folder with ``task.json`` describes.

    ``task.json`` holds ``reads``, ``answer``, ``metric`` and, where they are needed, ``labels``,
    ``positive`` and ``views``; beside it lie the files of ``task_readers.json_lines``.

    Raises:
        ValueError: neither.
        DataError: a ``task.json`` that describes none.
    """
    if name in TASKS:
        return TASKS[name]
    file = Path(name).expanduser() / OWN
    if not file.is_file():
        raise ValueError(
            f"{name!r} is no task: give a folder with {OWN}, or one of {', '.join(TASKS)}"
        )
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
        lists = {
            key: _names(key, row.pop(key)) for key in ("labels", "positive", "views") if key in row
        }
        given = {"what": "your own", "split": "your own", "name": file.parent.resolve().name}
        if unknown := set(row) - {"reads", "answer", "metric", "name", "what"}:
            raise ValueError(f"unknown field {sorted(unknown)[0]!r}")
        return Task(**given | row | lists)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"describes no task: {error}", path=file) from None
