"""The experiment on compact models: cells are made once, pairs are pairs, tables show what is."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import compact_tables, evidence  # noqa: E402
from bioptimus_lib.experiments import compact  # noqa: E402
from bioptimus_lib.experiments.cells import Setting, run_cells  # noqa: E402
from bioptimus_lib.experiments.compact import ARMS, CONTINUED, DISTILLED, cells  # noqa: E402
from bioptimus_lib.experiments.compared import packed  # noqa: E402
from bioptimus_lib.pocket import write_corpus  # noqa: E402
from bioptimus_lib.pocket_ner import write_ner  # noqa: E402
from bioptimus_lib.profile import PROFILES  # noqa: E402

SET = "set"


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Made-up text, a tiny NER set, two steps."""
    place = tmp_path_factory.mktemp("compact")
    write_corpus(place / "text", megabytes=0.1)
    write_ner(place / SET, train=20, devel=6, test=10)
    return Setting(
        place / "out", model="pocket-bert", corpus=str(place / "text"), megabytes=0.1, steps=2,
        seeds=1, datasets=(str(place / SET),), progress=False,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch, one_thread):
    monkeypatch.setitem(PROFILES, "laptop", replace(PROFILES["laptop"], length=32, batch=2))
    monkeypatch.setattr(compact, "LENGTH", 16)
    monkeypatch.setattr(compact, "ROUNDS", 1)
    monkeypatch.setattr("bioptimus_lib.bench.gc.collect", lambda: 0)


def test_general_models_are_made_where_there_is_something_to_make_them_from(tmp_path):
    plain = Setting(tmp_path, seeds=2)
    assert not any(name in cell for cell in cells(plain) for name in CONTINUED)
    assert "bioptimus" not in compact.notes(plain)[0] and "--fit-corpus" in compact.notes(plain)[0]
    more = replace(plain, models=("pocket-bert",), fit_corpus="general")
    assert cells(more)[: len(CONTINUED)] == [f"general+{name}" for name in CONTINUED]
    assert not compact.notes(more) and len(set(cells(more))) == len(cells(more))
    one = replace(plain, strategies=("TinyBioBERT",), seeds=1)
    assert cells(one) == [
        "train+TinyBioBERT+0", "NCBI-disease+teacher+0", "NCBI-disease+TinyBioBERT+0",
        "speed+teacher", "speed+TinyBioBERT",
    ]  # fmt: skip


def test_side_by_side_a_text_is_packed_first_and_speed_is_measured_last(tmp_path):
    setting = Setting(tmp_path, seeds=2, models=("pocket-bert",), fit_corpus="general")
    wanted = cells(setting)
    made = compact.rounds(setting, wanted)
    assert sorted(cell for groups in made for group in groups for cell in group) == sorted(wanted)
    assert made[0] == [["general+BioDistilBERT", "train+DistilBioBERT+0"]]
    assert len(made[-1]) == 1 and all(cell.startswith("speed+") for cell in made[-1][0])
    place = {cell: n for n, groups in enumerate(made) for group in groups for cell in group}
    for name in CONTINUED:
        assert place[f"general+{name}"] < place[f"train+{name}+0"]
        assert place[f"train+{name}+1"] < place[f"NCBI-disease+{name}+1"]


def test_a_student_alone_begins_where_the_distilled_one_does(setting, monkeypatch):
    wanted = replace(setting, strategies=("DistilBioBERT", "DistilBioBERT-alone"))
    rows, missing = run_cells("compact", compact, wanted)
    assert not missing
    trained = {row["model"]: row for row in rows if row["variant"].endswith("pre-training")}
    curves = [row["curve"] for row in trained.values()]
    assert curves[0][0] == curves[1][0] and curves[0][-1] != curves[1][-1]
    assert trained["DistilBioBERT-alone"]["objective"] == "1·masked_lm"
    tagged = [row for row in rows if row["dataset"] == SET and row["seed"] == 0]
    assert [row["model"] for row in tagged] == [
        name for name in ("teacher", "DistilBioBERT", "DistilBioBERT-alone") for _ in range(2)
    ]
    assert [compact.EIGHT in row["variant"] for row in tagged] == 3 * [False, True]
    speeds = [row for row in rows if "milliseconds_1" in row["metrics"]]
    assert [row["arm"] for row in speeds] == 2 * ["teacher"] + 2 * ["DistilBioBERT"]
    assert speeds[1]["metrics"]["megabytes"] < speeds[0]["metrics"]["megabytes"]
    found = {row["model"] for row in rows if "difference" in row["metrics"]}
    assert found == {"distilled − MLM alone", "student − teacher"}
    assert json.dumps(rows)
    monkeypatch.setattr(compact, "run", None)  # nothing is made again
    assert run_cells("compact", compact, wanted)[0] == rows


