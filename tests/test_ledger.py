"""The ledger keeps rows whole, sound, and free of what means nothing on another machine."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bioptimus_lib import ledger
from bioptimus_lib.errors import DataError
from bioptimus_lib.provenance import commit, device_name, provenance, relative, versions


def row(**changes):
    return {
        "model": "v0.4",
        "dataset": "NCBI-disease",
        "profile": "laptop",
        "seed": 0,
        "metrics": {"f1": 71.25, "mentions": 960},
        "command": "bioptimus ner --model v0.4",
        "device": "cpu",
        "versions": {"torch": "2.13.0"},
        "data": {"ner/NCBI-disease/test.tsv": "8f"},
        "commit": None,
        **changes,
    }


def test_what_is_appended_is_read(tmp_path):
    path = ledger.append("ner", row(note="µ"), folder=tmp_path)
    ledger.append("ner", [row(seed=1), row(seed=2)], folder=tmp_path)
    assert path == tmp_path / "ner" / "laptop.json"
    assert [r["seed"] for r in ledger.read("ner", folder=tmp_path)] == [0, 1, 2]
    assert ledger.read("ner", folder=tmp_path)[0] == row(note="µ", experiment="ner")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5 and "µ" in lines[1]  # a row is a line: new rows are small diffs


def test_files_of_one_experiment_are_read_together(tmp_path):
    ledger.append("ner", row(), folder=tmp_path, file="b")
    ledger.append("ner", row(profile="pocket"), folder=tmp_path, file="a")
    ledger.append("ner-other", row(), folder=tmp_path)
    assert [r["profile"] for r in ledger.read("ner", folder=tmp_path)] == ["pocket", "laptop"]
    with pytest.raises(ValueError, match="another file"):
        ledger.append("ner", row(), folder=tmp_path, file="c", replace=True)
    with pytest.raises(ValueError, match="name the file"):
        ledger.append("ner", [row(seed=5), row(profile="small")], folder=tmp_path)


def test_a_row_is_never_lost_in_silence(tmp_path):
    path = ledger.append("ner", [row(), row(seed=1)], folder=tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="seed 0.*already"):
        ledger.append("ner", [row(seed=7), row(metrics={"f1": 1})], folder=tmp_path)
    with pytest.raises(ValueError, match="same key"):
        ledger.append("ner", [row(seed=7), row(seed=7)], folder=tmp_path)
    assert path.read_bytes() == before
    ledger.append("ner", row(metrics={"f1": 1}), replace=True, folder=tmp_path)
    assert [r["metrics"]["f1"] for r in ledger.read("ner", folder=tmp_path)] == [1, 71.25]
    for other in ({"model": "b"}, {"dataset": "b"}, {"seed": None}, {"variant": "lr 1e-4"}):
        ledger.append("ner", row(**other), folder=tmp_path)
    assert len(ledger.read("ner", folder=tmp_path)) == 6


def test_a_row_of_another_setting_is_not_replaced(tmp_path):
    def put(**setting):
        ledger.append("ner", row(setting=setting), replace=True, folder=tmp_path)

    ledger.append("ner", row(), folder=tmp_path)  # of a time when rows did not tell
    put(steps=300, megabytes=32)
    put(steps=300, megabytes=32)
    with pytest.raises(ValueError, match="another setting .megabytes: 32 there, 90 here"):
        put(steps=300, megabytes=90)
    (kept,) = ledger.read("ner", folder=tmp_path)
    assert kept["setting"] == {"steps": 300, "megabytes": 32}


def test_a_fine_tuning_by_another_recipe_is_not_replaced(tmp_path):
    """One seed of one recipe beside two of another would be a mean of neither."""
    ledger.append("ner", row(settings={"epochs": 20}), folder=tmp_path)
    ledger.append("ner", row(settings={"epochs": 20, "new": None}), folder=tmp_path, replace=True)
    with pytest.raises(ValueError, match="another setting .epochs: 20 there, 1 here"):
        ledger.append("ner", row(settings={"epochs": 1}), folder=tmp_path, replace=True)
    other = row(settings={"epochs": 1, "seed": 7}, seed=7)  # would be averaged with the first
    with pytest.raises(ValueError, match="seed 0 has another setting .epochs: 20 there, 1 here"):
        ledger.append("ner", other, folder=tmp_path)
    with pytest.raises(ValueError, match="another setting"):  # the same before the work is done
        ledger.check_settings("ner", [other], folder=tmp_path)
    with pytest.raises(ValueError, match="another setting"):
        ledger.append("ner", [other, {**other, "seed": 8, "settings": {"epochs": 2}}],
                      folder=tmp_path / "new")  # fmt: skip
    ledger.check_settings("ner", [{**other, "settings": {"epochs": 20}}], folder=tmp_path)
    ledger.check_settings("nothing", [other], folder=tmp_path)
    assert len(ledger.read("ner", folder=tmp_path)) == 1


@pytest.mark.parametrize("words", [["words", "x"], ["ner"], ["vocab", "--out", "x"]])
def test_a_name_that_no_file_can_have_is_refused_before_any_work(words, capsys):
    from bioptimus_lib.cli import main

    with pytest.raises(SystemExit):
        main([*words, "--ledger", "results/mine"])
    assert "'results/mine': letters, digits" in capsys.readouterr().err


def test_frame(tmp_path):
    ledger.append("ner", [row(), row(seed=1, metrics={"f1": 72.5, "recall": 3})], folder=tmp_path)
    frame = ledger.frame("ner", folder=tmp_path)
    assert frame["f1"].tolist() == [71.25, 72.5] and frame["seed"].tolist() == [0, 1]
    assert math.isnan(frame["recall"][0]) and "versions" not in frame


WRONG = {
    "no metrics": ({"metrics": {}}, "no metrics"),
    "NaN": ({"metrics": {"f1": math.nan}}, "f1 is nan"),
    "infinite": ({"metrics": {"f1": math.inf}}, "finite"),
    "text for a number": ({"metrics": {"f1": "71"}}, "expected a number"),
    "true for a number": ({"metrics": {"f1": True}}, "expected a number"),
    "seed is text": ({"seed": "0"}, "seed"),
    "seed is true": ({"seed": True}, "seed"),
    "path in the command": ({"command": "bioptimus ner --model /home/ann/m"}, "absolute path"),
    "path after an option": ({"command": "bioptimus ner --out=/home/ann/m"}, "absolute path"),
    "path of the home": ({"command": "bioptimus ner ~/m"}, "absolute path"),
    "path of another user": ({"command": "bioptimus ner ~me/m"}, "absolute path"),
    "path of Windows": ({"model": "C:\\models\\m"}, "absolute path"),
    "path as a key": ({"data": {"/data/test.tsv": "8f"}}, "absolute path"),
    "path deep inside": ({"settings": {"files": ["a", "/b"]}}, "absolute path"),
    "address of a file": ({"note": "see file:///a"}, "absolute path"),
    "NaN elsewhere": ({"steps": math.nan}, "JSON"),
    "not JSON": ({"steps": {1, 2}}, "JSON"),
    "profile is a path": ({"profile": "../x"}, "profile"),
    "another experiment": ({"experiment": "x"}, "given to"),
}


@pytest.mark.parametrize("changes, message", WRONG.values(), ids=WRONG)
def test_unsound_rows_are_refused_and_nothing_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        ledger.append("ner", row(**changes), folder=tmp_path)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("name", [n for n in ledger.REQUIRED if n != "experiment"])
def test_every_field_is_required(tmp_path, name):
    short = row()
    del short[name]
    with pytest.raises(ValueError, match=f"lacks '{name}'"):
        ledger.append("ner", short, folder=tmp_path)


@pytest.mark.parametrize(
    "text", ["https://example.org/a/b", "a/b", "1/2", "80/10/10", "5/s", "x ~ y", "~3", "a / b"]
)
def test_what_only_looks_like_a_path_is_kept(tmp_path, text):
    ledger.append("ner", row(note=text), folder=tmp_path)
    assert ledger.read("ner", folder=tmp_path)[0]["note"] == text


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", ".hidden"])
def test_names_stay_in_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="letters"):
        ledger.append(name, row(), folder=tmp_path)
    with pytest.raises(ValueError, match="letters"):
        ledger.append("ner", row(), file=name or "/", folder=tmp_path)


def test_missing_and_broken_files_are_named(tmp_path):
    ledger.append("ner", row(), folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="no results of 'nerr'.*: ner$"):
        ledger.read("nerr", folder=tmp_path)
    for text, message in [("{", "not JSON"), ("{}", "list"), ("[1]", "row 1"), ("[{}]", "lacks")]:
        (tmp_path / "ner" / "laptop.json").write_text(text)
        with pytest.raises(DataError, match=message) as caught:
            ledger.read("ner", folder=tmp_path)
        assert "laptop.json" in str(caught.value)
        with pytest.raises(DataError):  # and a broken file is not written over
            ledger.append("ner", row(seed=9), folder=tmp_path)
        assert (tmp_path / "ner" / "laptop.json").read_text() == text


def test_provenance_can_stand_in_a_row_wherever_it_was_made(tmp_path, monkeypatch):
    data = tmp_path / "ner" / "test.tsv"
    data.parent.mkdir()
    data.write_text("a\tO\n")
    monkeypatch.setattr(sys, "argv", [
        str(tmp_path / "bin" / "bioptimus"), "ner", "--model", str(tmp_path / "m"),
        f"--test={data}", "--note", "two words",
    ])  # fmt: skip
    found = provenance(data=[data])
    assert str(tmp_path) not in json.dumps(found) and str(Path.home()) + "/" not in found["command"]
    last = tmp_path.name
    assert found["command"] == (
        f"bioptimus ner --model {last}/m --test=ner/test.tsv --note 'two words'"
    )
    assert re.fullmatch("[0-9a-f]{64}", found["data"]["ner/test.tsv"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    ledger.append("ner", row(**found), folder=tmp_path / "results")


def test_paths_below_the_mirror_keep_their_place(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOPTIMUS_MIRROR", str(tmp_path))
    assert relative(tmp_path / "ner" / "X" / "train.tsv") == "ner/X/train.tsv"
    monkeypatch.chdir(tmp_path)
    assert relative("runs/a/b/c") == "runs/a/b/c"
    assert relative(os.sep) == ""
    assert relative("/a") == "a"


def test_versions_device_and_commit():
    found = versions()
    assert {"python", "numpy", "torch"} <= set(found)
    assert re.match(r"cpu: .+, \d+ cores", device_name("cpu"))
    root = Path(ledger.results_dir()).parents[1]
    if (root / ".git").exists():
        head = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True
        ).stdout.strip()
        assert commit().rstrip("+") == head


def test_the_shipped_ledger_is_sound():
    for folder in sorted(ledger.results_dir().glob("*")):
        if folder.is_dir():
            rows = ledger.read(folder.name)
            assert len({ledger.key(r) for r in rows}) == len(rows)
            assert all(r["experiment"] == folder.name for r in rows)
