"""Fine-tuning on texts and pairs: truncation, answers, determinism, remedies, folds."""

from __future__ import annotations

import json
import random
import warnings

import numpy as np
import pytest
from conftest import learner
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib.errors import DataError
from bioptimus_lib.task_data import Data, Example, cross_validation
from bioptimus_lib.task_table import Task
from bioptimus_lib.tasks import (
    baseline,
    evaluate,
    fine_tune,
    load_classifier,
    read_predictions,
    rows,
    save,
)

pytestmark = pytest.mark.usefixtures("one_thread")
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
WORDS = "abcdefgh"

LABEL = Task(name="label", what="", reads="text", answer="label", labels=("no", "yes"),
             positive=("yes",), metric="f1", split="")  # fmt: skip
PAIR = Task(name="pair", what="", reads="pair", answer="label", labels=("no", "yes"),
            metric="accuracy", split="")  # fmt: skip
LABELS = Task(name="labels", what="", reads="text", answer="labels", labels=tuple("abc"),
              metric="f1", split="")  # fmt: skip
SCORE = Task(name="score", what="", reads="text", answer="score", metric="pearson", split="")
TOYS = {task.name: task for task in (LABEL, PAIR, LABELS, SCORE)}


def toy(kind: str, number: int, seed: int) -> list[Example]:
    """Texts whose answers follow from their words: is there an a; do both begin alike; which of
    a, b, c are there; how many a."""
    rng = random.Random(f"{kind}/{seed}")
    made = []
    for i in range(number):
        words = rng.choices(WORDS, k=rng.randint(2, 9))
        text, second = " ".join(words), None
        if kind == "label":
            answer = "yes" if "a" in words else "no"
        elif kind == "labels":
            answer = tuple(x for x in "abc" if x in words)
        elif kind == "score":
            answer = 10.0 + 5 * words.count("a")
        else:
            answer = rng.choice(("no", "yes"))
            second = text if answer == "yes" else " ".join(rng.choices("abcd", k=3))
            text = text if answer == "yes" else " ".join(rng.choices("efgh", k=3))
        made.append(Example(f"{seed}-{i}", text, answer, second=second))
    return made


def data_of(kind: str, train: int = 300) -> Data:
    sizes = {"train": train, "devel": 60, "test": 60}
    splits = {split: toy(kind, size, n) for n, (split, size) in enumerate(sizes.items())}
    return Data((splits,))


@pytest.fixture(scope="module")
def tokenizer():
    from bioptimus_lib.vocab import bert_tokenizer

    return bert_tokenizer(PIECES)


@pytest.fixture(scope="module")
def tiny(tokenizer):
    return learner(tokenizer), tokenizer


def quick(**changes):
    from bioptimus_lib.sequences import TaskSettings

    return TaskSettings(**{"epochs": 6, "batch_tokens": 128, "learning_rate": 5e-3} | changes)


# --- reading -----------------------------------------------------------------------------------


def longest_first(first: list, second: list, room: int) -> tuple[list, list]:
    """The slow way: take a piece from the end of the longer one until both fit."""
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    return first, second


@given(one=st.integers(1, 30), two=st.integers(1, 30), window=st.integers(5, 40))
@settings(max_examples=80)
def test_the_longer_text_of_a_pair_is_cut_first_and_counted(tokenizer, one, two, window):
    from bioptimus_lib.sequences import encode

    rng = random.Random(one * 1000 + two)
    texts = [" ".join(rng.choices(WORDS, k=n)) for n in (one, two)]
    made = encode([Example("1", texts[0], "no", second=texts[1])], tokenizer, window=window)
    pieces = tokenizer.convert_ids_to_tokens(made.ids[0])
    left, right = longest_first(texts[0].split(), texts[1].split(), window - 3)
    found = [pieces[1 : pieces.index("[SEP]")], pieces[pieces.index("[SEP]") + 1 : -1]]
    # of two texts of one length either may lose the odd piece
    assert sorted(map(len, found)) == sorted([len(left), len(right)])
    assert [texts[i].split()[: len(part)] for i, part in enumerate(found)] == found
    assert made.types[0].tolist() == [0] * (len(found[0]) + 2) + [1] * (len(found[1]) + 1)
    lost = max(0, one + two + 3 - window)
    assert (made.report["truncated"], made.report["cut"]) == (int(lost > 0), lost)
    assert made.report["pieces"] == len(made.ids[0]) <= window


def test_nothing_is_left_out_when_texts_are_read(tokenizer):
    from bioptimus_lib.sequences import encode

    some = [Example(str(i), text, "no") for i, text in enumerate(["a b", "Ω", "\x07", "a " * 90])]
    made = encode(some, tokenizer, window=10)
    assert [len(ids) for ids in made.ids] == [4, 3, 2, 10]
    assert made.report == {
        "examples": 4, "pieces": 19, "truncated": 1, "cut": 82, "unknown": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match="no room"):
        encode(some, tokenizer, window=2)
    with pytest.raises(ValueError, match="no example"):
        encode([], tokenizer, window=10)


