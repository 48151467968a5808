"""Generated tasks: the same for a seed, sound, and neither trivial nor hopeless."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest

from bioptimus_lib import pocket_tasks
from bioptimus_lib.task_data import Data, count_answers
from bioptimus_lib.task_facts import words_alone
from bioptimus_lib.task_table import TASKS
from bioptimus_lib.tasks import baseline, evaluate


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, Data]:
    place = tmp_path_factory.mktemp("sets")
    return {
        name: TASKS[name].load(pocket_tasks.write(name, place / name))
        for name in pocket_tasks.MAKERS
    }


def test_a_seed_gives_the_same_whatever_the_global_state():
    small = {"train": 40, "devel": 10, "test": 20}
    for name in pocket_tasks.MAKERS:
        first = pocket_tasks.splits(name, sizes=small)
        random.seed(99)
        assert pocket_tasks.splits(name, sizes=small) == first
        assert pocket_tasks.splits(name, sizes=small, seed=1) != first
        assert {split: len(rows) for split, rows in first.items()} == small
    with pytest.raises(ValueError, match="'x'"):
        pocket_tasks.splits("x")
    with pytest.raises(ValueError, match="train must not be negative"):
        pocket_tasks.splits("pocket-fields", sizes={"train": -1})


@pytest.mark.parametrize("name", pocket_tasks.MAKERS)
def test_sets_are_sound(sets, name):
    data = sets[name]
    assert data.report()["examples"] == pocket_tasks.SIZES
    assert data.report()["test texts in train"] == 0
    for split, some in data.folds[0].items():
        for example in some:
            assert all(text[0].strip() and "{" not in text and "<" not in text.replace(" < ", "")
                       and "%s" not in text and text.endswith(".")
                       for text in example.texts), example  # fmt: skip
        answers = count_answers(some)
        if TASKS[name].labels:
            assert min(answers.values()) / len(some) > 0.05, (split, answers)


def test_mentions_stand_where_they_should(sets):
    from bioptimus_lib.pocket import lexicon

    known = {kind: {term.casefold() for term in lexicon(kind)} for kind in ("drug", "disease")}
    for example in sets["pocket-relation"].test:
        drug, disease = example.mentions
        texts = [example.text[m.start : m.stop].casefold() for m in example.mentions]
        assert texts[0] in known["drug"] and texts[1] in known["disease"]
        assert (drug.placeholder, disease.placeholder) == ("@DRUG$", "@DISEASE$")


def test_a_sentence_has_decoys_and_its_pairs_answers_of_their_own(sets):
    answers = defaultdict(list)
    for example in sets["pocket-relation"].test:
        answers[example.text].append(example.answer)
    several = [some for some in answers.values() if len(some) > 1]
    assert len(several) > 0.6 * len(answers)
    assert sum(len(set(some)) > 1 for some in several) > 0.6 * len(several)


def test_only_train_has_habits(sets):
    """A drug that is seen often does mostly one thing in train, but not in test."""

    def share(split: str) -> float:
        does: dict[str, Counter] = defaultdict(Counter)
        for e in sets["pocket-relation"].folds[0][split]:
            if e.answer != "none":
                does[e.text[e.mentions[0].start : e.mentions[0].stop].casefold()][e.answer] += 1
        often = [c for c in does.values() if sum(c.values()) >= 4]
        return sum(max(c.values()) for c in often) / sum(sum(c.values()) for c in often)

    assert share("train") > share("test") + 0.05


def test_test_has_terms_and_wordings_of_its_own(sets):
    splits = sets["pocket-relation"].folds[0]
    drugs = {
        split: {e.text[e.mentions[0].start : e.mentions[0].stop].casefold() for e in some}
        for split, some in splits.items()
    }
    assert len(drugs["test"] - drugs["train"]) > 0.3 * len(drugs["test"])


def by_words(data: Data, name: str, view: str | None) -> dict[str, float]:
    """Scores of a plain linear model on n-grams, or of shared words for pairs."""
    shown = data.shown(view)
    return evaluate(TASKS[name], shown.test, words_alone(TASKS[name], shown))[0]


def test_a_model_lands_between_the_constant_and_perfection(sets):
    found = {
        (name, view): by_words(data, name, view)["score"]
        for name, data in sets.items()
        for view in TASKS[name].views or (None,)
    }
    for (name, _), score in found.items():
        assert baseline(TASKS[name], sets[name])[0] + 10 < score < 99, found
    # without a hint which pair is meant, much cannot be known
    for view in ("markers", "blinded"):
        assert found["pocket-relation", view] > found["pocket-relation", "plain"] + 15, found
