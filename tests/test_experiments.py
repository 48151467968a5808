"""Experiments: cells are made once, splits do not leak, numbers mean what they say."""

from __future__ import annotations

import json
import types
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib.cli import main  # noqa: E402
from bioptimus_lib.experiments import EXPERIMENTS, experiment  # noqa: E402
from bioptimus_lib.experiments.cells import Setting, run_cells  # noqa: E402
from bioptimus_lib.experiments.recovery import joined, read_examples, recover  # noqa: E402
from bioptimus_lib.experiments.start import cells, finish, steps_to  # noqa: E402
from bioptimus_lib.vocab import SPECIAL_PIECES, bert_tokenizer  # noqa: E402

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = [a + b + c for a in ("ba", "ko", "ri", "mu") for b in ("den", "lum", "tos") for c in
         ("ax", "ir", "ol")]  # fmt: skip


@pytest.fixture(scope="module")
def house(one_thread):
    """(model, tokenizer, contexts of one text, contexts of another)."""
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = bert_tokenizer(
        [*SPECIAL_PIECES, *LETTERS, *("##" + c for c in LETTERS), *WORDS, "seen"], max_length=32
    )
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=32,
    )).eval()  # fmt: skip
    one = {word: [f"seen {word} {n * 'x '}" for n in range(4)] for word in [*WORDS, "seen"]}
    other = {word: [f"{n * 'y '} {word} seen" for n in range(4)] for word in WORDS}
    yield model, tokenizer, one, other


def test_words_are_read_in_two_texts_and_words_of_one_are_only_fitted(house):
    model, tokenizer, one, other = house
    found = read_examples(model, tokenizer, one, other, contexts=3, precision="fp32")
    names = tokenizer.convert_ids_to_tokens
    assert sorted(names(found.test_ids.tolist())) == sorted(WORDS)
    assert sorted(names(found.fit_ids.tolist())) == sorted([*WORDS, "seen"])
    assert found.fit.layers == (0, 1, 2, 3) and found.contexts == 3
    assert set(found.fit.count.tolist()) == set(found.test.count.tolist()) == {3}
    place = [found.fit_ids.tolist().index(n) for n in found.test_ids.tolist()]
    assert not torch.allclose(found.fit.states[place], found.test.states)
    assert torch.equal(found.fit.pieces[place], found.test.pieces)
    few = read_examples(model, tokenizer, one, other, words=20, contexts=3, precision="fp32")
    assert torch.equal(few.fit_ids, few.test_ids) and len(few.fit_ids) == 20
    (row,) = recover(found, strategies=["calibrated"], splits=[0])
    assert row["fit_words"] == len(WORDS) + 1 - row["tokens"]
    bands = list(row["bands"].values())
    assert sum(band["tokens"] for band in bands) == row["tokens"]
    mean = sum(band["tokens"] * band["mrr"] for band in bands) / row["tokens"]
    assert mean == pytest.approx(row["mrr"], abs=1e-3) and "cos" in bands[0]["centred"]


def test_words_with_few_sentences_are_tested_if_asked_for(house):
    model, tokenizer, one, other = house
    other = {word: some[: 1 + n % 4] for n, (word, some) in enumerate(other.items())}
    found = read_examples(model, tokenizer, one, other, contexts=4, precision="fp32")
    for least in (None, 1, 2):
        (row,) = recover(found, strategies=["contextual"], splits=[0], least=least)
        many = sum(len(some) >= (least or 4) for some in other.values())
        assert row["tokens"] == round(0.3 * many)


def test_contexts_read_in_parts_are_contexts_read_at_once(house, tmp_path):
    model, tokenizer, one, other = house

    def read(skip, number):
        return read_examples(model, tokenizer, one, other, skip=skip, contexts=number,
                             precision="fp32", keep=tmp_path)  # fmt: skip

    whole, parts = read(0, 4), joined(read(0, 1), read(1, 3))
    for side in ("fit", "test"):
        a, b = getattr(whole, side), getattr(parts, side)
        assert torch.equal(a.count, b.count)
        torch.testing.assert_close(a.states, b.states, atol=1e-5, rtol=1e-5)
    again = read(0, 4)  # from what was kept
    assert torch.equal(again.test.states, whole.test.states)


