"""What a NER set is made of: each number by a small case, and on the real sets against FACTS."""

from __future__ import annotations

import json
import os

import pytest
from test_ner import COUNTS, sentence

from bioptimus_lib.experiments import ner_facts as experiment
from bioptimus_lib.experiments.cells import Setting, run_cells
from bioptimus_lib.ner_facts import (
    FAMILIAR,
    READINGS,
    Mention,
    ambiguity,
    familiarity,
    lengths,
    named,
    overlap,
    telling,
)

TRAIN = [
    sentence("Lung/B-D cancer/I-D and/O gout/B-D"),
    sentence("lung/B-D cancer/I-D of/I-D the/I-D left/I-D side/I-D"),
    sentence("aspirin/B-C or/O IL/B-G -/I-G 2/I-G"),
]


def test_lengths_and_names():
    assert lengths(TRAIN) == {2: 1, 1: 2, 6: 1, 3: 1}
    assert named(TRAIN)[0] == (("lung", "cancer"), "D")
    assert named(TRAIN)[-1] == (("il", "-", "2"), "G")


KNOWN = {
    "seen": ("LUNG cancer", "D", "seen"),
    "seen, but as another type": ("gout", "C", "partly"),
    "shares a word": ("breast cancer", "D", "partly"),
    "shares a word inside": ("left", "D", "partly"),
    "shares a function word alone": ("fracture of the arm", "D", "never"),
    "shares a number and a hyphen alone": ("CD - 2", "G", "never"),
    "shares a name beside them": ("IL - 4", "G", "partly"),
    "shares nothing": ("asthma", "D", "never"),
}


@pytest.mark.parametrize("text, kind, level", KNOWN.values(), ids=KNOWN)
def test_familiarity(text, kind, level):
    mention = Mention(tuple(text.lower().split()), kind)
    assert familiarity([mention], named(TRAIN)) == [level]
    assert level in FAMILIAR


def test_unseen_is_what_the_score_calls_unseen():
    from bioptimus_lib.entity_score import recall_unseen

    test = [sentence("gout/B-C or/O Gout/B-D or/O asthma/B-D")]
    levels = familiarity(named(test), named(TRAIN))
    found = recall_unseen(test, [test[0].tags], training=TRAIN)
    assert found["mentions"] == sum(level != "seen" for level in levels) == 2


def test_telling_tokens():
    assert telling(("type", "2", "of", "a", "β", "il", "12", "p53")) == {"type", "il", "p53"}
    assert telling(()) == set()


def test_ambiguity_by_hand():
    found = ambiguity([
        sentence("gout/B-D is/O gout/O"),  # itself and outside
        sentence("lung/B-D cancer/I-D"),
        sentence("small/B-D cell/I-D lung/I-D cancer/I-D"),  # lung cancer inside
        sentence("p53/B-G and/O p53/B-G and/O p53/B-P"),  # another type
    ])  # fmt: skip
    assert found["texts"] == 4 and found["occurrences"] == 8
    assert {name: found[name] * 8 for name in READINGS} == pytest.approx(
        {"same": 5, "other type": 1, "inside": 1, "outside": 1}
    )
    assert (found["texts_types"], found["texts_outside"]) == (0.25, 0.25)
    assert ambiguity([sentence("a/O")])["occurrences"] == 0


def test_overlap_is_a_share_of_the_first():
    other = [sentence("Gout/B-X hurts/O"), sentence("Lung/O cancer/O and/O gout/O")]
    found = overlap(TRAIN, other)
    assert found == pytest.approx({"mentions": 1 / 5, "texts": 1 / 5, "sentences": 1 / 3})
    assert overlap([], TRAIN) == {"mentions": 0, "texts": 0, "sentences": 0}


# --- the experiment ----------------------------------------------------------------------------


def test_the_experiment_writes_numbers_and_no_text(tmp_path, monkeypatch):
    from bioptimus_lib import ledger, sources
    from bioptimus_lib.cli import main
    from bioptimus_lib.pocket_ner import write_ner

    for name in experiment.names():
        seed = len(name)
        write_ner(tmp_path / "sets" / name, seed=seed, train=60, devel=10, test=30)
    monkeypatch.setattr(sources, "fetch", lambda name, **_: tmp_path / "sets" / name)
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    words = ["experiment", "ner-facts", "--ledger", "real", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    rows = ledger.read("ner-facts", folder=tmp_path / "results")
    assert len(rows) == 5 * 5 + 20
    by_key = {(row["dataset"], row["variant"]): row for row in rows}
    test = by_key["BC2GM", "test against train"]["metrics"]
    assert sum(test[level] for level in FAMILIAR) == pytest.approx(1, abs=1e-4)
    split = by_key["BC2GM", "test"]
    assert sum(n for _, n in split["lengths"]) == split["metrics"]["entities"]
    pair = by_key["BC2GM", "test in JNLPBA, train"]["metrics"]
    assert set(pair) == {"mentions", "texts", "sentences"} and pair["mentions"] > 0
    assert len(rows[0]["data"]) == 15 and all(row["seed"] is None for row in rows)
    text = json.dumps(rows)
    assert not any(token in text for token in ("patients", "treated", "carcinoma"))


@pytest.mark.skipif("BIOPTIMUS_MIRROR" not in os.environ, reason="needs the real sets")
def test_the_two_halves_of_bc5cdr_are_the_same_text(tmp_path):
    setting = Setting(tmp_path, progress=False)
    rows = {
        (row["dataset"], row["variant"]): row["metrics"]
        for row in experiment.run(setting, "BC5CDR-chem")
    }
    assert rows["BC5CDR-chem", "test"]["entities"] == COUNTS["BC5CDR-chem"][1][2]
    from bioptimus_lib.conll import load_splits
    from bioptimus_lib.sources import fetch

    chem, disease = (
        load_splits(fetch(f"BC5CDR-{what}"))["test"] for what in ("chem", "disease")
    )
    assert overlap(chem, disease)["sentences"] == 1


def test_cells_are_kept(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(experiment, "names", lambda: ["a", "b"])

    def run(setting, cell):
        made.append(cell)
        yield {"model": "m", "dataset": cell, "metrics": {"seen": 1.0}}

    monkeypatch.setattr(experiment, "run", run)
    run_cells("ner-facts", experiment, Setting(tmp_path))
    run_cells("ner-facts", experiment, Setting(tmp_path))
    assert made == ["a", "b", "pairs"]
