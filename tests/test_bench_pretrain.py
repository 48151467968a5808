"""The benchmark of a training step: the sides do equal work, and numbers mean what they say."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from bioptimus_lib import bench_learning, bench_pretrain, ledger, pocket  # noqa: E402
from bioptimus_lib.bench_pretrain import (  # noqa: E402
    PEAKS,
    Side,
    measure,
    peak_of,
    random_model,
    ratios,
    text_of,
    useful_flops,
)
from bioptimus_lib.cli import main  # noqa: E402

LENGTH = 16


@pytest.fixture(autouse=True)
def tiny_shape(monkeypatch):
    monkeypatch.setitem(bench_pretrain.SHAPES, "tiny", (2, 16, 2))


@pytest.fixture(scope="module")
def documents():
    short = ["pain .", "fever and pain in most patients ."]  # rows of unequal length
    return [list(a.sentences) for a in pocket.abstracts(60, seed=3)] + [short] * 60


@pytest.fixture(scope="module")
def text(documents, tiny):
    return text_of(documents, tiny[1], LENGTH)


def side(name, text, tmp_path, **others) -> Side:
    given = {"batch": 4, "precision": "fp32", "device": "cpu", "out": tmp_path, **others}
    return Side(name, random_model("tiny", 90, LENGTH), text, **given)


def test_both_forms_hold_the_same_sentences(documents, text, tiny):
    tokenizer = tiny[1]
    assert len(text.rows) == sum(map(len, documents))
    assert max(map(len, text.rows)) == LENGTH and text.blocks.shape[1] == LENGTH
    first = tokenizer(documents[0][0], add_special_tokens=False)["input_ids"]
    inner = LENGTH - 2
    assert text.blocks[0, 1:-1].tolist()[: len(first)] == first[:inner]
    assert text.rows[0][1:-1] == first[:inner]
    mean = sum(map(len, text.rows)) / len(text.rows)
    assert text.rows_for(400) == round(400 / mean) and text.rows_for(1) == 1


def test_padding_does_not_count(text, tmp_path):
    rows = side("rows", text, tmp_path)
    rows.advance(2)
    batch = rows.trainer.args.per_device_train_batch_size
    assert batch == text.rows_for(4 * LENGTH)
    assert 2 * batch * 3 <= rows.counts[0] < 2 * batch * LENGTH
    batches = rows.trainer.get_train_dataloader()
    whole = sum(int(inputs["attention_mask"].sum()) for inputs in batches)
    assert whole == sum(map(len, text.rows))
    for name in ("ours", "dense"):
        full = side(name, text, tmp_path)
        full.advance(3)
        assert full.counts == [3 * 4 * LENGTH]


@pytest.mark.parametrize("name", ["ours", "dense", "rows"])
def test_every_side_learns(text, tmp_path, name):
    one = side(name, text, tmp_path, steps=60, learning_rate=1e-2)
    for _ in range(60):
        one.advance(1)
    assert sum(one.losses[-5:]) < sum(one.losses[:5]) - 1


def test_the_sides_are_told_by_name(text, tmp_path):
    with pytest.raises(ValueError, match="side 'sparse' is unknown"):
        side("sparse", text, tmp_path)


def test_our_loss_is_that_of_the_dense_computation(text):
    assert bench_learning.difference("tiny", text, 90, batch=4) <= 1e-5


def test_the_numbers_of_a_run(text):
    found = measure(
        "tiny", text, 90, batch=2, steps=1, rounds=2, precisions=["fp32", "bf16"], device="cpu"
    )
    sides = {name.removesuffix(" tokens/s") for name in found if name.endswith("tokens/s")}
    assert sides == {"ours fp32", "dense fp32", "rows fp32", "ours bf16", "dense bf16"}
    assert found["ours fp32 / dense fp32 least"] <= found["ours fp32 / dense fp32"]
    assert {"ours bf16 / dense fp32", "ours bf16 / dense bf16", "ours bf16 / rows fp32"} <= set(
        found
    )
    assert not any("mfu" in name for name in found), "not on a CPU"


def test_ratios_are_taken_round_by_round():
    times = {"ours fp32": [1.0, 2.0, 4.0], "dense fp32": [3.0, 4.0, 20.0], "rows fp32": [8.0] * 3}
    found = ratios(times, ["fp32"])
    assert found["ours fp32 tokens/s"] == 500_000
    assert found["ours fp32 / dense fp32"] == 3.0
    assert found["ours fp32 / dense fp32 least"] == 2.0
    assert found["ours fp32 / dense fp32 most"] == 5.0
    assert found["ours fp32 / rows fp32"] == 4.0


def test_useful_operations_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    from bioptimus_lib.pretrain import masked_logits

    model = random_model("tiny", 500, LENGTH)
    model.set_attn_implementation("eager")
    ids = torch.full((10, LENGTH), 7)
    labels = torch.full_like(ids, -100)
    labels[:, : round(0.15 * LENGTH)] = 7
    with FlopCounterMode(display=False) as counter:
        masked_logits(model, ids, labels)[0].sum().backward()
    share = round(0.15 * LENGTH) / LENGTH
    layers, hidden, _ = bench_pretrain.SHAPES["tiny"]
    head = 6 * (hidden**2 + hidden * 500)
    expected = useful_flops("tiny", 500, LENGTH) + (share - 0.15) * head
    assert counter.get_total_flops() / ids.numel() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA H200", "H200"), ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 80GB HBM3", "H100"), ("NVIDIA A100-SXM4-80GB", "A100"), ("Tesla T4", "T4"),
        ("NVIDIA L4", "L4"), ("NVIDIA L40S", "L40S"), ("Some Other", None),
    ],
)  # fmt: skip
def test_peaks_by_name(monkeypatch, name, gpu):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
    assert peak_of("cuda") == (PEAKS[gpu] if gpu else None)
    assert peak_of("cpu") is None


def test_memory_of_a_side(text, tmp_path):
    import pickle

    (tmp_path / "text").write_bytes(pickle.dumps(text))
    arguments = ("tiny", tmp_path / "text", 90, 2, "fp32", "cpu")
    found = bench_learning.step_megabytes("ours", *arguments)
    assert math.isnan(found) or found >= 0


def test_learning_is_compared_after_equal_text(documents):
    found = bench_learning.learn(documents, steps=2, device="cpu", batch=2, length=64)
    assert found["ours tokens"] == 2 * 2 * 64
    assert 0.4 < found["rows tokens"] / found["ours tokens"] < 2.5
    for form in ("packed", "rows"):
        gap = found[f"ours loss, {form}"] - found[f"rows loss, {form}"]
        assert found[f"difference, {form}"] == pytest.approx(gap, abs=1e-4)
        assert 1 < found[f"start loss, {form}"] < 12


def test_the_command_keeps_sound_rows(monkeypatch, capsys):
    kept = []
    monkeypatch.setattr(bench_pretrain, "cases", lambda device: [("tiny", 8192, 16)])
    monkeypatch.setattr(bench_learning, "megabytes", lambda *_: {"ours fp32 MB": 1.0})
    monkeypatch.setattr(ledger, "append", lambda name, rows, **_: kept.extend(rows))
    words = "--megabytes 0.1 --batch 2 --steps 1 --rounds 1 --quiet --ledger x"
    assert main(["bench", "pretrain", *words.split()]) == 0
    assert "tiny, 8,192 pieces, 16\n  ours fp32 tokens/s" in capsys.readouterr().out
    (row,) = kept
    ledger.check({**row, "experiment": bench_pretrain.EXPERIMENT})
    assert row["metrics"]["difference"] <= 1e-5
    assert main(["bench", "pretrain", "--steps", "0"]) == 2