def test_a_row_for_each_strategy_and_split(house):
    model, tokenizer, one, other = house
    examples = read_examples(model, tokenizer, one, other, contexts=4, precision="fp32")
    names = ["random", "calibrated", "token_distillation"]
    rows = recover(examples, strategies=names, splits=[0, 1], model=model, tokenizer=tokenizer)
    assert [(row["strategy"], row["split"]) for row in rows] == [
        (name, split) for split in (0, 1) for name in names
    ]
    for row in rows:
        assert row["tokens"] == round(0.3 * len(WORDS))
        assert 0 < row["mrr"] <= 1 and set(row["centred"]) == {"mrr", "top1", "top10", "cos"}
    assert recover(examples, strategies=["calibrated"], splits=[1]) == [rows[4]]
    with pytest.raises(ValueError, match="give model and tokenizer"):
        recover(examples, strategies=["token_distillation"])


def test_words_to_test_are_not_fitted_on(house):
    """True rows of the words to test may be anything: what is made of them stays the same."""
    import dataclasses

    model, tokenizer, one, other = house
    examples = read_examples(model, tokenizer, one, other, contexts=4, precision="fp32")
    order = torch.randperm(len(WORDS), generator=torch.Generator().manual_seed(0))
    test = examples.test_ids[order[: round(0.3 * len(WORDS))]]
    table = examples.table.clone()
    table[test] = 7.0
    spoilt = dataclasses.replace(examples, table=table)
    one, other = (recover(some, strategies=["calibrated"], splits=[0])[0] for some in
                  (examples, spoilt))  # fmt: skip
    assert one["layers"] == other["layers"] and one["error"] != other["error"]


def fake(made):
    """An experiment of two cells that writes down which it makes."""

    def run(setting, cell):
        made.append(cell)
        yield {"model": cell, "metrics": {"mrr": 1.0}}

    return types.SimpleNamespace(cells=lambda setting: ["a", "b"], run=run)


def test_a_cell_is_made_once_and_not_after_its_minutes(tmp_path, monkeypatch):
    made = []
    rows, missing = run_cells("x", fake(made), Setting(tmp_path, model="m"))
    assert made == ["a", "b"] and not missing and len(rows) == 2
    (tmp_path / "x" / "b.json").unlink()
    rows, missing = run_cells("x", fake(made), Setting(tmp_path, model="m", seeds=9))
    assert made == ["a", "b", "b"] and [row["model"] for row in rows] == ["a", "b"]
    (tmp_path / "x" / "b.json").unlink()
    clock = iter([0.0, 61.0])
    monkeypatch.setattr("bioptimus_lib.experiments.cells.time.time", lambda: next(clock))
    rows, missing = run_cells("x", fake(made), Setting(tmp_path, model="m", minutes=1))
    assert made == ["a", "b", "b"] and missing == ["b"] and len(rows) == 1


def test_a_row_says_where_it_was_made_and_not_where_it_was_found(tmp_path, monkeypatch):
    setting = Setting(tmp_path, model="m")
    (row, _), _ = run_cells("x", fake([]), setting)
    assert {"command", "device", "commit", "date", "versions"} <= set(row) and "data" not in row
    monkeypatch.setattr("sys.argv", ["bioptimus", "another", "call"])
    assert run_cells("x", fake([]), setting)[0][0] == row
    known = fake([])
    known.run = lambda *_: iter([{"model": "a", "device": "another machine", "metrics": {}}])
    (other, _), _ = run_cells("y", known, setting)
    assert other["device"] == "another machine" and other["command"] == "bioptimus another call"


def test_models_of_one_name_are_told_by_their_weights(tmp_path):
    for name in "ab":
        place = tmp_path / name / "v0.4"
        place.mkdir(parents=True)
        (place / "model.safetensors").write_text(name)
    one, other = (
        Setting(tmp_path, model=str(tmp_path / name / "v0.4")).recorded()["model"] for name in "ab"
    )
    assert one != other and one.startswith("v0.4@") and other.startswith("v0.4@")
    assert Setting(tmp_path, model="pocket-bert").recorded()["model"] == "pocket-bert"


