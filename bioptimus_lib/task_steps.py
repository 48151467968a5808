"""Lessons on tasks beyond entities: what is read, what was learnt by heart, what a score hides.

The fine-tunings are those of ``task_runs``; here are the few lines that a chapter needs around
them, and ways to take a score apart.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bioptimus_lib.finetune import Recipe
from bioptimus_lib.task_data import Answer, Example
from bioptimus_lib.task_runs import Job, do_all
from bioptimus_lib.task_table import task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from bioptimus_lib.sequences import Classifier, TaskSettings

# --- sets and fine-tunings ---------------------------------------------------------------------


def thinned(
    source: Path, target: Path, *, labels: Sequence[str], one_in: int = 10, examples: int = 0
) -> tuple[Path, int, int]:
    """A copy of a task with sets of labels, in whose train some of them are rare.

    Args:
        labels: of the examples with one of these, every ``one_in``-th stays, and the first of each,
            for a label that train lacks cannot be learnt.
        examples: of train, before; 0 for all.

    Returns:
        The folder, and how many examples train had and has.
    """
    from bioptimus_lib.conll import SPLITS
    from bioptimus_lib.files import atomic_dir

    lines = (source / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    lines = lines[: examples or None]
    rare, lacks, seen, kept = set(labels), set(labels), 0, []
    for line in lines:
        hit = rare & {*json.loads(line)["labels"]}
        if not hit or seen % one_in == 0 or hit & lacks:
            kept.append(line)
            lacks -= hit
        seen += bool(hit)
    texts = {split: (source / f"{split}.jsonl").read_text(encoding="utf-8") for split in SPLITS}
    texts["train"] = "".join(kept)
    files = {split: target / f"{split}.jsonl" for split in SPLITS}
    if not all(file.exists() and file.read_text(encoding="utf-8") == texts[split]
               for split, file in files.items()):  # fmt: skip
        with atomic_dir(target) as folder:
            for split, text in texts.items():
                (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return target, len(lines), len(kept)


@dataclass(frozen=True)
class Made:
    """A fine-tuning of ``several``: its job, and what came out."""

    job: Job
    result: Mapping[str, Any]

    @property
    def score(self) -> float:
        """The task's metric on test, in percent."""
        return float(self.result["metrics"]["score"])

    @property
    def predictions(self) -> list[Answer]:
        """An answer for each test example."""
        from bioptimus_lib.task_runs import PREDICTIONS, data_of
        from bioptimus_lib.tasks import read_predictions

        return read_predictions(self.job.place / PREDICTIONS, data_of(self.job).test)

    def classifier(self) -> Classifier:
        """The fine-tuned model, if it was kept."""
        from bioptimus_lib.sequences import load_classifier

        return load_classifier(
            self.job.place / "model", self.job.row, settings=self.job.settings
        )


class Wish(NamedTuple):
    """A fine-tuning to be made over seeds.

    view: how mentions are shown; None for the task's usual way.
    recipe: what is changed in the fine-tuning.
    examples: the first so many of train; 0 for all.
    seeds: how many.
    data: folder of other files; None for those of the others.
    """

    view: str | None = None
    recipe: Recipe = Recipe()
    examples: int = 0
    seeds: int = 1
    data: Path | None = None


def several(
    model: Path,
    name: str,
    data: Path,
    wishes: Mapping[str, Wish],
    *,
    settings: TaskSettings,
    out: Path,
    workers: int = 0,
    keep_models: bool = False,
) -> dict[str, list[Made]]:
    """Fine-tune a model on a task in several ways, each over its seeds; what is done is read.

    Args:
        model: folder of the model.
        name: of the task.
        data: folder of its files.
        wishes: label, which names a folder → what to do.
        settings: the same for all, but for the seed.
        workers: processes side by side, a thread each; 0 works in this one.
    """
    jobs = [
        Job(
            model.name, model, name, wish.data or data, replace(settings, seed=seed),
            out / name / label / f"seed-{seed}", view=task(name).view(wish.view),
            recipe=wish.recipe, examples=wish.examples or None, threads=1 if workers else None,
            keep_model=keep_models,
        )
        for label, wish in wishes.items() for seed in range(wish.seeds)
    ]  # fmt: skip
    done = iter([Made(job, result) for job, result in do_all(jobs, workers=workers)])
    return {label: [next(done) for _ in range(wish.seeds)] for label, wish in wishes.items()}