def test_a_small_general_model_is_made_and_trained_on(setting, tmp_path):
    wanted = replace(
        setting, out=tmp_path, strategies=("BioTinyBERT",), models=("pocket-bert",),
        fit_corpus=setting.corpus, chosen=("general+*", "train+*"),
    )  # fmt: skip
    rows, _ = run_cells("compact", compact, wanted)
    assert [row["model"] for row in rows] == ["TinyBERT", "BioTinyBERT"]
    # The second begins with what the first has learnt, on the same made-up text.
    assert rows[1]["curve"][0][1] == pytest.approx(rows[0]["curve"][-1][1], abs=1e-4)


def test_every_fault_is_beside_its_recipe_and_every_recipe_beside_itself_alone():
    pairs = dict(compact.PAIRS)
    assert pairs["MLM alone"] == {name: (name, f"{name}-alone") for name in DISTILLED}
    assert {ARMS[one].recipe for one, _ in pairs["without the fault"].values()} == {
        other for _, other in pairs["without the fault"].values()
    }
    assert all(len(ARMS[one].traps.names) == 1 for one, _ in pairs["without the fault"].values())


# -- tables ----------------------------------------------------------------------------------------


def rows_of_a_ledger(*, seeds=3):
    """Rows as the experiment makes them, of made-up numbers."""
    random, rows = np.random.default_rng(0), []
    of = "teacher v0.4, 3,000 steps"
    for place, arm in enumerate(("teacher", "DistilBioBERT", "DistilBioBERT-alone", "random-head")):
        for seed in range(seeds):
            right = random.binomial(1, 0.8 - 0.05 * place, (40, 1))
            counts = np.concatenate([right, 1 - right, 1 - right], axis=1)
            row = {"model": arm, "arm": arm, "dataset": "NCBI-disease", "seed": seed}
            rows.append(row | {"variant": of, "metrics": {"f1": 80.0 - place + seed},
                               "counts": packed(counts)})  # fmt: skip
            rows.append(row | {"variant": of + ", 8 bits", "metrics": {"f1": 79.8 - place + seed}})
        for more in ("", ", 8 bits"):
            speed = {"encoder": 1e6, "megabytes": 9.0, "milliseconds_1": 4.0,
                     "milliseconds_32": 64.0}  # fmt: skip
            speed |= {"than_32_bits_1": 1.2, "than_32_bits_32": 1.9} if more else {}
            rows.append({"model": arm, "arm": arm, "dataset": "random rows of 128", "seed": None,
                         "variant": f"{of}{more}, 2 threads", "metrics": speed})  # fmt: skip
    origin = {"device": "cpu", "command": "bioptimus experiment compact", "profile": "any"}
    return [origin | row for row in compact.finish(rows)]


def test_tables_of_an_empty_ledger_say_so(monkeypatch):
    monkeypatch.setattr(evidence, "rows_of", lambda *_: [])
    for html in (
        compact_tables.results_table(), compact_tables.trade_off_figure(), compact_tables.faults(),
        compact_tables.differences("MLM alone", title="t"),
    ):  # fmt: skip
        assert "bioptimus experiment compact" in html
    assert "No model" in compact_tables.eight_bits()
    with pytest.raises(ValueError, match="control 'nobody'"):
        compact_tables.differences("nobody", title="t")


def test_tables_show_what_the_ledger_has(monkeypatch):
    rows = rows_of_a_ledger()

    def rows_of(_, metric=None):
        return [row for row in rows if metric is None or metric in row["metrics"]]

    monkeypatch.setattr(evidence, "rows_of", rows_of)
    table = compact_tables.results_table()
    assert "81.00 ± 1.00 (3)" in table and "79.00 ± 1.00 (3)" in table and "+0.20" in table
    assert "BioMobileBERT" in table and "1.20 and 1.90" in table
    assert "reached" in compact_tables.eight_bits()
    picture = compact_tables.trade_off_figure()
    assert "DistilBioBERT: F1 80.0" in picture and "BioMobileBERT" not in picture
    alone = compact_tables.differences("MLM alone", title="Alone")
    assert "DistilBioBERT" in alone and evidence.HOLM in alone
    assert "random-head" in compact_tables.faults()
    monkeypatch.setattr(evidence, "rows_of", lambda *m: [] if len(m) > 1 else rows)
    assert "No pair" in compact_tables.faults()


def test_sizes_and_starts_are_those_of_the_table():
    assert compact_tables.full_size("TinyBioBERT")["encoder"] == 13_776_480
    html = compact_tables.sizes_table()
    assert html.count("<tr>") == 7 and "65 M" in html and "5 to 8 %" in html
    begins = {name: compact_tables.begins(compact_tables.RECIPES[name]) for name in
              compact_tables.SIX}  # fmt: skip
    assert begins["CompactBioBERT"] == "BioBERT's layers 1, 3, 5, 7, 9, 11"
    assert begins["TinyBioBERT"] == "random weights" and begins["BioTinyBERT"] == "TinyBERT"
    assert "not found" not in html and "soft_targets" in compact_tables.objectives_table()