def test_the_run_of_an_experiment_reads_the_text_that_is_named(tmp_path, monkeypatch):
    from bioptimus_lib.experiments import text
    from bioptimus_lib.experiments.laptop import laptop_run

    monkeypatch.setattr(text, "corpus", lambda setting: tmp_path / setting.corpus)
    (tmp_path / "general").mkdir()
    (tmp_path / "general" / "a.txt").write_text("Some text.\n")
    named = laptop_run(Setting(tmp_path / "out", model="pocket-bert", corpus="general"), "one")
    assert named.corpus_source == tmp_path / "general"
    own = laptop_run(Setting(tmp_path / "out", model="pocket-bert"), "two")
    assert own.corpus_source is None and own.profile.corpus == "biomed"


def test_only_the_chosen_cells_are_made(tmp_path):
    made = []
    rows, missing = run_cells("x", fake(made), Setting(tmp_path, model="m", chosen=("[b-z]",)))
    assert made == ["b"] and [row["model"] for row in rows] == ["b"] and not missing
    rows, _ = run_cells("x", fake(made), Setting(tmp_path, model="m"))
    assert made == ["b", "a"] and [row["model"] for row in rows] == ["a", "b"]
    # What is computed of several rows together sees all that are there, not the chosen ones.
    experiment = fake(made)
    experiment.finish = lambda rows: [*rows, {"model": "together", "cells": len(rows)}]
    rows, _ = run_cells("x", experiment, Setting(tmp_path, model="m", chosen=("b",)))
    assert made == ["b", "a"] and rows[-1] == {"model": "together", "cells": 2}
    with pytest.raises(ValueError, match=r"no cell is called 'c\*': there are a, b"):
        run_cells("x", fake(made), Setting(tmp_path, model="m", chosen=("a", "c*")))


def test_experiments_share_a_folder_only_if_they_share_their_text(tmp_path):
    run_cells("x", fake([]), Setting(tmp_path, model="m"))
    run_cells("y", fake([]), Setting(tmp_path, model="m", words=5))
    with pytest.raises(ValueError, match="fit_corpus:  there, general here"):
        run_cells("y", fake([]), Setting(tmp_path, model="m", words=5, fit_corpus="general"))
    assert not (tmp_path / "z").exists()
    with pytest.raises(ValueError, match="fit_corpus"):
        run_cells("z", fake([]), Setting(tmp_path, model="m", fit_corpus="general"))


def test_cells_of_another_setting_are_refused(tmp_path):
    run_cells("x", fake([]), Setting(tmp_path, model="m"))
    with pytest.raises(ValueError, match="model: m there, other here"):
        run_cells("x", fake([]), Setting(tmp_path, model="other"))


def test_cells_of_other_weights_are_refused(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"one")
    run_cells("x", fake([]), Setting(tmp_path / "out", model=str(folder)))
    (folder / "model.safetensors").write_bytes(b"two")
    with pytest.raises(ValueError, match="model: model@.* there, model@.* here"):
        run_cells("x", fake([]), Setting(tmp_path / "out", model=str(folder)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"words": 0}, "words is 0"), ({"megabytes": 0.0}, "megabytes"), ({"minutes": -1}, "minutes")],
)
def test_impossible_settings_are_refused(tmp_path, changes, says):
    with pytest.raises(ValueError, match=says):
        Setting(tmp_path, **changes)


def test_every_experiment_has_what_the_command_needs(tmp_path):
    for name in EXPERIMENTS:
        if name == "best":  # its second arm is chosen by cells that are not there
            continue
        module = experiment(name)
        assert module.ABOUT and module.METRICS
        found = module.cells(Setting(tmp_path, seeds=2, models=("minilm",)))  # needs no folder
        assert len(found) == len(set(found)) >= 2
    with pytest.raises(ValueError, match="choose one of recovery"):
        experiment("magic")


def test_the_command_refuses_what_it_does_not_know(tmp_path, capsys):
    assert main(["experiment", "magic", "--out", str(tmp_path)]) == 2
    assert main(["experiment", "start", "--strategies", "magic", "--out", str(tmp_path)]) == 2
    assert "strategy 'magic' is unknown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("curve", "goal", "steps"),
    [
        ([[0, 9.0], [10, 7.0], [30, 5.0]], 8.0, 5.0),
        ([[0, 9.0], [10, 7.0], [30, 5.0]], 5.0, 30.0),
        ([[0, 4.0]], 5.0, 0.0),
        ([[0, 9.0], [10, 7.0]], 5.0, None),
    ],
)
def test_steps_to_a_loss(curve, goal, steps):
    assert steps_to(curve, goal) == steps


