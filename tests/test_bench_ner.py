"""The benchmark of fine-tuning: all sides read the same once, and ratios are of the whole."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import bench_ner, ledger  # noqa: E402
from bioptimus_lib.batching import BATCHINGS, padded  # noqa: E402
from bioptimus_lib.cli import main  # noqa: E402

LENGTHS = np.random.default_rng(0).integers(3, 60, 500)


def test_counts_are_those_of_an_epoch():
    found = bench_ner.count(LENGTHS, budget=256)
    assert {*BATCHINGS, "pools of 1", "pools of 64", "pools of all"} < set(found)
    batches = BATCHINGS["random"].draw(LENGTHS, budget=256, generator=np.random.default_rng(0))
    naive = sum(len(batch) * max(LENGTHS[i] for i in batch) for batch in batches)
    assert found["random"]["positions"] == naive and found["random"]["steps"] == len(batches)
    share = 100 * (1 - LENGTHS.sum() / naive)
    assert found["random"]["padding"] == pytest.approx(share, abs=0.01)
    assert found["random"]["most sentences"] == max(map(len, batches))
    assert found["padded"]["steps"] == found["packed"]["steps"]
    assert found["padded"]["most pieces"] == found["packed"]["most pieces"]
    padding = {name: row["padding"] for name, row in found.items()}
    assert padding["packed"] < 12 < 25 < padding["random"]  # eight sentences leave little choice
    assert padding["pools of all"] < padding["pools of 4"] < padding["pools of 1"]
    assert found["pools"] == found["pools of 16"] and found["sorted"] == found["pools of all"]


def test_ratios_are_those_of_the_whole_and_of_the_rounds():
    found = bench_ner.ratios({
        "random, fp32": [3.0, 1.0], "packed, fp32": [1.0, 1.0], "pools, fp32": [2.0, 2.0],
        "random, bf16": [2.0, 2.0], "packed, bf16": [0.5, 0.5],
        bench_ner.SORTED: [1.0, 1.0], bench_ner.IN_ORDER: [2.0, 4.0],
    })  # fmt: skip
    assert found["random, fp32 / packed, fp32"] == {"ratio": 2.0, "least": 1.0, "most": 3.0}
    assert found["random, fp32 / packed, bf16"]["ratio"] == 4.0
    assert found["packed, fp32 / packed, bf16"]["ratio"] == 2.0
    assert found["random, bf16 / packed, bf16"]["ratio"] == 4.0
    assert found["random, fp32 / pools, fp32"]["ratio"] == 1.0
    assert found[f"{bench_ner.IN_ORDER} / {bench_ner.SORTED}"]["ratio"] == 3.0
    assert len(found) == 6


def test_an_epoch_in_turns_is_all_of_the_epoch(tiny):
    from bioptimus_lib.conll import Sentence
    from bioptimus_lib.ner import Tagger, classifier_on
    from bioptimus_lib.tagger import NerSettings

    draw = np.random.default_rng(1)
    some = [Sentence(("fever",) * n, ("O",) * n) for n in draw.integers(1, 20, 40).tolist()]
    model, tokenizer = classifier_on(tiny, ["O"], seed=0)
    model.set_attn_implementation("eager")
    settings = NerSettings(batch_tokens=64, precision="fp32")
    tagger = Tagger(model, tokenizer, ("O",), settings)
    training = bench_ner.Training(tagger, tagger.encode(some), [s.tags for s in some])
    steps = []
    training.optimizer.register_step_post_hook(lambda *_: steps.append(1))
    turn = training.turns("random", "fp32", rounds=3)
    turn()
    assert len(steps) == bench_ner.WARM
    for _ in range(3):
        assert np.isfinite(float(turn()))
    whole = bench_ner.count(training.lengths, budget=64)["random"]["steps"]
    assert len(steps) == bench_ner.WARM + whole
    with pytest.raises(StopIteration):
        turn()
    with pytest.raises(ValueError, match="for 99 rounds"):
        training.turns("random", "fp32", rounds=99)
    assert bench_ner.difference(training) <= 1e-5
    # both predictions answer the same
    ways = bench_ner.predictions(tagger, tagger.encode(some))
    assert set(ways) == {bench_ner.SORTED, bench_ner.IN_ORDER}
    assert [len(rows) for rows in ways[bench_ner.SORTED]()] == [len(s) for s in some]
    ways[bench_ner.IN_ORDER]()
    assert padded([3]).shape == (1, 3)


def test_the_command_gives_ratios_counts_and_rows(tmp_path, tiny_folder, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    few = "--dataset pocket --sentences 100 --rounds 2 --threads 1 --quiet"
    words = ["--model", str(tiny_folder), *few.split(), "--sides", "random", "packed", "pools",
             "--precision", "fp32", "bf16"]  # fmt: skip
    assert main(["bench", "ner", *words, "--json", "--ledger", "here"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["threads"] == 1 and result["sentences"] == 100 and result["difference"] < 1e-4
    assert {"random, fp32 / packed, fp32", "random, fp32 / pools, fp32",
            "random, bf16 / packed, bf16"} < set(result["ratios"])  # fmt: skip
    rows = {row["model"]: row for row in ledger.read("bench-ner", folder=tmp_path)}
    assert set(rows) == {*result["ratios"], *result["counts"], "packed, logits"}
    for pair, found in result["ratios"].items():
        assert found["least"] <= found["ratio"] <= found["most"]
        assert rows[pair]["metrics"] == found and rows[pair]["variant"] == "tiny, 1 thread"
    assert rows["packed"]["metrics"]["padding"] < rows["random"]["metrics"]["padding"]
    shown = bench_ner.text(result)
    assert "pools of 64" in shown and "random, fp32 / packed, bf16" in shown


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--rounds", "0"], "--rounds 0"), (["--sides", "magic"], "batching 'magic'"),
        (["--sentences", "-1"], "--sentences -1"), (["--dataset", "no-such-set"], "no-such-set"),
        (["--model", "no-such-model"], "no-such-model"),
    ],
)  # fmt: skip
def test_impossible_wishes_are_refused(wrong, says, capsys):
    assert main(["bench", "ner", "--model", "pocket-bert", "--dataset", "pocket", *wrong]) == 2
    assert says in capsys.readouterr().err
