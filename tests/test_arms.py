"""Arms at equal budget and the questions that are asked with them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from bioptimus_lib import ledger  # noqa: E402
from bioptimus_lib.cli import main  # noqa: E402
from bioptimus_lib.curriculum import PHASES  # noqa: E402
from bioptimus_lib.experiments import arms, experiment, questions  # noqa: E402
from bioptimus_lib.experiments.arms import OLD, SCRATCH, Arm, trained  # noqa: E402
from bioptimus_lib.experiments.cells import Setting, run_cells  # noqa: E402
from bioptimus_lib.experiments.compared import differences, packed, unpacked  # noqa: E402
from bioptimus_lib.masking import Masking  # noqa: E402
from bioptimus_lib.pocket import write_corpus  # noqa: E402
from bioptimus_lib.pocket_ner import write_ner  # noqa: E402
from bioptimus_lib.profile import PROFILES  # noqa: E402

WORD, PLAIN = Masking("word", 0.15, True), Masking("word", 0.2, False)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Made-up text, a tiny NER set, two steps a part."""
    place = tmp_path_factory.mktemp("arms")
    write_corpus(place / "text", megabytes=0.3)
    write_ner(place / "set", train=30, devel=10, test=20)
    return Setting(
        place / "out", model="pocket-bert", corpus=str(place / "text"), megabytes=0.3, words=100,
        contexts=2, steps=2, seeds=2, datasets=(str(place / "set"),), progress=False,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A laptop of a few sentences."""
    profile = replace(PROFILES["laptop"], ner_sentences=20, ner_epochs=1, length=64, batch=2)
    monkeypatch.setitem(PROFILES, "laptop", profile)
    monkeypatch.setattr(arms, "HELD_OUT_BLOCKS", 4)


def weights(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "model" / "model.safetensors")


def test_the_folder_of_an_arm_says_all_that_makes_it(tmp_path):
    setting = Setting(tmp_path, steps=30)
    paths = {
        name: arm.folder(setting, 1).relative_to(tmp_path / "arms").as_posix()
        for name, arm in {
            "a": Arm("random", (WORD, PLAIN)), "b": Arm(OLD, (WORD,), same_bytes=True),
            "c": Arm(SCRATCH, (WORD,), budget=1 / 3), "d": Arm(OLD, ()),
        }.items()
    }  # fmt: skip
    assert paths == {
        "a": "random+w15c+w20n+30/seed-1", "b": "old+w15c+30b/seed-1",
        "c": "scratch+w15c+10/seed-1", "d": "old+30/seed-1",
    }  # fmt: skip


def test_shuffled_parts_are_the_same_for_a_seed_and_others_for_others():
    arm = Arm(shuffled=True)
    orders = [arm.parts(seed) for seed in range(20)]
    assert orders == [arm.parts(seed) for seed in range(20)] and len(set(orders)) > 5
    assert all(sorted(map(str, order)) == sorted(map(str, arms.COURSE)) for order in orders)
    assert Arm().parts(3) == tuple(phase.masking for phase in PHASES)


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"start": "magic"}, "'magic' is unknown"), ({"budget": 0.0}, "budget is 0.0")],
)
def test_what_cannot_be_an_arm_is_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        Arm(**changes)


def test_an_arm_goes_through_its_parts_once_and_gives_the_same_again(setting):
    arm = Arm("random", (WORD, PLAIN))
    row = trained(setting, arm, 0)
    assert row["course"] == ["word, 15%, 80/10/10", "word, 20%, all [MASK]"]
    assert row["steps"] == 4 and row["tokens"] == 4 * 2 * 64
    assert [step for step, _ in row["curve"]] == [0, 2, 4]
    metrics = row["metrics"]
    assert metrics["bits_per_byte"] == pytest.approx(
        metrics["loss"] * metrics["pieces_per_byte"] / np.log(2), rel=1e-3
    )
    folder = arm.folder(setting, 0)
    assert not list(folder.glob("part-?")) and (folder / "model" / "config.json").exists()
    assert trained(setting, arm, 0) == row


def test_an_arm_that_was_cut_ends_with_the_same_weights(setting, monkeypatch):
    from bioptimus_lib import one_phase

    arm = Arm("random", (WORD, PLAIN, WORD))
    whole, folder = trained(setting, arm, 0), arm.folder(setting, 0)
    first, train, goals = weights(folder), one_phase.train_version, []
    shutil.rmtree(folder)

    def cut(*args, **kwargs):
        goals.append(kwargs["goal"].name)
        if goals == ["part-1", "part-2", "model"]:
            raise KeyboardInterrupt
        return train(*args, **kwargs)

    monkeypatch.setattr(one_phase, "train_version", cut)
    with pytest.raises(KeyboardInterrupt):
        trained(setting, arm, 0)
    assert not (folder / "training.json").exists()
    again = trained(setting, arm, 0)
    assert goals == ["part-1", "part-2", "model", "model"]
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    assert all((weights(folder)[name] == value).all() for name, value in first.items())


def test_the_old_model_reads_more_pieces_of_the_same_bytes(setting):
    pieces = trained(setting, Arm(OLD, (WORD,)), 0)
    text = trained(setting, Arm(OLD, (WORD,), budget=1.0, same_bytes=True), 0)
    new = trained(setting, Arm(SCRATCH, (WORD,)), 0)
    more = pieces["metrics"]["pieces_per_byte"] / new["metrics"]["pieces_per_byte"]
    assert more > 1.05 and text["steps"] == round(2 * more) and pieces["steps"] == 2
    untouched = trained(setting, Arm(OLD, ()), 0)
    assert untouched["steps"] == 0 and untouched["curve"] == []


def test_a_question_has_rows_for_arms_sets_and_differences(setting):
    asked = questions.Question(
        "asked", "for a test", {"one": Arm(OLD, ()), "two": Arm("random", (WORD,))}
    )
    names = asked.cells(setting)
    assert names[:4] == ["one+0", "set+one+0", "two+0", "set+two+0"] and len(names) == 8
    rows, missing = run_cells("asked", asked, setting)
    tuned = [row for row in rows if row["variant"] == "pocket-bert, 4 × 2 steps: fine-tuned"]
    assert not missing and all(unpacked(row["counts"]).shape == (20, 3) for row in tuned)
    assert [(row["model"], row["seed"]) for row in tuned] == [
        ("one", 0), ("two", 0), ("one", 1), ("two", 1)
    ]  # fmt: skip
    (difference,) = (row for row in rows if row["variant"].endswith("difference"))
    assert difference["model"] == "two − one" and difference["metrics"]["seeds"] == 2
    assert json.dumps(rows)


def test_questions_share_arms_and_ask_one_thing_at_a_time():
    setting = Setting(Path("out"), steps=300)

    def folder(question, name):
        return question.arms[name].folder(setting, 0)

    assert folder(questions.MASKING, "single pieces") == folder(
        questions.CURRICULUM, "v0.1 throughout"
    )
    assert folder(questions.INIT, arms.OURS) == folder(questions.CURRICULUM, "BIOptimus")
    assert folder(questions.BUDGET, "v0.4, 1 of the steps") == folder(
        questions.APPROACH, "new vocabulary, calibrated (ours)"
    )
    base, *others = questions.MASKING.arms.values()
    for arm in others:
        (one,), (other,) = ({*side.course} for side in (base, arm))
        differ = [f for f in ("unit", "rate", "corruption") if getattr(one, f) != getattr(other, f)]
        assert len(differ) == 1 and arm.start == base.start
    falling = [masking.rate for masking in questions.CURRICULUM.arms["falling rate"].course]
    assert falling == sorted(falling, reverse=True) and falling[0] == 0.3 and falling[-1] == 0.15
    for question in questions.QUESTIONS:
        assert not any(set(name) & set("/+*?[") for name in question.arms)  # names of files, globs
        assert experiment(question.name) is question


def test_the_best_recipe_is_chosen_on_devel_and_tried_on_other_seeds(tmp_path, monkeypatch):
    setting = Setting(tmp_path, seeds=2, datasets=("D",))
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    with pytest.raises(FileNotFoundError, match="of 'subtoken_mean' of the experiment init with"):
        questions.BEST.cells(setting)

    def found(question, name, devel, test, *, seed=0):
        file = tmp_path / question.name / f"D+{name}+{seed}.json"
        file.parent.mkdir(exist_ok=True)
        metrics = {"devel_f1": devel, "f1": test}
        row = {"model": name, "dataset": "D", "seed": seed, "metrics": metrics}
        file.write_text(json.dumps([row]))

    for question in (questions.INIT, questions.MASKING, questions.CURRICULUM):
        for name in question.arms:
            found(question, name, 50.0, 50.0)
    found(questions.INIT, "random", 60.0, 99.0)
    found(questions.INIT, "calibrated", 70.0, 10.0)
    found(questions.MASKING, "spans", 71.0, 10.0)
    found(questions.CURRICULUM, "reversed", 70.5, 99.0)
    ours = questions.BEST.table(setting)["ours"]
    between = questions.BEST.table(setting)["our start, the paper's course"]
    assert (between.start, between.course) == (ours.start, Arm().course) and ours != between
    assert ours.start == "calibrated"
    assert {masking.unit for masking in ours.course} == {"span"}
    assert questions.BEST.cells(setting)[-1] == "D+ours+101"
    # A recipe that has cells is not another one later.
    found(questions.INIT, "random", 80.0, 99.0)
    with pytest.raises(ValueError, match="start: calibrated there, random here"):
        questions.BEST.table(setting)
    found(questions.INIT, "random", 60.0, 99.0)
    # An arm with fewer fine-tunings is not compared: a lucky seed must not win.
    found(questions.INIT, "calibrated", 72.0, 10.0, seed=1)
    found(questions.INIT, "contextual", 90.0, 10.0)
    assert questions.BEST.table(setting)["ours"].start == "calibrated"


# -- what the ledger has already -------------------------------------------------------------------


def test_what_the_ledger_has_is_not_made_again(setting, tmp_path, monkeypatch):
    """A question asked on another machine takes the rows of the arms that an earlier one had."""
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    earlier, later = (
        questions.Question(name, "for a test", some) for name, some in {
            "earlier": {"one": Arm(OLD, ()), "two": Arm("random")},
            "later": {"first": Arm("random"), "new": Arm(SCRATCH)},
        }.items()
    )  # fmt: skip
    monkeypatch.setattr(questions, "QUESTIONS", (earlier, later))
    origin = {**ledger.provenance(data=[]), "profile": "any", "device": "another machine"}
    rows, _ = run_cells("earlier", earlier, setting)
    ledger.append("earlier", [{**row, **origin, "setting": setting.recorded()} for row in rows])

    elsewhere, made = replace(setting, out=tmp_path / "out", reuse=True), []
    for name in ("trained", "tagged"):
        real = getattr(questions, name)
        monkeypatch.setattr(
            questions, name,
            lambda *args, real=real: (made.append(args[1].start), real(*args))[1],
        )  # fmt: skip
    found, missing = run_cells("later", later, elsewhere)
    assert not missing and set(made) == {SCRATCH}
    before = {(r["dataset"], r["seed"]): r["metrics"] for r in rows if r["model"] == "two"}
    taken = [row for row in found if row["model"] == "first"]
    assert {(r["dataset"], r["seed"]): r["metrics"] for r in taken} == before and len(taken) == 4
    assert {row["device"] for row in taken} == {"another machine"}
    here = next(row for row in found if row["model"] == "new")
    assert here["device"] == ledger.provenance()["device"]
    (difference,) = (row for row in found if "difference" in row["metrics"])
    assert difference["metrics"]["seeds"] == 2
    ledger.append("later", [{**origin, **row} for row in found])  # under its own name
    # With another setting they are other rows.
    made.clear()
    run_cells("earlier", earlier, replace(elsewhere, out=tmp_path / "more", steps=1, seeds=1))
    assert len(made) == 4


def test_the_best_recipe_may_be_read_off_the_ledger(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    setting, origin = Setting(tmp_path, seeds=1), {**ledger.provenance(data=[]), "profile": "any"}

    def found(question, name, devel, **changes):
        mine = replace(setting, **changes)
        ledger.append(question.name, origin | {
            "model": name, "dataset": "D", "seed": 0, "setting": mine.recorded(),
            "variant": questions.variant(mine, questions.TUNED), "metrics": {"devel_f1": devel},
        })  # fmt: skip

    best = {"calibrated": 70.0, "spans": 71.0, "reversed": 70.5}
    for question in (questions.INIT, questions.MASKING, questions.CURRICULUM):
        with pytest.raises(FileNotFoundError, match=f"of the experiment {question.name} with"):
            questions.BEST.table(setting)
        for name in question.arms:
            found(question, name, best.get(name, 50.0))
    with pytest.raises(ValueError, match="is there already"):
        found(questions.INIT, "random", 50.0)
    found(questions.INIT, "random", 80.0, steps=7)  # another setting does not choose
    ours = questions.BEST.table(setting)["ours"]
    assert ours.start == "calibrated" and {masking.unit for masking in ours.course} == {"span"}


def test_only_questions_can_be_taken_from_the_ledger(tmp_path, capsys):
    words = ["experiment", "start", "--reuse", "--out", str(tmp_path)]
    assert main(words) == 2 and "--reuse is for the experiments approach" in capsys.readouterr().err


# -- beside one another ----------------------------------------------------------------------------


def test_differences_are_beside_the_first_model():
    generator = np.random.default_rng(0)

    def rows(model, found):
        for seed in range(4):
            hits = generator.random((50, 1)) < found
            counts = np.concatenate([hits, np.zeros((50, 1)), ~hits], axis=1).astype(int)
            yield {"model": model, "dataset": "D", "seed": seed, "variant": "v",
                   "metrics": {"f1": 0.0}, "counts": packed(counts)}  # fmt: skip

    all_rows = [*rows("low", 0.4), *rows("high", 0.8), {"model": "x", "metrics": {}}]
    (last,) = differences(all_rows, first="low")
    metrics = last["metrics"]
    assert last["model"] == "high − low" and metrics["low"] > 0 and metrics["p_holm"] < 0.01
    assert metrics["seeds"] == 4
    assert differences(all_rows, first="absent") == []