def test_steps_are_counted_to_where_random_ends(tmp_path):
    def row(model, variant, *losses):
        curve = [[10 * n, loss] for n, loss in enumerate(losses)]
        return {"model": model, "variant": variant, "curve": curve, "metrics": {}}

    rows = finish([
        row("random", "pocket-bert", 9.0, 6.0), row("random", "pocket-bert", 9.0, 8.0),
        row("random", "pocket-bert, no bias from frequency", 9.0, 3.0),
        row("calibrated", "pocket-bert", 8.0, 6.0), row("old", "pocket-bert", 1.0, 1.0),
    ])  # fmt: skip
    assert [r["metrics"].get("steps_to_random") for r in rows] == [None, None, 3.3, 5.0, None]
    names = cells(Setting(tmp_path, seeds=2))
    assert names[0] == "old-0" and "calibrated+bare-1" in names
    assert json.dumps(rows)


# -- side by side --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [n for n in EXPERIMENTS if n != "best" and hasattr(experiment(n), "rounds")]
)
def test_rounds_hold_every_cell_once(tmp_path, name):
    module, setting = experiment(name), Setting(tmp_path, seeds=2, models=("minilm",))
    names = module.cells(setting)
    rounds = module.rounds(setting, names)
    assert sorted(cell for groups in rounds for group in groups for cell in group) == sorted(names)
    assert any(len(groups) > 1 for groups in rounds), "nothing is gained"
    assert not any(module.rounds(setting, [])), "nothing left to do"


def test_what_needs_another_cell_stands_in_its_group_or_in_a_later_round(tmp_path):
    phases, stability, curriculum = map(experiment, ("phases", "stability", "curriculum"))
    setting = Setting(tmp_path, seeds=3)
    (runs,) = phases.rounds(setting, phases.cells(setting))
    assert [{phases._parts(cell)[2] for cell in run} for run in runs] == [{0}, {1}, {2}]
    first, then = stability.rounds(setting, stability.cells(setting))
    assert not any("together" in cell for (cell,) in first)
    assert then and all("together" in cell for (cell,) in then)
    (groups,) = curriculum.rounds(setting, curriculum.cells(setting))
    arms = {
        cell: curriculum.arms[cell.split("+")[-2]].folder(setting, int(cell[-1]))
        for group in groups for cell in group
    }  # fmt: skip
    for group in groups:
        assert len({arms[cell] for cell in group}) == 1
    assert len({arms[group[0]] for group in groups}) == len(groups)


def test_workers_are_refused_where_cells_need_one_another(tmp_path):
    with pytest.raises(ValueError, match="one after the other: leave out the workers"):
        run_cells("x", fake([]), Setting(tmp_path, model="m"), workers=2)
    assert not (tmp_path / "x").exists()


# -- phases --------------------------------------------------------------------------------------


def test_phases_have_a_row_per_version_and_per_fine_tuning(tmp_path, monkeypatch):
    from bioptimus_lib.experiments import phases
    from bioptimus_lib.pocket import write_corpus
    from bioptimus_lib.profile import PROFILES

    small = replace(
        PROFILES["laptop"], ner="pocket", ner_sentences=20, ner_epochs=1, length=64, batch=2
    )
    monkeypatch.setitem(PROFILES, "laptop", small)
    monkeypatch.setattr(phases, "FINE_TUNINGS", 1)
    write_corpus(tmp_path / "text", megabytes=0.25)
    setting = Setting(
        out=tmp_path / "out", model="pocket-bert", corpus=str(tmp_path / "text"), megabytes=0.25,
        words=100, contexts=2, steps=2, seeds=1, progress=False,
    )  # fmt: skip
    rows, missing = run_cells("phases", phases, setting)
    assert not missing
    trained = {row["model"]: row for row in rows if row["variant"] == "pre-training"}
    assert list(trained) == ["v0.1", "v0.2", "v0.3", "v0.4", "continued"]
    assert all(row["steps"] == 2 and len(row["curve"]) == 2 for row in trained.values())
    for row in trained.values():  # 15 % of words, all hidden, is harder than with corruption
        assert row["metrics"]["loss"] > 0 and row["metrics"]["loss_phase4"] > 0
    tagged = [row for row in rows if row["variant"] == "fine-tuned"]
    assert [row["model"] for row in tagged] == ["old", *trained]
    assert all(0 <= row["metrics"]["f1"] <= 100 for row in tagged)
    filled = {row["model"]: row for row in rows if row["variant"] == "fill-mask"}
    assert list(filled) == ["old", *trained]
    for row in filled.values():
        assert 0 <= row["metrics"]["filled"] <= 100 and row["metrics"]["bits"] > 0
        assert [gap["text"] for gap in row["gaps"]] == [gap.text for gap in phases.GAPS]
        assert all(gap["text"].count("[MASK]") == 1 and gap["best"] for gap in row["gaps"])
    old = filled["old"]["gaps"]
    right = sum(gap["best"][0][0] == gap["answer"] for gap in old)
    assert filled["old"]["metrics"]["filled"] == pytest.approx(100 * right / len(old))
    more = phases.cells(replace(setting, seeds=2))
    assert "ner-old-0-0" in more and "ner-old-1-0" not in more and "ner-v0.4-1-0" in more
    assert "gaps-old-0" in more and "gaps-old-1" not in more and "gaps-continued-1" in more


