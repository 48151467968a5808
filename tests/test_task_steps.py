"""The lessons of the chapter beyond entities: what is read, learnt by heart, mistaken for what."""

from __future__ import annotations

import pytest
from conftest import save_old_and_new
from test_tasks import PIECES

from bioptimus_lib import pocket_tasks, task_runs, task_steps
from bioptimus_lib.finetune import Recipe
from bioptimus_lib.models import load_masked_lm
from bioptimus_lib.relations import Mention
from bioptimus_lib.task_data import Example
from bioptimus_lib.task_steps import Wish, by_habit, confusion, mistakes, pieces_of, several
from bioptimus_lib.tasks import TaskSettings

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"train": 30, "devel": 10, "test": 12}


def told(drug: str, answer: str) -> Example:
    text = f"{drug} and gout."
    pair = Mention(0, len(drug), "@DRUG$"), Mention(len(drug) + 5, len(drug) + 9, "@DISEASE$")
    return Example(f"{drug}-{answer}", text, answer, mentions=pair)


def test_habits_by_hand():
    train = [
        told("Aspirin", "treats"), told("aspirin", "treats"), told("aspirin", "none"),
        told("codeine", "causes"), told("codeine", "causes"), told("codeine", "treats"),
        told("heparin", "causes"),
    ]  # fmt: skip
    test = [
        told("aspirin", "treats"), told("ASPIRIN", "causes"), told("codeine", "causes"),
        told("heparin", "causes"), told("insulin", "treats"), told("aspirin", "none"),
    ]  # fmt: skip
    assert by_habit(train, test, positive=("treats", "causes")) == {
        "as in train": [0], "against train": [1], "new or mixed": [2, 3, 4],
    }  # fmt: skip
    sorted_in = by_habit(train, test, positive=("treats", "causes"), often=1, share=0.6)
    assert sorted_in["as in train"] == [0, 2, 3] and sorted_in["new or mixed"] == [4]
    with pytest.raises(ValueError, match="no mentions"):
        by_habit([Example("x", "y", "treats")], [], positive=("treats",))


def test_the_generated_set_has_both_kinds_of_questions(tmp_path):
    from bioptimus_lib.task_table import TASKS

    place = pocket_tasks.generated("pocket-relation", tmp_path)
    fold = TASKS["pocket-relation"].load(place).folds[0]
    found = by_habit(fold["train"], fold["test"], positive=("treats", "causes"))
    assert min(map(len, found.values())) > 10


def test_confusion_has_a_row_for_each_label():
    found = confusion(["a", "a", "b"], ["b", "a", "b"], ["a", "b", "c"])
    assert found["a"] == {"a": 0.5, "b": 0.5, "c": 0} and found["c"] == {"a": 0, "b": 0, "c": 0}
    with pytest.raises(ValueError):
        confusion(["a"], [], ["a"])


def test_each_mistake_has_one_kind():
    gold = ["none", "treats", "causes", "none", "treats"]
    made = ["none", "none", "treats", "causes", "causes"]
    found = mistakes(gold, made)
    assert found == {"missed": [1], "invented": [3], "the other": [2, 4]}
    assert sum(map(len, found.values())) == sum(a != b for a, b in zip(gold, made, strict=True))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps")
    save_old_and_new(PIECES, folder)
    return folder


def test_pieces_as_they_are_read(place):
    _, tokenizer = load_masked_lm(place / "old")
    pair = Example("1", "a b", 1.0, second="b a b a")
    found = pieces_of(pair, tokenizer, window=64)
    assert [p.text for p in found].count("[SEP]") == 2 and found[0] == ("[CLS]", 0)
    assert sorted({p.part for p in found}) == [0, 1] and found[-1].part == 1
    assert len(pieces_of(pair, tokenizer, window=6)) == 6
    with pytest.raises(ValueError, match="shown first"):
        pieces_of(told("aspirin", "none"), tokenizer, window=64)


def test_several_fine_tunings_are_made_once(place, monkeypatch):
    data = pocket_tasks.generated("pocket-relation", place / "sets", sizes=SMALL)
    assert pocket_tasks.generated("pocket-relation", place / "sets") == data  # is there already
    wishes = {"markers": Wish(view="markers"), "reinit-1": Wish(recipe=Recipe(reinit=1), seeds=2,
                                                                examples=20)}  # fmt: skip
    settings = TaskSettings(epochs=1, batch_tokens=256, learning_rate=0.01)

    def run():
        return several(place / "old", "pocket-relation", data, wishes, settings=settings,
                       out=place / "out", keep_models=True)  # fmt: skip

    made = run()
    assert {name: len(some) for name, some in made.items()} == {"markers": 1, "reinit-1": 2}
    assert [one.job.settings.seed for one in made["reinit-1"]] == [0, 1]
    one = made["markers"][0]
    assert one.score == one.result["metrics"]["score"] and len(one.predictions) == 12
    shown = task_runs.data_of(one.job).test
    assert one.classifier().predict(shown) == one.predictions
    assert task_runs.data_of(made["reinit-1"][0].job).report()["examples"]["train"] == 20

    def fail(*_, **__):
        raise AssertionError("it was done already")

    monkeypatch.setattr("bioptimus_lib.tasks.fine_tune", fail)
    assert [o.score for o in run()["reinit-1"]] == [o.score for o in made["reinit-1"]]


def test_a_set_is_written_whole(tmp_path):
    folder = pocket_tasks.generated("pocket-fields", tmp_path, sizes=SMALL)
    assert sum(1 for _ in open(folder / "test.jsonl", encoding="utf-8")) == 12
    assert pocket_tasks.SIZES["test"] != 12


def test_other_sizes_are_other_sets(tmp_path):
    """Whoever changes a number in a chapter gets what it says, not what an earlier run left."""
    def lines(place):
        return len((place / "train.jsonl").read_text(encoding="utf-8").splitlines())

    small = {**SMALL, "train": 20}
    assert lines(pocket_tasks.generated("pocket-fields", tmp_path, sizes=small)) == 20
    source = pocket_tasks.generated("pocket-fields", tmp_path, sizes={**SMALL, "train": 200})
    assert lines(source) == 200 == lines(pocket_tasks.generated("pocket-fields", tmp_path))
    for one_in in (1000, 2, 5):
        place, _, after = task_steps.thinned(
            source, tmp_path / "thin", labels=("kidney", "skin"), one_in=one_in
        )
        assert lines(place) == after


def test_a_thinned_train_has_few_of_some_labels(tmp_path):
    source = pocket_tasks.generated("pocket-fields", tmp_path, sizes={**SMALL, "train": 200})
    rare = ("kidney", "skin")
    folder, before, after = task_steps.thinned(source, tmp_path / "thin", labels=rare, one_in=5)
    kept = (folder / "train.jsonl").read_text().splitlines()
    whole = (source / "train.jsonl").read_text().splitlines()
    assert (before, after) == (200, len(kept)) and set(kept) < set(whole)

    def hits(lines):
        return sum(any(f'"{label}"' in line for label in rare) for line in lines)

    assert 0 <= hits(kept) - -(-hits(whole) // 5) <= len(rare)
    assert after == before - hits(whole) + hits(kept)
    tiny = task_steps.thinned(source, tmp_path / "tiny", labels=rare, one_in=1000)[0]
    text = (tiny / "train.jsonl").read_text()
    assert 1 <= hits(text.splitlines()) <= 2 and all(f'"{label}"' in text for label in rare)
    assert (folder / "test.jsonl").read_text() == (source / "test.jsonl").read_text()
    assert task_steps.thinned(source, tmp_path / "few", labels=rare, examples=50)[1] == 50
