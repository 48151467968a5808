"""The benchmark of masks: all sides mask the same rows, and the numbers mean what they say."""

from __future__ import annotations

import json

import pytest

from bioptimus_lib import bench_masking, ledger
from bioptimus_lib.cli import main
from bioptimus_lib.models import load_masked_lm
from bioptimus_lib.sources import model_path

TEXT = "The patients received aspirin, or placebo, for nephropathy. " * 60


@pytest.fixture(scope="module")
def house():
    return load_masked_lm(model_path("pocket-bert"))


def test_rows_are_full_and_say_where_pieces_stand(house):
    batch = bench_masking.rows_of(house[1], TEXT, rows=4, length=64)
    assert batch["input_ids"].shape == (4, 64) and batch["offset_mapping"].shape == (4, 64, 2)
    assert batch["special_tokens_mask"].sum() == 8, "no padding"
    with pytest.raises(ValueError, match="too few for 40 rows"):
        bench_masking.rows_of(house[1], TEXT, rows=40, length=64)


def test_every_side_masks_and_leaves_the_batch_as_it_is(house):
    batch = bench_masking.rows_of(house[1], TEXT, rows=4, length=64)
    before = batch["input_ids"].clone()
    for name, side in bench_masking.sides_of(house[1], batch).items():
        inputs, labels = side()
        chosen = labels != -100
        assert 0.05 < chosen.double().mean() < 0.3, name
        assert (labels[chosen] == before[chosen]).all() and (inputs != before).any()
        assert (batch["input_ids"] == before).all(), name


def test_seconds_are_those_of_one_call():
    calls = []
    took = bench_masking.per_call({"a": lambda: calls.append(1)}, rounds=2)
    assert len(took["a"]) == 2 and max(took["a"]) < 1e-3 < bench_masking.TURN < 1e-5 * len(calls)


def test_the_command_gives_ratios_and_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    monkeypatch.setattr(bench_masking, "TURN", 0.001)
    small = ["--rows", "2", "--length", "32", "--step", "2", "16", "--rounds", "2", "--quiet"]
    assert main(["bench", "masking", *small, "--json", "--ledger", "here"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["batch"] == [2, 32] and result["step"] == [2, 16] and result["threads"] == 1
    rows = ledger.read("bench-masking", folder=tmp_path)
    assert [row["model"] for row in rows] == list(result["ratios"])
    assert rows[-1]["variant"] == "2 x 16, 1 thread" and rows[0]["variant"].startswith("2 x 32")
    for row in rows:
        slow, fast = row["milliseconds"].values()
        assert row["metrics"]["least"] <= row["metrics"]["ratio"] <= row["metrics"]["most"]
        assert slow > 0 and fast > 0
    assert "of a training step" in bench_masking.text(result)


@pytest.mark.parametrize("wrong", [["--rows", "0"], ["--length", "2"], ["--step", "0", "16"]])
def test_impossible_sizes_are_refused(wrong, capsys):
    assert main(["bench", "masking", *wrong]) == 2
    assert "is impossible" in capsys.readouterr().err