def test_what_chapter_10_says_of_continued_is_what_the_ledger_holds():
    from statistics import fmean

    from bioptimus_lib import evidence, nested
    from bioptimus_lib.curriculum import PHASES

    def means(experiment: str, metric: str = "f1") -> dict[str, dict[int, float]]:
        """Mean F1 on NCBI-disease of each pre-training of each model."""
        found: dict[str, dict[int, list[float]]] = {}
        for row in evidence.rows_of(experiment, metric):
            if row["dataset"] == "NCBI-disease" and row["seed"] is not None:
                runs = found.setdefault(row["model"], {})
                runs.setdefault(nested.pre_training(row), []).append(row["metrics"][metric])
        return {m: {run: fmean(f1) for run, f1 in runs.items()} for m, runs in found.items()}

    few = means("phases")
    (old,), ((run, continued),) = few["old"].values(), few["continued"].items()
    assert 2.5 < continued - old < 3 and 1.5 < few["v0.4"][run] - continued < 2
    all_of_train = means("ner-table")
    assert round(all_of_train["continued"][run] - all_of_train["v0.4"][run], 1) == 0.4
    short, chosen = means("run"), means("run", "devel_f1")
    assert short["continued"][0] > short["v0.4"][0] and chosen["continued"][0] < chosen["v0.4"][0]
    (pieces,) = {row["tokens"] for row in evidence.rows_of("run") if row["model"] == "v0.4"}
    (phase,) = {row["tokens"] for row in evidence.rows_of("phases", "loss")}
    assert pieces < len(PHASES) * phase / 4


