"""What a task is before any language model reads it: sizes, lengths, what words alone give.

A linear model on the words of a text knows no order beyond three words and nothing from elsewhere.
What it reaches, a language model has to beat; what it reaches with *one* text of a pair, the other
text is not needed for.

References:
    Gururangan et al., NAACL 2018 (the second text of a pair alone tells many answers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bioptimus_lib.task_data import Answer, Data, Example, count_answers, labels_of
from bioptimus_lib.task_table import Task
from bioptimus_lib.tasks import baseline, rows

if TYPE_CHECKING:
    from scipy.sparse import spmatrix
    from transformers import PreTrainedTokenizerBase

BOTH, FIRST, SECOND = "both", "first", "second"


# --- words alone -------------------------------------------------------------------------------


def words_alone(of: Task, data: Data, *, texts: str = BOTH) -> list[Answer]:
    """The answers that a linear model on words gives for the test examples.

    Labels: logistic regression on runs of one to three words, weighted by their rarity. Scores:
    ridge regression on the words that both texts share. The settings are the same for all tasks.

    Args:
        data: its examples as they are to be read.
        texts: ``both``, or of a pair the ``first`` or the ``second`` alone.

    Raises:
        ValueError: an unknown choice, or one text alone of a task without pairs, or of a score.
    """
    if texts not in (BOTH, FIRST, SECOND):
        raise ValueError(f"texts {texts!r}: choose both, first or second")
    if texts != BOTH and (of.reads != "pair" or of.answer == "score"):
        raise ValueError(f"{of.name}: one text alone tells of pairs with labels, not of this task")
    made: list[Answer] = []
    for fold in data.folds:
        made += _fold(of, fold["train"], fold["test"], texts)
    return made


def _fold(
    of: Task, train: Sequence[Example], test: Sequence[Example], texts: str
) -> list[Answer]:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    answers = [example.answer for example in train]
    if of.answer == "score":
        model = Ridge().fit(_overlap(train), answers)
        return [float(value) for value in model.predict(_overlap(test))]
    seen, asked = _grams(train, test, texts)
    model = LogisticRegression(C=30, max_iter=300)
    if of.answer == "label":
        return list(model.fit(seen, answers).predict(asked))
    targets = np.array([[label in labels_of(a) for label in of.labels] for a in answers], int)
    found = OneVsRestClassifier(model).fit(seen, targets).predict(asked)
    return [tuple(x for x, y in zip(of.labels, some, strict=True) if y) for some in found]


def _grams(
    train: Sequence[Example], test: Sequence[Example], texts: str
) -> tuple[spmatrix, spmatrix]:
    """Runs of words of each text of its own kind, so that the two of a pair are told apart."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    pair = train[0].second is not None
    chosen = {BOTH: (0, 1) if pair else (0,), FIRST: (0,), SECOND: (1,)}[texts]
    parts = []
    for n in chosen:
        grams = TfidfVectorizer(ngram_range=(1, 3), token_pattern=r"[^ ]+", sublinear_tf=True)
        seen = grams.fit_transform(example.texts[n] for example in train)
        parts.append((seen, grams.transform(example.texts[n] for example in test)))
    if pair and texts == BOTH:
        parts.append((_overlap(train), _overlap(test)))
    return tuple(hstack(side).tocsr() for side in zip(*parts, strict=True))


def _overlap(examples: Sequence[Example]) -> np.ndarray:
    """Share and number of the words that both texts have: float (examples, 2)."""
    words = [[set(text.lower().split()) for text in example.texts] for example in examples]
    return np.array([[len(a & b) / max(len(a | b), 1), len(a & b)] for a, b in words])


def shared_by_label(of: Task, data: Data) -> dict[str, float]:
    """How many words the two texts of a pair share, label by label: what a model can learn from
    train without comparing what is said, and whether it holds in test.

    ``shared_SPLIT_LABEL``: mean share of the words, in per cent; ``shared_SPLIT``: how well that
    share alone puts pairs of the second label above those of the first, the area under the ROC
    curve in per cent, 50 if not at all. Splits are those of the first fold.

    Raises:
        ValueError: no pairs, or not two labels.
    """
    from sklearn.metrics import roc_auc_score

    if of.reads != "pair" or len(of.labels) != 2:
        raise ValueError(f"{of.name}: shared words tell of pairs with two labels, not of this task")
    found = {}
    for split, some in data.folds[0].items():
        share = 100 * _overlap(some)[:, 0]
        answers = np.array([of.labels.index(str(example.answer)) for example in some])
        for n, label in enumerate(of.labels):
            found[f"shared_{split}_{label}"] = float(share[answers == n].mean())
        found[f"shared_{split}"] = 100 * float(roc_auc_score(answers, share))
    return found


# --- all of it ---------------------------------------------------------------------------------


def facts(
    of: Task, data: Data, tokenizer: PreTrainedTokenizerBase, *, window: int
) -> dict[str, float]:
    """Numbers of a task: no text comes out.

    ``train``, ``devel``, ``test`` (over all folds the tested ones), ``most`` and ``least``: the
    share of train that has the most frequent and the rarest label; ``constant``: the score of the
    constant answer; ``words``, ``words_first``, ``words_second``: those of ``words_alone``;
    ``pieces``: their median in test; ``truncated``: share of the test examples that the window
    cuts; ``test_in_train`` and ``contradicted`` as ``Data.report`` tells them of test; for pairs
    with two labels what ``shared_by_label`` tells.

    Args:
        data: its examples as they are to be read.
        window: most pieces that are read.
    """
    from bioptimus_lib.sequences import encode

    report, test = data.report(), data.test
    train = data.folds[0]["train"]
    whole = encode(test, tokenizer, window=10**6)
    lengths = np.array([len(ids) for ids in whole.ids])
    found: dict[str, float] = {
        "train": len(train),
        "devel": report["examples"]["devel"],
        "test": len(test),
        "constant": baseline(of, data)[0],
        "pieces": float(np.median(lengths)),
        "truncated": float((lengths > window).mean()),
        "test_in_train": report["test texts in train"],
        "contradicted": report["contradicted"]["test"],
    }
    if of.labels:
        counts = [count_answers(train)[label] for label in of.labels]
        found |= {"most": max(counts) / len(train), "least": min(counts) / len(train)}
    choices = {"words": BOTH}
    if of.reads == "pair" and of.labels:
        choices |= {"words_first": FIRST, "words_second": SECOND}
    for name, texts in choices.items():
        found[name] = _score(of, test, words_alone(of, data, texts=texts))
    if of.reads == "pair" and len(of.labels) == 2:
        found |= shared_by_label(of, data)
    return found


def _score(of: Task, test: Sequence[Example], made: Sequence[Any]) -> float:
    return of.judge.value(rows(of, test, made))