# --- what a model reads ------------------------------------------------------------------------


class Piece(NamedTuple):
    """A piece as a model reads it: its text, and 0 for the first text or 1 for the second."""

    text: str
    part: int


def pieces_of(
    example: Example, tokenizer: PreTrainedTokenizerBase, *, window: int
) -> list[Piece]:
    """An example as a model reads it, cut to a window.

    Raises:
        ValueError: its mentions are not shown yet, or the window has no room for a text.
    """
    from bioptimus_lib.sequences import encode

    if example.mentions is not None:
        raise ValueError(f"{example.id} has mentions: choose how they are shown first")
    found = encode([example], tokenizer, window=window)
    types = found.types[0] if found.types is not None else np.zeros(len(found.ids[0]), int)
    texts = tokenizer.convert_ids_to_tokens(found.ids[0].tolist())
    return [Piece(*both) for both in zip(texts, types.tolist(), strict=True)]


# --- what a score hides ------------------------------------------------------------------------


def confusion(
    gold: Sequence[Answer], predicted: Sequence[Answer], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Gold label → {predicted label → share of the gold ones}.

    >>> confusion(["a", "a", "b"], ["a", "b", "b"], ["a", "b"])
    {'a': {'a': 0.5, 'b': 0.5}, 'b': {'a': 0.0, 'b': 1.0}}
    """
    counts = Counter(zip(gold, predicted, strict=True))
    totals = Counter(gold)
    return {
        true: {made: counts[true, made] / max(totals[true], 1) for made in labels}
        for true in labels
    }


def drug_of(example: Example) -> str:
    """The first of the two mentions, in small letters.

    Raises:
        ValueError: no mentions.
    """
    if example.mentions is None:
        raise ValueError(f"{example.id} has no mentions")
    first = example.mentions[0]
    return example.text[first.start : first.stop].casefold()


#: How a test example stands to what train says of its first mention.
HABITS = ("as in train", "against train", "new or mixed")


def by_habit(
    train: Sequence[Example],
    test: Sequence[Example],
    *,
    positive: Sequence[str],
    often: int = 2,
    share: float = 0.75,
) -> dict[str, list[int]]:
    """Places of the test examples by what train says of their first mention alone.

    A mention has a habit if it has at least ``often`` positive answers in train, ``share`` of them
    the same. Only examples of positive labels are sorted; who learnt names by heart is right on
    those ``as in train`` and wrong on those ``against train``.
    """
    seen: dict[str, Counter[Answer]] = defaultdict(Counter)
    for example in train:
        if example.answer in positive:
            seen[drug_of(example)][example.answer] += 1
    places: dict[str, list[int]] = {name: [] for name in HABITS}
    for place, example in enumerate(test):
        if example.answer not in positive:
            continue
        counts = seen.get(drug_of(example), Counter())
        usual, most = counts.most_common(1)[0] if counts else (None, 0)
        total = sum(counts.values())
        if total < often or most < share * total:
            places["new or mixed"].append(place)
        else:
            places["as in train" if usual == example.answer else "against train"].append(place)
    return places


#: How a relation can be wrong.
MISTAKES = {
    "missed": "a relation, and none was found",
    "invented": "no relation, and one was found",
    "the other": "a relation, and the wrong one was found",
}


def mistakes(
    gold: Sequence[Answer], predicted: Sequence[Answer], *, none: Answer = "none"
) -> dict[str, list[int]]:
    """Kind of ``MISTAKES`` → places of the answers that are wrong in this way.

    >>> mistakes(["treats", "none", "causes"], ["none", "treats", "treats"])
    {'missed': [0], 'invented': [1], 'the other': [2]}
    """
    places: dict[str, list[int]] = {kind: [] for kind in MISTAKES}
    for place, (true, made) in enumerate(zip(gold, predicted, strict=True)):
        if true != made:
            kind = "missed" if made == none else "invented" if true == none else "the other"
            places[kind].append(place)
    return places