def test_what_chapter_10_says_of_the_beginnings_is_what_the_ledger_holds():
    from statistics import fmean

    from bioptimus_lib import evidence, verdicts
    from bioptimus_lib.experiments import compared

    ncbi, chem, size = "NCBI-disease", "BC5CDR-chem", "pocket-bert, 4 × 300 steps"
    gaps = {
        (verdicts._arm(row), dataset): (-row["metrics"]["difference"], verdicts.is_sure(row))
        for dataset, rows in verdicts.differences("approach", size).items() for row in rows
    }  # fmt: skip
    said = {
        "new vocabulary, calibrated (ours)": (0.9, 1.3), "new vocabulary, random": (10, 17),
        "from scratch": (25, 16),
    }  # fmt: skip
    for arm, points in said.items():
        for dataset, lost in zip((ncbi, chem), points, strict=True):
            digits = 1 if isinstance(lost, float) else None
            assert round(gaps[arm, dataset][0], digits) == lost
    assert {name for name, (_, sure) in gaps.items() if not sure} == {
        ("new vocabulary, calibrated (ours)", ncbi),
        ("continued, same bytes", ncbi), ("continued, same bytes", chem),
    }  # fmt: skip

    f1: dict[tuple[str, str], list[float]] = {}
    for row in evidence.rows_of("approach", "f1"):
        f1.setdefault((row["model"], row["dataset"]), []).append(row["metrics"]["f1"])
    mean = {name: fmean(some) for name, some in f1.items()}
    ours, random, paper = (f"new vocabulary, {name}" for name in
                           ("calibrated (ours)", "random", "distilled (paper)"))  # fmt: skip
    assert [round(mean[ours, some] - mean[random, some]) for some in (ncbi, chem)] == [9, 16]
    assert [round(mean[paper, some] - mean[random, some]) for some in (ncbi, chem)] == [-13, 6]
    assert [len(some) for some in f1.values()] == [3] * len(f1)
    assert round(max(max(some) - min(some) for (arm, _), some in f1.items() if arm == paper)) == 12

    seen = {
        (verdicts._arm(row), dataset): verdicts.would_be_seen("approach", row)
        for dataset, rows in verdicts.differences("approach", size).items() for row in rows
    }  # fmt: skip
    same = "continued, same bytes"
    told = [seen[ours, ncbi], seen[same, ncbi], seen[same, chem]]
    assert [round(points or 0, 1) for points in told] == [3.6, 4.0, 1.8]
    devel = {
        arm: fmean(row["metrics"]["devel_f1"] for row in evidence.rows_of("approach", "devel_f1")
                   if (row["model"], row["dataset"]) == (arm, ncbi))
        for arm in (ours, "continued")
    }  # fmt: skip
    assert round(devel[ours] - devel["continued"], 1) == 2.9

    trained = evidence.rows_of("approach", "bits_per_byte")
    bits = {
        arm: fmean(row["metrics"]["bits_per_byte"] for row in trained if row["model"] == arm)
        for arm in ("continued", random)
    }
    assert {arm: round(some, 2) for arm, some in bits.items()} == {"continued": 1.57, random: 1.47}
    steps = {row["model"]: row["steps"] for row in trained}
    assert round(steps[same] / steps["continued"], 2) == 1.14

    some = [row for row in evidence.rows_of("approach", "f1")
            if row["model"] in ("from scratch", random)]  # fmt: skip
    scratch = {row["dataset"]: row["metrics"] for row in compared.differences(some, first=random)}
    assert [round(scratch[dataset]["difference"]) for dataset in (ncbi, chem)] == [-14, 1]
    assert scratch[ncbi]["high"] < 0 and scratch[chem]["low"] < 0 < scratch[chem]["high"]
    (read,) = {row["tokens"] for row in trained if row["model"] == "from scratch"}
    (long,) = {row["tokens"] for row in evidence.rows_of("ner-table", "loss")}
    assert round(read / 1e6, 1) == 2.5 and round(long / read) == 16


DATASETS = ("NCBI-disease", "BC5CDR-chem")


def against_the_first(question):
    """What a question measured: (difference rows, arm → rounded differences, what would be seen,
    arm → bits per byte)."""
    from statistics import fmean

    from bioptimus_lib import evidence, verdicts

    sets = verdicts.differences(question, "pocket-bert, 4 × 300 steps")
    assert tuple(sets) == DATASETS
    rows = [row for some in sets.values() for row in some]
    assert {row["metrics"]["seeds"] for row in rows} == {3}
    gaps: dict[str, list[float]] = {}
    for row in rows:
        gaps.setdefault(verdicts._arm(row), []).append(round(row["metrics"]["difference"], 1))
    seen = [points for row in rows if (points := verdicts.would_be_seen(question, row))]
    trained: dict[str, list[float]] = {}
    for row in evidence.rows_of(question, "bits_per_byte"):
        trained.setdefault(row["model"], []).append(row["metrics"]["bits_per_byte"])
    return rows, gaps, seen, {arm: round(fmean(some), 2) for arm, some in trained.items()}


def test_what_chapter_10_says_of_the_order_is_what_the_ledger_holds():
    rows, gaps, seen, bits = against_the_first("curriculum")
    assert len(rows) == 14
    assert all(row["metrics"]["low"] < 0 < row["metrics"]["high"] for row in rows)
    ncbi, chem = seen[:7], seen[7:]
    assert [round(least, 1) for least in (min(ncbi), max(ncbi))] == [2.4, 4.1]
    assert [round(least, 1) for least in (min(chem), max(chem))] == [1.3, 2.6]
    assert (gaps["v0.1 throughout"][0], gaps["v0.2 throughout"][0]) == (-1.2, -1.3)
    assert gaps["reversed"] == [-0.9, 0.5] and gaps["v0.4 throughout"] == [0.3, 0.7]
    said = {"reversed": 1.45, "v0.1 throughout": 1.48, "BIOptimus": 1.37, "v0.4 throughout": 1.35}
    assert {arm: bits[arm] for arm in said} == said
    assert min(bits, key=bits.__getitem__) == "v0.4 throughout"
    assert sorted(bits, key=bits.__getitem__)[-2:] == ["reversed", "v0.1 throughout"]