# --- fine-tuning -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TOYS)
def test_the_same_seed_gives_the_same_whatever_the_global_state(tiny, kind):
    import torch

    task, data = TOYS[kind], data_of(kind, 60)
    weights = {name: value.clone() for name, value in tiny[0].state_dict().items()}
    torch.manual_seed(1)
    first = fine_tune(tiny, task, data, settings=quick(epochs=2), device="cpu")
    assert all(torch.equal(value, weights[n]) for n, value in tiny[0].state_dict().items())
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    second = fine_tune(tiny, task, data, settings=quick(epochs=2), device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert second.predictions == first.predictions and second.metrics == first.metrics
    assert [r["loss"] for r in second.devel[0]] == [r["loss"] for r in first.devel[0]]
    other = fine_tune(tiny, task, data, settings=quick(epochs=1, seed=1), device="cpu")
    assert other.devel[0][0]["loss"] != first.devel[0][0]["loss"]


@pytest.mark.parametrize("kind", TOYS)
def test_a_tiny_model_beats_the_constant_and_no_example_is_lost(tiny, kind, tmp_path):
    task, data = TOYS[kind], data_of(kind)

    def same(found):
        """Itself; of numbers the last bits hang on the CPU, and on where they lie in memory."""
        return pytest.approx(found, abs=1e-5) if kind == "score" else found

    first = fine_tune(tiny, task, data, settings=quick(), device="cpu")
    assert first.metrics["score"] > max(75, first.metrics["baseline"] + 10)
    assert first.metrics["baseline"] == baseline(task, data)[0]
    # every test example has its answer, and is scored
    assert len(first.predictions) == len(data.test) == first.report["tested"]
    assert len(rows(task, data.test, first.predictions)) == len(data.test)
    assert evaluate(task, data.test, first.predictions)[0]["score"] == first.metrics["score"]
    # the best epoch is the one that is kept
    scores = [row["score"] for row in first.devel[0]]
    assert first.epochs == [1 + scores.index(max(scores))]
    devel = data.folds[0]["devel"]
    again = first.classifiers[0].predict(devel)
    assert same(evaluate(task, devel, again)[0]["score"]) == max(scores)
    assert max(scores) == first.metrics["devel_score"]
    # what is written is read again
    save(first, data.test, tmp_path / "out", notes={"more": 1})
    assert read_predictions(tmp_path / "out" / "predictions.jsonl", data.test) == first.predictions
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    assert written["metrics"] == first.metrics and written["more"] == 1
    again = load_classifier(tmp_path / "out" / "model", task, settings=quick())
    assert same(again.predict(data.test)) == first.predictions
    with pytest.raises(ValueError, match="not task"):
        load_classifier(tmp_path / "out" / "model", TOYS["labels" if kind != "labels" else "pair"])
    with pytest.raises(FileNotFoundError):
        load_classifier(tmp_path / "out", task)
    text = (tmp_path / "out" / "predictions.jsonl").read_text()
    assert data.test[0].text not in text


def test_answers_do_not_depend_on_the_batch_or_its_order(tiny):
    task, data = PAIR, data_of("pair", 60)
    one = fine_tune(tiny, task, data, settings=quick(epochs=1, precision="fp32"), device="cpu")
    classifier = one.classifiers[0]
    together = classifier.outputs(classifier.encode(data.test))
    alone = [classifier.outputs(classifier.encode([example]))[0] for example in data.test]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-4)


def test_token_types_are_seen(tiny):
    classifier = fine_tune(
        tiny, PAIR, data_of("pair", 60), settings=quick(epochs=1, precision="fp32"), device="cpu"
    ).classifiers[0]
    made = classifier.encode(data_of("pair").test)
    flat = made._replace(types=[np.zeros_like(types) for types in made.types])
    assert not np.allclose(classifier.outputs(made), classifier.outputs(flat), atol=1e-3)


def test_remedies_are_those_of_the_entities(tiny):
    import torch

    from bioptimus_lib.finetune import Recipe

    recipe = Recipe(freeze=1, reinit=1, decay=0.5, longer=0.5)
    set_to = recipe.settings(quick(epochs=4))
    assert (type(set_to), set_to.epochs) == (type(quick()), 2)
    found = fine_tune(tiny, LABEL, data_of("label", 60), settings=set_to, groups=recipe.groups,
                      optimizer=recipe.optimizer, device="cpu")  # fmt: skip
    old, new = tiny[0].base_model.state_dict(), found.classifiers[0].model.base_model.state_dict()
    for name, value in old.items():
        low = name.startswith(("embeddings", "encoder.layer.0"))
        assert torch.equal(value, new[name]) == low, name
    plain = fine_tune(tiny, LABEL, data_of("label", 60), settings=set_to, device="cpu")
    assert plain.devel[0][0]["loss"] != found.devel[0][0]["loss"]


