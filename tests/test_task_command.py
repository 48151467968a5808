"""``bioptimus task`` from the outside: results, resume, remedies, own data, and bad input."""

from __future__ import annotations

import json

import pytest
from conftest import save_old_and_new
from test_tasks import PIECES, toy

from bioptimus_lib import ledger, tasks
from bioptimus_lib.cli import main
from bioptimus_lib.task_table import TASKS

pytestmark = pytest.mark.usefixtures("one_thread")


def own(folder, kind: str, **described):
    """A folder with a task of the toys."""
    folder.mkdir(parents=True)
    (folder / "task.json").write_text(json.dumps(described))
    key = {"labels": "labels", "score": "score"}.get(kind, "label")
    for number, (split, size) in enumerate({"train": 60, "devel": 20, "test": 20}.items()):
        rows = [{"id": e.id, "text": e.text, key: e.answer} for e in toy(kind, size, number)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two tiny models and tasks of one's own."""
    folder = tmp_path_factory.mktemp("task")
    own(folder / "a-there", "label", reads="text", answer="label", labels=["no", "yes"],
        metric="accuracy")  # fmt: skip
    own(folder / "how-many", "score", reads="text", answer="score", metric="pearson")
    save_old_and_new(PIECES, folder)
    return folder


def command(out, *words):
    few = ["--epochs", "2", "--batch-tokens", "128", "--learning-rate", "0.01", "--quiet"]
    return main(["task", *map(str, words), *few, "--out", str(out), "--device", "cpu"])


def test_models_are_compared_and_nothing_is_done_twice(place, capsys, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: place / "results")
    words = [place / "a-there", place / "how-many", "--model", place / "old", place / "new",
             "--seeds", 2]  # fmt: skip
    assert command(place / "out", *words, "--json", "--ledger", "test") == 0
    said = capsys.readouterr()
    table = json.loads(said.out)["results"]
    assert [(row["task"], row["model"], row["metric"], row["tested"]) for row in table] == [
        ("a-there", "old", "accuracy", 20), ("a-there", "new", "accuracy", 20),
        ("how-many", "old", "pearson", 20), ("how-many", "new", "pearson", 20),
    ]  # fmt: skip
    for one, two in (table[:2], table[2:]):
        assert two["minus_first"] == pytest.approx(two["score"] - one["score"])
        assert "p" not in one and two["comparisons"] == 2 and len(two["score_by_seed"]) == 2
        assert one["interval"][0] <= one["score"] <= one["interval"][1] or one["sd"] > 0
    assert table[2]["baseline"] == 0 and 40 < table[0]["baseline"] < 90
    made = [line for line in said.err.splitlines() if "/8 " in line]
    assert len(made) == 8 and all("baseline" in line for line in made)
    rows = ledger.read("tasks", folder=place / "results")
    assert [(row["model"], row["seed"]) for row in rows[:4]] == [
        ("old", 0), ("new", 0), ("old", 1), ("new", 1),
    ]  # fmt: skip
    together = [row for row in rows if row["seed"] is None]
    assert [(row["dataset"], row["model"]) for row in together] == [
        (row["task"], row["model"]) for row in table
    ]
    for row, line in zip(together, table, strict=True):
        found = row["metrics"]
        assert row["variant"] == "together" and found["seeds"] == 2 and found["train"] == 60
        assert row["settings"]["epochs"] == 2 and "seed" not in row["settings"]
        assert found["score"] == line["score"] and [found["low"], found["high"]] == line["interval"]
        assert found["margin"] == pytest.approx(found["score"] - found["baseline"])
        assert found["margin_low"] <= found["margin"] <= found["margin_high"]
    assert together[0]["labels"].keys() == {"no", "yes"} and not together[2]["labels"]
    assert str(place) not in json.dumps(rows)

    def fail(*_, **__):
        raise AssertionError("it was done already")

    monkeypatch.setattr(tasks, "fine_tune", fail)
    assert command(place / "out", *words) == 0
    again = capsys.readouterr()
    assert "8 runs, 8 of them done before" in again.err
    assert f"{table[0]['score']:.2f}" in again.out.splitlines()[1] and "p = " in again.out
    # one more seed is asked for: the others are kept
    with pytest.raises(AssertionError, match="done already"):
        command(place / "out", *words[:-1], 3)
    # other settings, another recipe, other data: refused with the difference in words
    for more, message in [
        (["--reinit", 1], "reinit 0 there, 1 here"),
        (["--examples", 30], "all examples of train there, 30 here"),
        (["--max-length", 8], "max_length None there, 8 here"),
    ]:
        assert command(place / "out", *words, *more) == 2
        assert message in capsys.readouterr().err
    # elsewhere they may be made, but not stand under the same name in the ledger: told at once
    assert command(place / "elsewhere", *words, "--max-length", 8, "--ledger", "test") == 2
    assert "max_length: None there, 8 here" in capsys.readouterr().err


def test_a_killed_run_goes_on_with_the_seed_that_lacks(place, capsys, monkeypatch):
    words = [place / "a-there", "--model", place / "old", "--seeds", 3]
    made, true = [], tasks.fine_tune

    def killed(*given, **named):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(named["settings"].seed)
        return true(*given, **named)

    monkeypatch.setattr(tasks, "fine_tune", killed)
    assert command(place / "killed", *words) == 130
    monkeypatch.setattr(tasks, "fine_tune", lambda *a, **k: made.append("more") or true(*a, **k))
    assert command(place / "killed", *words, "--json") == 0
    assert made == [0, 1, "more"]
    capsys.readouterr()
    files = sorted(p.name for p in (place / "killed" / "a-there" / "old" / "seed-2").iterdir())
    assert files == ["predictions.jsonl", "result.json"]


def test_a_relation_is_shown_in_three_ways(place, capsys, monkeypatch):
    from bioptimus_lib import pocket_tasks

    small = {"train": 60, "devel": 20, "test": 20}
    monkeypatch.setattr(pocket_tasks, "SIZES", small)
    words = ["pocket-relation", "--model", place / "old", "--seeds", 1, "--json", "--epochs", 1]
    names = []
    for view in ([], ["--view", "blinded"], ["--view", "plain"]):
        assert command(place / "views", *words, *view) == 0
        names += [row["task"] for row in json.loads(capsys.readouterr().out)["results"]]
    assert names == ["pocket-relation", "pocket-relation-blinded", "pocket-relation-plain"]
    result = place / "views" / "pocket-relation-blinded" / "old" / "seed-0" / "result.json"
    assert json.loads(result.read_text())["origin"]["view"] == "blinded"


def test_the_remedies_are_used_and_the_model_is_kept(place, capsys, tmp_path, monkeypatch):
    words = [place / "how-many", "--model", place / "old", "--seeds", 1, "--longer", 2,
             "--decay", 0.5, "--save-model", "--json"]  # fmt: skip
    assert command(place / "stable", *words) == 0
    capsys.readouterr()
    folder = place / "stable" / "how-many" / "old" / "seed-0"
    result = json.loads((folder / "result.json").read_text())
    assert len(result["devel"][0]) == 4 and result["origin"]["recipe"]["decay"] == 0.5
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    for _ in range(2):  # the second time nothing is refused: the epochs are those that were made
        assert command(place / "stable", *words, "--ledger", "test") == 0
    epochs = [row["settings"]["epochs"] for row in ledger.read("tasks", folder=tmp_path)]
    assert epochs == [4, 4], "of the seed, and of all seeds together"
    assert (folder / "model" / "model.safetensors").is_file()


def test_the_list(capsys):
    assert main(["task", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(f"{name}: " in said for name in TASKS) and "BIOSSES" in said
    assert main(["task", "gad", "--list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["tasks"]
    assert (row["name"], row["metric"], row["labels"]) == ("gad", "f1", ["0", "1"])


M = ["--model", "old"]
BAD = {
    "nothing": ([], "name a task and give --model"),
    "no model": (["pocket-fields"], "name a task and give --model"),
    "unknown task": (["nix", *M], "'nix' is no task"),
    "unknown model": (["pocket-fields", "--model", "nix"], "'nix'"),
    "no model in it": (["pocket-fields", "--model", "a-there"], "no config.json"),
    "no seed": (["a-there", *M, "--seeds", "0"], "--seeds 0"),
    "no example": (["a-there", *M, "--examples", "-1"], "--examples -1"),
    "the same model": (["a-there", "--model", "old", "./old"], "same name"),
    "the same task": (["a-there", "./a-there", *M], "there twice"),
    "no view": (["a-there", *M, "--view", "plain"], "a-there has no view 'plain'"),
    "unknown view": (["pocket-relation", *M, "--view", "x"], "no view 'x'"),
    "too many layers": (["a-there", *M, "--reinit", "3"], "reinit is 3"),
    "no decay": (["a-there", *M, "--decay", "0"], "decay is 0"),
    "data of two tasks": (["a-there", "how-many", *M, "--data", "a-there"], "one task"),
    "no data": (["gad", *M, "--data", "nix"], "nix is not a folder"),
    "data of another task": (["gad", *M, "--data", "a-there"], "train.tsv"),
    "a broken line": (["broken", *M], "broken/train.jsonl:2: unknown label 'maybe'"),
    "test is train": (["same", *M], "test holds the examples of train"),
    "no window": (["a-there", *M, "--max-length", "2"], "--max-length 2"),
    "no rate": (["a-there", *M, "--learning-rate", "-1"], "learning_rate -1"),
}


@pytest.fixture(scope="module")
def broken(place):
    described = dict(reads="text", answer="label", labels=["no", "yes"], metric="accuracy")
    own(place / "broken", "label", **described)
    lines = (place / "broken" / "train.jsonl").read_text().splitlines()
    lines[1] = json.dumps({"id": "x", "text": "y", "label": "maybe"})
    (place / "broken" / "train.jsonl").write_text("\n".join(lines) + "\n")
    own(place / "same", "label", **described)
    for split in ("devel", "test"):
        text = (place / "same" / ("train.jsonl" if split == "test" else "devel.jsonl")).read_text()
        (place / "same" / f"{split}.jsonl").write_text(text)
    return place


@pytest.mark.parametrize("words, message", BAD.values(), ids=BAD)
def test_bad_input_is_one_line_with_exit_code_2(broken, words, message, capsys, monkeypatch):
    monkeypatch.chdir(broken)
    if "--learning-rate" in words:
        assert main(["task", *words, "--out", "bad"]) == 2
    else:
        assert command(broken / "bad", *words) == 2
    said = capsys.readouterr().err
    assert message in said and said.startswith("bioptimus: error: ") and said.count("\n") == 1
    assert not list((broken / "bad").glob("*/old"))
