"""What a task is before a model reads it: words alone by hand, and numbers of small sets."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest
from conftest import save_old_and_new
from test_tasks import PIECES

from bioptimus_lib.experiments import task_facts
from bioptimus_lib.experiments.cells import Setting
from bioptimus_lib.models import load_masked_lm
from bioptimus_lib.task_data import Data, Example, count_answers
from bioptimus_lib.task_facts import facts, shared_by_label, words_alone
from bioptimus_lib.task_table import Task

PAIR = Task(name="pair", what="x", reads="pair", answer="label", labels=("no", "yes"),
            metric="accuracy", split="x")  # fmt: skip
SCORE = Task(name="score", what="x", reads="pair", answer="score", metric="pearson", split="x")


def pairs(n: int, seed: int) -> list[Example]:
    """The second text gives the label away; the first is noise."""
    draw = random.Random(seed)
    words = "a b c d e f g h".split()
    return [
        Example(f"{seed}-{i}", " ".join(draw.choices(words, k=5)), label,
                second=f"{'never' if label == 'no' else 'always'} {draw.choice(words)}")
        for i in range(n) for label in [draw.choice(("no", "yes"))]
    ]  # fmt: skip


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(({"train": pairs(80, 1), "devel": pairs(10, 2), "test": pairs(60, 3)},))


def right(data: Data, made: list) -> float:
    return sum(e.answer == a for e, a in zip(data.test, made, strict=True)) / len(made)


def test_one_text_alone_tells_where_the_answer_stands(data):
    assert right(data, words_alone(PAIR, data, texts="second")) == 1
    assert right(data, words_alone(PAIR, data, texts="first")) < 0.8
    assert right(data, words_alone(PAIR, data)) > 0.95
    with pytest.raises(ValueError, match="choose both"):
        words_alone(PAIR, data, texts="third")
    with pytest.raises(ValueError, match="pairs with labels"):
        words_alone(SCORE, data, texts="first")


def test_shared_words_by_label():
    def pair(n, one, other, label):
        return Example(f"{n}", one, label, second=other)

    train = [pair(0, "a b", "a b", "yes"), pair(1, "a b", "A c", "yes"), pair(2, "a", "b", "no")]
    test = [pair(3, "a b", "a c", "yes"), pair(4, "a b", "a c", "no")]
    data = Data(({"train": train, "devel": test, "test": test},))
    found = shared_by_label(PAIR, data)
    assert found["shared_train_yes"] == pytest.approx(100 * (1 + 1 / 3) / 2)
    assert (found["shared_train_no"], found["shared_train"]) == (0, 100)
    assert found["shared_test_yes"] == found["shared_test_no"] and found["shared_test"] == 50
    for other in (SCORE, replace(PAIR, labels=("no", "yes", "maybe"))):
        with pytest.raises(ValueError, match="pairs with two labels"):
            shared_by_label(other, data)


def test_facts_by_hand(data, tmp_path):
    save_old_and_new(PIECES, tmp_path)
    _, tokenizer = load_masked_lm(tmp_path / "old")
    again = Data(({**data.folds[0], "test": [*data.test, data.folds[0]["train"][0]]},))
    found = facts(PAIR, again, tokenizer, window=8)
    assert (found["train"], found["devel"], found["test"]) == (80, 10, 61)
    assert found["most"] + found["least"] == pytest.approx(1) and found["most"] >= 0.5
    assert found["test_in_train"] >= 1 and found["contradicted"] == 0
    assert found["truncated"] > 0.9 and found["pieces"] > 8
    assert found["words_second"] == 100 and 30 < found["constant"] < 70
    assert found["shared_test"] == shared_by_label(PAIR, again)["shared_test"]


def test_a_similarity_is_also_read_apart_by_the_model_as_it_is(tmp_path):
    save_old_and_new(PIECES, tmp_path)
    draw = random.Random(0)

    def scored(n: int) -> list[Example]:
        texts = [" ".join(draw.choices("abcdefgh", k=4)) for _ in range(2 * n)]
        return [Example(f"{len(texts)}-{i}", texts[i], 4.0 if i % 2 else draw.random(),
                        second=texts[i if i % 2 else n + i]) for i in range(n)]  # fmt: skip

    some = Data(({"train": scored(30), "devel": scored(10), "test": scored(20)},))
    setting = Setting(tmp_path / "out", model=str(tmp_path / "old"))
    cosine, regression = task_facts.apart(setting, SCORE, some)
    assert (cosine["variant"], regression["variant"]) == ("read apart, cosine",
                                                          "read apart, regression")
    for row in (cosine, regression):
        found = row["metrics"]
        assert row["metric"] == "pearson" and row["seed"] is None and found["tested"] == 20
        assert found["low"] <= found["score"] <= found["high"]
    # A pair of the same text has the highest score: states that are the same must be seen.
    assert cosine["metrics"]["low"] > 20


@pytest.mark.skipif("BIOPTIMUS_MIRROR" not in os.environ, reason="needs real data")
def test_real_sets_are_as_the_chapter_says():
    from bioptimus_lib import sources
    from bioptimus_lib.task_table import TASKS

    reports = {
        name: TASKS[name].load(sources.fetch(name, progress=False)).report()
        for name in ("mts-dialog", "biosses", "pubmedqa", "rqe")
    }
    assert reports["mts-dialog"]["test texts in train"] == 51
    assert reports["mts-dialog"]["tested"] == 400
    train = count_answers(
        TASKS["mts-dialog"].load(sources.fetch("mts-dialog", progress=False)).folds[0]["train"]
    )
    never = "PLAN OTHER_HISTORY DIAGNOSIS IMAGING GYNHX IMMUNIZATIONS LABS PROCEDURES".split()
    assert {min(train[name] for name in never), max(train[name] for name in never)} == {2, 19}
    assert reports["biosses"]["examples"]["train"] == 60 and reports["biosses"]["folds"] == 5
    assert reports["pubmedqa"]["examples"]["train"] == 449
    assert sum(reports["rqe"]["dropped"].values()) == 1
    assert "none" not in TASKS["chemprot"].labels and len(TASKS["chemprot"].labels) == 13