def test_folds_are_trained_one_by_one_and_scored_together(tiny, tmp_path):
    data = Data(cross_validation(toy("score", 100, 5), 5))
    found = fine_tune(tiny, SCORE, data, settings=quick(epochs=3), device="cpu")
    assert len(found.devel) == len(found.epochs) == len(found.classifiers) == 5
    assert len(found.predictions) == len(data.test) == 100
    assert found.report["tested"] == found.report["pieces"]["test"]["examples"] == 100
    assert (baseline(SCORE, data)[0], found.metrics["baseline"]) == (0, 0)
    assert abs(np.mean(found.predictions) - np.mean([e.answer for e in data.test])) < 3  # in scale
    save(found, data.test, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("model-*"))) == 5


def test_another_architecture_without_token_types(tokenizer):
    import torch
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    config = DistilBertConfig(vocab_size=len(tokenizer), dim=16, n_layers=1, n_heads=2,
                              hidden_dim=32, max_position_embeddings=64)  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DistilBertForMaskedLM(config), _without_types(tokenizer)
    found = fine_tune(model, PAIR, data_of("pair", 60), settings=quick(epochs=1), device="cpu")
    assert len(found.predictions) == 60 and found.classifiers[0].encode(
        data_of("pair").test
    ).types is None  # fmt: skip


def _without_types(tokenizer):
    import copy

    other = copy.deepcopy(tokenizer)
    other.model_input_names = ["input_ids", "attention_mask"]
    return other


# --- what is refused ---------------------------------------------------------------------------


def test_what_cannot_be_trained_is_refused(tiny):
    from bioptimus_lib.relations import Mention

    with pytest.raises(ValueError, match="'packed' lays several texts in a row"):
        quick(batching="packed")
    with pytest.raises(ValueError, match="unknown"):
        quick(batching="x")
    with pytest.raises(FileNotFoundError, match="no-such-model"):
        fine_tune("no-such-model", LABEL, data_of("label", 20))
    with warnings.catch_warnings(), pytest.raises(FloatingPointError, match="learning rate"):
        warnings.simplefilter("ignore")
        fine_tune(tiny, SCORE, data_of("score", 60), device="cpu",
                  settings=quick(epochs=1, learning_rate=1e30, clip=1e30))  # fmt: skip
    pair = Mention(0, 1, "@A$"), Mention(2, 3, "@B$")
    task = Task(name="r", what="", reads="text", answer="label", labels=("no", "yes"),
                metric="f1", views=("markers",), split="")  # fmt: skip
    some = [Example("1", "a b", "no", mentions=pair)]
    with pytest.raises(ValueError, match=r"choose how they are shown: data.shown\('markers'\)"):
        fine_tune(tiny, task, Data(({"train": some, "devel": some, "test": some},)))


def test_predictions_of_other_examples_are_refused(tmp_path):
    test = toy("label", 3, 0)
    file = tmp_path / "p.jsonl"
    sound = [{"id": e.id, "gold": e.answer, "predicted": "no"} for e in test]

    def write(some):
        file.write_text("".join(json.dumps(row) + "\n" for row in some))

    write(sound)
    assert read_predictions(file, test) == ["no"] * 3
    for wrong in (sound[:2], sound[::-1], [*sound[:2], sound[2] | {"gold": "x"}],
                  [*sound[:2], {"id": test[2].id, "gold": test[2].answer}]):  # fmt: skip
        write(wrong)
        with pytest.raises(DataError):
            read_predictions(file, test)


def test_signs_of_the_model_in_a_task_are_text(tokenizer):
    from bioptimus_lib.sequences import encode

    special = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id]
    for text, window in (("a [SEP] b [MASK]", 40), ("[SEP] a " * 30, 12)):
        (ids,) = encode([Example("1", text, "no")], tokenizer, window=window).ids
        assert np.isin(ids, special).sum() == 2, "one at each end"


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"head_learning_rate": -1.0}, "head_learning_rate -1.0"),
        ({"weight_decay": -0.1}, "weight_decay -0.1"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"max_length": 0}, "max_length is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        quick(**wrong)


def test_a_head_that_shall_not_learn_does_not(tiny):
    from bioptimus_lib.fitting import decay_groups

    def rates(head):
        groups = decay_groups(tiny[0], quick(learning_rate=0.5, head_learning_rate=head))
        return {group["lr"] for group in groups}

    assert rates(0.0) == {0.0, 0.5} and rates(None) == {0.5}
