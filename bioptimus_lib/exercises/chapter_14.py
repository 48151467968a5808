"""Exercises of chapter 14: a softened answer as a loss, layers for a student, who is beaten."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake

# -- 14-1: soft targets ----------------------------------------------------------------------------


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    rows: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return rows


def soft_loss(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    """The solution of 14-1: KL(teacher ‖ student) of the softened answers, mean, times T²."""
    ours, theirs = (_log_softmax(logits / temperature) for logits in (student, teacher))
    each = (np.exp(theirs) * (theirs - ours)).sum(axis=-1)
    return float(each.mean() * temperature**2)


def _kl(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """KL(theirs ‖ ours) of log-probabilities, one number a row."""
    rows: np.ndarray = (np.exp(theirs) * (theirs - ours)).sum(axis=-1)
    return rows


def _cross_entropy(s: np.ndarray, t: np.ndarray, temperature: float) -> float:
    ours, theirs = _log_softmax(s / temperature), _log_softmax(t / temperature)
    return float(-(np.exp(theirs) * ours).sum(axis=-1).mean() * temperature**2)


def _answers(seed: int, rows: int, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, pieces)), 2 * random.normal(size=(rows, pieces))


SOFT_LOSS = Exercise(
    name="soft_loss",
    cases=lambda: [
        (np.array([[0.0, 0.0]]), np.array([[2.0, 0.0]]), 2.0),
        (*_answers(0, 3, 5), 1.0),
        (*_answers(1, 4, 6), 3.0),
    ],
    solution=soft_loss,
    mistakes=(
        Mistake(
            lambda s, t, k: soft_loss(s, t, k) / k**2,
            "the factor T² is missing. Without it the gradient shrinks as T grows, and the weight "
            "of the term with it.",
        ),
        Mistake(
            lambda s, t, k: soft_loss(s, t, k) / k,
            "the factor is T. It must be T²: the logits are divided by T in the answer, and once "
            "more in its derivative.",
        ),
        Mistake(
            lambda s, t, k: soft_loss(t, s, k),
            "student and teacher have changed places. The mean is taken with the *teacher's* "
            "probabilities.",
        ),
        Mistake(
            lambda s, t, k: float(_kl(_log_softmax(s), _log_softmax(t / k)).mean() * k**2),
            "only the teacher is softened. Both are divided by T, or the student learns to be as "
            "soft as a softened teacher.",
        ),
        Mistake(
            _cross_entropy,
            "this is the cross-entropy: it has the same gradient, but it is not 0 where both "
            "agree. Take the teacher's own entropy off.",
        ),
        Mistake(
            lambda s, t, k: soft_loss(s, t, 1 / k) / k**4,
            "the logits are multiplied by T. That sharpens the answers; divide.",
        ),
        Mistake(
            lambda s, t, k: soft_loss(s, t, k) * len(s),
            "this is the sum over the rows. Give the mean, so that a batch with more masks weighs "
            "no more.",
        ),
        Mistake(
            lambda s, t, k: soft_loss(s, t, k) / s.shape[1],
            "the mean is over rows and pieces. Sum over the pieces of a row first: that is the KL "
            "of one answer. The mean is over answers.",
        ),
    ),
    gives="one number: the mean over the rows of KL(teacher ‖ student), times T²",
    praise="With T = 1 it is the plain KL; from there on T sets how much the small chances count.",
)  # fmt: skip

# -- 14-2: layers for a student --------------------------------------------------------------------


def layers_for(students: int, teachers: int, last: bool) -> list[int]:
    """The solution of 14-2: of each group of the teacher's layers the first or the last, from 0."""
    ends = [(n + 1) * teachers // students for n in range(students)]
    begins = [n * teachers // students for n in range(students)]
    return [end - 1 for end in ends] if last else begins


LAYERS_FOR = Exercise(
    name="layers_for",
    cases=lambda: [
        (6, 12, False), (6, 12, True), (4, 12, True), (2, 4, False), (3, 12, False), (1, 4, True),
        (5, 12, False), (5, 12, True),
    ],
    solution=layers_for,
    mistakes=(
        Mistake(
            lambda n, m, last: layers_for(n, m, not last),
            "first and last have changed places: with `last` the student's top layer answers for "
            "the teacher's top layer.",
        ),
        Mistake(
            lambda n, m, last: layers_for(n, m, False),
            "it is right without `last`, and the same with it. The last of a group stands just "
            "before the next group begins.",
        ),
        Mistake(
            lambda n, m, last: [layer + 1 for layer in layers_for(n, m, last)],
            "the layers are counted from 1. The library counts them from 0, as Python does.",
        ),
        Mistake(
            lambda n, m, last: list(range(m - n, m)) if last else list(range(n)),
            "these are neighbours from one end. Cut the teacher into equal groups and take one "
            "layer of each, so that all depths are there.",
        ),
        Mistake(
            lambda n, m, last: list(range(1 if last else 0, m, 2))[:n],
            "every second layer is right for half as many layers. For other sizes the step is the "
            "teacher's layers over the student's.",
        ),
        Mistake(
            lambda n, m, last: [k * (m // n) + (m // n - 1 if last else 0) for k in range(n)],
            "the groups need not be equally large: 5 of 12 leave layers over at the top. Begin "
            "each at ⌊n · teachers / students⌋, which divides last.",
        ),
        Mistake(
            lambda n, m, last: [
                int(x) for x in np.linspace(m // n - 1 if last else 0, m - 1, n).round()
            ],
            "these are spread from the first to the last layer, so the groups are not equal. Cut "
            "into groups first.",
        ),
    ),
    gives="a list of `students` layers of the teacher, counted from 0, lowest first",
    praise="For 6 of 12 these are the layers of DistilBioBERT and of CompactBioBERT.",
)  # fmt: skip

# -- 14-3: who is beaten ---------------------------------------------------------------------------


Models = Sequence[tuple[str, float, float]]  # name, score, cost


def not_beaten(models: Models) -> list[str]:
    """The solution of 14-3: names of models that none is at least as good as and better in one."""
    return [
        name for name, score, cost in models
        if not any(s >= score and c <= cost and (s > score or c < cost) for _, s, c in models)
    ]  # fmt: skip


def _strictly(models: Models) -> list[str]:
    return [n for n, s, c in models if not any(a > s and b < c for _, a, b in models)]


def _dearer(models: Models) -> list[str]:
    return [
        n for n, s, c in models
        if not any(a >= s and b >= c and (a > s or b > c) for _, a, b in models)
    ]  # fmt: skip


def _per_cost(models: Models) -> list[str]:
    best = max(score / cost for _, score, cost in models)
    return [n for n, score, cost in models if score / cost == best]


def _ties(models: Models) -> list[str]:
    return [
        name for place, (name, score, cost) in enumerate(models)
        if not any(s >= score and c <= cost for n, (_, s, c) in enumerate(models) if n != place)
    ]  # fmt: skip


NOT_BEATEN = Exercise(
    name="not_beaten",
    cases=lambda: [
        ([("teacher", 80.0, 9.0), ("half", 78.0, 5.0), ("thin", 77.0, 6.0), ("tiny", 60.0, 1.0)],),
        ([("a", 70.0, 3.0), ("b", 70.0, 2.0), ("c", 65.0, 2.0), ("d", 72.0, 3.0)],),
        ([("a", 50.0, 4.0), ("b", 50.0, 4.0), ("c", 40.0, 3.0), ("d", 39.0, 3.5)],),
        ([("only", 10.0, 1.0)],),
    ],
    solution=not_beaten,
    mistakes=(
        Mistake(
            _strictly,
            "a model is beaten, too, by one that is as good and cheaper, or as cheap and better. "
            "You ask for both at once.",
        ),
        Mistake(
            _ties,
            "two models that are alike in both beat each other here, and both are gone. Whoever "
            "beats another must be better in one of the two.",
        ),
        Mistake(
            _dearer,
            "you look for models that are *dearer*. A low cost is good, a high score is good.",
        ),
        Mistake(
            _per_cost,
            "score over cost makes one number of two. It has no meaning: with F1 it is often "
            "the smallest model that wins. Compare the two by themselves.",
        ),
        Mistake(
            lambda models: [max(models, key=lambda m: m[1])[0]],
            "the best score is one of them, but not the only one: a cheaper model with a lower "
            "score may still be worth having.",
        ),
        Mistake(
            lambda models: [n for n, _, _ in models if n not in not_beaten(models)],
            "these are the beaten ones. Give the others.",
        ),
        Mistake(
            lambda models: sorted(not_beaten(models), reverse=True),
            "the right names in another order: keep that of the list.",
        ),
    ),
    gives="the names of the models that are not beaten, in the order of the list",
    praise="The rest of the models need not be looked at, whatever you weigh F1 and cost by.",
)  # fmt: skip

EXERCISES = {"14-1": SOFT_LOSS, "14-2": LAYERS_FOR, "14-3": NOT_BEATEN}