def test_what_chapter_10_says_of_the_masks_is_what_the_ledger_holds():
    from statistics import fmean

    from bioptimus_lib import evidence, verdicts

    rows, gaps, _, bits = against_the_first("masking")
    sure = {(verdicts._arm(row), row["dataset"]) for row in rows if verdicts.is_sure(row)}
    assert len(rows) == 12
    assert sure == {("40%", "BC5CDR-chem"), ("no corruption", "NCBI-disease")}
    rates = [gap for rate in ("20%", "30%", "40%") for gap in gaps[rate]]
    assert (min(rates), max(rates)) == (0.5, 1.6)
    assert gaps["40%"][1] == 0.9 and gaps["no corruption"] == [2.0, -0.2]
    units = [row for row in rows if verdicts._arm(row) in ("single pieces", "spans")]
    assert max(abs(gap) for unit in ("single pieces", "spans") for gap in gaps[unit]) == 0.3
    for dataset, open_to in (("NCBI-disease", 2), ("BC5CDR-chem", 1)):
        ends = [abs(row["metrics"][end]) for row in units if row["dataset"] == dataset
                for end in ("low", "high")]  # fmt: skip
        assert round(max(ends)) == open_to
    devel: dict[tuple[str, str], list[float]] = {}
    for row in evidence.rows_of("masking", "devel_f1"):
        devel.setdefault((row["model"], row["dataset"]), []).append(row["metrics"]["devel_f1"])
    base = {dataset: fmean(devel["words, 15%", dataset]) for dataset in DATASETS}
    higher = [fmean(devel[rate, d]) - base[d] for rate in ("20%", "30%", "40%") for d in DATASETS]
    assert min(higher) > 0
    ncbi = fmean(devel["no corruption", "NCBI-disease"]) - base["NCBI-disease"]
    assert round(ncbi, 1) == 0.2
    said = {"spans": 1.52, "single pieces": 1.48, "words, 15%": 1.40, "40%": 1.32}
    assert {arm: bits[arm] for arm in said} == said


def test_what_chapter_10_says_of_the_starts_is_what_the_ledger_holds():
    from statistics import fmean

    from bioptimus_lib import evidence, verdicts

    rows, gaps, _, _ = against_the_first("init")
    assert verdicts.first_arm(rows) == "subtoken_mean" and len(gaps) == 9
    fitting = {"contextual_matched"} | {arm for arm in gaps if arm.startswith("calibrated")}
    ends = [gap for arm in fitting for gap in gaps[arm]]
    assert len(ends) == 10 and (min(ends), max(ends)) == (-0.9, 0.2)
    for dataset, least, most in (("NCBI-disease", 2.7, 4.1), ("BC5CDR-chem", 1.0, 2.3)):
        some = [row for row in rows if row["dataset"] == dataset and verdicts._arm(row) in fitting]
        assert not any(map(verdicts.is_sure, some))
        seen = [round(verdicts.would_be_seen("init", row) or 0, 1) for row in some]
        assert (min(seen), max(seen)) == (least, most)
    raw, scaled = gaps["contextual"], gaps["contextual_matched"]
    assert [round(b - a) for a, b in zip(raw, scaled, strict=True)] == [22, 11]
    assert [round(gap) for gap in gaps["random"]] == [-10, -16]
    assert gaps["token_distillation"] == [-3.4, -0.5]
    assert gaps["random_matched"] == [-2.9, -0.5]
    for arm in ("token_distillation", "random_matched"):
        sure = [row["dataset"] for row in rows
                if verdicts.is_sure(row) and verdicts._arm(row) == arm]  # fmt: skip
        assert sure == ["NCBI-disease"]

    losses: dict[str, dict[int, list[float]]] = {}
    for row in evidence.rows_of("init"):
        for step, loss in row.get("curve", ()):
            losses.setdefault(row["model"], {}).setdefault(step, []).append(loss)
    mean = {arm: {step: fmean(some) for step, some in at.items()} for arm, at in losses.items()}
    pieces, calibrated, random = (mean[a] for a in ("subtoken_mean", "calibrated", "random"))
    spread = mean["calibrated_spread"]
    assert [round(some[0], 2) for some in (calibrated, pieces, spread)] == [4.98, 5.65, 8.14]
    assert [round(some[100], 1) for some in (calibrated, pieces, spread)] == [5.0] * 3
    assert round(random[0]) == 37 and round(mean["contextual"][0]) == 222
    assert max(pieces) == 1200 and pieces[600] < random[1200] < pieces[300]


