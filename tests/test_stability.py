"""Stability: trials repeat, lists find what they know, pairs are pairs, cells are made once."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from bioptimus_lib import stability  # noqa: E402
from bioptimus_lib.cli import main  # noqa: E402
from bioptimus_lib.conll import Sentence, entities  # noqa: E402
from bioptimus_lib.experiments import stability as experiment  # noqa: E402
from bioptimus_lib.experiments.cells import Setting, run_cells  # noqa: E402
from bioptimus_lib.finetune import REMEDIES, Recipe  # noqa: E402
from bioptimus_lib.tagger import NerSettings  # noqa: E402


def sentence(text: str) -> Sentence:
    """``"no/O asthma/B-Disease"`` as a sentence."""
    pairs = [word.rpartition("/") for word in text.split()]
    return Sentence(tuple(p[0] for p in pairs), tuple(p[2] for p in pairs))


TRAIN = [
    sentence("lung/B-Disease cancer/I-Disease and/O Aspirin/B-Drug"),
    sentence("cancer/B-Disease or/O gold/B-Drug"),
    sentence("gold/B-Disease gold/B-Disease"),
]
LISTS = {
    "longest match": ("of lung cancer .", "O B-Disease I-Disease O"),
    "whatever its case": ("ASPIRIN for LUNG CANCER", "B-Drug O B-Disease I-Disease"),
    "from the left": ("lung lung cancer cancer", "O B-Disease I-Disease B-Disease"),
    "the most frequent type": ("gold", "B-Disease"),
    "nothing known": ("pain in the leg", "O O O O"),
    "part of a name": ("lung pain", "O O"),
}


@pytest.mark.parametrize("text, tags", LISTS.values(), ids=LISTS)
def test_a_list_of_names_tags_what_it_knows(text, tags):
    words = text.split()
    (found,) = stability.tag_by_list(TRAIN, [Sentence(tuple(words), ("O",) * len(words))])
    assert list(found) == tags.split()


def test_a_list_is_right_about_its_own_sentences_and_empty_without_any():
    assert stability.list_f1(TRAIN[:1], TRAIN[:1]) == 100
    assert stability.tag_by_list([], TRAIN) == [("O",) * len(s) for s in TRAIN]
    assert stability.list_f1([sentence("pain/B-Symptom")], TRAIN) == 0


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12), st.data())
@settings(max_examples=60)
def test_lists_give_valid_tags_for_names_that_they_have(words, data):
    kinds = ["O", "B-X", "B-Y"]
    tags = data.draw(st.lists(st.sampled_from(kinds), min_size=len(words), max_size=len(words)))
    train = [Sentence(tuple(words), tuple(tags))]
    names = {words[i] for i, tag in enumerate(tags) if tag != "O"}
    (found,) = stability.tag_by_list(train, train)
    assert {e.stop - e.start for e in entities(found)} <= {1}
    assert all((tag != "O") == (word in names) for word, tag in zip(words, found, strict=True))


def test_a_sample_of_few_is_a_part_of_one_of_more():
    few, more = stability.sample(TRAIN * 9, 4), stability.sample(TRAIN * 9, 9)
    assert more[:4] == few and stability.sample(TRAIN, 0) == TRAIN
    ids = list(range(50))
    assert sorted(stability.sample(ids, 50)) == ids != stability.sample(ids, 50)
    assert stability.sample(ids, 9) != stability.sample(ids, 9, seed=1)
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match=f"{wrong} sentences of 3"):
            stability.sample(TRAIN, wrong)


# --- comparing ---------------------------------------------------------------------------------


def test_gains_are_of_pairs():
    found = stability.gain([3.0, 30.0, 300.0], [1.0, 28.0, 298.0])
    assert (found.mean, found.sd, found.n) == (2.0, 0.0, 3)
    found = stability.gain([1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 0.0, 0.0])
    assert found.mean == 3.0 and found.sd == pytest.approx(np.std([1, 2, 3, 6], ddof=1))
    half = 3.182446 * found.sd / 2  # Student's t with 3 degrees of freedom
    assert found.low == pytest.approx(3 - half, abs=1e-4)
    with pytest.raises(ValueError, match="2 seeds against 1"):
        stability.gain([1.0, 2.0], [1.0])


def test_the_spread_ratio_has_the_ratio_in_its_interval():
    draw = np.random.default_rng(1)
    base, calm = draw.normal(60, 8, 40), draw.normal(62, 2, 40)
    found = stability.spread_ratio(calm, base)
    assert found.value == pytest.approx(calm.std(ddof=1) / base.std(ddof=1))
    assert found.low < 0.25 < found.high < 1
    turned = stability.spread_ratio(base, calm)
    assert (1 / turned.high, 1 / turned.low) == pytest.approx((found.low, found.high))
    odd = stability.spread_ratio([1, 1, 1, 5], [1, 2, 3, 4])
    assert (odd.low, odd.high) == (0, np.inf), "one seed is all the spread"
    same = stability.spread_ratio(base, base)
    assert same.low == same.value == same.high == 1
    for wrong, message in [((calm, base[:3]), "40 seeds against 3"), (([1, 2], [1, 2]), "three"),
                           (([1, 1, 1], [1, 2, 3]), "no spread")]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            stability.spread_ratio(*wrong)


def test_the_error_of_the_spread_ratio_is_that_of_the_jackknife():
    a, b = [61.0, 55.0, 70.0, 64.0], [60.0, 52.0, 71.0, 66.5]
    logs = []
    for out in range(4):
        left = [np.std([x for n, x in enumerate(some) if n != out], ddof=1) for some in (a, b)]
        logs.append(np.log(left[0] / left[1]))
    error = np.sqrt(3 / 4 * sum((log - np.mean(logs)) ** 2 for log in logs))
    found = stability.spread_ratio(a, b)
    assert np.log(found.high / found.value) == pytest.approx(3.182446 * error, abs=1e-5)
    assert np.log(found.value / found.low) == pytest.approx(3.182446 * error, abs=1e-5)


def test_an_interval_of_the_spread_covers_as_often_as_it_says():
    draw, held = np.random.default_rng(0), 0
    for _ in range(4000):
        a, b = draw.normal(0, 2, 5), draw.normal(0, 1, 5)
        found = stability.spread_ratio(a, b)
        held += found.low <= 2 <= found.high
    assert held / 4000 == pytest.approx(0.95, abs=0.01)


def test_a_comparison_counts_failed_seeds_and_pairs_shared_ones():
    f1 = {
        "plain": {0: 50.0, 1: 40.0, 2: 45.0, 3: 2.0},
        "a": {3: 12.0, 2: 55.0, 1: 50.0},
        "b": {0: 51.0},
    }
    plain, a, b = stability.comparison(f1, floor=12.0)  # no better than the floor has failed, too
    assert (plain["failed"], a["failed"], b["failed"]) == ("1 of 4", "1 of 3", "0 of 1")
    assert (plain["from, to"], plain["gain"]) == ("2.0, 50.0", "")
    assert a["gain"] == "+10.0 [+10.0, +10.0]" and a["spread ratio"].startswith("1.00")
    assert b["F1"] == "51.00" and b["gain"] == b["spread ratio"] == ""
    with pytest.raises(ValueError, match="'plain' is not among a, b"):
        stability.comparison({"a": f1["a"], "b": f1["b"]})


def test_rows_are_sorted_by_size_and_recipe():
    rows = [
        {"sentences": 50, "remedy": "plain", "seed": 1, "metrics": {"f1": 3.0, "devel_f1": 4.0}},
        {"sentences": 50, "remedy": "plain", "seed": 0, "metrics": {"f1": 2.0, "devel_f1": 5.0}},
        {"sentences": 50, "seed": None, "metrics": {"f1": 9.0}},
    ]
    assert stability.by_size(rows) == {50: {"plain": {1: 3.0, 0: 2.0}}}
    assert stability.by_size(rows, metric="devel_f1")[50]["plain"][0] == 5.0


DEVEL = {
    "plain": [50.0, 52.0], "freeze-1": [53.0, 53.0], "freeze-2": [55.0, 51.0],
    "decay-0.9": [40.0, 60.0], "reinit-3": [52.0, 54.0], "longer-2": [60.0, 60.0],
    "shorter": [59.0, 58.0], "uncorrected": [99.0, 99.0],
}  # fmt: skip
TOGETHER = {
    "the best of each above plain": ({}, Recipe(freeze=1, reinit=3, longer=2)),
    "a tie goes to the first": ({"freeze-2": [53.0, 53.0]}, Recipe(freeze=1, reinit=3, longer=2)),
    "new layers push frozen ones out": (
        {"freeze-3": [52.5, 51.5], "freeze-1": [0, 0], "freeze-2": [0, 0]},
        Recipe(reinit=3, longer=2),
    ),
    "frozen layers push new ones out": (
        {"freeze-3": [57.0, 57.0]}, Recipe(freeze=3, longer=2)
    ),
    "nothing helps": (
        {name: [1.0, 1.0] for name in DEVEL if name not in ("plain", "uncorrected")}, Recipe()
    ),
}  # fmt: skip


@pytest.mark.parametrize("changes, expected", TOGETHER.values(), ids=TOGETHER)
def test_what_is_put_together_is_chosen_on_devel(changes, expected):
    assert stability.best_together(DEVEL | changes, depth=4) == expected


# --- runs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pocket(tmp_path_factory):
    """Folder of a generated set."""
    from bioptimus_lib.pocket_ner import write_ner

    folder = tmp_path_factory.mktemp("sets") / "pocket"
    write_ner(folder, train=30, devel=6, test=12)
    return folder


def test_trials_are_the_same_for_the_same_seeds_and_count_their_steps(tiny, pocket, one_thread):
    from bioptimus_lib.conll import load_splits
    from bioptimus_lib.ner import fine_tune

    splits = load_splits(pocket)
    settings = NerSettings(epochs=2, batch_tokens=256, learning_rate=1e-2, seed=3)
    recipes = {"a": Recipe(longer=1.5), "b": Recipe()}
    found = stability.trials(tiny, splits, recipes, settings=settings, seeds=2)
    made = found["a"]
    assert list(found) == ["a", "b"] and [len(t.devel) for t in found["b"]] == [2, 2]
    assert [t.seed for t in made] == [3, 4]
    assert [len(t.devel) for t in made] == [3, 3] == [len(t.losses) for t in made]
    assert made[0].losses != made[1].losses
    assert made[0].devel_f1 == made[0].devel[made[0].epoch - 1] == max(made[0].devel)
    again = stability.trial(tiny, splits, Recipe(longer=1.5), settings=settings)
    assert replace(again, seconds=0) == replace(made[0], seconds=0)
    plain = fine_tune(tiny, splits, settings=replace(settings, epochs=3))
    assert plain.metrics["f1"] == again.f1
    batches = -(-plain.report["train"]["pieces"] // 256)
    assert 3 * batches <= again.steps <= 3 * 2 * batches


def test_trials_side_by_side_are_those_one_after_another(tiny_folder, pocket, one_thread):
    from bioptimus_lib.conll import load_splits

    splits = load_splits(pocket)
    settings = NerSettings(epochs=1, batch_tokens=256, learning_rate=1e-2)
    recipes = {"plain": Recipe(), "odd": Recipe(reinit=1, corrected=False)}
    alone, together = (
        stability.trials(tiny_folder, splits, recipes, settings=settings, seeds=2, workers=n)
        for n in (0, 2)
    )
    for name in recipes:
        assert [replace(t, seconds=0) for t in alone[name]] == [
            replace(t, seconds=0) for t in together[name]
        ]
    assert alone["plain"][0].losses != alone["odd"][0].losses
    assert 0 <= stability.side_by_side() <= stability.MOST


def test_the_experiment_makes_its_cells_once_and_chooses_on_devel(pocket, tmp_path, monkeypatch):
    few = {name: REMEDIES[name] for name in ("plain", "freeze-2", "longer-2", "uncorrected")}
    monkeypatch.setattr(experiment, "REMEDIES", few)
    monkeypatch.setattr(experiment, "SWEPT", (10, 20))
    monkeypatch.setattr(experiment, "LARGER", (25,))
    monkeypatch.setattr(experiment, "DEVEL", 4)
    monkeypatch.setattr(experiment, "FEW_EPOCHS", 1)
    monkeypatch.setattr(stability, "REMEDIES", few)
    setting = Setting(tmp_path, model="pocket-bert", corpus=str(pocket), seeds=2, progress=False)
    rows, missing = run_cells("stability", experiment, setting)
    assert not missing and len(rows) == 4 + 2 * (4 + 1) * 2 + 2 * 2 + 2 * 2
    lists = [row for row in rows if row["model"] == "list of names"]
    assert [row["variant"] for row in lists] == [
        "10 sentences, list", "20 sentences, list", "25 sentences, list", "all sentences, list"
    ]  # fmt: skip
    floors = {row["variant"].split(",")[0]: row["metrics"]["f1"] for row in lists}
    runs = [row for row in rows if row["model"] == "pocket-bert"]
    for row in runs:
        size = row["variant"].split(",")[0]
        assert row["metrics"]["failed"] == (row["metrics"]["f1"] <= floors[size])
        assert row["seed"] in (0, 1) and row["settings"]["seed"] == row["seed"]
        assert row["metrics"]["epoch"] == 1 + np.argmax(row["devel"])
    assert len({(row["variant"], row["seed"]) for row in runs}) == len(runs)
    longer = [r for r in runs if r["remedy"] == "longer-2"]
    assert all(r["settings"]["epochs"] == 2 and r["recipe"] == {"longer": 2} for r in longer)
    # the larger sizes have the combination of the largest sweep
    of = {n: [r["recipe"] for r in runs if r["remedy"] == "together" and r["sentences"] == n]
          for n in (20, 25, 30)}  # fmt: skip
    assert of[20] == of[25] == of[30]
    # the combination is what devel says, from the cells, and is not chosen again
    for size in (10, 20):
        devel = {
            name: [r["metrics"]["devel_f1"] for r in runs
                   if r["remedy"] == name and r["sentences"] == size]
            for name in few
        }  # fmt: skip
        chosen = stability.best_together(devel, depth=4, recipes=few).changes()
        done = [r for r in runs if r["remedy"] == "together" and r["sentences"] == size]
        assert len(done) == 2 and all(r["recipe"] == chosen for r in done)
        file = tmp_path / "stability" / f"together-{size}.json"
        assert json.loads(file.read_text())["recipe"] == chosen
        file.write_text(json.dumps({"recipe": {"freeze": 1}}))
        assert experiment.together(setting, size) == Recipe(freeze=1)
    monkeypatch.setattr(experiment, "trial", lambda *_, **__: pytest.fail("made again"))
    assert run_cells("stability", experiment, setting)[0] == rows


def test_sizes_share_their_test_and_are_nested(pocket, tmp_path):
    setting = Setting(tmp_path, corpus=str(pocket), progress=False)
    few, more, whole = (experiment.splits_for(setting, n) for n in (5, 20, 0))
    assert len(few["train"]) == 5 and more["train"][:5] == few["train"]
    assert few["test"] == whole["test"] and len(whole["train"]) == 30
    assert len(few["devel"]) == 6  # as many as there are


def test_the_corpus_must_be_an_ner_set(tmp_path):
    for wrong in ("biomed", "no-such-set"):
        with pytest.raises(ValueError, match=f"'{wrong}' is not an NER set: give .*NCBI-disease"):
            experiment.ner_folder(Setting(tmp_path, corpus=wrong, progress=False))


def test_rows_go_to_the_ledger_with_the_files_of_the_set(pocket, tmp_path, monkeypatch, capsys):
    from bioptimus_lib import ledger

    monkeypatch.setattr(experiment, "cells", lambda setting: ["10-list", "10-plain-0"])
    monkeypatch.setattr(experiment, "FEW_EPOCHS", 1)
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    command = ["experiment", "stability", "--model", "pocket-bert", "--corpus", str(pocket),
               "--seeds", "1", "--out", str(tmp_path / "out"), "--quiet",
               "--ledger", "x"]  # fmt: skip
    assert main(command) == 0
    assert "10 sentences, plain" in capsys.readouterr().out
    rows = ledger.read("stability", folder=tmp_path / "results")
    assert [row["model"] for row in rows] == ["list of names", "pocket-bert"]
    assert {name.split("/")[-1] for name in rows[1]["data"]} >= {"train.tsv", "test.tsv"}
    assert all(math.isfinite(value) for row in rows for value in row["metrics"].values())


# -- what chapter 13 says of the ledger ------------------------------------------------------------

FEW, LARGER = (50, 100), (500, 5424)


@pytest.fixture(scope="module")
def real():
    """Sentences → recipe → seed → F1 of the ledger, and sentences → F1 of the list of names."""
    from bioptimus_lib import evidence

    rows = evidence.rows_of("stability", "f1")
    rows = [row for row in rows if row["dataset"] == "NCBI-disease"]
    floors = {row["sentences"]: row["metrics"]["f1"] for row in rows if "remedy" not in row}
    return stability.by_size(rows), floors


def gain_of(found, name, base="plain"):
    return stability.gain(*stability.shared(found[name], found[base]))


def test_the_ledger_has_ten_seeds_of_each_recipe(real):
    f1, _ = real
    assert set(f1) == {*FEW, *LARGER}
    assert all(set(f1[n]) == {*REMEDIES, "together"} for n in FEW)
    assert all(set(f1[n]) == {"plain", "together"} for n in LARGER)
    assert all(len(runs) == 10 for some in f1.values() for runs in some.values())


def test_what_fails_is_what_the_chapter_names(real):
    f1, floors = real
    failed = {
        (n, name): sum(value <= floors[n] for value in runs.values())
        for n, some in f1.items() for name, runs in some.items()
    }  # fmt: skip
    assert all(failed[n, "shorter"] == 10 and failed[n, "uncorrected"] > 5 for n in FEW)
    others = {name for (_, name), count in failed.items() if count}
    assert others == {"shorter", "uncorrected", "freeze-3", "reinit-3"}


def test_remedies_gain_and_lose_as_the_chapter_says(real):
    f1, _ = real
    remedies = [name for name in REMEDIES if name != "plain"]
    above = {(n, name) for n in FEW for name in remedies if gain_of(f1[n], name).low > 0}
    assert above == {(50, "longer-2")}
    for n in FEW:
        for name in ("freeze-2", "freeze-3", "decay-0.75", "reinit-3"):
            assert gain_of(f1[n], name).high < 0
        for name in ("freeze-1", "decay-0.95", "decay-0.9"):
            assert gain_of(f1[n], name).low < 0 < gain_of(f1[n], name).high
        found = gain_of(f1[n], "together", "longer-2")
        assert found.low < 0 < found.high
    for n in LARGER:
        assert gain_of(f1[n], "together").low < 0 < gain_of(f1[n], "together").high


def test_one_recipe_is_less_steady_at_both_sizes(real):
    f1, _ = real
    for n in FEW:
        ratios = {
            name: stability.spread_ratio(*stability.shared(runs, f1[n]["plain"]))
            for name, runs in f1[n].items() if name not in ("plain", "shorter")
        }  # fmt: skip
        assert ratios.pop("uncorrected").low > 1
        assert sum(not found.low <= 1 <= found.high for found in ratios.values()) <= 1
