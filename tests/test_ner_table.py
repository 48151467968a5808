"""The table of NER sets: which cells there are, each made once, and what is told of them."""

from __future__ import annotations

import json
import types
from dataclasses import replace

import numpy as np
import pytest
from test_ner import toy

from bioptimus_lib import ledger
from bioptimus_lib.cli import main
from bioptimus_lib.conll import write_conll
from bioptimus_lib.experiments import ner_table, phases
from bioptimus_lib.experiments.cells import Setting, run_cells
from bioptimus_lib.experiments.compared import packed
from bioptimus_lib.significance import holm

pytestmark = pytest.mark.usefixtures("one_thread")
VERSIONS = ("v0.1", "v0.2", "v0.3", "v0.4")
CONTROLS = ("continued", "scratch")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with a small run of ``phases`` that lacks its control, and two sets."""
    from bioptimus_lib.pocket import write_corpus
    from bioptimus_lib.profile import PROFILES

    place = tmp_path_factory.mktemp("table")
    for number, name in enumerate(("one", "two")):
        for split, size in {"train": 40, "devel": 15, "test": 25}.items():
            write_conll(place / name / f"{split}.tsv", toy(size, 10 * number + size))
    write_corpus(place / "text", megabytes=0.25)
    setting = Setting(
        place / "phases", model="pocket-bert", corpus=str(place / "text"), megabytes=0.25,
        words=100, contexts=2, steps=2, seeds=1, progress=False,
    )  # fmt: skip
    some = types.SimpleNamespace(cells=lambda _: [f"{v}-0" for v in VERSIONS], run=phases.run)
    with pytest.MonkeyPatch.context() as patch:
        small = replace(PROFILES["laptop"], ner="pocket", length=64, batch=2)
        patch.setitem(PROFILES, "laptop", small)
        run_cells("phases", some, setting)
    return place


@pytest.fixture
def setting(house, tmp_path):
    return Setting(
        tmp_path / "out", phases=str(house / "phases"), datasets=(str(house / "one"),), seeds=1,
        models=("old", "v0.4", "continued"), progress=False,
    )  # fmt: skip


def test_the_first_seed_of_all_comes_first_and_what_lacks_is_told(setting, house):
    both = replace(setting, seeds=2, datasets=(str(house / "one"), str(house / "two")))
    assert ner_table.cells(both) == [
        f"{dataset}+{model}+0+{seed}"
        for seed in (0, 1) for dataset in ("one", "two") for model in ("old", "v0.4")
    ]  # fmt: skip
    said = "\n".join(ner_table.notes(setting))
    assert "continued is not in" in said and "experiment phases" in said
    assert "--models old v0.4 continued scratch" in said
    assert ner_table.cells(replace(setting, models=("scratch", "old")))[0] == "scratch+0"
    names = ner_table.cells(replace(setting, models=(), datasets=()))
    assert names[:5] == [f"NCBI-disease+{m}+0+0" for m in ("old", *VERSIONS)]
    assert len(names) == 25


def test_the_old_model_is_there_once_whichever_runs_are(setting, house, tmp_path):
    place = tmp_path / "phases"
    for name in ("run-1/models/v0.4", "run-2/models/v0.4"):
        (place / name).mkdir(parents=True)
        (place / name / "config.json").write_text("{}")
    (place / "setting.json").write_bytes((house / "phases" / "setting.json").read_bytes())
    assert ner_table.cells(replace(setting, phases=str(place))) == [
        "one+old+0+0", "one+v0.4+1+0", "one+v0.4+2+0",
    ]  # fmt: skip


def test_a_cell_is_made_once_and_rows_say_what_they_are(setting, monkeypatch):
    rows, missing = run_cells("ner-table", ner_table, setting)
    assert not missing
    old, new, *more = rows
    assert [(r["model"], r["dataset"], r["seed"]) for r in (old, new)] == [
        ("old", "one", 0), ("v0.4", "one", 0),
    ]  # fmt: skip
    assert old["variant"] == "pocket-bert, 4 × 2 steps"
    assert old["metrics"]["low"] <= old["metrics"]["f1"] <= old["metrics"]["high"]
    assert old["settings"]["epochs"] == 3 and old["seconds"] > 0
    assert any(name.endswith("model.safetensors") for name in old["data"])
    together = [r for r in more if r["variant"].endswith("together")]
    assert [r["metrics"]["f1"] for r in together] == pytest.approx(
        [r["metrics"]["f1"] for r in (old, new)]
    )
    (difference,) = [r for r in more if r["variant"].endswith("difference")]
    assert difference["model"] == "v0.4 − old" and difference["seed"] is None
    assert difference["metrics"]["difference"] == pytest.approx(
        new["metrics"]["f1"] - old["metrics"]["f1"]
    )
    for row in rows:
        ledger.check({"experiment": "ner-table", "profile": "any",
                      **ledger.provenance(command="x"), **row})  # fmt: skip
    kept = setting.out / "ner-table" / "runs" / "one+old+0+0"
    assert (kept / "predictions.tsv").is_file() and not (kept / "model").exists()
    from bioptimus_lib import ner

    monkeypatch.setattr(ner, "fine_tune", None)
    assert run_cells("ner-table", ner_table, setting)[0] == rows
    file = setting.out / "ner-table" / "one+old+0+0.json"
    before = json.loads(file.read_text())
    file.unlink()  # killed after the fine-tuning, before the row
    assert run_cells("ner-table", ner_table, setting)[0] == rows
    assert json.loads(file.read_text()) == before


def test_cells_side_by_side_are_those_one_after_the_other(setting, tmp_path):
    alone, _ = run_cells("ner-table", ner_table, setting)
    other = replace(setting, out=tmp_path / "side-by-side")
    rows, missing = run_cells("ner-table", ner_table, other, workers=2)
    assert not missing and len(rows) == len(alone)
    for one, two in zip(alone, rows, strict=True):
        assert one["metrics"] == two["metrics"] and one["model"] == two["model"]
    late = replace(setting, out=tmp_path / "late", minutes=1e-9)
    assert run_cells("ner-table", ner_table, late, workers=2)[1] == ["one+old+0+0", "one+v0.4+0+0"]


def test_another_run_of_phases_is_refused(setting, tmp_path, house):
    ner_table.cells(setting)
    import shutil

    other = shutil.copytree(house / "phases", tmp_path / "other")
    with pytest.raises(ValueError, match="phases: .*phases there, .*other here"):
        ner_table.cells(replace(setting, phases=str(other)))
    with pytest.raises(ValueError, match="no finished run .*'bioptimus experiment phases"):
        ner_table.cells(replace(setting, phases=str(tmp_path)))


def test_a_model_of_its_own_needs_no_phases(setting, house, tmp_path):
    alone = replace(setting, phases="", models=("pocket-bert",))
    assert ner_table.cells(alone) == ["one+pocket-bert+0+0"] and ner_table.notes(alone) == []
    rows, _ = run_cells("ner-table", ner_table, alone)
    assert [row["variant"] for row in rows] == ["as published", "as published, together"]


def test_from_scratch_is_trained_as_long_and_once(setting):
    few = replace(setting, models=("old", "scratch"))
    rows, _ = run_cells("ner-table", ner_table, few)
    (trained,) = [row for row in rows if row["variant"] == "pre-training"]
    assert trained["model"] == "scratch" and trained["steps"] == 8 and trained["dataset"] == "text"
    assert trained["metrics"]["loss"] > 0
    assert any(row["model"] == "scratch − old" for row in rows)
    place = setting.out / "scratch" / "run-0"
    assert ner_table.folder(few, "scratch", 0) == place / "v0.4"
    log = json.loads((place / "v0.1.json").read_text())
    assert log["steps"] == 2
    (setting.out / "ner-table" / "scratch+0.json").unlink()
    before = (place / "v0.4" / "model.safetensors").read_bytes()
    assert run_cells("ner-table", ner_table, few)[0] == rows
    assert (place / "v0.4" / "model.safetensors").read_bytes() == before


def counted(model, dataset, seed, found, *, variant="tiny, 4 × 2 steps"):
    """A row of a cell with two entities in each of 40 sentences, so many of them found."""
    counts = packed(np.array([[2, 0, 0]] * found + [[0, 1, 2]] * (40 - found)))
    return {"model": model, "dataset": dataset, "seed": seed, "variant": variant, "seconds": 1.0,
            "metrics": {"f1": 50.0, "recall_unseen": 40.0}, "counts": counts}  # fmt: skip


def test_differences_are_corrected_together_and_by_the_seeds_that_both_have():
    rows = [
        counted("old", "one", 0, 10), counted("old", "one", 1, 12), counted("v0.4", "one", 0, 30),
        counted("old", "two", 0, 10), counted("v0.4", "two", 0, 11),
        counted("minilm", "two", 0, 30, variant="as published"),
    ]  # fmt: skip
    found = [row for row in ner_table.finish(rows) if row["variant"].endswith("difference")]
    assert [(row["model"], row["dataset"]) for row in found] == [
        ("v0.4 − old", "one"), ("v0.4 − old", "two"),
    ]  # fmt: skip
    p = [row["metrics"]["p"] for row in found]
    assert [row["metrics"]["p_holm"] for row in found] == holm(p) and p[0] < 0.01 < p[1]
    assert [row["metrics"]["seeds"] for row in found] == [1, 1]
    assert ner_table.finish([]) == []


def test_by_the_command(setting, house, capsys, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: setting.out / "results")
    words = ["experiment", "ner-table", "--out", setting.out, "--phases", house / "phases",
             "--models", "old", "v0.4", "continued", "--datasets", house / "one", house / "two",
             "--seeds", "1", "--quiet", "--ledger", "tiny"]  # fmt: skip
    assert main(list(map(str, words))) == 0
    said = capsys.readouterr()
    assert "one, pocket-bert, 4 × 2 steps" in said.out and "continued is not in" in said.err
    rows = ledger.read("ner-table", folder=setting.out / "results")
    assert len([row for row in rows if row["seed"] is not None]) == 4
    assert all(row["profile"] == "any" and row["device"] for row in rows)
    assert str(house) not in json.dumps(rows)
    assert main(list(map(str, words))) == 0  # once more: the same rows take their own places
    assert ledger.read("ner-table", folder=setting.out / "results") == rows


def test_what_chapter_12_says_of_the_table_is_what_the_ledger_holds():
    from bioptimus_lib import evidence, nested
    from bioptimus_lib.ner_tables import PAPER, SETS, groups

    rows = [row for row in evidence.rows_of("ner-table") if row["model"] in nested.ORDER]
    ((_, models),) = groups(rows).items()
    f1 = {
        model: {name: nested.groups_of(sets[name], "f1") for name in SETS}
        for model, sets in models.items()
    }
    assert all(len(runs) == 2 for model in VERSIONS for runs in f1[model].values())
    means = {  # over the sets, of each pre-training
        model: [sum(f1[0] for f1 in run) / len(SETS) for run in zip(*sets.values(), strict=True)]
        for model, sets in f1.items()
    }
    (old,), (continued,), (scratch,) = map(means.pop, ("old", "continued", "scratch"))
    assert all(mean > old for some in means.values() for mean in some)
    first, last = (sum(means[name]) / 2 for name in ("v0.1", "v0.4"))
    assert 0 < last - first < 1 and first - old > last - first
    rise = [sum(PAPER[name].values()) / len(SETS) for name in ("v0.1", "v0.4")]
    assert f"{rise[1] - rise[0]:.1f}" == "1.1"
    # the controls, trained once, beside v0.4 of the same pre-training
    beside = means["v0.4"][0]
    assert old < continued < scratch < beside
    assert f"{(continued - old) / (beside - old):.1f}" == "0.5"
    assert f"{beside - scratch:.2f}" == "0.33"
    last_, kept, random = (f1[name]["BC5CDR-disease"][0][0] for name in ("v0.4", *CONTROLS))
    assert [f"{some - kept:.1f}" for some in (last_, random)] == ["2.6", "2.0"]
    unseen = {
        (row["model"], row["dataset"]): row["metrics"]["recall_unseen"]
        for row in rows if row["seed"] == (0 if row["model"] == "old" else nested.PER_RUN)
    }  # fmt: skip
    ahead = [unseen["continued", name] - unseen["scratch", name] for name in SETS]
    assert 1.5 < min(ahead) and round(max(ahead)) == 12
    assert sum(unseen["continued", name] > unseen["v0.4", name] for name in SETS) == 4
    assert sum(unseen["scratch", name] < unseen["old", name] for name in SETS) == 3
    assert {row["metrics"]["seeds"] for row in evidence.rows_of("ner-table", "difference")} == {1}
    told = [
        row["model"].split()[0] for row in evidence.rows_of("ner-table", "p_holm")
        if row["metrics"]["p_holm"] < 0.05
    ]  # fmt: skip
    assert told.count("v0.4") == 3 and "continued" not in told