def test_what_chapter_10_says_of_our_recipe_is_what_the_ledger_holds():
    from statistics import fmean

    from bioptimus_lib import evidence, verdicts

    rows, gaps, _, _ = against_the_first("best")
    start_alone = "our start, the paper's course"
    assert gaps == {start_alone: [20.3, 9.8], "ours": [20.2, 9.9]}
    assert all(map(verdicts.is_sure, rows))
    (start,) = {row["start"] for row in evidence.rows_of("best", "f1") if row["model"] == "ours"}
    (course,) = {
        part for row in evidence.rows_of("best", "bits_per_byte") if row["model"] == "ours"
        for part in row["course"]
    }  # fmt: skip
    assert (start, course) == ("subtoken_mean", "word, 30%, 80/10/10")

    def mean(question, arm, dataset):
        return round(fmean(
            row["metrics"]["f1"] for row in evidence.rows_of(question, "f1")
            if (row["model"], row["dataset"]) == (arm, dataset)), 1)  # fmt: skip

    assert [mean("best", "ours", dataset) for dataset in DATASETS] == [65.9, 68.4]
    assert [mean("init", "contextual_matched", dataset) for dataset in DATASETS] == [65.9, 68.3]


def test_what_chapter_10_says_of_the_budget_is_what_the_ledger_holds():
    from statistics import fmean, stdev

    from bioptimus_lib import evidence, verdicts

    rows, gaps, _, bits = against_the_first("budget")
    sure = {(verdicts._arm(row), row["dataset"]) for row in rows if verdicts.is_sure(row)}
    shares = ("0.11", "0.33", "1", "3")
    v04, kept = ([f"{name}, {share} of the steps" for share in shares]
                 for name in ("v0.4", "continued"))  # fmt: skip
    assert len(rows) == 16 and sure == {
        (kept[3], "NCBI-disease"), (kept[1], "BC5CDR-chem"),
        *((arm, "BC5CDR-chem") for arm in v04[:3]),
    }  # fmt: skip
    assert gaps[kept[3]][0] == 3.0 and gaps[v04[3]] == [2.2, 0.4]
    assert [gaps[arm][1] for arm in v04[:3]] == [-2.0, -2.2, -1.7] and gaps[kept[1]][1] < 0
    f1: dict[tuple[str, str], list[float]] = {}
    for row in evidence.rows_of("budget", "f1"):
        f1.setdefault((row["model"], row["dataset"]), []).append(row["metrics"]["f1"])
    assert [round(fmean(f1["old", dataset]), 1) for dataset in DATASETS] == [65.0, 69.5]
    pairs = list(zip(v04, kept, strict=True))
    ncbi, chem = (
        [round(fmean(f1[new, dataset]) - fmean(f1[old, dataset]), 1) for new, old in pairs]
        for dataset in DATASETS
    )
    assert (min(ncbi), max(ncbi)) == (-1.3, -0.3) and max(chem[:3]) < 0
    assert chem[2:] == [-1.3, 0.8]
    assert [round(stdev(f1[arm, "BC5CDR-chem"]), 1) for arm in (v04[3], kept[3])] == [0.6, 1.4]
    assert all(bits[new] < bits[old] for new, old in pairs)
    assert [bits[arm] for arm in (v04[0], kept[0], v04[3], kept[3])] == [1.66, 1.88, 1.23, 1.44]
    read = {round(n / 1e6, 1) for (_, arm, _), n in verdicts.tokens_of("budget").items()
            if arm == v04[3]}  # fmt: skip
    assert read == {7.4}
