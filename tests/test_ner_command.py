"""``bioptimus ner`` from the outside: results, resume, own files, and what bad input gets."""

from __future__ import annotations

import json

import pytest
from conftest import save_old_and_new
from test_ner import PIECES, toy

from bioptimus_lib import ledger
from bioptimus_lib.cli import main
from bioptimus_lib.conll import write_conll


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two tiny models and a toy set."""
    folder = tmp_path_factory.mktemp("ner")
    for number, (split, size) in enumerate({"train": 60, "devel": 20, "test": 20}.items()):
        write_conll(folder / "set" / f"{split}.tsv", toy(size, number))
    save_old_and_new(PIECES, folder)
    return folder


def command(place, *words):
    few = ["--epochs", "2", "--batch-tokens", "128", "--learning-rate", "0.01", "--quiet"]
    return main(["ner", *map(str, words), *few, "--out", str(place / "out"), "--device", "cpu"])


def test_two_models_are_compared_and_nothing_is_done_twice(place, capsys, monkeypatch):
    from bioptimus_lib import ner

    monkeypatch.setattr(ledger, "results_dir", lambda: place / "results")
    words = ["--model", place / "old", place / "new", "--dataset", place / "set", "--seeds", 2]
    assert command(place, *words, "--json", "--ledger", "test", "--profile", "pocket") == 0
    first = capsys.readouterr()
    table = json.loads(first.out)["results"]
    assert [(row["model"], row["seeds"], len(row["f1_by_seed"])) for row in table] == [
        ("old", 2, 2), ("new", 2, 2),
    ]  # fmt: skip
    assert table[1]["minus_first"] == pytest.approx(table[1]["f1"] - table[0]["f1"])
    assert 0 < table[1]["p"] <= 1 and "p" not in table[0]
    rows = ledger.read("ner", folder=place / "results")
    assert [(row["model"], row["seed"], row["metrics"]["f1"]) for row in rows] == [
        (r["model"], seed, r["f1_by_seed"][seed]) for seed in (0, 1) for r in table
    ]
    assert {row["dataset"] for row in rows} == {"set"} and str(place) not in json.dumps(rows)

    def fail(*_, **__):
        raise AssertionError("it was done already")

    monkeypatch.setattr(ner, "fine_tune", fail)
    assert command(place, *words) == 0
    said = capsys.readouterr()
    text = said.out.splitlines()
    assert f"{table[0]['f1']:.2f}" in text[1] and "p = " in text[2] and "by runs" in text[2]
    assert "4 runs, 4 of them done before" in said.err
    # the rows of the ledger are those of the day when they were made
    assert command(place, *words, "--ledger", "test", "--profile", "pocket", "--quiet") == 0
    capsys.readouterr()
    assert ledger.read("ner", folder=place / "results") == rows
    assert command(place, *words, "--sentences", 30) == 2
    assert "all sentences of train there, 30 here" in capsys.readouterr().err
    other = [*words, "--max-length", 16, "--out", place / "elsewhere", "--profile", "pocket"]
    assert main(["ner", *map(str, other), "--ledger", "test", "--quiet"]) == 2
    assert "max_length: None there, 16 here" in capsys.readouterr().err


def test_a_place_that_is_none_is_told_before_any_work(place, capsys):
    (place / "busy").mkdir(exist_ok=True)
    (place / "busy" / "out").write_text("somebody's file")
    assert command(place / "busy", "--model", place / "old", "--dataset", place / "set") == 2
    said = capsys.readouterr().err
    assert "out" in said and " seed " not in said and said.count("\n") == 1


def test_each_run_is_told_with_what_is_left(place, capsys):
    words = ["--model", place / "old", place / "new", "--dataset", place / "set", "--seeds", 2]
    assert command(place / "told", *words) == 0
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if " seed " in line]
    assert [line.split()[:5] for line in lines] == [
        [f"{n}/4", "set", model, "seed", f"{seed}:"]
        for n, (model, seed) in enumerate(
            [("old", 0), ("new", 0), ("old", 1), ("new", 1)], start=1
        )
    ]
    assert "3 left, less than a minute" in lines[0] and "left" not in lines[3]
    assert command(place / "told", *words[:-1], 3, "--json") == 0
    again = capsys.readouterr()
    assert "6 runs, 4 of them done before" in again.err and "1/2 set old seed 2" in again.err
    table = json.loads(again.out)["results"]
    assert table[1]["p_holm"] == table[1]["p"] and table[1]["comparisons"] == 1
    assert table[1]["p_runs"] >= 0.1


def test_several_models_and_sets_are_corrected_together(place, capsys):
    from shutil import copytree

    copytree(place / "set", place / "other", dirs_exist_ok=True)
    (place / "other" / "test.tsv").write_text((place / "set" / "devel.tsv").read_text())
    (place / "other" / "devel.tsv").write_text((place / "set" / "test.tsv").read_text())
    words = ["--model", place / "old", f"third={place / 'new'}", f"fourth={place / 'old'}",
             "--dataset", place / "set", place / "other", "--seeds", 1]  # fmt: skip
    assert command(place / "many", *words, "--json") == 0
    table = json.loads(capsys.readouterr().out)["results"]
    assert [row["model"] for row in table] == 2 * ["old", "third", "fourth"]
    compared = [row for row in table if "p" in row]
    assert {row["comparisons"] for row in compared} == {4}
    assert all(row["p_holm"] >= row["p"] for row in compared)
    assert table[2]["p"] == 1 and table[2]["f1"] == table[0]["f1"]  # the same weights
    assert command(place / "many", *words) == 0
    text = capsys.readouterr().out
    assert "mean of 2 sets" in text and "corrected for 4 comparisons" in text


def own_files(place, **changed):
    files = {s: place / "set" / f"{s}.tsv" for s in ("train", "devel", "test")} | changed
    return [f"--{split}={path}" for split, path in files.items()]


def test_own_files(place, capsys):
    words = ["--model", place / "old", *own_files(place), "--seeds", 1]
    assert command(place / "own", *words) == 0
    assert "set" in capsys.readouterr().out
    assert (place / "own" / "out" / "set" / "old" / "seed-0" / "predictions.tsv").is_file()
    assert not (place / "own" / "out" / "set" / "old" / "seed-0" / "model").exists()
    assert command(place / "own", *words, "--name", "mine", "--save-model") == 0
    assert (place / "own" / "out" / "mine" / "old" / "seed-0" / "model" / "config.json").is_file()


OWN = {  # a file that takes the place of one, and what is said
    "another type": ("test", "bab\tB-DRUG\n", "train has the types ['Drug', 'Gene']"),
    "no entity": ("devel", "bab\tO\n", "devel holds no entity"),
    "the same file": ("test", None, "test holds the sentences of train"),
    "not IOB2": ("devel", "bab\tI-Drug\n", "mine.tsv:1: tag 'I-Drug' continues no entity"),
    "one column": ("train", "bab\n", "mine.tsv:1: expected token<TAB>tag"),
    "empty": ("test", "", "no sentence in this file"),
    "blanks alone": ("test", " \n\n\t\n", "no sentence in this file"),
}


@pytest.mark.parametrize("split, text, message", OWN.values(), ids=OWN)
def test_own_files_that_do_not_fit_are_told_before_any_work(place, split, text, message, capsys):
    mine = place / "mine.tsv"
    mine.write_text((place / "set" / "train.tsv").read_text() if text is None else text)
    words = own_files(place, **{split: mine})
    assert command(place / "unfit", "--model", place / "old", *words) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (place / "unfit").exists()


def test_a_type_that_train_lacks_is_missed_and_said_once(place, capsys, caplog):
    mine = place / "more.tsv"
    mine.write_text((place / "set" / "test.tsv").read_text() + "bab\tB-Virus\n")
    words = ["--model", place / "old", *own_files(place, test=mine), "--seeds", 2]
    assert command(place / "virus", *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["seeds"] == 2
    assert [r.getMessage() for r in caplog.records if "Virus" in r.getMessage()] == [
        "types ['Virus'] occur in test and not in train: all will be missed"
    ]


def test_a_broken_set_is_told_before_the_first_is_begun(place, capsys):
    (place / "bad-set").mkdir(exist_ok=True)
    for split in ("train", "devel", "test"):
        (place / "bad-set" / f"{split}.tsv").write_text("a\tO\nb\tI-X\n")
    sets = [place / "set", place / "bad-set"]
    assert command(place / "none", "--model", place / "old", "--dataset", *sets) == 2
    assert "bad-set/train.tsv:2" in capsys.readouterr().err
    assert not (place / "none").exists()


def test_a_profile_gives_the_recipe_and_own_values_win(place):
    from bioptimus_lib.cli import build_parser
    from bioptimus_lib.commands import ner
    from bioptimus_lib.profile import PROFILES

    def settings(*words):
        given = build_parser().parse_args(["ner", "--model", str(place / "old"), *words])
        return ner._settings(place / "old", given, ner._chosen(given))

    assert settings().epochs == 3  # by the size of the model
    laptop = PROFILES["laptop"]
    found = settings("--profile", "laptop")
    assert (found.epochs, found.learning_rate) == (laptop.ner_epochs, laptop.ner_learning_rate)
    assert settings("--profile", "laptop", "--epochs", "2").epochs == 2


BAD = {
    "no set": (["--model", "old"], "give --dataset"),
    "unknown model": (["--model", "nix", "--dataset", "set"], "'nix'"),
    "no folder": (["--model", "./nix", "--dataset", "set"], "model folder nix is not there"),
    "no model in it": (["--model", "set", "--dataset", "set"], "no config.json"),
    "unknown set": (["--model", "old", "--dataset", "nix"], "'nix'"),
    "a split lacks": (["--model", "old", "--dataset", "old"], "no train.tsv"),
    "own files lack": (["--model", "old", "--train", "set/train.tsv"], "together"),
    "own file is not there": (
        ["--model", "old", "--train", "a", "--devel", "b", "--test", "c"], "no file a",
    ),
    "no seed": (["--model", "old", "--dataset", "set", "--seeds", "0"], "--seeds 0"),
    "the same name twice": (["--model", "old", "./old", "--dataset", "set"], "same name"),
    "a name with a path": (["--model", "../x=old", "--dataset", "set"], "'../x'"),
    "a name for nothing": (["--model", "old=", "--dataset", "set"], "needs a name and a folder"),
    "a set twice": (["--model", "old", "--dataset", "set", "./set"], "sets have the same name"),
    "a name for no files": (["--model", "old", "--dataset", "set", "--name", "x"], "--name"),
    "sentences below one": (
        ["--model", "old", "--dataset", "set", "--sentences", "-1"], "--sentences -1",
    ),
    "no room": (["--model", "old", "--dataset", "set", "--max-length", "2"], "--max-length 2"),
    "unknown profile": (["--model", "old", "--dataset", "set", "--profile", "x"], "'x'"),
    "broken line": (["--model", "old", "--dataset", "broken"], "train.tsv:2: "),
}  # fmt: skip


@pytest.mark.parametrize("words, message", BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_nothing_is_written(place, words, message, capsys, monkeypatch):
    monkeypatch.chdir(place)
    (place / "broken").mkdir(exist_ok=True)
    for split in ("train", "devel", "test"):
        (place / "broken" / f"{split}.tsv").write_text("a\tO\nb\tI-X\n")
    assert command(place / "bad", *words) == 2
    said = capsys.readouterr().err
    assert message in said and said.startswith("bioptimus: error: ") and said.count("\n") == 1
    assert not (place / "bad").exists()
