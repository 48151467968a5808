"""The ledger's rows on tasks as tables and figures, whole, in part, and not there at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bioptimus_lib import evidence, ledger, stability, task_tables

PLACE = {"profile": "any", "command": "bioptimus task", "device": "cpu: x, 2 cores",
         "versions": {}, "data": {}, "commit": None}  # fmt: skip


def row(task, *, variant="", seed=None, margin=(10.0, 5.0, 15.0), score=60.0, **more):
    metrics = {"score": score, "baseline": score - margin[0], "micro_f1": score, "macro_f1": 41.0}
    if seed is None:
        metrics |= {
            "low": score - 4, "high": score + 4, "margin": margin[0], "margin_low": margin[1],
            "margin_high": margin[2], "seeds": 3, "tested": 500, "train": 449, "devel": 51,
            "sd": 1.25,
        }  # fmt: skip
        variant = ", ".join(filter(None, (variant, "together")))
    own = {"variant": variant} if variant else {}
    return {**PLACE, "model": "minilm", "dataset": task, "seed": seed, "metrics": metrics,
            "metric": "accuracy", "labels": {"yes": {"f1": 70.0, "gold": 275.0},
                                             "no": {"f1": 12.0, "gold": 169.0}},
            "seconds": 60.0, "settings": {"epochs": 4}, **own, **more}  # fmt: skip


FACTS = {"train": 449, "devel": 51, "test": 500, "constant": 55.2, "pieces": 330.0,
         "truncated": 0.0625, "test_in_train": 0, "contradicted": 0, "most": 0.552, "least": 0.109,
         "words": 56.0, "words_first": 54.8, "words_second": 55.0}  # fmt: skip


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """A ledger with some tasks; the others have not been run."""
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    anew = "re-initialise 1"
    rows = [
        row("pubmedqa", margin=(2.0, -1.0, 5.0)), row("chemprot"),
        row("chemprot-blinded", score=52.0), row("biosses", score=71.0),
        row("biosses", variant=anew, score=64.0),
    ]  # fmt: skip
    rows += [row("biosses", seed=n, score=70.0 + n) for n in range(3)]
    rows += [row("biosses", variant=anew, seed=0, score=64.0)]
    ledger.append("tasks", rows, file="minilm")
    fact = {**PLACE, "model": "pieces", "dataset": "pubmedqa", "seed": None, "metrics": FACTS}
    apart = {**fact, "model": "minilm", "dataset": "biosses", "variant": "read apart, cosine",
             "metric": "pearson", "metrics": {"score": 84.0, "low": 76.0, "high": 90.0}}
    shared = {f"shared_{s}": v for s, v in (("train", 97.7), ("devel", 69.3), ("test", 50.5))}
    shared |= {f"shared_{s}_{label}": 63.0 if (s, label) == ("train", "true") else 4.1
               for s in ("train", "devel", "test") for label in ("true", "false")}  # fmt: skip
    pairs = {**fact, "dataset": "rqe", "metrics": shared}
    ledger.append("task-facts", [fact, apart, pairs], file="real")


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)


def test_an_empty_ledger_says_how_to_fill_it(empty):
    for panel in (task_tables.score_table(), task_tables.margins(), task_tables.labels("hoc"),
                  task_tables.ways("biosses", label=task_tables.way_name)):  # fmt: skip
        assert evidence.COMMANDS["tasks"] in panel
    for panel in (task_tables.facts_table(), task_tables.shallow_figure()):
        assert evidence.COMMANDS["task-facts"] in panel
    assert task_tables.unsure() == []


def test_a_line_for_each_task_and_dashes_for_the_others(filled):
    html = task_tables.score_table()
    assert html.index("chemprot") < html.index("biosses") < html.index("pubmedqa")
    assert "60.0 ± 1.2" in html and "+10.0 [+5.0, +15.0]" in html and "56.0 to 64.0" in html
    assert "<td class=n>4</td>" in html  # passes over train
    assert html.count("<td>hoc</td>") == 1 and "chemprot-blinded" not in html
    assert "re-initialise" not in html


def test_a_margin_that_may_be_none_is_told(filled):
    assert "pubmedqa: +2.0, -1.0 to +5.0" in task_tables.margins()
    (line,) = task_tables.unsure()
    assert line.startswith("pubmedqa (minilm): 60.0 against 58.0") and "500 test examples" in line


def test_a_model_that_always_says_the_same_is_told_as_such(empty):
    ledger.append("tasks", [row("gad", margin=(0.0, -1e-14, 1e-14))], file="minilm")
    (line,) = task_tables.unsure()
    assert "gave that answer to all 500 test examples" in line and "wide" not in line
    assert "+0.0 [+0.0, +0.0]" in task_tables.score_table()


def test_ways_of_one_task(filled):
    html = task_tables.ways("biosses", label=task_tables.way_name)
    assert "as usual: 71.0, 67.0 to 75.0; re-initialise 1: 64.0" in html
    assert html.index("re-initialise 1: 64.0") < html.index("read apart, cosine: 84.0")
    html = task_tables.ways("pubmedqa", label=lambda row: row["model"])
    assert "minilm: 60.0, 56.0 to 64.0; words alone: 56.0; always the same: 55.2." in html
    assert "has not been run yet" in task_tables.ways("hoc", label=task_tables.way_name)
    html = task_tables.ways("chemprot", label=task_tables.way_name)
    assert "markers: 60.0" in html and "blinded: 52.0" in html


def test_models_in_one_figure_keep_their_names(filled):
    ledger.append("tasks", [row("biosses", model="pocket-bert", score=40.0)], file="minilm")
    html = task_tables.ways("biosses", label=task_tables.way_name)
    assert "as usual, minilm: 71.0" in html and "as usual, pocket-bert: 40.0" in html


def test_labels_of_a_task(filled):
    html = task_tables.labels("pubmedqa")
    assert "yes 70 of 275; no 12 of 169" in html and "Micro 60.0, macro 41.0" in html
    assert "has not been run yet" in task_tables.labels("hoc")


def test_facts(filled):
    html = task_tables.facts_table()
    assert "449 / 51 / 500" in html and "55.2 %" in html and "6.2 %" in html
    html = task_tables.shallow_figure()
    assert all(f">{value}<" in html for value in ("55.2", "56.0", "54.8", "55.0", "60.0"))
    assert "biosses" not in html  # which has only rows of what reads apart


def test_shared_words_of_the_splits(filled):
    html = task_tables.shared_table("rqe")
    assert html.index("true: words shared") < html.index("false: words shared")
    assert "<td>train</td><td class=n>63.0 %</td><td class=n>4.1 %</td>" in html
    assert "50.5 %" in html
    assert "for this yet" in task_tables.shared_table("gad")


# --- what the chapters say in words ------------------------------------------------------------

SAID = {
    "15_clinical": ("{mts[test_in_train]:.0f} of the {mts[test]:.0f} test texts of MTS-Dialog",),
    "16_beyond_ner": (
        "of its {mts[test]:.0f} test texts {mts[test_in_train]:.0f} stand in train as well",
        "{qa[test]:.0f} of the 1,000 questions of PubMedQA are test, which leaves {qa[train]:.0f}",
    ),
}


@pytest.mark.parametrize("chapter", SAID)
def test_sizes_in_the_text_are_those_of_the_ledger(chapter):
    of = {row["dataset"]: row["metrics"] for row in evidence.rows_of("task-facts", "constant")}
    path = Path(__file__).resolve().parents[1] / "notebooks" / f"{chapter}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = " ".join("".join(cell["source"]) for cell in cells)
    for said in SAID[chapter]:
        assert said.format(mts=of["mts-dialog"], qa=of["pubmedqa"]) in text


def seeds_of(task: str) -> tuple[dict, list[dict]]:
    """The row of all seeds of a published task by MiniLM, and the metrics of each seed."""
    rows = [row for row in evidence.rows_of("tasks", "score")
            if row["dataset"] == task and row["model"] == "minilm"]  # fmt: skip
    (whole,) = (row for row in rows if row.get("variant") == task_tables.TOGETHER)
    return whole, [row["metrics"] for row in rows if "variant" not in row]


def test_what_chapter_15_says_of_sections_is_what_the_ledger_holds():
    whole, seeds = seeds_of("mts-dialog")
    found = whole["metrics"]
    (words,) = (row["metrics"]["words"] for row in evidence.rows_of("task-facts", "words")
                if row["dataset"] == "mts-dialog")  # fmt: skip
    assert (round(found["score"], 1), found["baseline"]) == (73.8, 23.0)
    assert round(words, 1) == 60.2 and round(found["macro_f1"], 1) == 37.8
    never = {name: one["gold"] for name, one in whole["labels"].items() if not one["recall"]}
    assert len(whole["labels"]) == 20 and len(never) == 8 and {"PLAN", "DIAGNOSIS"} <= never.keys()
    assert sum(never.values()) == 26 and found["tested"] == 400 and len(seeds) == 3
    said = (round(found["score_seen"], 1), round(found["score_new"], 1), round(found["copied"], 1))
    assert said == (60.1, 75.7, 66.7)
    right = [round(one["score_seen"] * 51 / 100) for one in seeds]
    assert right == [30, 30, 32] and round(found["copied"] * 51 / 100) == 34
    assert sum(never.values()) / 4 == 6.5 and 0.24 < 26 / (400 - 4 * found["score"]) < 0.26


def test_what_chapter_15_says_of_pairs_is_what_the_ledger_holds():
    whole, seeds = seeds_of("rqe")
    (facts,) = (row["metrics"] for row in evidence.rows_of("task-facts", "shared_test")
                if row["dataset"] == "rqe")  # fmt: skip
    said = [round(whole["metrics"][n], 1) for n in ("score", "low", "high", "baseline",
                                                    "devel_score")]  # fmt: skip
    assert said == [48.7, 42.2, 54.8, 50.0, 72.4] and round(facts["words"], 1) == 52.6
    found = [one["score"] for one in seeds]
    assert max(found) - min(found) < 1 and len(seeds) == 3
    recall = {name: round(one["recall"]) for name, one in whole["labels"].items()}
    assert recall == {"true": 89, "false": 9}
    true, false = (whole["labels"][name] for name in ("true", "false"))
    said_true = (true["recall"] * true["gold"] + (100 - false["recall"]) * false["gold"]) / 100
    assert round(said_true) == 207
    assert round(facts["shared_devel"], 1) == 67.2
    shares = [round(facts[f"shared_{n}"], 1) for n in ("train_true", "train_false", "train")]
    assert shares == [61.9, 4.0, 97.4]
    assert {round(facts[f"shared_test_{label}"]) for label in ("true", "false")} == {8}
    assert abs(facts["shared_test"] - 50) < 1
    assert facts["shared_train"] > facts["shared_devel"] > facts["shared_test"]
    assert max(facts["words_first"], facts["words_second"]) <= facts["constant"]


def test_what_chapter_16_says_of_the_tasks_is_what_the_ledger_holds():
    words = {row["dataset"]: round(row["metrics"]["words"], 1)
             for row in evidence.rows_of("task-facts", "words")}  # fmt: skip
    found = {name: seeds_of(name)[0] for name in task_tables.REAL}
    above = {name for name, row in found.items() if row["metrics"]["margin_low"] > 1e-9}
    assert above == {"biosses", "mts-dialog", "chemprot", "hoc", "gad"}
    scores = {name: round(row["metrics"]["score"], 1) for name, row in found.items()}
    assert (scores["hoc"], words["hoc"], scores["gad"], words["gad"]) == (71.5, 49.8, 77.2, 73.4)
    chemprot = found["chemprot"]
    assert [round(chemprot["metrics"][n], 1) for n in ("micro_f1", "macro_f1")] == [72.4, 40.0]
    never = [one["gold"] for one in chemprot["labels"].values() if not one["recall"]]
    assert (sorted(never), words["chemprot"]) == ([0, 4, 12, 41], 56.8)
    assert chemprot["metrics"]["tested"] == 3469 and len(chemprot["labels"]) == 13
    gad = found["gad"]["metrics"]
    assert [round(gad[n], 1) for n in ("low", "high", "baseline")] == [73.6, 80.8, 69.0]
    yes = found["pubmedqa"]["labels"]["yes"]
    assert yes["recall"] == 100 and found["pubmedqa"]["metrics"]["tested"] == 500
    kept = [row["epochs"] for row in evidence.rows_of("tasks", "score")
            if row["dataset"] == "pubmedqa" and row["seed"] is not None]  # fmt: skip
    assert kept == 3 * [[1]] and found["pubmedqa"]["settings"]["epochs"] == 4
    assert words["pubmedqa"] == 55.8
    assert all(not one["recall"] for name, one in found["pubmedqa"]["labels"].items()
               if name != "yes")  # fmt: skip
    hoc = found["hoc"]
    assert [round(hoc["metrics"][n], 1) for n in ("micro_f1", "macro_f1")] == [71.5, 70.8]
    by_gold = sorted(hoc["labels"].items(), key=lambda item: item[1]["gold"])
    assert (by_gold[0][1]["gold"], by_gold[-1][1]["gold"]) == (16, 99)
    assert min(one["f1"] for _, one in by_gold[:3]) > 69 - 0.05
    worst, one = min(by_gold, key=lambda item: item[1]["f1"])
    assert (worst, one["gold"]) == ("Evading growth suppressors", 58)
    assert round(one["f1"], 1) == 45.4 and round(one["recall"]) == 33


def test_what_chapter_16_says_of_biosses_is_what_the_ledger_holds():
    whole, seeds = seeds_of("biosses")
    anew = {
        row["seed"]: row["metrics"] for row in evidence.rows_of("tasks", "score")
        if row["dataset"] == "biosses" and "re-initialise 1" in row.get("variant", "")
    }  # fmt: skip
    own = {seed: found["score"] for seed, found in anew.items()}
    devel = {seed: found["devel_score"] for seed, found in anew.items()}
    facts = evidence.rows_of("task-facts")
    (words,) = (row["metrics"]["words"] for row in facts
                if row["dataset"] == "biosses" and "words" in row["metrics"])  # fmt: skip
    apart = {row["variant"]: row["metrics"] for row in facts if "variant" in row}
    cosine, regression = apart["read apart, cosine"], apart["read apart, regression"]
    usual = whole["metrics"]
    assert [round(usual[n], 1) for n in ("score", "low", "high")] == [46.3, 32.8, 58.4]
    assert [round(cosine[n], 1) for n in ("score", "low", "high")] == [84.1, 76.4, 90.1]
    assert (round(words, 1), round(regression["score"], 1), usual["train"]) == (50.4, 72.2, 60)
    assert usual["high"] < regression["low"] < regression["high"] < cosine["score"]
    assert (round(own[None], 1), round(usual["score"] - own[None], 1)) == (42.1, 4.2)
    gap = stability.gain([own[seed] for seed in range(3)], [one["score"] for one in seeds])
    assert [round(x, 1) for x in (gap.low, gap.high)] == [-14.0, 5.6]
    ahead = [devel[seed] - one["devel_score"] for seed, one in enumerate(seeds)]
    assert round(sum(ahead) / 3, 1) == 11.6
