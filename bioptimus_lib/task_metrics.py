"""Scores of tasks beyond named entities, and the constant answer that each has to beat.

Every metric that a task is judged by follows from sums of rows (``measures``), a row for each
example, so intervals and tests are those of ``stats``. What is reported beside it is for reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioptimus_lib.measures import F1, PEARSON, Measure, f1, moments
from bioptimus_lib.task_data import Answer, labels_of, number_of

Answers = Sequence[Answer]


def sets_of(answers: Answers) -> list[frozenset[str]]:
    """Labels as sets, whether an example has one or several."""
    return [
        frozenset(answer) if isinstance(answer, tuple) else frozenset((str(answer),))
        for answer in answers
    ]


def label_counts(gold: Answers, predicted: Answers, labels: Sequence[str]) -> np.ndarray:
    """Labels (found, spurious, missed) of each example, those of ``labels`` alone: (examples, 3).

    >>> label_counts(["yes", "no"], ["yes", "yes"], ["yes", "no"]).tolist()
    [[1, 0, 0], [0, 1, 1]]
    """
    check_lengths(gold, predicted)
    counted = frozenset(labels)
    rows = np.zeros((len(gold), 3), np.int64)
    for i, (true, made) in enumerate(zip(sets_of(gold), sets_of(predicted), strict=True)):
        true, made = true & counted, made & counted
        rows[i] = len(true & made), len(made - true), len(true - made)
    return rows


def check_lengths(gold: Answers, predicted: Answers) -> None:
    """ValueError unless each example has its answer: none is lost on the way to the score."""
    if len(gold) != len(predicted) or not len(gold):
        raise ValueError(f"{len(gold)} gold answers, {len(predicted)} predicted: one for each")


@dataclass(frozen=True)
class Metric:
    """What a task is judged by.

    name: as in a table of results.
    about: what it says, in a sentence.
    answers: the kinds of answers that it is for.
    every: whether all labels count, or only those that the task calls positive.
    measure: what the rows give.
    """

    name: str
    about: str
    answers: tuple[str, ...]
    every: bool
    measure: Measure

    def rows(
        self, gold: Answers, predicted: Answers, *, labels: Sequence[str], positive: Sequence[str]
    ) -> np.ndarray:
        """A row for each example, for ``measure``."""
        if self.measure is PEARSON:
            check_lengths(gold, predicted)
            return moments(list(map(number_of, predicted)), list(map(number_of, gold)))
        return label_counts(gold, predicted, labels if self.every else positive or labels)

    def value(self, rows: np.ndarray) -> float:
        """The score, in percent."""
        return float(self.measure.value(rows.sum(axis=0)))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "examples that are right, in percent", ("label",), True, F1),
        Metric("f1", "F1 of the positive labels together (micro)", ("label", "labels"), False, F1),
        Metric("pearson", "correlation of predicted and gold numbers × 100", ("score",), True,
               PEARSON),
    )
}  # fmt: skip


# --- all that is reported ----------------------------------------------------------------------


def report(
    gold: Answers, predicted: Answers, *, labels: Sequence[str], positive: Sequence[str]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """(scores in percent, those of each label).

    Of labels: ``accuracy`` (of sets: all labels right), ``micro_f1`` and ``macro_f1`` over the
    positive labels, or all if none is called positive; a label that occurs nowhere has F1 0 in the
    mean. Of numbers: ``pearson``, ``spearman`` and ``error``, the mean absolute error, which is in
    the numbers' own unit.

    Raises:
        ValueError: not one answer for each example.
    """
    check_lengths(gold, predicted)
    if not labels:
        from scipy.stats import spearmanr

        x, y = np.asarray(predicted, float), np.asarray(gold, float)
        varies = len(set(x.tolist())) > 1 and len(set(y.tolist())) > 1
        return {
            "pearson": METRICS["pearson"].value(moments(x, y)),
            "spearman": 100 * float(spearmanr(x, y).statistic) if varies else 0.0,
            "error": float(np.abs(x - y).mean()),
        }, {}
    each: dict[str, dict[str, float]] = {}
    for label in labels:
        found, spurious, missed = label_counts(gold, predicted, [label]).sum(axis=0).tolist()
        each[label] = {
            "precision": 100 * found / max(found + spurious, 1),
            "recall": 100 * found / max(found + missed, 1),
            "f1": float(f1(np.array([found, spurious, missed]))),
            "gold": found + missed,
        }
    counted = positive or labels
    pairs = zip(sets_of(gold), sets_of(predicted), strict=True)
    return {
        "accuracy": 100 * sum(a == b for a, b in pairs) / len(gold),
        "micro_f1": float(f1(label_counts(gold, predicted, counted).sum(axis=0))),
        "macro_f1": sum(each[label]["f1"] for label in counted) / len(counted),
    }, each


# --- baselines ---------------------------------------------------------------------------------


def constants(answers: Answers) -> list[Answer]:
    """The constant answers worth trying, by the answers of train: the mean of numbers; each label;
    of sets the k most frequent labels together, for each k."""
    if not len(answers):
        raise ValueError("no answer in train: there is nothing to go by")
    first = answers[0]
    if isinstance(first, float):
        return [float(np.mean(list(map(number_of, answers))))]
    if isinstance(first, tuple):
        counts = Counter(label for some in answers for label in labels_of(some))
        order = sorted(counts, key=lambda label: (-counts[label], label))
        return [tuple(order[:k]) for k in range(1, len(order) + 1)] or [()]
    return sorted(set(answers))


def best_constant(
    answers: Answers, metric: Metric, *, labels: Sequence[str], positive: Sequence[str]
) -> Answer:
    """The constant answer that scores best on train; by accuracy this is the majority, of numbers
    the mean.

    A model that has learnt nothing but how often each answer comes gets its score.
    """
    def score(constant: Answer) -> float:
        made = [constant] * len(answers)
        return metric.value(metric.rows(answers, made, labels=labels, positive=positive))

    return max(constants(answers), key=score)
